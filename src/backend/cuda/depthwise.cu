/* depthwise: 3x3 convolution of every channel with itself, and GELU.  CUDA backend.
 *
 * A thread has four channels of two columns of STRIP pixels: each row of four neighbours is read once, while the row
 * before is added to the results that it is part of.  Bound by arithmetic, about equally by reading. */
#include "backend/cuda/depthwise_wide.cuh"
#include "backend/cuda/hidden_wide.cuh"

namespace {

constexpr int COLUMNS = 16, WARPS = COLUMNS / 2, AT_ONCE = 2;

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

template <numeric N, int STRIP> __global__ void __launch_bounds__(32 * WARPS, AT_ONCE) depthwise(const depthwise_args p)
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
    constexpr int AHEAD = is_float<N> ? 2 : 3; /* rows on their way: one alone would be waited for every time */
    four<N> next[AHEAD][4];
    auto load = [&](int i) {
        const int y = y0 - 1 + i;
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const int at = x - 1 + j;
            next[i % AHEAD][j] = {};
            if (y >= 0 && y < p.h && at >= 0 && at < p.w)
                next[i % AHEAD][j] = *(const four<N> *)(in + (y * p.w + at) * (size_t)p.width);
        }
    };
    float4 sum[2][3] = {{bias, bias, bias}, {bias, bias, bias}}; /* of rows y - 1, y, y + 1, turning */
#pragma unroll
    for (int i = 0; i < AHEAD; i++)
        load(i);
#pragma unroll
    for (int i = 0; i < STRIP + 2; i++) {
        const int y = y0 - 1 + i;
        float4 row[4];
#pragma unroll
        for (int j = 0; j < 4; j++)
            row[j] = widen4<N>(next[i % AHEAD][j]);
        if (i + AHEAD < STRIP + 2)
            load(i + AHEAD);
        else if (i + AHEAD == STRIP + 2)
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


dim3 grid_of(const depthwise_args &p, int strip) { return dim3((p.width + 127) / 128, (p.w + COLUMNS - 1) / COLUMNS, (p.h + strip - 1) / strip * p.images); }

template <numeric N, int STRIP> cudaError_t launch_strip(const depthwise_args &p, const launch *how) { return start(depthwise<N, STRIP>, grid_of(p, STRIP), 32 * WARPS, 0, how, p); }

int choose_strip(const depthwise_args &p)
{
    static const int strips[] = {8, 6, 5, 4, 2};
    return choose_rows(strips, grid_of, p, AT_ONCE, 3);
}

} // namespace

bool depthwise_takes_first(const depthwise_args *args, numeric type)
{
    return args->wide && (type == NUMERIC_F16 || type == NUMERIC_BF16) && args->inner <= HIDDEN_SLICES * 64;
}

cudaError_t depthwise_launch(const depthwise_args *args, numeric type, const launch *how)
{
    if (args->first)
        return type == NUMERIC_F16 ? launch_hidden_rows<NUMERIC_F16>(*args, how) : launch_hidden_rows<NUMERIC_BF16>(*args, how);
    if (args->wide && type == NUMERIC_F16)
        return launch_wide_rows<NUMERIC_F16>(*args, how);
    if (args->wide && type == NUMERIC_BF16)
        return launch_wide_rows<NUMERIC_BF16>(*args, how);
    const int strip = choose_strip(*args);
    return dispatch(type, [&](auto n) {
        switch (strip) {
        case 8:
            return launch_strip<n(), 8>(*args, how);
        case 6:
            return launch_strip<n(), 6>(*args, how);
        case 5:
            return launch_strip<n(), 5>(*args, how);
        case 4:
            return launch_strip<n(), 4>(*args, how);
        default:
            return launch_strip<n(), 2>(*args, how);
        }
    });
}
