/* convert: float32 weights to the storage type, once, when a session opens.  CUDA backend. */
#include "backend/cuda/convert.h"
#include "backend/cuda/numeric.cuh"

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

} // namespace

cudaError_t convert_launch(const float *from, void *to, size_t count, numeric type, cudaStream_t stream)
{
    return dispatch(type, [&](auto n) { return launch_type<n()>(from, to, count, stream); });
}
