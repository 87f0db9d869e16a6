#!/usr/bin/env bash
# Every figure of the CUDA backend that a user is promised, in one run on a machine with a GPU:
#
#     bench/cuda/acceptance.sh SEGRT OUT [-m MODEL]... [-j FOLDER] [-c CAMVID] [-t SECONDS]
#
# SEGRT    the program, libsegrt-cuda.so beside it or where docs/cuda.md says
# OUT      a folder for logs, masks and tables
# -m       a model (several: -m b0 -m b2); without: the built-in one
# -j       a folder of JPEGs of 512x512, for the job from files to masks
# -c       CamVid's layout (images/, labels/), for labels and mIoU against float32 on the processor
# -t       seconds for all of it (90)
#
# What is timed runs alone, the rest side by side.  Each part has its own limit, so that a slow one does not cost the others
# theirs; a compact summary comes last, of whatever there was time for.
set -uo pipefail
segrt=$(realpath "$1") out=$(realpath -m "$2")
shift 2
models=() jpegs="" camvid="" most=90
while getopts m:j:c:t: letter; do
    case $letter in
    m) models+=("$(realpath "$OPTARG")") ;;
    j) jpegs=$(realpath "$OPTARG") ;;
    c) camvid=$(realpath "$OPTARG") ;;
    t) most=$OPTARG ;;
    *) exit 2 ;;
    esac
done
mkdir -p "$out"
cd "$out" || exit 1
rm -f *.log bench.csv jobs failed errors accuracy.* sanitizer.* sanitized.*.line
[ ${#models[@]} -gt 0 ] || models=("")
begin=$(date +%s)

# limited SECONDS COMMAND...: the command's exit code, or 124; never beyond the time for all.
limited() {
    local seconds=$1 left=$((begin + most - $(date +%s)))
    shift
    [ "$seconds" -le "$left" ] || seconds=$left
    [ "$seconds" -ge 1 ] || return 124
    timeout -k 1 "$seconds" "$@"
}
name_of() { [ "$1" ] && basename "$1" .segrt || echo built-in; }
since() { echo "$(($(date +%s) - begin)) s"; }
say() { echo "[$(since)] $*" >&2; }

# ---------------------------------------------------------------------------------------- summary
summary() {
    echo "== $(nvidia-smi --query-gpu=name,driver_version,clocks.sm,power.draw --format=csv,noheader 2>/dev/null | head -1), $(nproc) processors, $(since)"
    [ -s failed ] && cat failed
    echo "-- bench: 200 runs"
    sed -E 's/"[^"]*, ([a-z0-9]+)"/\1/; s|^[^,]*/||' bench.csv 2>/dev/null | awk -F, '
        NR == 1 { printf "%-28s %-6s %-12s %9s %9s %9s %9s %9s %8s %9s %8s %5s %4s\n", "model", "type", "shape", "host ms", "compute", "copy in", "copy out", "start ms", "context", "new shape", "MB", "MHz", "W" }
        NR > 1 { printf "%-28s %-6s %-12s %9.3f %9.4f %9.4f %9.4f %9.1f %8.1f %9.2f %8.1f %5s %4s\n", $1, $2, $3 "x" $4 "x" $5, $10, $21, $25, $26, $22, $24, $23, $28 / 1e6, $29, $30 }'
    echo "-- profile of $(name_of "$largest") 1x1024x1024 f16, the longest steps"
    grep -E '^(ceiling|host to host|compute|copies|without graph|start|memory|device|new shape)' profile.log
    awk '/^operations/ { on = 1; next } on && NF > 6 { print $(NF - 6), $0 }' profile.log | sort -rn | head -12 | cut -d' ' -f2-
    [ -s jobs ] && { echo "-- JPEGs of 512x512 to masks, $(name_of "${engines[0]}"), f16"; cat jobs; }
    ls accuracy.* >/dev/null 2>&1 && { echo "-- CamVid"; cat accuracy.*; }
    ls sanitized.*.line >/dev/null 2>&1 && { echo "-- sanitizers, 64x96"; cat sanitized.*.line; }
    echo "-- errors"
    cat errors 2>/dev/null
}
trap 'trap - TERM; summary; exit 1' TERM

# ---------------------------------------------------------------------------------------- engines
engines=()
for model in "${models[@]}"; do
    file=$out/$(name_of "$model").segrt
    if [ "$model" ] && limited 20 "$segrt" build "$model" -o "$file" >build.log 2>&1; then
        engines+=("$file")
    else
        engines+=("$model")
    fi
done
say "engines: $(for e in "${engines[@]}"; do name_of "$e"; done | tr '\n' ' ')"

largest=${engines[-1]}

# -------------------------------------------------------------------------------- time and memory
bench() { # ENGINE SHAPE PRECISION
    limited 20 "$segrt" bench ${1:+"$1"} --device cuda --shape "$2" --precision "$3" --runs 200 --csv bench.csv >>bench.log 2>&1 ||
        echo "$(name_of "$1") $2 $3: failed: $(tail -1 bench.log)" >>failed
}
for engine in "${engines[@]}"; do
    bench "$engine" 1x1024x1024 f16
    bench "$engine" 1x512x512 f16
done
bench "$largest" 8x1024x1024 f16
for precision in bf16 tf32 f32; do
    bench "$largest" 1x1024x1024 "$precision"
done
limited 20 "$segrt" bench ${largest:+"$largest"} --device cuda --shape 1x1024x1024 --precision f16 --runs 100 --profile >profile.log 2>&1
say "bench"

# ------------------------------------------------------------------------------ from files to masks
if [ "$jpegs" ]; then
    rm -rf many && mkdir many
    for turn in $(seq 1 "$((3000 / $(ls "$jpegs" | wc -l) + 1))"); do
        for file in "$jpegs"/*; do ln -s "$file" "many/$turn-${file##*/}"; done
    done
    limited 5 "$segrt" segment many/1-* ${engines[0]:+-m "${engines[0]}"} --device cuda --precision f16 --no-overlay -o masks --resize none >/dev/null 2>&1 # files cached
    for threads in "$(nproc)" 8 4; do
        rm -rf masks
        limited 15 "$segrt" segment many ${engines[0]:+-m "${engines[0]}"} --device cuda --precision f16 --no-overlay -o masks --threads "$threads" \
            --resize none >job.log 2>&1
        { echo "$threads threads: $(grep -m1 'a second' job.log || tail -1 job.log)"; grep -m1 '^bound by' job.log; } >>jobs
    done
    rm -rf masks many
    say "job"
fi

# --------------------------------------------------------------------------------------- accuracy
agreement() { # ENGINE PRECISION
    local name same miou
    name=$(name_of "$1")
    same=$(limited 25 "$segrt" compare "$1" "$1" "$camvid/images" --device cuda --precision "$2" --device-b cpu --precision-b f32 \
        --threads 4 2>&1 | grep -i -m1 label)
    miou=$(limited 25 "$segrt" eval "$1" "$camvid" --device cuda --precision "$2" --threads 2 2>&1 | awk '/^mIoU/ { print $2 }')
    echo "$name $2: mIoU ${miou:-failed}; ${same:-failed}" >accuracy."$name.$2"
}
if [ "$camvid" ]; then
    for model in "${models[@]}"; do
        [ "$model" ] || continue
        for precision in f32 tf32 f16 bf16; do
            agreement "$model" "$precision" &
        done
        (
            name=$(name_of "$model")
            miou=$(limited 25 "$segrt" eval "$model" "$camvid" --device cpu --precision f32 --threads 4 2>&1 | awk '/^mIoU/ { print $2 }')
            echo "$name cpu f32: mIoU ${miou:-failed}" >accuracy."$name.cpu"
        ) &
    done
fi

# ------------------------------------------------------------------------------------- sanitizers
printf 'P6 96 64 255\n' >small.ppm
head -c 18432 "$segrt" >>small.ppm
sanitize() { # TOOL PRECISION
    limited 30 compute-sanitizer --tool "$1" --error-exitcode 9 "$segrt" segment small.ppm ${engines[0]:+-m "${engines[0]}"} --device cuda \
        --precision "$2" --resize none --no-overlay -o sanitized."$1.$2" >sanitizer."$1.$2" 2>&1
    local code=$?
    case $code in
    0) code=clean ;;
    124) code="ran out of time" ;;
    *) code="exit code $code" ;;
    esac
    echo "$1 $2: $code; $(grep -E 'SUMMARY' sanitizer."$1.$2" | tail -1)" >sanitized."$1.$2.line"
}
if command -v compute-sanitizer >/dev/null; then
    for tool in memcheck racecheck initcheck synccheck; do
        for precision in f16 tf32; do
            sanitize "$tool" "$precision" &
        done
    done
