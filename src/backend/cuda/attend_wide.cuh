/* attend_wide: attend.cuh with wgmma (compute capability 9.0a, 16 bits, heads of 32 and 64): groups of four warps, each
 * with 64 rows, read K and V from shared memory once a group.
 *
 * The product of the next tile's scores runs while this tile's become weights (as in FlashAttention-3, Shah et al.
 * 2024), and other groups' products meanwhile: bound by the tensor cores and the unit that makes exponentials, about
 * equally. */
#ifndef SEGRT_CUDA_ATTEND_WIDE_CUH
#define SEGRT_CUDA_ATTEND_WIDE_CUH

#include "backend/cuda/attend_parts.cuh"
#include "backend/cuda/wgmma.cuh"

namespace {

constexpr int WIDE_KEYS = 64;

/* A multiprocessor holds twelve warps: one block, or three with less room each. */
template <int D, int WARPS> constexpr int wide_stages = WARPS == 12 || D == 32 ? 6 : 4;
template <int D, int WARPS> constexpr int wide_query_stages = WARPS == 4 ? 4 : D == 64 ? 3 : 2;

template <int D, int WARPS> constexpr int wide_bytes()
{
    const int ring = wide_stages<D, WARPS> * (2 * WIDE_KEYS * D * 2 + WIDE_KEYS * 4), query = wide_query_stages<D, WARPS> * (WARPS * 16 + D) * 128;
    return ring > query ? ring : query;
}

template <numeric N, int D, int WARPS, bool QUERY> __global__ void __launch_bounds__(WARPS * 32, 12 / WARPS) attend_wide(const attend_args p)
{
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    constexpr int ROWS = WARPS * 16, KEYS = WIDE_KEYS, STAGES = wide_stages<D, WARPS>, K_ROW = D * 2, V_ROW = KEYS * 2, TILE = KEYS * K_ROW, STAGE = 2 * TILE;
    constexpr int Q_STEPS = K_ROW / 32, V_STEPS = V_ROW / 32, S_TILES = KEYS / 8, O_TILES = D / 8;
    extern __shared__ __align__(1024) unsigned char shared[];
    const uint32_t base = shared_address(shared), bias_base = base + STAGES * STAGE;
    const int column_in = (threadIdx.x & 3) * 2, tiles = (p.nkeys + KEYS - 1) / KEYS;
    const attend_block<N, D> b(p, ROWS);

    start_next();
    wait_for_previous();
    fragment<N, 4> query[1][Q_STEPS];
    load_query<N, D, 1, WARPS, wide_query_stages<D, WARPS>, QUERY>(query, p, b, base);

    auto copy = [&](int tile) {
        const int stage = tile % STAGES;
        if (tile < tiles) {
            copy_keys<N, D, KEYS, WARPS * 32>(p, b, tile, base + stage * STAGE, base + stage * STAGE + TILE);
            if (p.key_bias && threadIdx.x < KEYS / 4)
                copy_chunk(bias_base + stage * KEYS * 4 + threadIdx.x * 16, p.key_bias + (size_t)blockIdx.z * p.key_pitch + tile * KEYS + threadIdx.x * 4, true);
        }
        copy_commit();
    };
    /* Scores of a tile begin with the keys' biases, and far below where there is no key. */
    auto multiply_keys = [&](float (&score)[S_TILES][4], int tile) {
        const bool part = (tile + 1) * KEYS > p.nkeys, biased = p.key_bias || part;
        if (biased) {
#pragma unroll
            for (int j = 0; j < S_TILES; j++) {
                const int key = tile * KEYS + j * 8 + column_in;
                float2 bias = make_float2(0, 0);
                if (p.key_bias)
                    bias = *(const float2 *)(shared + STAGES * STAGE + (tile % STAGES * KEYS + j * 8 + column_in) * 4);
                score[j][0] = score[j][2] = key < p.nkeys ? bias.x : -1e30f;
                score[j][1] = score[j][3] = key + 1 < p.nkeys ? bias.y : -1e30f;
            }
        }
        const uint64_t right = wide_tile<K_ROW>(base + tile % STAGES * STAGE);
        wide_begin();
#pragma unroll
        for (int s = 0; s < Q_STEPS; s++)
            wide_multiply<N>(score, query[0][s].high, right + 2 * s, s > 0 || biased);
        wide_commit();
    };

    float out[1][O_TILES][4], maximum[2] = {-INFINITY, -INFINITY}, total[1][2] = {{0, 0}}, even[S_TILES][4], odd[S_TILES][4];
#pragma unroll
    for (int j = 0; j < O_TILES; j++)
#pragma unroll
        for (int e = 0; e < 4; e++)
            out[0][j][e] = 0;
#pragma unroll
    for (int s = 0; s < STAGES - 2; s++)
        copy(s);
    copy_wait<STAGES - 3>();
    wide_publish();
    __syncthreads();
    multiply_keys(even, 0);
    wide_commit(); /* stands for the product with the values of a tile before */

    auto advance = [&](float (&score)[S_TILES][4], float (&next)[S_TILES][4], int tile) {
        copy_wait<STAGES - 4>(); /* the next tile is here */
        wide_publish();
        wide_wait<1>();  /* the scores are; the values of the tile before may still be multiplied */
        __syncthreads(); /* everybody is done with the tile before that one */
        copy(tile + STAGES - 2);
        multiply_keys(next, min(tile + 1, tiles - 1)); /* behind the last: for nothing */
        weigh<N>(score, out[0], maximum, total[0], []() { wide_wait<1>(); });
        fragment<N, 4> weights[V_STEPS];
#pragma unroll
        for (int s = 0; s < V_STEPS; s++)
            weights[s] = as_left<N>(score, s);
        const uint64_t right = wide_tile<V_ROW>(base + tile % STAGES * STAGE + TILE);
        wide_begin();
#pragma unroll
        for (int s = 0; s < V_STEPS; s++)
            wide_multiply<N>(out[0], weights[s].high, right + 2 * s, true);
        wide_commit();
    };
    for (int tile = 0; tile < tiles; tile += 2) {
        advance(even, odd, tile);
        if (tile + 1 < tiles)
            advance(odd, even, tile + 1);
    }
    wide_wait<0>();
    copy_wait<0>();
    store_result<N, D, 1>(p, out, total, b.row0, b.rows);
#endif
}

template <numeric N, int D, int WARPS> cudaError_t launch_wide_rows(const attend_args &p, const launch *how)
{
    constexpr int ROWS = WARPS * 16, bytes = wide_bytes<D, WARPS>();
    const dim3 grid((p.tokens + ROWS - 1) / ROWS, p.heads, p.images);
    return p.weight ? start(attend_wide<N, D, WARPS, true>, grid, WARPS * 32, bytes, how, p) : start(attend_wide<N, D, WARPS, false>, grid, WARPS * 32, bytes, how, p);
}

template <numeric N> cudaError_t launch_wide(const attend_args &p, const launch *how)
{
    if (p.rows == 192)
        return p.head == 64 ? launch_wide_rows<N, 64, 12>(p, how) : launch_wide_rows<N, 32, 12>(p, how);
    return p.head == 64 ? launch_wide_rows<N, 64, 4>(p, how) : launch_wide_rows<N, 32, 4>(p, how);
}

} // namespace

#endif
