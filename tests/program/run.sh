#!/usr/bin/env bash
# run.sh SEGRT CASE SOURCE FAKE DRIVER CUDA: runs a case and compares what it printed.  UPDATE=1 writes the expectation instead.
#
# In a case: `try ARGUMENT...` runs segrt and prints its output and exit code; times and devices are masked.  $data is
# tests/data, $tiny a tiny model, $models the models that are shipped, $fake a CUDA
# backend that computes nothing, $driver the folder of a driver without a GPU, $cuda the real backend or empty.  A case that cannot be
# run here ends with 77.
set -uo pipefail
segrt=$1 case=$2 source=$3 fake=$4 driver=$5 cuda=$6
data=$source/tests/data tiny=$source/tests/data/hf models=$source/models
expected=${case%.sh}.expected
work=$(mktemp -d)
trap 'chmod -R u+rwx "$work"; rm -rf "$work"' EXIT

mask() {
    sed -E -e "s|$source|SOURCE|g" -e 's/[0-9.]+ ms/N ms/g' -e 's/[0-9.]+ a second/N a second/g' \
        -e 's/ on (cpu|reference|cuda)[^,]*(, [^,]*)* threads?,/ on DEVICE,/' -e 's/\.[0-9]+-[0-9]+\.tmp/.TEMPORARY/g' \
        -e 's/^bound by .*/bound by N/'
}
try() {
    "$segrt" "$@" >output 2>&1 </dev/stdin
    local code=$?
    mask <output
    rm -f output
    echo "-> $code"
}
# A picture of WIDTH HEIGHT: blocks in many colours, as PPM on stdout.
draw() {
    printf 'P6 %d %d 255\n' "$1" "$2"
    awk -v w="$1" -v h="$2" 'BEGIN { for (y = 0; y < h; y++) for (x = 0; x < w; x++) { k = int(x / 9) * 37 + int(y / 7) * 91; printf "%c%c%c", 1 + (k + x) % 120, 1 + (k * 3 + y) % 120, 1 + k * k % 120 } }'
}
export LC_ALL=C
cd "$work" || exit 1
mkdir out
cd out || exit 1
. "$case" >"$work/got" 2>&1
if [ "${UPDATE:-}" ]; then
    cp "$work/got" "$expected"
else
    diff -u "$expected" "$work/got"
fi
