/* attend_split: attend.cuh for floats as sums of two halves (compute capability 9.0a, heads of 32 and 64; see gemm_split.cuh and
 * split.cuh).  Queries and weights are split in registers, keys and values by the product that makes them.
 *
 * A block is one or two groups of four warps with 64 rows each that share what passes through the ring (ROW_GROUPS 2), or two groups
 * that share their rows and take every second tile of keys each (KEY_GROUPS 2).  Items of the ring are the slices that queries are
 * made of, or the queries, then tiles of keys and values.  The tensor cores cut sums off: a tile's are made there, and added up in
 * float registers. */
#ifndef SEGRT_CUDA_ATTEND_SPLIT_CUH
#define SEGRT_CUDA_ATTEND_SPLIT_CUH

#include "backend/cuda/attend_parts.cuh"
#include "backend/cuda/bulk.cuh"
#include "backend/cuda/split.cuh"

namespace {

constexpr int SPLIT_KEYS = 64;

struct attend_split_maps {
    CUtensorMap rows, weight, keys, values;
};

/* What a block's shared memory holds. */
template <numeric N, int D, int ROW_GROUPS, int KEY_GROUPS, bool QUERY> struct split_ring {
    static constexpr int ROWS = ROW_GROUPS * 64, TILE = SPLIT_KEYS * D * 4;
    static constexpr int FIRST = QUERY ? (ROWS + D) * 128 : ROWS * D * 4; /* bytes of a slice, or of the queries */
    static constexpr int STAGE = FIRST > 2 * TILE ? FIRST : 2 * TILE, BIAS = SPLIT_KEYS * 4;
    static constexpr int BLOCKS = ROW_GROUPS * KEY_GROUPS == 1 ? 3 : N == NUMERIC_F32 || KEY_GROUPS == 2 ? 1 : 2; /* of a multiprocessor */
    static constexpr int FIT = 222 * 1024 / BLOCKS / (STAGE + BIAS), STAGES = FIT > 6 ? 6 : KEY_GROUPS == 2 ? FIT / 2 * 2 : FIT;
    static constexpr int BARRIERS = STAGES * (STAGE + BIAS), DONE = BARRIERS + STAGES * 8, BYTES = DONE + STAGES * 8;
    static_assert(STAGE % 1024 == 0 && (KEY_GROUPS == 1 || STAGES % 2 == 0), "tiles are aligned; a place belongs to one group of keys");
    static_assert(STAGES >= (ROW_GROUPS * KEY_GROUPS == 1 ? 2 : 3 * KEY_GROUPS), "two tiles at work, and one whose place is renewed late");
};

template <numeric N, int D, int ROW_GROUPS, int KEY_GROUPS, bool QUERY>
__global__ void __launch_bounds__(ROW_GROUPS *KEY_GROUPS * 128, split_ring<N, D, ROW_GROUPS, KEY_GROUPS, QUERY>::BLOCKS)
    attend_split(const attend_args p, const __grid_constant__ attend_split_maps maps)
{
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    using ring = split_ring<N, D, ROW_GROUPS, KEY_GROUPS, QUERY>;
    constexpr bool THREE = N == NUMERIC_F32;
    constexpr int ROWS = ring::ROWS, TILE = ring::TILE, STAGE = ring::STAGE, STAGES = ring::STAGES, GROUPS = ROW_GROUPS * KEY_GROUPS;
    constexpr int Q_STEPS = D / 16, V_STEPS = SPLIT_KEYS / 16, S_TILES = SPLIT_KEYS / 8, O_TILES = D / 8, PART = 128; /* bytes: two steps of a row */
    extern __shared__ __align__(1024) unsigned char shared[];
    const uint32_t base = shared_address(shared), bias_base = base + STAGES * STAGE, barriers = base + ring::BARRIERS, done = base + ring::DONE;
    const int tid = threadIdx.x, group = tid >> 7, column_in = (tid & 3) * 2, row_group = group % ROW_GROUPS, key_group = group / ROW_GROUPS;
    const int head = blockIdx.y, image = blockIdx.z, row0 = blockIdx.x * ROWS, warp_row = row_group * 64 + (tid >> 5 & 3) * 16;
    const int slices = QUERY ? (p.k + 31) / 32 : 1, tiles = (p.nkeys + SPLIT_KEYS - 1) / SPLIT_KEYS, items = slices + tiles;

    auto ask = [&](int item) { /* one thread */
        if (item >= items)
            return;
        const int stage = item % STAGES;
        const uint32_t to = base + stage * STAGE, barrier = barriers + stage * 8;
        if (item >= slices) {
            const int first = (item - slices) * SPLIT_KEYS;
            barrier_expect(barrier, 2 * TILE + (p.key_bias ? ring::BIAS : 0));
#pragma unroll
            for (int i = 0; i < D / 32; i++)
                bulk_load(to + i * SPLIT_KEYS * PART, &maps.keys, barrier, head * D + i * 32, first, image);
#pragma unroll
            for (int i = 0; i < SPLIT_KEYS / 32; i++)
                bulk_load(to + TILE + i * D * PART, &maps.values, barrier, first + i * 32, head * D, image);
            if (p.key_bias)
                bulk_load_row(bias_base + stage * ring::BIAS, p.key_bias + (size_t)image * p.key_pitch + first, barrier, ring::BIAS);
            return;
        }
        barrier_expect(barrier, ring::FIRST);
#pragma unroll
        for (int i = 0; i < (QUERY ? 2 : Q_STEPS); i++)
            bulk_load(to + i * ROWS * SPLIT_BYTES, &maps.rows, barrier, (QUERY ? item * 32 : head * D) + i * SPLIT_GROUP, row0, image);
        if (QUERY)
            bulk_load(to + ROWS * 128, &maps.weight, barrier, item * 32, head * D);
    };
    auto await = [&](int item) { barrier_wait(barriers + item % STAGES * 8, item / STAGES & 1); };
    /* A warp is done with an item.  One thread asks for what takes the place of an item that all are done with: of this one, or
     * where groups go at their own pace of the one before (`last`: this group's), which is waited for less. */
    auto release = [&](int item, int last) {
        __syncwarp();
        if ((tid & 31) == 0)
            barrier_arrive(done + item % STAGES * 8, item < slices ? 1 : KEY_GROUPS);
        const int free = GROUPS == 1 ? item : last;
        const bool mine = group == 0 || (KEY_GROUPS == 2 && free >= slices); /* both groups of keys read the slices */
        if ((tid & 127) == 0 && mine && free >= 0 && free + STAGES < items) {
            barrier_wait(done + free % STAGES * 8, free / STAGES & 1);
            ask(free + STAGES);
        }
    };
    /* Two groups with rows of their own begin products in turns: the one's run while the other works on its scores. */
    constexpr bool TURNS = ROW_GROUPS == 2;
    auto turn = [&]() {
        if (TURNS)
            asm volatile("barrier.cta.sync.aligned %0, 256;" ::"r"(1 + group) : "memory");
    };
    auto other_turn = [&]() {
        if (TURNS)
            asm volatile("barrier.cta.arrive.aligned %0, 256;" ::"r"(2 - group) : "memory");
    };
    if (group == 1)
        other_turn(); /* group 0 begins */
    /* c = left right^T, the small products first. */
    auto multiply_split = [&](auto &c, const auto &left, uint64_t right, int next, bool onto = false) {
        constexpr int STEPS_OF = sizeof left / sizeof left[0];
        auto at = [&](int step) { return right + (step >> 1) * (next >> 4) + (step & 1) * (SPLIT_BYTES >> 4); };
        wide_begin();
        if constexpr (THREE) {
#pragma unroll
            for (int s = 0; s < STEPS_OF; s++)
                wide_multiply<NUMERIC_F16>(c, left[s].low, at(s), s > 0);
#pragma unroll
            for (int s = 0; s < STEPS_OF; s++)
                wide_multiply<NUMERIC_F16>(c, left[s].high, at(s) + (SPLIT_LOW >> 4), true);
        }
#pragma unroll
        for (int s = 0; s < STEPS_OF; s++)
            wide_multiply<NUMERIC_F16>(c, left[s].high, at(s), THREE || s > 0 || onto);
        wide_commit();
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

    split_left query[Q_STEPS];
    float part[O_TILES][4];
#pragma unroll
    for (int j = 0; j < O_TILES; j++)
#pragma unroll
        for (int e = 0; e < 4; e++)
            part[j][e] = 0;
    if constexpr (QUERY) {
        float sum[O_TILES][4];
#pragma unroll
        for (int j = 0; j < O_TILES; j++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                sum[j][e] = 0;
#pragma unroll 1
        for (int slice = 0; slice < slices; slice++) {
            await(slice);
            const int stage = slice % STAGES;
            split_left rows[2];
#pragma unroll
            for (int s = 0; s < 2; s++)
                rows[s] = load_split(shared + stage * STAGE + (s * ROWS + warp_row) * SPLIT_BYTES, p.a_scale);
            multiply_split(part, rows, wide_tile<128>(base + stage * STAGE + ROWS * 128), 0);
            wide_wait<0>();
            wide_ready(part);
#pragma unroll
            for (int j = 0; j < O_TILES; j++)
#pragma unroll
                for (int e = 0; e < 4; e++)
                    sum[j][e] += part[j][e];
            release(slice, slice - 1);
        }
#pragma unroll
        for (int j = 0; j < O_TILES; j++) {
            const float2 bias = *(const float2 *)(p.q_bias + head * D + j * 8 + column_in);
#pragma unroll
            for (int e = 0; e < 4; e++)
                sum[j][e] = (sum[j][e] * p.query_scale + (e & 1 ? bias.y : bias.x)) * p.q_scale;
        }
#pragma unroll
        for (int s = 0; s < Q_STEPS; s++)
            query[s] = split_sums(sum, s);
    } else {
        await(0);
#pragma unroll
        for (int s = 0; s < Q_STEPS; s++)
            query[s] = load_split_ordered(shared + (s * ROWS + warp_row) * SPLIT_BYTES, p.q_scale);
        release(0, -1);
    }

    float out[1][O_TILES][4], maximum[2] = {-INFINITY, -INFINITY}, total[1][2] = {{0, 0}};
#pragma unroll
    for (int j = 0; j < O_TILES; j++)
#pragma unroll
        for (int e = 0; e < 4; e++)
            out[0][j][e] = 0;

    auto multiply_keys = [&](float (&score)[S_TILES][4], int tile) {
        multiply_split(score, query, wide_tile<128>(base + (slices + tile) % STAGES * STAGE), SPLIT_KEYS * PART);
    };
    auto multiply_values = [&](float (&part)[O_TILES][4], const split_left (&weights)[V_STEPS], int tile) {
        const uint64_t right = wide_tile<128>(base + (slices + tile) % STAGES * STAGE + TILE);
        if constexpr (THREE)
            multiply_split(part, weights, right, D * PART);
        else
            multiply_split(out[0], weights, right, D * PART, true);
    };
    auto add_values = [&](float (&part)[O_TILES][4], int tile) {
        wide_wait<0>();
        wide_ready(THREE ? part : out[0]);
        if (!THREE)
            split_keep(query, (uint32_t)(p.images >> 31));
#pragma unroll
        for (int j = 0; THREE && j < O_TILES; j++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                out[0][j][e] += part[j][e];
        release(slices + tile, tile == key_group ? slices - 1 : slices + tile - KEY_GROUPS);
    };
    /* Scores become weights, the left operand of values.  What the row has seen so far is rescaled where its maximum grew by more than
     * SLACK, behind `before`.  Keys' biases are added, and scores are far below where there is no key. */
    auto weigh_split = [&](float (&score)[S_TILES][4], split_left (&weights)[V_STEPS], int tile, auto before) {
        wide_ready(score);
        const bool last = (tile + 1) * SPLIT_KEYS > p.nkeys;
        const float scale = QUERY ? p.score_scale : 1;
        if (!QUERY || last) {
            const float2 *bias = (const float2 *)(shared + STAGES * STAGE + (slices + tile) % STAGES * ring::BIAS + column_in * 4);
#pragma unroll
            for (int j = 0; j < S_TILES; j++) {
                float2 v = make_float2(0, 0);
                if (!QUERY && p.key_bias)
                    v = bias[j * 4];
                if (last) {
                    const int key = tile * SPLIT_KEYS + j * 8 + column_in;
                    v.x = key < p.nkeys ? v.x : -1e30f;
                    v.y = key + 1 < p.nkeys ? v.y : -1e30f;
                }
#pragma unroll
                for (int e = 0; e < 4; e++)
                    score[j][e] = QUERY ? score[j][e] + (e & 1 ? v.y : v.x) : score[j][e] * p.score_scale + (e & 1 ? v.y : v.x);
            }
        }
        float top[2], factor[2] = {1, 1};
        largest_scores(score, top);
        top[0] *= scale;
        top[1] *= scale;
        const bool grown = __any_sync(0xffffffffu, top[0] > maximum[0] + SLACK || top[1] > maximum[1] + SLACK);
        if (grown)
#pragma unroll
            for (int h = 0; h < 2; h++) {
                const float higher = fmaxf(maximum[h], top[h]);
                factor[h] = exp2_fast(maximum[h] - higher);
                maximum[h] = higher;
                total[0][h] *= factor[h];
            }
#pragma unroll
        for (int j = 0; j < S_TILES; j++)
#pragma unroll
            for (int e = 0; e < 4; e++) {
                const float power = QUERY ? fmaf(score[j][e], scale, -maximum[e >> 1]) : score[j][e] - maximum[e >> 1];
                asm volatile("ex2.approx.ftz.f32 %0, %1;" : "=f"(score[j][e]) : "f"(power)); /* volatile: before a product is waited for */
                total[0][e >> 1] += score[j][e];
            }
        before();
#pragma unroll
        for (int s = 0; s < V_STEPS; s++)
            weights[s] = split_sums(score, s);
        if (grown)
#pragma unroll
            for (int j = 0; j < O_TILES; j++)
#pragma unroll
                for (int e = 0; e < 4; e++)
                    out[0][j][e] *= factor[e >> 1];
    };
    int tile = key_group; /* there are at least KEY_GROUPS */
    await(slices + tile);
    if constexpr (GROUPS == 2) { /* a tile's values are multiplied while the next one's scores become weights */
        split_left weights[V_STEPS];
        float score[S_TILES][4];
        multiply_keys(score, tile);
        wide_wait<0>();
        weigh_split(score, weights, tile, []() {});
#pragma unroll 1
        for (; tile + KEY_GROUPS < tiles; tile += KEY_GROUPS) {
            await(slices + tile + KEY_GROUPS);
            turn();
            multiply_keys(score, tile + KEY_GROUPS);
            multiply_values(part, weights, tile);
            other_turn();
            wide_wait<1>();
            weigh_split(score, weights, tile + KEY_GROUPS, [&]() { add_values(part, tile); });
        }
        multiply_values(part, weights, tile);
        add_values(part, tile);
    } else { /* other blocks of the multiprocessor do so */
#pragma unroll 1
        for (; tile < tiles; tile++) {
            split_left weights[V_STEPS];
            float score[S_TILES][4];
            if (tile)
                await(slices + tile);
            multiply_keys(score, tile);
            wide_wait<0>();
            weigh_split(score, weights, tile, []() {});
            multiply_values(part, weights, tile);
            add_values(part, tile);
        }
    }
    start_next();

    if constexpr (KEY_GROUPS == 2)
        if (!join_groups(shared, group, out[0], total[0], maximum))
            return;
    const float back = 1.0f / p.value_scale; /* a power of two */
#pragma unroll
    for (int j = 0; j < O_TILES; j++)
#pragma unroll
        for (int e = 0; e < 4; e++)
            out[0][j][e] *= back;
    store_result<N, D, 1>(p, out, total, row0, min(ROWS, p.tokens - row0));
#endif
}

/* ------------------------------------------------------------------------------------------ launch */

template <int D> cudaError_t describe_split(attend_split_maps *maps, const attend_args &p)
{
    const int rows = 64 * p.row_groups, keys = (p.nkeys + SPLIT_GROUP - 1) / SPLIT_GROUP * SPLIT_GROUP;
    const int64_t ldq = 4 * (int64_t)p.ldq, ldk = 4 * (int64_t)p.ldk, pitch = 4 * (int64_t)p.key_pitch;
    const bulk_tensor q = {
        .at = p.q, .rank = 3, .size = {p.ldq, p.tokens, p.images}, .stride = {0, ldq, ldq * p.tokens}, .box = {SPLIT_GROUP, rows, 1}, .plain = true};
    const bulk_tensor w = {.at = p.weight, .rank = 2, .size = {p.ldw, p.heads * D}, .stride = {0, 4 * (int64_t)p.ldw}, .box = {32, D}};
    const bulk_tensor k = {.at = p.keys, .rank = 3, .size = {p.ldk, p.nkeys, p.images}, .stride = {0, ldk, ldk * p.nkeys}, .box = {32, SPLIT_KEYS, 1}};
    const bulk_tensor v = {.at = p.values, .rank = 3, .size = {keys, p.ldk, p.images}, .stride = {0, pitch, pitch * p.ldk}, .box = {32, D, 1}};
    return bulk_describe({{&maps->rows, NUMERIC_F32, &q}, {&maps->weight, NUMERIC_F32, &w}, {&maps->keys, NUMERIC_F32, &k}, {&maps->values, NUMERIC_F32, &v}});
}

template <numeric N, int D, int ROW_GROUPS, int KEY_GROUPS> cudaError_t launch_split_groups(const attend_args &p, const launch *how)
{
    attend_split_maps maps = {};
    const cudaError_t status = describe_split<D>(&maps, p);
    const dim3 grid((p.tokens + 64 * ROW_GROUPS - 1) / (64 * ROW_GROUPS), p.heads, p.images);
    constexpr int threads = ROW_GROUPS * KEY_GROUPS * 128;
    if (status != cudaSuccess)
        return status;
    if (p.weight)
        return start(attend_split<N, D, ROW_GROUPS, KEY_GROUPS, true>, grid, threads, split_ring<N, D, ROW_GROUPS, KEY_GROUPS, true>::BYTES, how, p, maps);
    return start(attend_split<N, D, ROW_GROUPS, KEY_GROUPS, false>, grid, threads, split_ring<N, D, ROW_GROUPS, KEY_GROUPS, false>::BYTES, how, p, maps);
}

template <numeric N> cudaError_t launch_attend_split(const attend_args &p, const launch *how)
{
    return by_head_and_groups(p, [&](auto head, auto rows, auto keys) { return launch_split_groups<N, head(), rows(), keys()>(p, how); });
}

} // namespace

#endif
