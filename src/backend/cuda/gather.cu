/* gather: the picture as the matrix of the first patch convolution.  CUDA backend.
 *
 * Pixels are whole numbers up to 255, exact in every type.  A normalised input becomes pixels first. */
#include "backend/cuda/numeric.cuh"

namespace {

template <numeric N> __global__ void __launch_bounds__(256) gather(const gather_args p)
{
    start_next();
    wait_for_previous();
    const int pairs = p.ldo / 2, taps = p.kernel * p.kernel * 3;
    const size_t count = (size_t)p.images * p.out_h * p.out_w * pairs;
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (size_t)gridDim.x * blockDim.x) {
        const size_t row = i / pairs;
        const int first = (int)(i - row * pairs) * 2, pixel = (int)(row % ((size_t)p.out_h * p.out_w)), image = (int)(row / ((size_t)p.out_h * p.out_w));
        const int oy = pixel / p.out_w, ox = pixel - oy * p.out_w;
        float v[2];
#pragma unroll
        for (int e = 0; e < 2; e++) {
            const int k = first + e, tap = k / 3, colour = k - tap * 3, ky = tap / p.kernel, kx = tap - ky * p.kernel;
            const int y = oy * p.stride - p.pad + ky, x = ox * p.stride - p.pad + kx;
            v[e] = 0;
            if (k < taps && y >= 0 && y < p.h && x >= 0 && x < p.w)
                v[e] = p.pixels ? (float)p.pixels[(((size_t)image * p.h + y) * p.w + x) * 3 + colour]
                                : fmaf(p.input[(((size_t)image * 3 + colour) * p.h + y) * p.w + x], p.deviation[colour], p.mean[colour]);
        }
        *(pair<N> *)((storage_t<N> *)p.out + row * p.ldo + first) = narrow2<N>(v[0], v[1]);
    }
}

} // namespace

cudaError_t gather_launch(const gather_args *args, numeric type, const launch *how)
{
    const size_t count = (size_t)args->images * args->out_h * args->out_w * (args->ldo / 2), blocks = (count + 1023) / 1024;
    const dim3 grid((unsigned)(blocks < 65536 ? blocks : 65536));
    return dispatch(type, [&](auto n) { return start(gather<n()>, grid, 256, 0, how, *args); });
}
