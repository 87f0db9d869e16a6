/* pixels_wide: pixels.cu with wgmma and the copy engine (compute capability 9.0a, 16 bits, up to 32 classes).
 *
 * A block has 8 x 16 tokens, a group of four warps 64 of them.  What is multiplied, the tokens' own features and their weights of the
 * neighbours in smaller levels, stays in registers; a ring of chunks of 64 channels passes: the first level's weights, the neighbours
 * (as they lie in memory, k across the rows of the tile), the classifier's columns and the biases. */
#ifndef SEGRT_CUDA_PIXELS_WIDE_CUH
#define SEGRT_CUDA_PIXELS_WIDE_CUH

#include "backend/cuda/bilinear.cuh"
#include "backend/cuda/bulk.cuh"

namespace {

constexpr int TILE_H = 8, TILE_W = 16, TOKENS = TILE_H * TILE_W, OWN = 64;

struct pixels_maps {
    CUtensorMap features, weight, level[3], classifier;
};

/* What a block's shared memory holds.  Levels begin at whole turns of the exchange of chunks; rows between them are zeros. */
struct pixels_places {
    static constexpr int CLASSES = 32, THREADS = 256, STAGES = 4;
    static constexpr int LEVEL_2 = 64, LEVEL_3 = LEVEL_2 + PIXELS_NEAR_2, NEAR = 112; /* rows; level 1 is at 0 */
    static constexpr int LEVELS = 64 * 128, CLASSIFIER = LEVELS + NEAR * 128, BIAS = CLASSIFIER + CLASSES * 128, BYTES_OF_STAGE = BIAS + 1024;
    static constexpr int FEATURES = 2 * BYTES_OF_STAGE, NEAR_WEIGHTS = FEATURES + TOKENS * 128, PITCH = NEAR * 2 + 16; /* where stages 2 and 3 will be */
    static constexpr int HERE = STAGES * BYTES_OF_STAGE, DONE = HERE + STAGES * 8, OWN_HERE = DONE + STAGES * 8, BYTES = OWN_HERE + 8;
    static_assert(BYTES_OF_STAGE % 1024 == 0 && NEAR_WEIGHTS + TOKENS * PITCH <= HERE && PIXELS_NEAR_1 <= LEVEL_2 && LEVEL_3 * 128 % 1024 == 0, "places");
};

template <numeric N> __global__ void __launch_bounds__(pixels_places::THREADS, 2) pixels_wide(const pixels_args p, const __grid_constant__ pixels_maps maps)
{
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    using T = storage_t<N>;
    using at = pixels_places;
    constexpr int STAGE = at::BYTES_OF_STAGE, STAGES = at::STAGES, STEPS_OWN = OWN / 16, STEPS_NEAR = at::NEAR / 16, GROUPS = at::CLASSES / 8;
    extern __shared__ __align__(1024) unsigned char shared[];
    const uint32_t base = shared_address(shared), here = base + at::HERE, done = base + at::DONE;
    const int tid = threadIdx.x, lane = tid & 31, warp = tid >> 5, image = blockIdx.z, y0 = blockIdx.y * TILE_H, x0 = blockIdx.x * TILE_W;
    const int chunks = (p.width + 63) / 64, column_in = (lane & 3) * 2;
    int near_x = 0, near_y = 0; /* where the neighbours begin in the level that the warp asks for */
    if (warp > 0 && warp < 4) {
        near_x = bilinear_tap(x0, p.w[warp], p.w[0]).i0;
        near_y = bilinear_tap(y0, p.h[warp], p.h[0]).i0;
    }

    /* Each of six warps asks for a part: asking takes it 150 cycles, which its group waits for. */
    auto ask = [&](int chunk) {
        const uint32_t to = base + chunk % STAGES * STAGE, barrier = here + chunk % STAGES * 8;
        if (warp == 0) {
            barrier_expect(barrier, 64 * 128);
            bulk_load(to, &maps.weight, barrier, 0, chunk * 64);
        } else if (warp < 4) {
            const int level = warp, from = level == 1 ? 0 : level == 2 ? at::LEVEL_2 : at::LEVEL_3;
            barrier_expect(barrier, (level == 1 ? PIXELS_NEAR_1 : level == 2 ? PIXELS_NEAR_2 : PIXELS_NEAR_3) * 128);
            bulk_load(to + at::LEVELS + from * 128, &maps.level[level - 1], barrier, chunk * 64, near_x, near_y, image);
        } else if (warp == 4) {
            barrier_expect(barrier, at::CLASSES * 128);
            bulk_load(to + at::CLASSIFIER, &maps.classifier, barrier, chunk * 64, 0);
        } else if (warp == 5) {
            const int bias = min(64, p.width - chunk * 64) * 4;
            barrier_expect(barrier, bias);
            bulk_load_row(to + at::BIAS, p.bias + chunk * 64, barrier, bias);
        }
    };
    auto clear = [&](int stage) { /* rows of the neighbours that nobody brings: threads 0 to 127 */
        const int row = tid >> 3, place = row < 4 ? PIXELS_NEAR_1 + row : at::LEVEL_3 + PIXELS_NEAR_3 + row - 4;
        *(uint4 *)(shared + stage * STAGE + at::LEVELS + place * 128 + (tid & 7) * 16) = make_uint4(0, 0, 0, 0);
    };
    static_assert(4 + at::NEAR - at::LEVEL_3 - PIXELS_NEAR_3 == 16, "16 rows are cleared");
    if (tid == 0) {
        for (int s = 0; s < STAGES; s++) {
            barrier_begin(here + s * 8, 6);
            barrier_begin(done + s * 8, at::THREADS / 32);
        }
        barrier_begin(base + at::OWN_HERE, 1);
        barriers_begun();
    }
    __syncthreads();
    wait_for_previous();
    if (tid == 7 * 32) {
        barrier_expect(base + at::OWN_HERE, TOKENS * 128);
        bulk_load(base + at::FEATURES, &maps.features, base + at::OWN_HERE, 0, x0, y0, image);
    }
    if (lane == 0)
        for (int chunk = 0; chunk < 2 && chunk < chunks; chunk++)
            ask(chunk);
    if (tid < TOKENS) { /* weights of the neighbours of a token */
        T *row = (T *)(shared + at::NEAR_WEIGHTS + tid * at::PITCH);
        for (int i = 0; i < at::NEAR; i += 8)
            *(uint4 *)(row + i) = make_uint4(0, 0, 0, 0);
        const int y = min(y0 + tid / TILE_W, p.h[0] - 1), x = min(x0 + tid % TILE_W, p.w[0] - 1);
#pragma unroll
        for (int level = 1; level < 4; level++) {
            const int across = level == 1 ? 10 : level == 2 ? 6 : 4, first = level == 1 ? 0 : level == 2 ? at::LEVEL_2 : at::LEVEL_3;
            const tap ty = bilinear_tap(y, p.h[level], p.h[0]), tx = bilinear_tap(x, p.w[level], p.w[0]);
            const int top = bilinear_tap(y0, p.h[level], p.h[0]).i0, start = bilinear_tap(x0, p.w[level], p.w[0]).i0;
            add_taps<N>(row, first, across, top, start, ty, tx);
        }
        clear(0);
        clear(1);
    }
    wide_publish();
    __syncthreads();
    uint32_t own[STEPS_OWN][4], near[STEPS_NEAR][4];
#pragma unroll
    for (int s = 0; s < STEPS_NEAR; s++)
        load_matrices(near[s], base + at::NEAR_WEIGHTS + (warp * 16 + (lane & 15)) * at::PITCH + s * 32 + (lane >> 4) * 16);
    barrier_wait(base + at::OWN_HERE, 0);
#pragma unroll
    for (int s = 0; s < STEPS_OWN; s++)
        load_matrices(own[s], base + at::FEATURES + tile_offset<128>(warp * 16 + (lane & 15), 2 * s + (lane >> 4)));
    __syncthreads(); /* the ring has its other places */
    if (tid < TOKENS) {
        clear(2);
        clear(3);
    }
    wide_publish();
    __syncthreads();
    if (lane == 0)
        for (int chunk = 2; chunk < STAGES && chunk < chunks; chunk++)
            ask(chunk);

    float logits[GROUPS][4], sum[8][4];
#pragma unroll
    for (int j = 0; j < GROUPS; j++)
#pragma unroll
        for (int e = 0; e < 4; e++)
            logits[j][e] = 0;
#pragma unroll 1
    for (int chunk = 0; chunk < chunks; chunk++) {
        const int stage = chunk % STAGES, turn = chunk / STAGES & 1;
        const uint32_t tile = base + stage * STAGE;
        barrier_wait(here + stage * 8, turn);
        const float2 *const bias = (const float2 *)(shared + stage * STAGE + at::BIAS + column_in * 4);
#pragma unroll
        for (int j = 0; j < 8; j++) {
            const float2 b = chunk * 64 + j * 8 < p.width ? bias[j * 4] : make_float2(0, 0);
            sum[j][0] = sum[j][2] = b.x;
            sum[j][1] = sum[j][3] = b.y;
        }
        const uint64_t weight = wide_tile<128>(tile), levels = wide_tile<128>(tile + at::LEVELS), classifier = wide_tile<128>(tile + at::CLASSIFIER);
        wide_begin();
#pragma unroll
        for (int s = 0; s < STEPS_OWN; s++)
            wide_multiply<N>(sum, own[s], weight + 2 * s, true);
#pragma unroll
        for (int s = 0; s < STEPS_NEAR; s++)
            wide_multiply_across<N>(sum, near[s], levels + s * (16 * 128 >> 4));
        wide_commit();
        wide_wait<0>();
        fragment<N, 4> left[4];
#pragma unroll
        for (int j = 0; j < 8; j++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                sum[j][e] = fmaxf(sum[j][e], 0);
#pragma unroll
        for (int s = 0; s < 4; s++)
            left[s] = as_left<N>(sum, s);
        wide_begin();
#pragma unroll
        for (int s = 0; s < 4; s++)
            wide_multiply<N>(logits, left[s].high, classifier + 2 * s, true);
        wide_commit();
        wide_wait<0>();
        if (lane == 0)
            barrier_arrive(done + stage * 8);
        if (lane == 0 && chunk > 0 && chunk - 1 + STAGES < chunks) { /* the chunk before is done with by all, or soon */
            barrier_wait(done + (chunk - 1) % STAGES * 8, (chunk - 1) / STAGES & 1);
            ask(chunk - 1 + STAGES);
        }
    }
    start_next();
    const int y = y0 + warp;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const int x = x0 + (lane >> 2) + half * 8;
        if (y >= p.h[0] || x >= p.w[0])
            continue;
        float *out = p.logits + ((size_t)(image * p.h[0] + y) * p.w[0] + x) * p.class_ld;
#pragma unroll
        for (int j = 0; j < GROUPS; j++) {
            const int column = j * 8 + column_in;
            if (column < p.class_ld)
                *(float2 *)(out + column) = make_float2(logits[j][2 * half] + p.class_bias[column], logits[j][2 * half + 1] + p.class_bias[column + 1]);
        }
    }
#endif
}

template <numeric N> cudaError_t launch_wide(const pixels_args &p, dim3 grid, const launch *how)
{
    static const int rows[4] = {TILE_H, 6, 4, 3}, columns[4] = {TILE_W, 10, 6, 4};
    pixels_maps maps = {};
    const bulk_tensor weight = {.at = p.weight, .rank = 2, .size = {p.ldw, p.width}, .stride = {0, 2 * (int64_t)p.ldw}, .box = {64, 64}};
    const bulk_tensor classifier = {
        .at = p.classifier, .rank = 2, .size = {p.ldc, p.class_ld}, .stride = {0, 2 * (int64_t)p.ldc}, .box = {64, pixels_places::CLASSES}};
    cudaError_t status = bulk_describe(&maps.weight, N, &weight);
    if (status == cudaSuccess)
        status = bulk_describe(&maps.classifier, N, &classifier);
    for (int i = 0; status == cudaSuccess && i < 4; i++) {
        const int width = i ? p.width : p.k;
        const int64_t token = 2 * (int64_t)width;
        const bulk_tensor tokens = {.at = i ? p.level[i] : p.features,
                                    .rank = 4,
                                    .size = {width, p.w[i], p.h[i], p.images},
                                    .stride = {0, token, token * p.w[i], token * p.w[i] * p.h[i]},
                                    .box = {64, columns[i], rows[i], 1}};
        status = bulk_describe(i ? &maps.level[i - 1] : &maps.features, N, &tokens);
    }
    return status == cudaSuccess ? start(pixels_wide<N>, grid, pixels_places::THREADS, pixels_places::BYTES, how, p, maps) : status;
}

} // namespace

#endif
