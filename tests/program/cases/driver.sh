# The backend that was built, with drivers that are missing, too old, or see no GPU: said in words, and auto goes on without.
[ -e "$cuda" ] || exit 77
export SEGRT_CUDA_LIBRARY=$cuda LD_LIBRARY_PATH=$driver
ask() { try bench "$tiny" --shape 1x64x64 --runs 1 --device "$1" | sed -E 's/needs [0-9.]+/needs N/'; }
FAKE_DRIVER=11040 ask cuda
FAKE_DRIVER=99000 ask cuda
FAKE_DRIVER=99000 ask auto | tail -1
mkdir none
: >none/libcuda.so.1
LD_LIBRARY_PATH=$PWD/none ask cuda
