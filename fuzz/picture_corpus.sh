#!/usr/bin/env bash
# picture_corpus: seeds for the harnesses of pictures and streams, from the tests' fixtures.  Usage: picture_corpus.sh FOLDER
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
pictures=$here/../tests/data/pictures
mkdir -p "$1"/fuzz_{jpeg,png,webp,pnm,y4m}
cp "$pictures"/*.jpg "$1/fuzz_jpeg"
cp "$pictures"/*.png "$1/fuzz_png"
cp "$pictures"/*.webp "$1/fuzz_webp"
cp "$pictures"/*.p[bgn]m "$1/fuzz_pnm"
cp "$here"/regressions/fuzz_y4m/* "$1/fuzz_y4m"
