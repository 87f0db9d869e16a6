/* copy: see copy.h.  A kernel and not cudaMemcpy2DAsync: one launch for all pictures.  CUDA backend. */
#include <stdint.h>

#include "backend/cuda/copy.h"

namespace {

/* In units of T, which everything is a multiple of. */
template <typename T> __global__ void __launch_bounds__(256) copy_rows(const copy_args p)
{
    const size_t units = p.row / sizeof(T), count = units * p.h * p.images;
    for (size_t i = (size_t)blockIdx.x * 256 + threadIdx.x; i < count; i += (size_t)gridDim.x * 256) {
        const size_t line = i / units, unit = i - line * units, image = line / p.h, y = line - image * p.h;
        ((T *)((char *)p.to + image * p.to_picture + y * p.to_row))[unit] = ((const T *)((const char *)p.from + image * p.from_picture + y * p.from_row))[unit];
    }
}

template <typename T> cudaError_t launch_units(const copy_args *args, cudaStream_t stream)
{
    const size_t blocks = (args->row / sizeof(T) * args->h * args->images + 255) / 256;
    copy_rows<T><<<(unsigned)(blocks < 4096 ? blocks : 4096), 256, 0, stream>>>(*args);
    return cudaGetLastError();
}

} // namespace

cudaError_t copy_launch(const copy_args *args, cudaStream_t stream)
{
    const uintptr_t all = (uintptr_t)args->from | (uintptr_t)args->to | args->from_row | args->from_picture | args->to_row | args->to_picture | args->row;
    return all % sizeof(uint4) == 0      ? launch_units<uint4>(args, stream)
           : all % sizeof(uint32_t) == 0 ? launch_units<uint32_t>(args, stream)
                                         : launch_units<uint8_t>(args, stream);
}
