/* merge: the sum of the levels, upsampled to the first one's size, plus bias, ReLU.  CUDA backend; the
 * plain form, for shapes that the fused head (pixels.cu) does not take and for observing. */
#include "backend/cuda/bilinear.cuh"
#include "backend/cuda/numeric.cuh"

namespace {

__device__ __forceinline__ void add(float4 &sum, float4 v, float w) { sum.x = fmaf(v.x, w, sum.x), sum.y = fmaf(v.y, w, sum.y), sum.z = fmaf(v.z, w, sum.z), sum.w = fmaf(v.w, w, sum.w); }

template <numeric N> __global__ void __launch_bounds__(256) merge(const merge_args p)
{
    using T = storage_t<N>;
    start_next();
    wait_for_previous();
    const int groups = p.ld / 4, tokens = p.h[0] * p.w[0];
    const size_t count = (size_t)p.images * tokens * groups;
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (size_t)gridDim.x * blockDim.x) {
        const size_t row = i / groups;
        const int channel = (int)(i - row * groups) * 4, image = (int)(row / tokens), token = (int)(row - (size_t)image * tokens);
        const int y = token / p.w[0], x = token - y * p.w[0];
        float4 sum = *(const float4 *)(p.bias + channel);
        add(sum, load4<N>((const T *)p.level[0] + row * p.ld + channel), 1);
#pragma unroll
        for (int j = 1; j < 4; j++) {
            const tap ty = bilinear_tap(y, p.h[j], p.h[0]), tx = bilinear_tap(x, p.w[j], p.w[0]);
            const T *level = (const T *)p.level[j] + (size_t)image * p.h[j] * p.w[j] * p.ld + channel;
            const T *top = level + (size_t)ty.i0 * p.w[j] * p.ld, *bottom = level + (size_t)ty.i1 * p.w[j] * p.ld;
            add(sum, load4<N>(top + (size_t)tx.i0 * p.ld), (1 - ty.t) * (1 - tx.t));
            add(sum, load4<N>(top + (size_t)tx.i1 * p.ld), (1 - ty.t) * tx.t);
            add(sum, load4<N>(bottom + (size_t)tx.i0 * p.ld), ty.t * (1 - tx.t));
            add(sum, load4<N>(bottom + (size_t)tx.i1 * p.ld), ty.t * tx.t);
        }
        store4<N>((T *)p.out + row * p.ld + channel, make_float4(fmaxf(sum.x, 0), fmaxf(sum.y, 0), fmaxf(sum.z, 0), fmaxf(sum.w, 0)));
    }
}

} // namespace

cudaError_t merge_launch(const merge_args *args, numeric type, const launch *how)
{
    const size_t count = (size_t)args->images * args->h[0] * args->w[0] * (args->ld / 4), blocks = (count + 1023) / 1024;
    const dim3 grid((unsigned)(blocks < 65536 ? blocks : 65536));
    return dispatch(type, [&](auto n) { return start(merge<n()>, grid, 256, 0, how, *args); });
}
