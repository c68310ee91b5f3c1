#!/bin/sh
# Checks the module map with clang, which needs no SDK for it: run.sh.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$here/../../include/paring.h" "$here/../module.modulemap" "$work/"
for target in arm64-apple-ios13 x86_64-apple-ios13-simulator; do
  clang --target=$target -ffreestanding -fsyntax-only -fmodules -fmodules-cache-path="$work/cache" \
    -fmodule-map-file="$work/module.modulemap" -I"$work" -Wall -Wextra -Werror "$here/module.m"
done
echo "the header is a module"
