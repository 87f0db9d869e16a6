/* attend_wide: attend.cuh with wgmma and the copy engine (compute capability 9.0a, 16 bits, heads of 32 and 64).
 *
 * A block is one or two groups of four warps.  Two groups have 64 rows each and share what passes through the ring (ROW_GROUPS
 * 2), or share their 64 rows and take every second tile of keys each (KEY_GROUPS 2, where there are few rows).  The ring's items
 * are the slices that queries are made of, or the queries, then tiles of keys and values; the copy engine brings them.
 *
 * A tile's values are multiplied while the next one's scores become weights (as in FlashAttention-3, Shah et al. 2024).
 * Scores are held against the maximum of the first tile; where the weights' sum says that this was too low by far, the
 * tile is done again with a maximum that fits. */
#ifndef SEGRT_CUDA_ATTEND_WIDE_CUH
#define SEGRT_CUDA_ATTEND_WIDE_CUH

#include "backend/cuda/attend_parts.cuh"
#include "backend/cuda/bulk.cuh"

namespace {

constexpr int WIDE_KEYS = 64;
constexpr float WIDE_MOST = 16384; /* sum of a thread's weights of a row and tile: they are finite in 16 bits, and sums of many tiles in floats */

struct attend_maps {
    CUtensorMap rows, weight, keys, values;
};

/* What a block's shared memory holds. */
template <int D, int ROW_GROUPS, int KEY_GROUPS, bool QUERY> struct wide_ring {
    static constexpr int ROWS = ROW_GROUPS * 64, TILE = WIDE_KEYS * D * 2;
    static constexpr int FIRST = QUERY ? (ROWS + D) * 128 : ROWS * D * 2; /* bytes of a slice, or of the queries */
    static constexpr int STAGE = FIRST > 2 * TILE ? FIRST : 2 * TILE, BIAS = WIDE_KEYS * 4;
    static constexpr int FIT = (ROW_GROUPS * KEY_GROUPS == 1 ? 55 : 110) * 1024 / (STAGE + BIAS); /* four or two blocks of a multiprocessor */
    static constexpr int STAGES = FIT > 6 ? 6 : FIT;
    static constexpr int BARRIERS = STAGES * (STAGE + BIAS), DONE = BARRIERS + STAGES * 8, BYTES = DONE + STAGES * 8;
    static_assert(STAGE % 1024 == 0 && (KEY_GROUPS == 1 || STAGES % 2 == 0), "tiles are aligned; a place belongs to one group of keys");
};

template <numeric N, int D, int ROW_GROUPS, int KEY_GROUPS, bool QUERY>
__global__ void __launch_bounds__(ROW_GROUPS *KEY_GROUPS * 128, 4 / (ROW_GROUPS * KEY_GROUPS)) attend_wide(const attend_args p, const __grid_constant__ attend_maps maps)
{
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    using ring = wide_ring<D, ROW_GROUPS, KEY_GROUPS, QUERY>;
    constexpr int ROWS = ring::ROWS, TILE = ring::TILE, STAGE = ring::STAGE, STAGES = ring::STAGES, GROUPS = ROW_GROUPS * KEY_GROUPS;
    constexpr int K_ROW = D * 2, V_ROW = WIDE_KEYS * 2, Q_STEPS = K_ROW / 32, V_STEPS = V_ROW / 32, S_TILES = WIDE_KEYS / 8, O_TILES = D / 8;
    extern __shared__ __align__(1024) unsigned char shared[];
    const uint32_t base = shared_address(shared), bias_base = base + STAGES * STAGE, barriers = base + ring::BARRIERS, done = base + ring::DONE;
    const int tid = threadIdx.x, group = tid >> 7, column_in = (tid & 3) * 2, row_group = group % ROW_GROUPS, key_group = group / ROW_GROUPS;
    const int head = blockIdx.y, image = blockIdx.z, row0 = blockIdx.x * ROWS;
    const int slices = QUERY ? (p.k + 63) / 64 : 1, tiles = (p.nkeys + WIDE_KEYS - 1) / WIDE_KEYS, items = slices + tiles;

    auto ask = [&](int item) { /* one thread */
        if (item >= items)
            return;
        const int stage = item % STAGES;
        const uint32_t to = base + stage * STAGE, barrier = barriers + stage * 8;
        if (item >= slices) {
            const int first = (item - slices) * WIDE_KEYS;
            barrier_expect(barrier, 2 * TILE + (p.key_bias ? ring::BIAS : 0));
            bulk_load(to, &maps.keys, barrier, head * D, first, image);
            bulk_load(to + TILE, &maps.values, barrier, first, head * D, image);
            if (p.key_bias)
                bulk_load_row(bias_base + stage * ring::BIAS, p.key_bias + (size_t)image * p.key_pitch + first, barrier, ring::BIAS);
        } else if (QUERY) {
            barrier_expect(barrier, ring::FIRST);
            bulk_load(to, &maps.rows, barrier, item * 64, row0, image);
            bulk_load(to + ROWS * 128, &maps.weight, barrier, item * 64, head * D);
        } else {
            barrier_expect(barrier, ring::FIRST);
            bulk_load(to, &maps.rows, barrier, head * D, row0, image);
        }
    };
    auto await = [&](int item) { barrier_wait(barriers + item % STAGES * 8, item / STAGES & 1); };
    /* A warp is done with an item.  One thread asks for what takes the place of an item that all are done with: of this one, or
     * where groups go at their own pace of the one before (`last`: this group's), which is waited for less. */
    constexpr bool SAME = GROUPS == 1;
    auto release = [&](int item, int last) {
        if ((tid & 31) == 0)
            barrier_arrive(done + item % STAGES * 8, item < slices ? 1 : KEY_GROUPS);
        const int free = SAME ? item : last;
        const bool mine = group == 0 || (KEY_GROUPS == 2 && free >= slices); /* both groups of keys read the slices */
        if ((tid & 127) == 0 && mine && free >= 0 && free + STAGES < items) {
            barrier_wait(done + free % STAGES * 8, free / STAGES & 1);
            ask(free + STAGES);
        }
    };

    if (tid == 0) {
        for (int s = 0; s < STAGES; s++) {
            barrier_begin(barriers + s * 8, 1);
            barrier_begin(done + s * 8, GROUPS * 4);
        }
        barriers_begun();
    }
    __syncthreads();
    wait_for_previous();
    if (tid == 0)
        for (int s = 0; s < STAGES; s++)
            ask(s);

    fragment<N, 4> query[Q_STEPS];
    if constexpr (QUERY) {
        float sum[O_TILES][4];
#pragma unroll
        for (int j = 0; j < O_TILES; j++) {
            const float2 bias = *(const float2 *)(p.q_bias + head * D + j * 8 + column_in);
            sum[j][0] = sum[j][2] = bias.x;
            sum[j][1] = sum[j][3] = bias.y;
        }
#pragma unroll 1
        for (int slice = 0; slice < slices; slice++) {
            await(slice);
            const uint32_t tile = base + slice % STAGES * STAGE;
            const uint64_t left = wide_tile<128>(tile + row_group * 64 * 128), right = wide_tile<128>(tile + ROWS * 128);
            wide_begin();
#pragma unroll
            for (int step = 0; step < 4; step++)
                wide_multiply_both<N>(sum, left + 2 * step, right + 2 * step);
            wide_commit();
            wide_wait<0>();
            release(slice, slice - 1);
        }
#pragma unroll
        for (int s = 0; s < Q_STEPS; s++)
            query[s] = as_left<N>(sum, s);
    } else {
        await(0);
#pragma unroll
        for (int s = 0; s < Q_STEPS; s++)
            query[s] = load_left<N, K_ROW>(base, row_group * 64 + (tid >> 5 & 3) * 16, s);
        release(0, -1);
    }

    float out[1][O_TILES][4], maximum[2] = {0, 0}, total[1][2] = {{0, 0}}, score[S_TILES][4];
    fragment<N, 4> weights[V_STEPS];
#pragma unroll
    for (int j = 0; j < O_TILES; j++)
#pragma unroll
        for (int e = 0; e < 4; e++)
            out[0][j][e] = 0;

    /* Scores against the maximum so far: the keys' biases less it, and far below where there is no key, are what the product
     * is added to; where queries are made here there are no biases, and the product begins with nothing. */
    auto multiply_keys = [&](int tile) {
        const int stage = (slices + tile) % STAGES;
        const bool part = (tile + 1) * WIDE_KEYS > p.nkeys;
        if (!QUERY || part) {
            const float2 *bias = (const float2 *)(shared + STAGES * STAGE + stage * ring::BIAS + column_in * 4);
#pragma unroll
            for (int j = 0; j < S_TILES; j++) {
                float2 v = make_float2(0, 0);
                if (!QUERY && p.key_bias)
                    v = bias[j * 4];
                if (part) {
                    const int key = tile * WIDE_KEYS + j * 8 + column_in;
                    v.x = key < p.nkeys ? v.x : -1e30f;
                    v.y = key + 1 < p.nkeys ? v.y : -1e30f;
                }
                score[j][0] = v.x - (QUERY ? 0 : maximum[0]);
                score[j][1] = v.y - (QUERY ? 0 : maximum[0]);
                score[j][2] = v.x - (QUERY ? 0 : maximum[1]);
                score[j][3] = v.y - (QUERY ? 0 : maximum[1]);
            }
        }
        const uint64_t right = wide_tile<K_ROW>(base + stage * STAGE);
        wide_begin();
#pragma unroll
        for (int s = 0; s < Q_STEPS; s++)
            wide_multiply<N>(score, query[s].high, right + 2 * s, s > 0 || !QUERY || part);
        wide_commit();
    };
    auto multiply_values = [&](int tile) {
        const uint64_t right = wide_tile<V_ROW>(base + (slices + tile) % STAGES * STAGE + TILE);
#pragma unroll
        for (int s = 0; s < V_STEPS; s++)
            wide_multiply<N>(out[0], weights[s].high, right + 2 * s, true);
        wide_commit();
    };
    /* Scores become weights; their sums.  (volatile: before a product is waited for that stands behind it) */
    auto weigh_all = [&](float (&sum)[2]) {
        float part[4] = {0, 0, 0, 0};
#pragma unroll
        for (int j = 0; j < S_TILES; j++)
#pragma unroll
            for (int e = 0; e < 4; e++) {
                asm volatile("ex2.approx.ftz.f32 %0, %1;" : "=f"(score[j][e]) : "f"(QUERY ? score[j][e] - maximum[e >> 1] : score[j][e]));
                part[e] += score[j][e];
            }
        sum[0] = part[0] + part[1];
        sum[1] = part[2] + part[3];
    };
    /* Raises the maximum to that of the scores (the first: sets it); what was added up before is rescaled. */
    auto raise = [&](bool first) {
        float top[2] = {score[0][0], score[0][2]};
#pragma unroll
        for (int j = 0; j < S_TILES; j++) {
            top[0] = fmaxf(top[0], fmaxf(score[j][0], score[j][1]));
            top[1] = fmaxf(top[1], fmaxf(score[j][2], score[j][3]));
        }
#pragma unroll
        for (int h = 0; h < 2; h++) {
            top[h] = fmaxf(top[h], __shfl_xor_sync(0xffffffffu, top[h], 1));
            top[h] = fmaxf(top[h], __shfl_xor_sync(0xffffffffu, top[h], 2));
            float more = QUERY ? top[h] - maximum[h] : top[h];
            if (!first) {
                more = fmaxf(more, 0);
                const float factor = exp2_fast(-more);
                total[0][h] *= factor;
#pragma unroll
                for (int j = 0; j < O_TILES; j++) {
                    out[0][j][2 * h] *= factor;
                    out[0][j][2 * h + 1] *= factor;
                }
            }
            maximum[h] += more;
            if (!QUERY)
#pragma unroll
                for (int j = 0; j < S_TILES; j++) {
                    score[j][2 * h] -= more;
                    score[j][2 * h + 1] -= more;
                }
        }
    };
    auto pack = [&]() {
#pragma unroll
        for (int s = 0; s < V_STEPS; s++)
            weights[s] = as_left<N>(score, s);
    };

    int tile = key_group; /* there are at least KEY_GROUPS */
    await(slices + tile);
    multiply_keys(tile);
    wide_wait<0>();
    raise(true);
    weigh_all(total[0]);
    pack();
#pragma unroll 1
    for (; tile + KEY_GROUPS < tiles; tile += KEY_GROUPS) { /* weights of this tile are ready */
        const int next = tile + KEY_GROUPS;
        await(slices + next);
        multiply_keys(next);
        multiply_values(tile);
        wide_wait<1>(); /* scores of the next tile, while this one's values are multiplied */
        float sum[2];
        weigh_all(sum);
        const bool again = group_any<GROUPS>(group, !(sum[0] < WIDE_MOST && sum[1] < WIDE_MOST));
        wide_wait<0>();
        release(slices + tile, tile == key_group ? slices - 1 : slices + tile - KEY_GROUPS);
        if (again) {
            multiply_keys(next);
            wide_wait<0>();
            raise(false);
            weigh_all(sum);
        }
        total[0][0] += sum[0];
        total[0][1] += sum[1];
        pack();
    }
    wide_begin();
    multiply_values(tile);
    wide_wait<0>();
    start_next();

    if constexpr (KEY_GROUPS == 2)
        if (!join_groups(shared, group, out[0], total[0], maximum))
            return;
    store_result<N, D, 1>(p, out, total, row0, min(ROWS, p.tokens - row0));
#endif
}

/* ------------------------------------------------------------------------------------------ launch */

template <int D> cudaError_t describe(attend_maps *maps, const attend_args &p, numeric type)
{
    const int rows = 64 * p.row_groups;
    const int64_t ldq = 2 * (int64_t)p.ldq, ldk = 2 * (int64_t)p.ldk, pitch = 2 * (int64_t)p.key_pitch;
    const bulk_tensor q = {.at = p.q, .rank = 3, .size = {p.ldq, p.tokens, p.images}, .stride = {0, ldq, ldq * p.tokens}, .box = {p.weight ? 64 : D, rows, 1}};
    const bulk_tensor w = {.at = p.weight, .rank = 2, .size = {p.ldw, p.heads * D}, .stride = {0, 2 * (int64_t)p.ldw}, .box = {64, D}};
    const bulk_tensor k = {.at = p.keys, .rank = 3, .size = {p.ldk, p.nkeys, p.images}, .stride = {0, ldk, ldk * p.nkeys}, .box = {D, WIDE_KEYS, 1}};
    const bulk_tensor v = {.at = p.values, .rank = 3, .size = {p.nkeys, p.ldk, p.images}, .stride = {0, pitch, pitch * p.ldk}, .box = {WIDE_KEYS, D, 1}};
    return bulk_describe({{&maps->rows, type, &q}, {&maps->weight, type, &w}, {&maps->keys, type, &k}, {&maps->values, type, &v}});
}

template <numeric N, int D, int ROW_GROUPS, int KEY_GROUPS> cudaError_t launch_groups(const attend_args &p, const launch *how)
{
    attend_maps maps = {};
    const cudaError_t status = describe<D>(&maps, p, N);
    const dim3 grid((p.tokens + 64 * ROW_GROUPS - 1) / (64 * ROW_GROUPS), p.heads, p.images);
    constexpr int threads = ROW_GROUPS * KEY_GROUPS * 128;
    if (status != cudaSuccess)
        return status;
    if (p.weight)
        return start(attend_wide<N, D, ROW_GROUPS, KEY_GROUPS, true>, grid, threads, wide_ring<D, ROW_GROUPS, KEY_GROUPS, true>::BYTES, how, p, maps);
    return start(attend_wide<N, D, ROW_GROUPS, KEY_GROUPS, false>, grid, threads, wide_ring<D, ROW_GROUPS, KEY_GROUPS, false>::BYTES, how, p, maps);
}

template <numeric N> cudaError_t launch_wide(const attend_args &p, const launch *how)
{
    return by_head_and_groups(p, [&](auto head, auto rows, auto keys) { return launch_groups<N, head(), rows(), keys()>(p, how); });
}

} // namespace

#endif
