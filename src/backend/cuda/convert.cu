/* convert: float32 weights to the storage type, once, when a session opens.  CUDA backend. */
#include "backend/cuda/convert.h"
#include "backend/cuda/split.cuh"

namespace {

template <numeric N> __global__ void __launch_bounds__(256) convert(const float *from, storage_t<N> *to, size_t count)
{
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (size_t)gridDim.x * blockDim.x)
        to[i] = narrow<N>(from[i]);
}

template <numeric N> cudaError_t launch_type(const float *from, void *to, size_t count, cudaStream_t stream)
{
    if (!count)
        return cudaSuccess;
    convert<N><<<(unsigned)((count + 4095) / 4096 < 4096 ? (count + 4095) / 4096 : 4096), 256, 0, stream>>>(from, (storage_t<N> *)to, count);
    return cudaGetLastError();
}

__global__ void __launch_bounds__(256) convert_split(const float *from, unsigned char *to, size_t count, bool ordered)
{
    const size_t i = ((size_t)blockIdx.x * blockDim.x + threadIdx.x) * 2; /* two neighbours stay neighbours */
    if (i >= count)
        return;
    const split_pair made = split_two(from[i], from[i + 1]);
    unsigned char *at = to + i / SPLIT_GROUP * SPLIT_BYTES + (ordered ? (int)(i % SPLIT_GROUP) : split_place((int)(i % SPLIT_GROUP))) * 2;
    *(uint32_t *)at = made.high;
    *(uint32_t *)(at + SPLIT_LOW) = made.low;
}

} // namespace

cudaError_t convert_split_launch(const float *from, void *to, size_t count, bool ordered, cudaStream_t stream)
{
    if (count)
        convert_split<<<(unsigned)((count / 2 + 255) / 256), 256, 0, stream>>>(from, (unsigned char *)to, count, ordered);
    return cudaGetLastError();
}

cudaError_t convert_launch(const float *from, void *to, size_t count, numeric type, cudaStream_t stream)
{
    return dispatch(type, [&](auto n) { return launch_type<n()>(from, to, count, stream); });
}
