/* gather: the picture as the matrix of the first patch convolution.  CUDA backend.
 *
 * Pixels are whole numbers up to 255, exact in every type.  A normalised input becomes pixels first.  A thread makes
 * eight neighbouring columns, which lie in one row of the picture. */
#include "backend/cuda/numeric.cuh"

namespace {

template <numeric N> __global__ void __launch_bounds__(256) gather(const gather_args p)
{
    start_next();
    wait_for_previous();
    const int groups = p.pitch / 8, per_row = p.kernel * groups, used = p.kernel * 3;
    const unsigned count = (unsigned)p.images * p.out_h * p.out_w * per_row;
    for (unsigned i = blockIdx.x * 256 + threadIdx.x; i < count; i += gridDim.x * 256) {
        const unsigned row = i / per_row, in = i - row * per_row, image_row = row / p.out_w;
        const int ky = in / groups, first = (in - ky * groups) * 8, ox = row - image_row * p.out_w, image = image_row / p.out_h, oy = image_row - image * p.out_h;
        const int y = oy * p.stride - p.pad + ky, start = (ox * p.stride - p.pad) * 3 + first; /* of the row, in colours */
        float v[8];
        if (p.pixels) {
            const uint8_t *line = p.pixels + ((size_t)image * p.h + y) * p.w * 3;
#pragma unroll
            for (int e = 0; e < 8; e++) {
                const bool inside = y >= 0 && y < p.h && first + e < used && start + e >= 0 && start + e < p.w * 3;
                v[e] = inside ? (float)line[start + e] : 0;
            }
        } else {
#pragma unroll
            for (int e = 0; e < 8; e++) {
                const int k = first + e, kx = k / 3, colour = k - kx * 3, x = ox * p.stride - p.pad + kx;
                const bool inside = y >= 0 && y < p.h && k < used && x >= 0 && x < p.w;
                const float mean = colour == 0 ? p.mean[0] : colour == 1 ? p.mean[1] : p.mean[2];
                const float deviation = colour == 0 ? p.deviation[0] : colour == 1 ? p.deviation[1] : p.deviation[2];
                v[e] = inside ? fmaf(p.input[(((size_t)image * 3 + colour) * p.h + y) * p.w + x], deviation, mean) : 0;
            }
        }
        storage_t<N> *to = (storage_t<N> *)p.out + (size_t)row * p.ldo + ky * p.pitch + first;
        if constexpr (is_float<N>) {
            store4<N>(to, make_float4(v[0], v[1], v[2], v[3]));
            store4<N>(to + 4, make_float4(v[4], v[5], v[6], v[7]));
        } else {
            *(uint4 *)to = make_uint4(pack16<N>(v[0], v[1]), pack16<N>(v[2], v[3]), pack16<N>(v[4], v[5]), pack16<N>(v[6], v[7]));
        }
    }
}

} // namespace

cudaError_t gather_launch(const gather_args *args, numeric type, const launch *how)
{
    const size_t count = (size_t)args->images * args->out_h * args->out_w * args->kernel * (args->pitch / 8), blocks = (count + 255) / 256;
    const dim3 grid((unsigned)(blocks < 16384 ? blocks : 16384));
    return dispatch(type, [&](auto n) { return start(gather<n()>, grid, 256, 0, how, *args); });
}
