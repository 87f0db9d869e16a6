/* label: logits to the labels of a picture: one or two bilinear resizes, argmax, confidence.  CUDA backend.
 *
 * Both resizes together are a weighted sum of at most sixteen logits.  Where the picture is four times the logits'
 * size in each direction, the four rows between two rows of logits share their corners. */
#include "backend/cuda/bilinear.cuh"
#include "backend/cuda/numeric.cuh"

namespace {

constexpr float LOG2_E = 1.44269504088896341f;

/* What one output coordinate is made of along one side. */
struct side {
    int count, index[4];
    float weight[4];
};

__device__ side side_of(int at, int logits, int mid, int output)
{
    side s;
    const tap t = bilinear_tap(at, mid ? mid : logits, output);
    const tap first = mid ? bilinear_tap(t.i0, logits, mid) : t, second = mid ? bilinear_tap(t.i1, logits, mid) : t;
    s.count = mid ? 4 : 2;
    const float upper = mid ? 1 - t.t : 1;
    s.index[0] = first.i0, s.index[1] = first.i1, s.index[2] = second.i0, s.index[3] = second.i1;
    s.weight[0] = upper * (1 - first.t), s.weight[1] = upper * first.t;
    s.weight[2] = t.t * (1 - second.t), s.weight[3] = t.t * second.t;
    return s;
}

__device__ __forceinline__ void store(const label_args &p, size_t at, int winner, float probability)
{
    if (p.labels && p.label_bytes == 2)
        ((uint16_t *)p.labels)[at] = (uint16_t)winner;
    else if (p.labels)
        ((uint8_t *)p.labels)[at] = (uint8_t)winner;
    if (p.confidence)
        p.confidence[at] = (uint8_t)__float2int_rn(255 * probability);
}

/* Any sizes: a thread a pixel. */
__global__ void __launch_bounds__(256) label_any(const label_args p)
{
    start_next();
    const int x = blockIdx.x * 32 + (threadIdx.x & 31), y = blockIdx.y * 8 + (threadIdx.x >> 5), image = blockIdx.z;
    wait_for_previous();
    if (x >= p.out_w || y >= p.out_h)
        return;
    const side sy = side_of(y, p.h, p.mid_h, p.out_h), sx = side_of(x, p.w, p.mid_w, p.out_w);
    const float *logits = p.logits + (size_t)image * p.h * p.w * p.ld;
    auto value = [&](int label) {
        float sum = 0;
        for (int i = 0; i < sy.count; i++)
            for (int j = 0; j < sx.count; j++)
                sum = fmaf(sy.weight[i] * sx.weight[j], logits[((size_t)sy.index[i] * p.w + sx.index[j]) * p.ld + label], sum);
        return sum;
    };
    float largest = value(0);
    int winner = 0;
    for (int label = 1; label < p.classes; label++) {
        const float v = value(label);
        if (v > largest) /* the lowest index wins a tie */
            largest = v, winner = label;
    }
    float sum = 1;
    if (p.confidence) {
        sum = 0;
        for (int label = 0; label < p.classes; label++)
            sum += exp2_fast((value(label) - largest) * LOG2_E);
    }
    store(p, ((size_t)image * p.out_h + y) * p.out_w + x, winner, 1 / sum);
}

/* Four times the size: a thread has rows 4 c + 2 .. 4 c + 5 of a column, which lie between the same rows of logits. */
__global__ void __launch_bounds__(256) label_by_four(const label_args p)
{
    start_next();
    const int x = blockIdx.x * 32 + (threadIdx.x & 31), cell = (int)(blockIdx.y * 8 + (threadIdx.x >> 5)) - 1, image = blockIdx.z;
    wait_for_previous();
    if (x >= p.out_w || cell >= p.h)
        return;
    const tap tx = bilinear_tap(x, p.w, p.out_w);
    const float *logits = p.logits + (size_t)image * p.h * p.w * p.ld;
    const float *top = logits + (size_t)max(cell, 0) * p.w * p.ld, *bottom = logits + (size_t)min(cell + 1, p.h - 1) * p.w * p.ld;
    const int left = tx.i0 * p.ld, right = tx.i1 * p.ld;
    auto values = [&](int label, float (&v)[4][4]) { /* of four classes, in four rows */
        const float4 a = *(const float4 *)(top + left + label), b = *(const float4 *)(top + right + label);
        const float4 c = *(const float4 *)(bottom + left + label), d = *(const float4 *)(bottom + right + label);
        const float up[4] = {fmaf(tx.t, b.x - a.x, a.x), fmaf(tx.t, b.y - a.y, a.y), fmaf(tx.t, b.z - a.z, a.z), fmaf(tx.t, b.w - a.w, a.w)};
        const float down[4] = {fmaf(tx.t, d.x - c.x, c.x), fmaf(tx.t, d.y - c.y, c.y), fmaf(tx.t, d.z - c.z, c.z), fmaf(tx.t, d.w - c.w, c.w)};
#pragma unroll
        for (int e = 0; e < 4; e++)
#pragma unroll
            for (int r = 0; r < 4; r++)
                v[e][r] = fmaf(0.125f + 0.25f * r, down[e] - up[e], up[e]);
    };
    float largest[4] = {-INFINITY, -INFINITY, -INFINITY, -INFINITY}, v[4][4];
    int winner[4] = {0, 0, 0, 0};
    for (int label = 0; label < p.classes; label += 4) {
        values(label, v);
#pragma unroll
        for (int e = 0; e < 4; e++)
#pragma unroll
            for (int r = 0; r < 4; r++)
                if (label + e < p.classes && v[e][r] > largest[r])
                    largest[r] = v[e][r], winner[r] = label + e;
    }
    float sum[4] = {1, 1, 1, 1};
    if (p.confidence) {
        sum[0] = sum[1] = sum[2] = sum[3] = 0;
        for (int label = 0; label < p.classes; label += 4) {
            values(label, v);
#pragma unroll
            for (int e = 0; e < 4; e++)
#pragma unroll
                for (int r = 0; r < 4; r++)
                    if (label + e < p.classes)
                        sum[r] += exp2_fast((v[e][r] - largest[r]) * LOG2_E);
        }
    }
#pragma unroll
    for (int r = 0; r < 4; r++) {
        const int y = 4 * cell + 2 + r;
        if (y >= 0 && y < p.out_h)
            store(p, ((size_t)image * p.out_h + y) * p.out_w + x, winner[r], 1 / sum[r]);
    }
}

__global__ void __launch_bounds__(256) planes(const planes_args p)
{
    start_next();
    wait_for_previous();
    const size_t count = (size_t)p.images * p.classes * p.pixels;
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (size_t)gridDim.x * blockDim.x) {
        const size_t plane = i / p.pixels, pixel = i - plane * p.pixels, image = plane / p.classes;
        p.out[i] = p.logits[(image * p.pixels + pixel) * p.ld + (plane - image * p.classes)];
    }
}

} // namespace

cudaError_t label_launch(const label_args *args, const launch *how)
{
    const unsigned across = (unsigned)(args->out_w + 31) / 32;
    if (!args->mid_h && args->out_h == 4 * args->h && args->out_w == 4 * args->w)
        return start(label_by_four, dim3(across, (unsigned)(args->h + 8) / 8, args->images), 256, 0, how, *args);
    return start(label_any, dim3(across, (unsigned)(args->out_h + 7) / 8, args->images), 256, 0, how, *args);
}

cudaError_t planes_launch(const planes_args *args, const launch *how)
{
    const size_t count = (size_t)args->images * args->classes * args->pixels, blocks = (count + 1023) / 1024;
    return start(planes, dim3((unsigned)(blocks < 65536 ? blocks : 65536)), 256, 0, how, *args);
}
