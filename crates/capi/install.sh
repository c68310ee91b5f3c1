#!/bin/sh
# Installs what `cargo build --release -p paring-capi` built: install.sh PREFIX [TARGET_FOLDER].
# Libraries, headers, a file for pkg-config and one for CMake; nothing else. DESTDIR is put before the prefix.
set -eu
[ $# -ge 1 ] || { echo "usage: install.sh PREFIX [TARGET_FOLDER]" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
prefix=$1
built=${2:-${CARGO_TARGET_DIR:-$here/../../target}/release}
to=${DESTDIR:-}$prefix
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$here/../../Cargo.toml" | head -n 1)
abi=$(sed -n 's/^#define PARING_ABI_VERSION \([0-9]*\)$/\1/p' "$here/include/paring.h")

mkdir -p "$to/include" "$to/lib/pkgconfig" "$to/lib/cmake/paring"
cp "$here/include/paring.h" "$here/include/paring.hpp" "$to/include/"
cp "$built/libparing.a" "$to/lib/"
case $(uname -s) in
  Darwin)
    full=libparing.$version.dylib link=libparing.$abi.dylib bare=libparing.dylib ;;
  *)
    full=libparing.so.$version link=libparing.so.$abi bare=libparing.so ;;
esac
cp "$built/$bare" "$to/lib/$full"
chmod 755 "$to/lib/$full"
ln -sf "$full" "$to/lib/$link"
ln -sf "$link" "$to/lib/$bare"
for file in paring.pc:pkgconfig paringConfig.cmake:cmake/paring paringConfigVersion.cmake:cmake/paring; do
  sed -e "s|@prefix@|$prefix|" -e "s|@version@|$version|" -e "s|@shared@|$full|" -e "s|@soname@|$link|" \
    "$here/cmake/${file%%:*}.in" >"$to/lib/${file##*:}/${file%%:*}"
done
