#!/bin/sh
# Builds the Android module: build.sh OUT.aar [ABI...], for arm64-v8a, armeabi-v7a and x86_64 where none is named.
# Needs Rust, a JDK, zip, and the NDK: ANDROID_NDK_HOME says where it lies.
#
# build.sh --desktop FOLDER makes the same library and classes for this machine, to be tested on its Java; see test/run.sh.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
capi=$here/..
min_sdk=21
fail() { echo "build.sh: $*" >&2; exit 1; }
[ $# -gt 0 ] || fail "usage: build.sh OUT.aar [ABI...] | build.sh --desktop FOLDER"
command -v javac >/dev/null || fail "there is no javac: install a JDK"
built=$(cd "$capi/../.." && realpath -m "${CARGO_TARGET_DIR:-target}")
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$capi/../../Cargo.toml" | head -n 1)

# Java 8 is what Android of every version understands.
classes() {
  mkdir -p "$1"
  javac --release 8 -Xlint:-options -d "$1" "$here"/java/org/paring/*.java
}

# Links the C interface and the native methods to one library: link LIBRARY ARCHIVE COMPILER [FLAGS...]. What the two do not
# need of the archive is left out.
link() {
  library=$1 archive=$2
  shift 2
  wanted=$(sed -n 's/^.*\(paring_[a-z_0-9]*\)(.*$/-Wl,-u,\1/p' "$capi/include/paring.h" | sort -u)
  # shellcheck disable=SC2086
  "$@" -std=c11 -O2 -Wall -Wextra -Wpedantic -fPIC -fvisibility=hidden -shared -I"$capi/include" \
    "$here/jni/paring_jni.c" $wanted "$archive" -o "$library" \
    -Wl,--version-script="$here/jni/exports.map" -Wl,-soname,libparing.so -Wl,--gc-sections -Wl,-s \
    -Wl,-z,max-page-size=16384
}

if [ "$1" = --desktop ]; then
  [ $# -eq 2 ] || fail "usage: build.sh --desktop FOLDER"
  mkdir -p "$2"
  (cd "$capi/../.." && cargo build --release --locked -p paring-capi --lib)
  java=$(dirname "$(dirname "$(readlink -f "$(command -v javac)")")")
  link "$2/libparing.so" "$built/release/libparing.a" cc -I"$java/include" -I"$java/include/linux" -lm -lpthread -ldl
  classes "$2/classes"
  exit
fi

out=$(realpath -m "$1")
shift
[ $# -gt 0 ] || set -- arm64-v8a armeabi-v7a x86_64
[ -d "${ANDROID_NDK_HOME:-}" ] || fail "there is no NDK: set ANDROID_NDK_HOME to its folder (it is '${ANDROID_NDK_HOME:-}')"
command -v zip >/dev/null || fail "there is no zip"
compiler=$(echo "$ANDROID_NDK_HOME"/toolchains/llvm/prebuilt/*/bin/clang)
[ -x "$compiler" ] || fail "there is no $compiler"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
aar=$work/aar module=$work/aar/prefab/modules/paring
mkdir -p "$aar" "$module/include"

for abi; do
  case $abi in
    arm64-v8a) target=aarch64-linux-android clang=aarch64-linux-android ;;
    armeabi-v7a) target=armv7-linux-androideabi clang=armv7a-linux-androideabi ;;
    x86_64) target=x86_64-linux-android clang=x86_64-linux-android ;;
    *) fail "there is no ABI $abi: arm64-v8a, armeabi-v7a, x86_64" ;;
  esac
  "$capi/static.sh" "$target"
  mkdir -p "$aar/jni/$abi" "$module/libs/android.$abi"
  link "$aar/jni/$abi/libparing.so" "$built/$target/release/libparing.a" "$compiler" --target="$clang$min_sdk" -llog -lm -ldl
  cp "$aar/jni/$abi/libparing.so" "$module/libs/android.$abi/"
  ndk=$(sed -n 's/^Pkg.Revision *= *\([0-9]*\).*$/\1/p' "$ANDROID_NDK_HOME/source.properties")
  sed -e "s/@abi@/$abi/" -e "s/@api@/$min_sdk/" -e "s/@ndk@/${ndk:-0}/" "$here/prefab/abi.json.in" \
    >"$module/libs/android.$abi/abi.json"
done

cp "$capi/include/paring.h" "$capi/include/paring.hpp" "$module/include/"
sed "s/@version@/$version/" "$here/prefab/prefab.json.in" >"$aar/prefab/prefab.json"
cp "$here/prefab/module.json" "$module/"
sed "s/@min_sdk@/$min_sdk/" "$here/AndroidManifest.xml.in" >"$aar/AndroidManifest.xml"
cp "$here/proguard.txt" "$aar/"
: >"$aar/R.txt"
classes "$work/classes"
jar --create --file "$aar/classes.jar" -C "$work/classes" .
rm -f "$out"
(cd "$aar" && zip -q -X -r "$out" .)
echo "$out: $(wc -c <"$out") bytes"
