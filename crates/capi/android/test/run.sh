#!/usr/bin/env bash
# Tests the Java classes and the native methods on the Java of this machine: run.sh FOLDER MODEL.pare, where `build.sh
# --desktop FOLDER` has been. Leaves the logits of the demo's pictures in FOLDER/java.logits.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
built=$(realpath "$1") pare=$(realpath "$2")
tests=$built/tests
mkdir -p "$tests"
javac -encoding UTF-8 -cp "$built/classes" -d "$tests" "$here"/*.java
run() { java -Xcheck:jni -ea -cp "$built/classes:$tests" -Djava.library.path="$built" "$@"; }
run org.paring.HandleTest
run Demo "$here/../../../cli/demo" "$pare" "$built/java.logits" | tee "$built/log"
# What -Xcheck:jni finds is told, and the program goes on.
if grep -E "WARNING|FATAL" "$built/log"; then exit 1; fi
