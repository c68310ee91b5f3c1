#!/bin/sh
# Writes include/paring.h as the sources have it, or to the file that is given. Needs cbindgen 0.29.
set -eu
cd "$(dirname "$0")"
cbindgen --quiet --config cbindgen.toml --lockfile ../../Cargo.lock --output "${1:-include/paring.h}" .
