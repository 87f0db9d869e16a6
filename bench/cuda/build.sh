#!/usr/bin/env bash
# Builds the harness and libsegrt-cuda.so for one architecture: build.sh OUT [ARCH] (90a by default).  Needs nvcc and gcc only.
set -euo pipefail
out=$(realpath -m "$1") arch=${2:-90a}
cd "$(dirname "$0")/../.."
mkdir -p "$out"
export PATH=/usr/local/cuda/bin:$PATH
{
    for f in src/backend/cuda/*_f16.cu src/backend/cuda/*_*.cu src/backend/cuda/*.cu; do
        echo "nvcc -std=c++17 -O3 -lineinfo -Xcompiler -fPIC -gencode=arch=compute_$arch,code=sm_$arch -Isrc -Iinclude -Xptxas -v -c $f -o $out/$(basename "$f").o 2> $out/$(basename "$f").log || { cat $out/$(basename "$f").log; exit 255; }"
    done
    for f in src/base/*.c src/network/*.c src/backend/reference/*.c src/backend/cuda/*.c tests/model_support.c bench/cuda/*.c; do
        echo "gcc -std=gnu17 -O2 -fPIC -fvisibility=hidden -ffp-contract=off -fno-math-errno -D_GNU_SOURCE -Isrc -Iinclude -Itests -isystem /usr/local/cuda/include -c $f -o $out/$(echo "$f" | tr / _).o"
    done
} | awk '!seen[$0]++' | xargs -d '\n' -P "${JOBS:-2}" -I{} bash -c '{}'
nvcc -o "$out/harness" "$out"/*.o -cudart static -lpthread -lm -ldl
nvcc -shared -o "$out/libsegrt-cuda.so" "$out"/*.cu.o "$out"/src_backend_cuda_*.c.o "$out"/src_base_{error,memory}.c.o "$out"/src_network_{shape,operations}.c.o \
    -cudart static -Xlinker --exclude-libs,ALL
