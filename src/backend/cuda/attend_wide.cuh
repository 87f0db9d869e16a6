/* attend_wide: attend.cuh with wgmma (compute capability 9.0a, 16 bits, heads of 32 and 64): blocks of four warps
 * with 64 rows read K and V from shared memory once.
 *
 * A tile's values are multiplied while the next one's scores become weights (as in FlashAttention-3, Shah et al. 2024),
 * and other blocks' products run meanwhile: bound by the tensor cores and the unit that makes exponentials, about
 * equally. */
#ifndef SEGRT_CUDA_ATTEND_WIDE_CUH
#define SEGRT_CUDA_ATTEND_WIDE_CUH

#include "backend/cuda/attend_parts.cuh"
#include "backend/cuda/wgmma.cuh"

namespace {

constexpr int WIDE_KEYS = 64;

constexpr int WIDE_WARPS = 4; /* of a block; a multiprocessor holds four */
template <int D> constexpr int wide_stages = D == 64 ? 3 : 6;
template <int D> constexpr int wide_query_stages = D == 64 ? 3 : 4;

template <int D> constexpr int wide_bytes()
{
    const int ring = wide_stages<D> * (2 * WIDE_KEYS * D * 2 + WIDE_KEYS * 4), query = wide_query_stages<D> * (WIDE_WARPS * 16 + D) * 128;
    return ring > query ? ring : query;
}

template <numeric N, int D, bool QUERY> __global__ void __launch_bounds__(WIDE_WARPS * 32, 16 / WIDE_WARPS) attend_wide(const attend_args p)
{
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    constexpr int WARPS = WIDE_WARPS, ROWS = WARPS * 16, KEYS = WIDE_KEYS, STAGES = wide_stages<D>, K_ROW = D * 2, V_ROW = KEYS * 2, TILE = KEYS * K_ROW, STAGE = 2 * TILE;
    constexpr int Q_STEPS = K_ROW / 32, V_STEPS = V_ROW / 32, S_TILES = KEYS / 8, O_TILES = D / 8;
    extern __shared__ __align__(1024) unsigned char shared[];
    const uint32_t base = shared_address(shared), bias_base = base + STAGES * STAGE;
    const int column_in = (threadIdx.x & 3) * 2, tiles = (p.nkeys + KEYS - 1) / KEYS;
    const attend_block<N, D> b(p, ROWS);

    wait_for_previous();
    fragment<N, 4> query[1][Q_STEPS];
    load_query<N, D, 1, WARPS, wide_query_stages<D>, QUERY>(query, p, b, base);

    const key_copier<N, D, KEYS, WARPS * 32> keys(p, b);
    auto copy = [&](int tile, int stage) {
        if (tile < tiles) {
            keys.copy(p, tile, base + stage * STAGE, base + stage * STAGE + TILE);
            if (p.key_bias && threadIdx.x < KEYS / 4)
                copy_chunk(bias_base + stage * KEYS * 4 + threadIdx.x * 16, p.key_bias + (size_t)blockIdx.z * p.key_pitch + tile * KEYS + threadIdx.x * 4, true);
        }
        copy_commit();
    };
    /* Scores of a tile begin with the keys' biases, and far below where there is no key; false: with nothing. */
    auto begin_scores = [&](float (&to)[S_TILES][4], int tile, int stage) {
        const bool part = (tile + 1) * KEYS > p.nkeys;
        if (p.key_bias) {
            const float2 *bias = (const float2 *)(shared + STAGES * STAGE + (stage * KEYS + column_in) * 4);
#pragma unroll
            for (int j = 0; j < S_TILES; j++) {
                const float2 v = bias[j * 4];
                to[j][0] = to[j][2] = v.x;
                to[j][1] = to[j][3] = v.y;
            }
        }
        if (part) {
#pragma unroll
            for (int j = 0; j < S_TILES; j++)
#pragma unroll
                for (int e = 0; e < 4; e++)
                    to[j][e] = tile * KEYS + j * 8 + column_in + (e & 1) < p.nkeys ? (p.key_bias ? to[j][e] : 0) : -1e30f;
        }
        return part || p.key_bias;
    };
    auto multiply_keys = [&](float (&to)[S_TILES][4], int stage, bool begun) {
        const uint64_t right = wide_tile<K_ROW>(base + stage * STAGE);
#pragma unroll
        for (int s = 0; s < Q_STEPS; s++)
            wide_multiply<N>(to, query[0][s].high, right + 2 * s, s > 0 || begun);
    };

    float out[1][O_TILES][4], maximum[2] = {-INFINITY, -INFINITY}, total[1][2] = {{0, 0}}, score[S_TILES][4];
    fragment<N, 4> weights[V_STEPS];
#pragma unroll
    for (int j = 0; j < O_TILES; j++)
#pragma unroll
        for (int e = 0; e < 4; e++)
            out[0][j][e] = 0;
    auto pack = [&]() {
#pragma unroll
        for (int s = 0; s < V_STEPS; s++)
            weights[s] = as_left<N>(score, s);
    };
#pragma unroll 1 /* short code: instructions are fetched anew by every kernel */
    for (int s = 0; s < STAGES - 1; s++)
        copy(s, s);
    copy_wait<STAGES - 2>();
    wide_publish();
    __syncthreads();
    bool begun = begin_scores(score, 0, 0);
    wide_begin();
    multiply_keys(score, 0, begun);
    wide_commit();
    wide_wait<0>();
    weigh<N>(score, out[0], maximum, total[0], []() {});
    pack();

    int stage = 0, last_stage = STAGES - 1; /* of this tile, of the one before */
    for (int tile = 0; tile < tiles; tile++) { /* weights of this tile are ready */
        copy_wait<STAGES - 3>();               /* the next one is here */
        wide_publish();
        __syncthreads(); /* everybody is done with the tile before */
        copy(tile + STAGES - 1, last_stage);
        const int next = stage + 1 == STAGES ? 0 : stage + 1; /* behind the last tile: for nothing */
        begun = begin_scores(score, tile + 1, next);
        wide_begin();
        multiply_keys(score, next, begun);
        wide_commit();
        const uint64_t right = wide_tile<V_ROW>(base + stage * STAGE + TILE);
#pragma unroll
        for (int s = 0; s < V_STEPS; s++)
            wide_multiply<N>(out[0], weights[s].high, right + 2 * s, true);
        wide_commit();
        wide_wait<1>(); /* scores of the next tile, while this one's values are multiplied */
        if (tile + 1 < tiles)
            weigh<N>(score, out[0], maximum, total[0], []() { wide_wait<0>(); });
        else
            wide_wait<0>();
        pack();
        last_stage = stage;
        stage = next;
    }
    copy_wait<0>();
    start_next();
    store_result<N, D, 1>(p, out, total, b.row0, b.rows);
#endif
}

template <numeric N, int D> cudaError_t launch_wide_head(const attend_args &p, const launch *how)
{
    constexpr int ROWS = WIDE_WARPS * 16, THREADS = WIDE_WARPS * 32, bytes = wide_bytes<D>();
    const dim3 grid((p.tokens + ROWS - 1) / ROWS, p.heads, p.images);
    return p.weight ? start(attend_wide<N, D, true>, grid, THREADS, bytes, how, p) : start(attend_wide<N, D, false>, grid, THREADS, bytes, how, p);
}

template <numeric N> cudaError_t launch_wide(const attend_args &p, const launch *how)
{
    return p.head == 64 ? launch_wide_head<N, 64>(p, how) : launch_wide_head<N, 32>(p, how);
}

} // namespace

#endif
