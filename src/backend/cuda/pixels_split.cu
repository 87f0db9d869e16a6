/* pixels_split: pixels.cu for floats as sums of two halves (compute capability 9.0a; see gemm_split.cuh and split.cuh).
 *
 * A block has 8 x 16 tokens, four warps half of them.  Where each level has exactly half of the sides of the one before, the weights of
 * bilinear upsampling are exact in halves: one product with the smaller levels' neighbours, whose high and low halves lie as columns of
 * their own.  The head's width passes in chunks of 32 channels, from accumulators straight into the classifier's product. */
#include "backend/cuda/bilinear.cuh"
#include "backend/cuda/bulk.cuh"
#include "backend/cuda/split.cuh"

namespace {

constexpr int TILE_H = 8, TILE_W = 16, TOKENS = TILE_H * TILE_W, THREADS = 256, CHANNELS = 32, ROW = 128;
/* Tokens of a smaller level, and where they lie: groups of eight. */
__host__ __device__ constexpr int near_h(int level) { return level == 1 ? 6 : level == 2 ? 4 : 3; }
__host__ __device__ constexpr int near_w(int level) { return level == 1 ? 10 : level == 2 ? 6 : 4; }
[[maybe_unused]] __host__ __device__ constexpr int near_at(int level) { return level == 1 ? 0 : level == 2 ? 64 : 88; }
constexpr int NEAR = 112;
constexpr int OWN_STEPS = 4, MOST_CLASSES = 160;

struct pixels_maps {
    CUtensorMap features, weight, level[4], classifier;
};

template <int CLASSES> struct pixels_ring {
    static constexpr int WEIGHT = OWN_STEPS / 2 * CHANNELS * ROW, LEVELS = WEIGHT + NEAR * ROW, STAGE = LEVELS + CLASSES * ROW, STAGES = CLASSES <= 32 ? 5 : 3;
    static constexpr int FEATURES = STAGES * STAGE, BARRIERS = FEATURES + OWN_STEPS * TOKENS * SPLIT_BYTES, BYTES = BARRIERS + (2 * STAGES + 1) * 8;
    static_assert(WEIGHT % 1024 == 0 && LEVELS % 1024 == 0 && STAGE % 1024 == 0, "tiles are aligned");
};

/* Of token `at` (of a level, in one direction) to a coordinate. */
[[maybe_unused]] __device__ __forceinline__ float weight_of(const tap &t, int at) { return (at == t.i0 ? 1 - t.t : 0) + (at == t.i1 ? t.t : 0); }

template <numeric N, int CLASSES> __global__ void __launch_bounds__(THREADS, 1) pixels_split(const pixels_args p, const __grid_constant__ pixels_maps maps)
{
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    using ring = pixels_ring<CLASSES>;
    constexpr bool THREE = N == NUMERIC_F32;
    constexpr int STAGES = ring::STAGES, BLOCKS = CLASSES / 32, NEAR_STEPS = NEAR / 16;
    extern __shared__ __align__(1024) unsigned char shared[];
    const uint32_t base = shared_address(shared), barriers = base + ring::BARRIERS, done = barriers + STAGES * 8, arrived = done + STAGES * 8;
    const int tid = threadIdx.x, lane = tid & 31, image = blockIdx.z, y0 = blockIdx.y * TILE_H, x0 = blockIdx.x * TILE_W;
    const int row = (tid >> 5) * 16 + (lane >> 2), column_in = (lane & 3) * 2, chunks = (p.width + CHANNELS - 1) / CHANNELS;

    auto ask = [&](int chunk) { /* one thread */
        if (chunk >= chunks)
            return;
        const int stage = chunk % STAGES, channel = chunk * CHANNELS;
        const uint32_t to = base + stage * ring::STAGE, barrier = barriers + stage * 8;
        barrier_expect(barrier, ring::STAGE - (NEAR - 6 * 10 - 4 * 6 - 3 * 4) * ROW);
#pragma unroll
        for (int i = 0; i < OWN_STEPS / 2; i++)
            bulk_load(to + i * CHANNELS * ROW, &maps.weight, barrier, i * 32, channel);
#pragma unroll
        for (int i = 1; i < 4; i++)
            bulk_load(to + ring::WEIGHT + near_at(i) * ROW, &maps.level[i], barrier, channel, (x0 >> i) - 1, (y0 >> i) - 1, image);
        bulk_load(to + ring::LEVELS, &maps.classifier, barrier, channel, 0);
    };
    if (tid == 0) {
        for (int s = 0; s < STAGES; s++) {
            barrier_begin(barriers + s * 8, 1);
            barrier_begin(done + s * 8, THREADS / 32);
        }
        barrier_begin(arrived, 1);
        barriers_begun();
    }
    for (int i = tid; i < STAGES * NEAR * 8; i += THREADS) { /* places that nothing arrives in */
        const int at = i / 8 % NEAR;
        if ((at >= 60 && at < 64) || at >= 100)
            *(uint4 *)(shared + i / (NEAR * 8) * ring::STAGE + ring::WEIGHT + i % (NEAR * 8) * 16) = make_uint4(0, 0, 0, 0);
    }
    wide_publish();
    __syncthreads();
    wait_for_previous();
    if (tid == 0) {
        barrier_expect(arrived, OWN_STEPS * TOKENS * SPLIT_BYTES);
#pragma unroll
        for (int s = 0; s < OWN_STEPS; s++)
            bulk_load(base + ring::FEATURES + s * TOKENS * SPLIT_BYTES, &maps.features, arrived, s * SPLIT_GROUP, x0, y0, image);
        for (int s = 0; s < STAGES; s++)
            ask(s);
    }

    uint32_t upsample[NEAR_STEPS][4];
    {
        tap down[2][4], across[4];
#pragma unroll
        for (int i = 1; i < 4; i++) {
            down[0][i] = bilinear_tap(y0 + row / TILE_W, p.h[i], p.h[0]); /* rows of a warp are tokens of one line */
            across[i] = bilinear_tap(x0 + row % TILE_W, p.w[i], p.w[0]);
            down[1][i] = bilinear_tap(x0 + row % TILE_W + 8, p.w[i], p.w[0]);
        }
#pragma unroll
        for (int s = 0; s < NEAR_STEPS; s++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const int group = s * 16 + (i >> 1) * 8, level = group >= near_at(3) ? 3 : group >= near_at(2) ? 2 : 1;
                float w[2];
#pragma unroll
                for (int e = 0; e < 2; e++) {
                    const int at = group - near_at(level) + column_in + e, y = at / near_w(level), x = at - y * near_w(level);
                    w[e] = weight_of(down[0][level], (y0 >> level) - 1 + y) * weight_of(i & 1 ? down[1][level] : across[level], (x0 >> level) - 1 + x);
                }
                upsample[s][i] = pack_half(w[0], w[1]);
            }
    }
    split_left own[OWN_STEPS];
    barrier_wait(arrived, 0);
#pragma unroll
    for (int s = 0; s < OWN_STEPS; s++)
        own[s] = load_split(shared + ring::FEATURES + (s * TOKENS + (tid >> 5) * 16) * SPLIT_BYTES, p.a_scale);

    float logits[BLOCKS][4][4], sum[4][4], near[8][4], part[4][4];
#pragma unroll
    for (int i = 0; i < BLOCKS; i++)
#pragma unroll
        for (int j = 0; j < 4; j++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                logits[i][j][e] = sum[j][e] = near[j][e] = near[4 + j][e] = part[j][e] = 0;
#pragma unroll 1
    for (int chunk = 0; chunk < chunks; chunk++) {
        const int stage = chunk % STAGES;
        const uint32_t tile = base + stage * ring::STAGE;
        const uint64_t weight = wide_tile<ROW>(tile), levels = wide_tile<ROW>(tile + ring::WEIGHT), classifier = wide_tile<ROW>(tile + ring::LEVELS);
        auto at = [&](int step) { return weight + (step >> 1) * (CHANNELS * ROW >> 4) + (step & 1) * (SPLIT_BYTES >> 4); };
        float2 bias[4]; /* asked for before the products */
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const int channel = chunk * CHANNELS + j * 8 + column_in;
            bias[j] = channel < p.width ? *(const float2 *)(p.bias + channel) : make_float2(0, 0);
        }
        barrier_wait(barriers + stage * 8, chunk / STAGES & 1);
        wide_begin();
        if constexpr (THREE) {
#pragma unroll
            for (int s = 0; s < OWN_STEPS; s++)
                wide_multiply<NUMERIC_F16>(sum, own[s].low, at(s), s > 0);
#pragma unroll
            for (int s = 0; s < OWN_STEPS; s++)
                wide_multiply<NUMERIC_F16>(sum, own[s].high, at(s) + (SPLIT_LOW >> 4), true);
        }
#pragma unroll
        for (int s = 0; s < OWN_STEPS; s++)
            wide_multiply<NUMERIC_F16>(sum, own[s].high, at(s), THREE || s > 0);
#pragma unroll
        for (int s = 0; s < NEAR_STEPS; s++)
            wide_multiply_across<NUMERIC_F16>(near, upsample[s], levels + s * (16 * ROW >> 4), s > 0);
        wide_commit();
        wide_wait<0>();
        wide_ready(sum);
        wide_ready(near);
#pragma unroll
        for (int j = 0; j < 4; j++) /* 16 channels are two tiles of high halves and two of low ones */
#pragma unroll
            for (int e = 0; e < 4; e++) {
                const float levels_of = near[j / 2 * 4 + j % 2][e] + near[j / 2 * 4 + j % 2 + 2][e];
                sum[j][e] = fmaxf(sum[j][e] * p.own_scale + levels_of * p.level_scale + (e & 1 ? bias[j].y : bias[j].x), 0) * p.merged_scale;
            }
        split_left merged[2];
        merged[0] = split_sums(sum, 0);
        merged[1] = split_sums(sum, 1);
#pragma unroll
        for (int i = 0; i < BLOCKS; i++) {
            const uint64_t right = classifier + i * (32 * ROW >> 4);
            wide_begin();
            if constexpr (THREE) {
#pragma unroll
                for (int s = 0; s < 2; s++)
                    wide_multiply<NUMERIC_F16>(part, merged[s].low, right + s * (SPLIT_BYTES >> 4), s > 0);
#pragma unroll
                for (int s = 0; s < 2; s++)
                    wide_multiply<NUMERIC_F16>(part, merged[s].high, right + s * (SPLIT_BYTES >> 4) + (SPLIT_LOW >> 4), true);
            }
#pragma unroll
            for (int s = 0; s < 2; s++)
                wide_multiply<NUMERIC_F16>(part, merged[s].high, right + s * (SPLIT_BYTES >> 4), THREE || s > 0);
            wide_commit();
            wide_wait<0>();
            wide_ready(part);
#pragma unroll
            for (int j = 0; j < 4; j++)
#pragma unroll
                for (int e = 0; e < 4; e++)
                    logits[i][j][e] += part[j][e];
        }
        __syncwarp();
        if (lane == 0)
            barrier_arrive(done + stage * 8);
        if (tid == 0 && chunk > 0 && chunk - 1 + STAGES < chunks) { /* of the chunk before: the other warps are not waited for */
            barrier_wait(done + (chunk - 1) % STAGES * 8, (chunk - 1) / STAGES & 1);
            ask(chunk - 1 + STAGES);
        }
    }
    start_next();
#pragma unroll
    for (int i = 0; i < BLOCKS; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const int column = i * 32 + j * 8 + column_in;
            if (column >= p.class_ld)
                continue;
            const float2 bias = *(const float2 *)(p.class_bias + column);
#pragma unroll
            for (int half = 0; half < 2; half++) {
                const int y = y0 + row / TILE_W, x = x0 + row % TILE_W + half * 8;
                if (y < p.h[0] && x < p.w[0])
                    *(float2 *)(p.logits + (((size_t)image * p.h[0] + y) * p.w[0] + x) * p.class_ld + column) =
                        make_float2(logits[i][j][2 * half] * p.logit_scale + bias.x, logits[i][j][2 * half + 1] * p.logit_scale + bias.y);
            }
        }
#endif
}

template <numeric N, int CLASSES> cudaError_t launch_classes(const pixels_args &p, const launch *how)
{
    const int images = p.images;
    const int64_t row = 4 * (int64_t)p.k, level = 4 * (int64_t)p.width;
    pixels_maps maps = {};
    const bulk_tensor features = {.at = p.features,
                                  .rank = 4,
                                  .size = {p.k, p.w[0], p.h[0], images},
                                  .stride = {0, row, row * p.w[0], row * p.w[0] * p.h[0]},
                                  .box = {SPLIT_GROUP, TILE_W, TILE_H, 1},
                                  .plain = true};
    const bulk_tensor weight = {.at = p.weight, .rank = 2, .size = {p.ldw, p.width}, .stride = {0, 4 * (int64_t)p.ldw}, .box = {32, CHANNELS}};
    const bulk_tensor classifier = {.at = p.classifier, .rank = 2, .size = {p.ldc, p.class_ld}, .stride = {0, 4 * (int64_t)p.ldc}, .box = {32, CLASSES}};
    cudaError_t status = bulk_describe(&maps.features, NUMERIC_F32, &features);
    if (status == cudaSuccess)
        status = bulk_describe(&maps.weight, NUMERIC_F32, &weight);
    if (status == cudaSuccess)
        status = bulk_describe(&maps.classifier, NUMERIC_F32, &classifier);
    for (int i = 1; i < 4 && status == cudaSuccess; i++) {
        const bulk_tensor near = {.at = p.level[i],
                                  .rank = 4,
                                  .size = {p.width, p.w[i], p.h[i], images},
                                  .stride = {0, level, level * p.w[i], level * p.w[i] * p.h[i]},
                                  .box = {32, near_w(i), near_h(i), 1}};
        status = bulk_describe(&maps.level[i], NUMERIC_F32, &near);
    }
    const dim3 grid((p.w[0] + TILE_W - 1) / TILE_W, (p.h[0] + TILE_H - 1) / TILE_H, images);
    return status == cudaSuccess ? start(pixels_split<N, CLASSES>, grid, THREADS, pixels_ring<CLASSES>::BYTES, how, p, maps) : status;
}

template <numeric N> cudaError_t launch_type(const pixels_args &p, const launch *how)
{
    return p.class_ld <= 32 ? launch_classes<N, 32>(p, how) : launch_classes<N, MOST_CLASSES>(p, how);
}

} // namespace

bool pixels_split_fits(const pixels_args *args)
{
    bool fits = args->k <= OWN_STEPS * SPLIT_GROUP && args->class_ld <= MOST_CLASSES;
    for (int i = 1; i < 4; i++)
        fits = fits && args->h[0] == args->h[i] << i && args->w[0] == args->w[i] << i;
    return fits;
}

cudaError_t pixels_split_launch(const pixels_args *args, numeric type, const launch *how)
{
    return type == NUMERIC_F32 ? launch_type<NUMERIC_F32>(*args, how) : launch_type<NUMERIC_TF32>(*args, how);
}
