#!/usr/bin/env bash
# The stripped size of the shared library, or of the WebAssembly module, for sets of features, as a table; give sets of
# your own as arguments, such as `crates/capi/sizes.sh winograd "int8 winograd"`. `--target TRIPLE` first builds for another
# machine, whose linker has to be there. Takes minutes: each set is built anew.
set -euo pipefail
cd "$(dirname "$0")/../.."
target=()
folder="${CARGO_TARGET_DIR:-target}"
if [ "${1:-}" = "--target" ]; then
  target=(--target "$2")
  folder="$folder/$2"
  shift 2
fi
if [ $# -eq 0 ]; then
  set -- "" "winograd" "portable winograd" "int8 winograd" "binary int8 winograd" "binary fft fp16 im2col int8 lowbit transposed winograd" \
    "default"
fi

printf '%-60s %12s %12s %12s\n' features bytes code gzip
for features in "$@"; do
  cargo rustc --quiet --release --locked -p paring-capi --lib --crate-type cdylib --no-default-features \
    --features "$features" "${target[@]}"
  library=$(ls "$folder"/release/{libparing.so,libparing.dylib,paring.wasm} 2>/dev/null | head -1 || true)
  code=$(size "$library" 2>/dev/null | awk 'NR == 2 { print $1 }' || true)
  printf '%-60s %12d %12s %12d\n' "${features:-(none)}" "$(wc -c <"$library")" "${code:-?}" "$(gzip -9c "$library" | wc -c)"
done
