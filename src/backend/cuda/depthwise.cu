/* depthwise: 3x3 convolution of every channel with itself, and GELU.  CUDA backend.
 *
 * A thread has four channels of two columns of STRIP pixels: each row of four neighbours is read once, while the row
 * before is added to the results that it is part of.  Bound by arithmetic, about equally by reading. */
#include "backend/cuda/gelu.cuh"

namespace {

constexpr int STRIP = 8, COLUMNS = 16, WARPS = COLUMNS / 2;

template <numeric N> struct four { uint2 raw; };
template <> struct four<NUMERIC_TF32> { float4 raw; };
template <> struct four<NUMERIC_F32> { float4 raw; };

template <numeric N> __device__ __forceinline__ float4 widen4(four<N> v)
{
    if constexpr (is_float<N>) {
        return v.raw;
    } else {
        const float2 a = widen2<N>(v.raw.x), b = widen2<N>(v.raw.y);
        return make_float4(a.x, a.y, b.x, b.y);
    }
}

__device__ __forceinline__ void add(float4 &s, float4 v, float4 w) { s.x = fmaf(v.x, w.x, s.x), s.y = fmaf(v.y, w.y, s.y), s.z = fmaf(v.z, w.z, s.z), s.w = fmaf(v.w, w.w, s.w); }

template <numeric N> __global__ void __launch_bounds__(32 * WARPS, 2) depthwise(const depthwise_args p)
{
    using T = storage_t<N>;
    const int lane = threadIdx.x & 31, channel = (blockIdx.x * 32 + lane) * 4;
    const int strips = (p.h + STRIP - 1) / STRIP, y0 = (int)(blockIdx.z % strips) * STRIP, image = (int)(blockIdx.z / strips);
    const int x = blockIdx.y * COLUMNS + (threadIdx.x >> 5) * 2;
    if (channel >= p.width || x >= p.w) {
        wait_for_previous();
        return;
    }
    float4 weight[9];
#pragma unroll
    for (int i = 0; i < 9; i++)
        weight[i] = *(const float4 *)(p.weight + i * p.width + channel);
    const float4 bias = *(const float4 *)(p.bias + channel);
    wait_for_previous();

    const T *in = (const T *)p.in + (size_t)image * p.h * p.w * p.width + channel;
    T *out = (T *)p.out + (size_t)image * p.h * p.w * p.width + channel;
    four<N> next[4];
    auto load = [&](int y) {
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const int at = x - 1 + j;
            next[j] = {};
            if (y >= 0 && y < p.h && at >= 0 && at < p.w)
                next[j] = *(const four<N> *)(in + (y * p.w + at) * (size_t)p.width);
        }
    };
    float4 sum[2][3] = {{bias, bias, bias}, {bias, bias, bias}}; /* of rows y - 1, y, y + 1, turning */
    load(y0 - 1);
#pragma unroll
    for (int i = 0; i < STRIP + 2; i++) {
        const int y = y0 - 1 + i;
        float4 row[4];
#pragma unroll
        for (int j = 0; j < 4; j++)
            row[j] = widen4<N>(next[j]);
        if (i < STRIP + 1)
            load(y + 1);
        else
            start_next();
#pragma unroll
        for (int column = 0; column < 2; column++) {
#pragma unroll
            for (int part = 0; part < 3; part++) /* this row is tap row 2, 1, 0 of the results above, at, below */
#pragma unroll
                for (int j = 0; j < 3; j++)
                    add(sum[column][(i + part) % 3], row[column + j], weight[(2 - part) * 3 + j]);
            float4 &done = sum[column][i % 3]; /* result row y - 1 has all its taps */
            if (i >= 2 && y - 1 < p.h && x + column < p.w)
                store4<N>(out + ((y - 1) * p.w + x + column) * (size_t)p.width, make_float4(gelu<N>(done.x), gelu<N>(done.y), gelu<N>(done.z), gelu<N>(done.w)));
            done = bias;
        }
    }
}

} // namespace

cudaError_t depthwise_launch(const depthwise_args *args, numeric type, const launch *how)
{
    const dim3 grid((args->width + 127) / 128, (args->w + COLUMNS - 1) / COLUMNS, (args->h + STRIP - 1) / STRIP * args->images);
    return dispatch(type, [&](auto n) { return start(depthwise<n()>, grid, 32 * WARPS, 0, how, *args); });
}
