#!/bin/sh
# Builds the iOS module: build.sh FOLDER. Makes a Swift package there: CParing.xcframework with static libraries for devices
# and simulators, and what SwiftPM needs. Runs on macOS; needs Rust and Xcode.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
capi=$here/..
fail() { echo "build.sh: $*" >&2; exit 1; }
[ $# -eq 1 ] || fail "usage: build.sh FOLDER"
command -v xcodebuild >/dev/null || fail "there is no xcodebuild: install Xcode"
folder=$1
mkdir -p "$folder"
built=${CARGO_TARGET_DIR:-target}
case $built in /*) ;; *) built=$capi/../../$built ;; esac
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

export IPHONEOS_DEPLOYMENT_TARGET=13.0
"$capi/static.sh" aarch64-apple-ios aarch64-apple-ios-sim x86_64-apple-ios
mkdir -p "$work/headers" "$work/simulator"
cp "$capi/include/paring.h" "$here/module.modulemap" "$work/headers/"
lipo -create "$built/aarch64-apple-ios-sim/release/libparing.a" "$built/x86_64-apple-ios/release/libparing.a" \
  -output "$work/simulator/libparing.a"
rm -rf "$folder/CParing.xcframework"
xcodebuild -create-xcframework \
  -library "$built/aarch64-apple-ios/release/libparing.a" -headers "$work/headers" \
  -library "$work/simulator/libparing.a" -headers "$work/headers" \
  -output "$folder/CParing.xcframework"
cp -R "$here/Package.swift" "$here/Sources" "$folder/"
(cd "$folder" && zip -q -X -r CParing.xcframework.zip CParing.xcframework)
echo "checksum of $folder/CParing.xcframework.zip: $(swift package compute-checksum "$folder/CParing.xcframework.zip")"
