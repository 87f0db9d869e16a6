#!/usr/bin/env bash
# Builds the harness for one architecture: build.sh OUT [ARCH] (90a by default).  Needs nvcc and gcc only.
set -euo pipefail
out=$(realpath -m "$1") arch=${2:-90a}
cd "$(dirname "$0")/../.."
mkdir -p "$out"
export PATH=/usr/local/cuda/bin:$PATH
for f in src/backend/cuda/*.cu; do
    o=$out/$(basename "$f").o
    if [ ! -e "$o" ] || [ -n "$(find src/backend/cuda -name '*.cuh' -newer "$o" -o -name 'kernels.h' -newer "$o" -o -path "$f" -newer "$o")" ]; then
        echo "nvcc -std=c++17 -O3 -lineinfo -gencode=arch=compute_$arch,code=sm_$arch -Isrc -Iinclude -c $f -o $o"
    fi
done | xargs -P "${JOBS:-2}" -I{} bash -c '{}'
gcc -std=gnu17 -O2 -ffp-contract=off -fno-math-errno -D_GNU_SOURCE -Isrc -Iinclude -Itests -isystem /usr/local/cuda/include -c -fdiagnostics-color=never \
    src/base/*.c src/network/*.c src/backend/reference/*.c src/backend/cuda/*.c tests/model_support.c bench/cuda/harness.c 2>&1 && mv ./*.o "$out"/
nvcc -o "$out/harness" "$out"/*.o -cudart static -lpthread -lm -ldl
