/* ffn_split: ffn.cu for floats on the units for halves (compute capability 9.0a, widths up to 128; see split.cuh and gemm_split.cuh):
 * depthwise 3x3 and GELU make the left operand of fc2 in registers, behind it residual and norm.
 *
 * A block has 8 x 16 tokens, a warp a line of them, four warps half of the rows of the product.  The copy engine brings 32 hidden
 * channels at a time: the tokens and their neighbours, the taps, the weights. */
#include "backend/cuda/bulk.cuh"
#include "backend/cuda/gelu.cuh"
#include "backend/cuda/split.cuh"

namespace {

constexpr int TILE_H = 8, TILE_W = 16, THREADS = 256, HALO_H = TILE_H + 2, HALO_W = TILE_W + 2, ROW = 128, CHANNELS = 32, STEPS = CHANNELS / SPLIT_GROUP;

struct ffn_maps {
    CUtensorMap z, taps, bias, weight;
};

template <int COLUMNS> struct ffn_ring {
    static constexpr int WEIGHT = COLUMNS * ROW, GROUP = HALO_H * HALO_W * SPLIT_BYTES, TAPS = WEIGHT + STEPS * GROUP, BIAS = TAPS + 9 * ROW, NEEDED = BIAS + ROW;
    static constexpr int STAGE = (NEEDED + 1023) / 1024 * 1024, BLOCKS = COLUMNS == 64 ? 2 : 1, FIT = 222 * 1024 / BLOCKS / STAGE, STAGES = FIT > 4 ? 4 : FIT;
    static constexpr int BARRIERS = STAGES * STAGE, BYTES = BARRIERS + 2 * STAGES * 8;
    static_assert(WEIGHT % 1024 == 0 && GROUP % 128 == 0, "tiles are aligned");
};

template <numeric N, int COLUMNS> __global__ void __launch_bounds__(THREADS, ffn_ring<COLUMNS>::BLOCKS) ffn_split(const ffn_args p, const __grid_constant__ ffn_maps maps)
{
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    using ring = ffn_ring<COLUMNS>;
    constexpr bool THREE = N == NUMERIC_F32;
    constexpr int STAGES = ring::STAGES, RIGHT = COLUMNS / 8;
    extern __shared__ __align__(1024) unsigned char shared[];
    const uint32_t base = shared_address(shared), barriers = base + ring::BARRIERS, done = barriers + STAGES * 8;
    const int tid = threadIdx.x, lane = tid & 31, line = tid >> 5, column_in = (lane & 3) * 2;
    const int image = blockIdx.z, y0 = blockIdx.y * TILE_H, x0 = blockIdx.x * TILE_W, slices = (p.hidden + CHANNELS - 1) / CHANNELS;
    const int y = y0 + line, x = x0 + (lane >> 2); /* of this thread's first row; the second is 8 tokens on */
    const size_t first = (((size_t)image * p.h + y) * p.w + x) * p.width + column_in;
    const bool valid[2] = {y < p.h && x < p.w, y < p.h && x + 8 < p.w};

    auto ask_weight = [&](int slice) { /* one thread */
        const int stage = slice % STAGES;
        const uint32_t to = base + stage * ring::STAGE, barrier = barriers + stage * 8;
        barrier_expect(barrier, ring::NEEDED);
        bulk_load(to, &maps.weight, barrier, slice * CHANNELS, 0);
        bulk_load(to + ring::TAPS, &maps.taps, barrier, slice * CHANNELS, 0);
        bulk_load(to + ring::BIAS, &maps.bias, barrier, slice * CHANNELS, 0);
    };
    auto ask = [&](int slice) {
        const int stage = slice % STAGES;
#pragma unroll
        for (int s = 0; s < STEPS; s++)
            bulk_load(base + stage * ring::STAGE + ring::WEIGHT + s * ring::GROUP, &maps.z, barriers + stage * 8, slice * CHANNELS + s * SPLIT_GROUP, x0 - 1, y0 - 1, image);
    };
    if (tid == 0) {
        for (int s = 0; s < STAGES; s++) {
            barrier_begin(barriers + s * 8, 1);
            barrier_begin(done + s * 8, THREADS / 32);
        }
        barriers_begun();
        for (int s = 0; s < STAGES && s < slices; s++) /* weights do not depend on the kernel before */
            ask_weight(s);
    }
    __syncthreads();
    wait_for_previous();
    if (tid == 0)
        for (int s = 0; s < STAGES && s < slices; s++)
            ask(s);

    float sum[RIGHT][4], part[RIGHT][4]; /* sums begin as the stream and the bias */
#pragma unroll
    for (int j = 0; j < RIGHT; j++) {
        const bool inside = j * 8 + column_in < p.width;
        const float2 zero = make_float2(0, 0), bias = inside ? *(const float2 *)(p.bias + j * 8 + column_in) : zero;
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const float2 before = inside && valid[half] ? *(const float2 *)(p.x + first + (size_t)half * 8 * p.width + j * 8) : zero;
            sum[j][2 * half] = before.x + bias.x;
            sum[j][2 * half + 1] = before.y + bias.y;
            part[j][2 * half] = part[j][2 * half + 1] = 0;
        }
    }
    const int own = (line * HALO_W + (lane >> 2)) * SPLIT_BYTES + (lane & 3) * 16;
    split_left left;
    auto convolve = [&](int stage, int step) {
        const unsigned char *at = shared + stage * ring::STAGE;
        const float4 *z = (const float4 *)(at + ring::WEIGHT + step * ring::GROUP + own), *tap = (const float4 *)(at + ring::TAPS + step * SPLIT_BYTES) + (lane & 3);
        const float4 bias = *((const float4 *)(at + ring::BIAS + step * SPLIT_BYTES) + (lane & 3));
        float4 v[2] = {bias, bias};
#pragma unroll
        for (int dy = 0; dy < 3; dy++)
#pragma unroll
            for (int dx = 0; dx < 3; dx++) {
                const float4 w = tap[(dy * 3 + dx) * (ROW / 16)];
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    const float4 t = z[(dy * HALO_W + dx + 8 * half) * (SPLIT_BYTES / 16)];
                    v[half].x += t.x * w.x, v[half].y += t.y * w.y, v[half].z += t.z * w.z, v[half].w += t.w * w.w;
                }
            }
#pragma unroll
        for (int half = 0; half < 2; half++) {
            left.set(half, gelu<N>(v[half].x) * p.a_scale, gelu<N>(v[half].y) * p.a_scale);
            left.set(2 + half, gelu<N>(v[half].z) * p.a_scale, gelu<N>(v[half].w) * p.a_scale);
        }
    };
    auto settle = [&]() {
        wide_wait<0>();
        wide_ready(part);
#pragma unroll
        for (int j = 0; j < RIGHT; j++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                sum[j][e] += part[j][e] * p.out_scale;
    };
#pragma unroll 1
    for (int slice = 0; slice < slices; slice++) {
        const int stage = slice % STAGES;
        const uint64_t right = wide_tile<ROW>(base + stage * ring::STAGE);
        barrier_wait(barriers + stage * 8, slice / STAGES & 1);
#pragma unroll
        for (int step = 0; step < STEPS; step++) {
            convolve(stage, step);
            wide_begin();
            if constexpr (THREE) {
                wide_multiply<NUMERIC_F16>(part, left.low, right + step * (SPLIT_BYTES >> 4), false);
                wide_multiply<NUMERIC_F16>(part, left.high, right + step * (SPLIT_BYTES >> 4) + (SPLIT_LOW >> 4), true);
            }
            wide_multiply<NUMERIC_F16>(part, left.high, right + step * (SPLIT_BYTES >> 4), THREE);
            wide_commit();
            settle();
        }
        __syncwarp();
        if (lane == 0)
            barrier_arrive(done + stage * 8);
        if (tid == 0 && slice > 0 && slice - 1 + STAGES < slices) { /* of the slice before: the other warps are not waited for */
            barrier_wait(done + (slice - 1) % STAGES * 8, (slice - 1) / STAGES & 1);
            ask_weight(slice - 1 + STAGES);
            ask(slice - 1 + STAGES);
        }
    }
    start_next();
#pragma unroll
    for (int half = 0; half < 2; half++) {
        float squares = 0;
#pragma unroll
        for (int j = 0; j < RIGHT; j++)
            squares += sum[j][2 * half] * sum[j][2 * half] + sum[j][2 * half + 1] * sum[j][2 * half + 1];
        squares += __shfl_xor_sync(0xffffffffu, squares, 1);
        squares += __shfl_xor_sync(0xffffffffu, squares, 2);
        const float scale = inverse_rms(squares, p.inverse_width, p.eps);
        const size_t at = first + (size_t)half * 8 * p.width;
#pragma unroll
        for (int j = 0; j < RIGHT; j++)
            if (valid[half] && j * 8 + column_in < p.width) {
                const float2 v = make_float2(sum[j][2 * half], sum[j][2 * half + 1]);
                const float2 offset = p.offset ? *(const float2 *)(p.offset + j * 8 + column_in) : make_float2(0, 0);
                *(float2 *)(p.x + at + j * 8) = v;
                *(pair<N> *)((float *)p.out + at + j * 8) = narrow2<N>(v.x * scale - offset.x, v.y * scale - offset.y);
            }
    }
#endif
}

