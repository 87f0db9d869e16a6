#!/usr/bin/env bash
# Installs what is missing, builds and runs all tests.
set -euo pipefail
cd "$(dirname "$0")"
. ./cmake/packages.sh
packages_install build-essential cmake ninja-build pkg-config libjansson-dev libjpeg-dev libspng-dev libwebp-dev libcmocka-dev
cmake --preset ci >/dev/null
cmake --build --preset ci
ctest --preset ci -j "$(nproc)"
