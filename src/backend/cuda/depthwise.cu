/* depthwise: 3x3 convolution of every channel with itself, and GELU.  CUDA backend.
 *
 * A thread has four channels of a column of STRIP pixels: each row of three neighbours is read once and
 * added to the three results that it is part of.  Bound by reading (the halo comes from the L1 cache). */
#include "backend/cuda/gelu.cuh"

namespace {

constexpr int STRIP = 8, COLUMNS = 8;

template <numeric N> __global__ void __launch_bounds__(32 * COLUMNS) depthwise(const depthwise_args p)
{
    using T = storage_t<N>;
    start_next();
    const int lane = threadIdx.x & 31, channel = (blockIdx.x * 32 + lane) * 4;
    const int strips = (p.h + STRIP - 1) / STRIP, y0 = (int)(blockIdx.z % strips) * STRIP, image = (int)(blockIdx.z / strips);
    const int x = blockIdx.y * COLUMNS + (threadIdx.x >> 5);
    if (channel >= p.width || x >= p.w) {
        wait_for_previous();
        return;
    }
    float4 weight[9];
#pragma unroll
    for (int i = 0; i < 9; i++)
        weight[i] = *(const float4 *)(p.weight + (size_t)i * p.width + channel);
    const float4 bias = *(const float4 *)(p.bias + channel);
    wait_for_previous();

    const T *in = (const T *)p.in + (size_t)image * p.h * p.w * p.width + channel;
    T *out = (T *)p.out + (size_t)image * p.h * p.w * p.width + channel;
    float4 sum[3] = {bias, bias, bias}; /* of rows y - 1, y, y + 1, turning */
#pragma unroll
    for (int i = 0; i < STRIP + 2; i++) {
        const int y = y0 - 1 + i;
        float4 row[3];
#pragma unroll
        for (int j = 0; j < 3; j++) {
            const int at = x - 1 + j;
            row[j] = y >= 0 && y < p.h && at >= 0 && at < p.w ? load4<N>(in + ((size_t)y * p.w + at) * p.width) : make_float4(0, 0, 0, 0);
        }
#pragma unroll
        for (int part = 0; part < 3; part++) { /* this row is tap row 2, 1, 0 of the results above, at, below */
            float4 &s = sum[(i + part) % 3];
#pragma unroll
            for (int j = 0; j < 3; j++) {
                const float4 w = weight[(2 - part) * 3 + j];
                s.x = fmaf(row[j].x, w.x, s.x), s.y = fmaf(row[j].y, w.y, s.y), s.z = fmaf(row[j].z, w.z, s.z), s.w = fmaf(row[j].w, w.w, s.w);
            }
        }
        float4 &done = sum[i % 3]; /* result row y - 1 has all its taps */
        if (i >= 2 && y - 1 < p.h)
            store4<N>(out + ((size_t)(y - 1) * p.w + x) * p.width, make_float4(gelu<N>(done.x), gelu<N>(done.y), gelu<N>(done.z), gelu<N>(done.w)));
        done = bias;
    }
}

} // namespace

cudaError_t depthwise_launch(const depthwise_args *args, numeric type, const launch *how)
{
    const dim3 grid((args->width + 127) / 128, (args->w + COLUMNS - 1) / COLUMNS, (args->h + STRIP - 1) / STRIP * args->images);
    return dispatch(type, [&](auto n) { return start(depthwise<n()>, grid, 32 * COLUMNS, 0, how, *args); });
}