fi

# ------------------------------------------------------------------------------------ error paths
expect() { # WHAT CODE COMMAND...
    local what=$1 code=$2 said got
    shift 2
    said=$(limited 20 "$@" 2>&1)
    got=$?
    said=$(tail -1 <<<"$said")
    [ "$got" = "$code" ] && echo "ok  $what ($got): $said" >>errors || echo "BAD $what ($got, not $code): $said" >>errors
}
mkdir -p hidden
: >hidden/libcuda.so.1
expect "no such device" 4 "$segrt" bench --device cuda:99 --runs 1
expect "no GPU" 4 env CUDA_VISIBLE_DEVICES= "$segrt" bench --device cuda --runs 1
expect "no driver" 4 env LD_LIBRARY_PATH="$out/hidden:${LD_LIBRARY_PATH:-}" "$segrt" bench --device cuda --runs 1
expect "auto without a GPU" 0 env CUDA_VISIBLE_DEVICES= "$segrt" bench --device auto --shape 1x64x64 --runs 1
expect "auto with one" 0 "$segrt" bench --device auto --shape 1x64x64 --runs 1
wait
say "accuracy, sanitizers, errors"
# Another process takes all but 1.5 GB, where PyTorch is there to do so; 15 pictures of 2048x2048 need more.
if python3 -c 'import torch; assert torch.cuda.is_available()' 2>/dev/null; then
    rm -f taken
    timeout 30 python3 -c 'import time, torch
free, total = torch.cuda.mem_get_info()
all = torch.empty(max(free - 1500000000, 0), dtype=torch.uint8, device="cuda")
open("taken", "w").close()
time.sleep(30)' 2>/dev/null &
    hog=$!
    for wait in $(seq 100); do [ -e taken ] || sleep 0.1; done
    expect "exhausted memory" 3 "$segrt" bench --device cuda --shape 15x2048x2048 --runs 1
    kill "$hog"
    wait "$hog" 2>/dev/null
fi
summary
