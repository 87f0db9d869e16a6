#!/usr/bin/env bash
# From a fresh clone to a segmented picture: installs what is missing, builds, and runs the built-in model on your
# photos, or on a street from Debian's package `darknet`, or (where that can't be had) on a street that we draw.
#
#     ./demo.sh [PHOTO...]
set -euo pipefail
photos=()
for photo in "$@"; do photos+=("$(realpath -- "$photo")"); done
cd "$(dirname "$0")"
. ./cmake/packages.sh
packages_install build-essential cmake ninja-build pkg-config libjansson-dev libjpeg-dev libspng-dev libwebp-dev

# The picture needs no GPU, and kernels for seven generations of them take long to compile.
cmake --preset release -DSEGRT_TESTS=OFF -DSEGRT_CUDA=OFF >build-demo.log 2>&1 && cmake --build --preset release >>build-demo.log 2>&1 || {
    cat build-demo.log >&2
    exit 1
}
rm -f build-demo.log
segrt=build/release/tools/segrt/segrt

# The photograph travels inside a small package, which is unpacked beside the build, not installed.
fetch_photo() {
    local work
    work=$(mktemp -d)
    (cd "$work" && timeout 60 apt-get download -qq darknet >/dev/null 2>&1 && dpkg-deb -x darknet_*.deb . &&
        cp usr/share/darknet/data/dog.jpg "$1") || true
    rm -rf "$work"
    [ -s "$1" ]
}

if [ ${#photos[@]} -eq 0 ]; then
    mkdir -p build/demo
    photo=$PWD/build/demo/dog.jpg
    if [ ! -s "$photo" ] && ! fetch_photo "$photo"; then
        echo "No photograph to be had from the package darknet; drawing a street instead."
        photo=$PWD/build/demo/street.ppm
        build/release/tools/scene/draw_scene "$photo"
    fi
    photos=("$photo")
fi
"$segrt" segment "${photos[@]}" -o "$PWD/out"
