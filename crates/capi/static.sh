#!/bin/sh
# Builds the static library of the C interface for targets of Rust: static.sh TARGET... Without any, for the phones.
# Needs what `rustup target add` brings; no linker, no SDK.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
[ $# -gt 0 ] || set -- aarch64-linux-android armv7-linux-androideabi x86_64-linux-android aarch64-apple-ios
cd "$here/../.."
folder=${CARGO_TARGET_DIR:-target}
case $folder in /*) ;; *) folder=$PWD/$folder ;; esac
for target; do
  if command -v rustup >/dev/null; then rustup --quiet target add "$target"; fi
  cargo rustc --quiet --release --locked -p paring-capi --lib --crate-type staticlib --target "$target"
  library=$folder/$target/release/libparing.a
  echo "$library: $(wc -c <"$library") bytes"
done