template <numeric N, int COLUMNS> cudaError_t launch_columns(const ffn_args &p, const launch *how)
{
    const int64_t row = 4 * (int64_t)p.hidden;
    ffn_maps maps = {};
    const bulk_tensor z = {.at = p.z,
                           .rank = 4,
                           .size = {p.hidden, p.w, p.h, p.images},
                           .stride = {0, row, row * p.w, row * p.w * p.h},
                           .box = {SPLIT_GROUP, HALO_W, HALO_H, 1},
                           .plain = true};
    const bulk_tensor taps = {.at = p.taps, .rank = 2, .size = {p.hidden, 9}, .stride = {0, row}, .box = {CHANNELS, 9}, .plain = true};
    const bulk_tensor bias = {.at = p.tap_bias, .rank = 2, .size = {p.hidden, 1}, .stride = {0, row}, .box = {CHANNELS, 1}, .plain = true};
    const bulk_tensor weight = {.at = p.weight, .rank = 2, .size = {p.ldw, p.width}, .stride = {0, 4 * (int64_t)p.ldw}, .box = {CHANNELS, COLUMNS}};
    const cudaError_t status = bulk_describe({{&maps.z, NUMERIC_F32, &z}, {&maps.taps, NUMERIC_F32, &taps}, {&maps.bias, NUMERIC_F32, &bias}, {&maps.weight, NUMERIC_F32, &weight}});
    const dim3 grid((p.w + TILE_W - 1) / TILE_W, (p.h + TILE_H - 1) / TILE_H, p.images);
    return status == cudaSuccess ? start(ffn_split<N, COLUMNS>, grid, THREADS, ffn_ring<COLUMNS>::BYTES, how, p, maps) : status;
}

template <numeric N> cudaError_t launch_type(const ffn_args &p, const launch *how)
{
    return p.width <= 64 ? launch_columns<N, 64>(p, how) : launch_columns<N, 128>(p, how);
}

} // namespace

bool ffn_split_fits(const ffn_args *args)
{
    const long blocks = (long)((args->w + TILE_W - 1) / TILE_W) * ((args->h + TILE_H - 1) / TILE_H) * args->images;
    return args->width <= FFN_WIDTH && 4 * blocks >= 3L * args->processors;
}

cudaError_t ffn_split_launch(const ffn_args *args, numeric type, const launch *how)
{
    return type == NUMERIC_F32 ? launch_type<NUMERIC_F32>(*args, how) : launch_type<NUMERIC_TF32>(*args, how);
}
