#!/usr/bin/env bash
# Makes the seed corpora: make_corpus.sh [FOLDER], default build/fuzz/corpus; one folder a harness.  Seeds are small files of
# tests/data and fuzz/seeds; an image's, a text's, a model's reader each begins at what it is for.
set -euo pipefail
cd "$(dirname "$0")/.."
corpus=${1:-build/fuzz/corpus}

# take HARNESS FILE...: copies files that are there.
take() {
    mkdir -p "$corpus/$1"
    local harness=$1 file
    shift
    for file in "$@"; do
        [ -f "$file" ] && cp "$file" "$corpus/$harness/$(echo "$file" | tr / _)"
    done
    return 0
}

# prefixed HARNESS BYTE FILE...: the same with a byte before each, which chooses what the harness does.
prefixed() {
    mkdir -p "$corpus/$1"
    local harness=$1 byte=$2 file
    shift 2
    for file in "$@"; do
        { printf "$byte"; cat "$file"; } >"$corpus/$harness/$(echo "$file" | tr / _)"
    done
}

take fuzz_safetensors fuzz/seeds/*.safetensors
take fuzz_zip fuzz/seeds/*.bin fuzz/seeds/*.pdparams
for archive in fuzz/seeds/*_zip.bin; do # the pickle inside
    mkdir -p "$corpus/fuzz_pickle"
    unzip -qp "$archive" '*/data.pkl' >"$corpus/fuzz_pickle/$(basename "$archive").pkl"
done
take fuzz_pickle fuzz/seeds/*.pdparams
prefixed fuzz_json '\0' tests/data/hf/config.json tests/data/checkpoints/*/config.json
prefixed fuzz_json '\1' tests/data/hf/preprocessor_config.json tests/data/checkpoints/*/preprocessor_config.json
prefixed fuzz_json '\2' tests/data/checkpoints/sharded/*.json
take fuzz_jpeg tests/data/pictures/*.jpg
take fuzz_png tests/data/pictures/*.png
take fuzz_webp tests/data/pictures/*.webp
take fuzz_pnm tests/data/pictures/*.p[bgn]m
take fuzz_y4m fuzz/regressions/fuzz_y4m/*
take fuzz_engine fuzz/regressions/fuzz_engine/*
take fuzz_onnx_wire tests/data/onnx/*.onnx
take fuzz_onnx_interpret tests/data/onnx/*.onnx
mkdir -p "$corpus/fuzz_recognise" # its input is a list of changes: begins at none
