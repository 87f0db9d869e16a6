#!/usr/bin/env bash
# Installs into a folder of its own, then uses it as a stranger would: names exported, pkg-config (shared and static),
# CMake package (shared and static).  packaging.sh CMAKE BUILD SOURCE COMPILER
set -euo pipefail
cmake=$1 build=$2 source=$3 compiler=$4
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

complain() { echo "packaging: $*" >&2; exit 1; }

# The program runs and, without arguments, says how it is used (and fails, as it should).
starts() { grep -q usage <<<"$("$@" 2>&1 </dev/null || true)"; }

"$cmake" --install "$build" --prefix "$work/root" >/dev/null
pc=$(dirname "$(find "$work/root" -name segrt.pc)")
lib=$(dirname "$pc")
export PKG_CONFIG_PATH=$pc

# Only the public names are seen from outside, and all that the header declares are there.
public=$(grep '^SEGRT_API' "$source/include/segrt/segrt.h" | grep -o '\bsegrt_[a-z_]*(' | tr -d '(' | sort -u)
shared=$(nm -D --defined-only "$lib/libsegrt.so" | awk '{print $NF}' | sort -u)
static=$(nm -g --defined-only "$lib/libsegrt.a" | awk 'NF == 3 {print $3}' | sort -u)
for names in "$shared" "$static"; do
    stray=$(grep -v '^segrt_' <<<"$names" || true)
    [ -z "$stray" ] || complain "names that are not the public API's are exported:" $stray
    extra=$(comm -13 <(echo "$public") <(echo "$names"))
    [ -z "$extra" ] || complain "exported, but not in segrt.h:" $extra
done
readelf -d "$lib/libsegrt.so" | grep -q 'SONAME.*libsegrt\.so\.[0-9]*\]' || complain "no SONAME with the ABI's number"

missing=$(comm -23 <(echo "$public") <(echo "$shared"))
[ -z "$missing" ] || complain "declared in segrt.h, but not exported:" $missing

# pkg-config, shared and static.
read -ra flags < <(pkg-config --cflags --libs segrt)
"$compiler" "$source/examples/segment.c" "${flags[@]}" -o "$work/shared"
LD_LIBRARY_PATH=$lib starts "$work/shared" || complain "the example does not start with the shared library"
mkdir "$work/static-only"
cp "$lib/libsegrt.a" "$work/static-only/"
read -ra flags < <(pkg-config --static --cflags --libs segrt)
"$compiler" "$source/examples/segment.c" -L"$work/static-only" -Wl,-Bstatic -lsegrt -Wl,-Bdynamic "${flags[@]}" -o "$work/static"
starts "$work/static" || complain "the example does not start with the static library"
! ldd "$work/static" | grep -q libsegrt || complain "the static example asks for the shared library"

# CMake's package.
"$cmake" -S "$here/consumer" -B "$work/consumer" -DCMAKE_C_COMPILER="$compiler" -DCMAKE_PREFIX_PATH="$work/root" -DEXAMPLE="$source/examples/segment.c" >/dev/null
"$cmake" --build "$work/consumer" >/dev/null
for way in shared static; do
    starts "$work/consumer/segment_$way" || complain "the example built by CMake ($way) does not start"
done
