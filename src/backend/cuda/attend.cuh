/* attend: softmax(q K^T) V for tiles of rows, with K and V passing through shared memory once a tile (the online
 * softmax of FlashAttention, Dao et al. 2022).  CUDA backend; attend_wide.cuh is the form for compute capability 9.0.
 *
 * Before it, in the same kernel: the query product, where there are several heads.  After it, where there is one head:
 * the residual sum and the norm of the row.  Scores are powers of two (the network's fold).  Four warps of 16 * MT rows. */
#ifndef SEGRT_CUDA_ATTEND_CUH
#define SEGRT_CUDA_ATTEND_CUH

#include "backend/cuda/attend_parts.cuh"

namespace {

constexpr int WARPS = 4;

template <numeric N, int D> constexpr int keys_of = is_float<N> && D == 128 ? 32 : 64; /* of a stage */
template <numeric N> constexpr int stages_of = is_float<N> ? 2 : 3;

template <numeric N, int D, int MT> constexpr int attend_bytes()
{
    const int ring = stages_of<N> * 2 * keys_of<N, D> * D * (int)sizeof(storage_t<N>), query = 2 * (WARPS * MT * 16 + D) * 128;
    const int rows = WARPS * MT * 16 * D * (int)sizeof(storage_t<N>), larger = ring > query ? ring : query;
    return larger > rows ? larger : rows;
}

template <numeric N, int D, int MT, bool QUERY> __global__ void __launch_bounds__(WARPS * 32, MT == 2 || is_float<N> ? 2 : 3) attend(const attend_args p)
{
    using T = storage_t<N>;
    constexpr int ROWS = WARPS * MT * 16, KEYS = keys_of<N, D>, STAGES = stages_of<N>;
    constexpr int K_ROW = D * (int)sizeof(T), V_ROW = KEYS * (int)sizeof(T), K_TILE = KEYS * K_ROW, STAGE = 2 * K_TILE;
    constexpr int Q_STEPS = K_ROW / 32, V_STEPS = V_ROW / 32, S_TILES = KEYS / 8, O_TILES = D / 8;
    extern __shared__ __align__(1024) unsigned char shared[];
    const uint32_t base = shared_address(shared);
    const int column_in = (threadIdx.x & 3) * 2;
    const attend_block<N, D> b(p, ROWS);

    wait_for_previous();
    fragment<N, 4> query[MT][Q_STEPS];
    load_query<N, D, MT, WARPS, 2, QUERY>(query, p, b, base);

    const int tiles = (p.nkeys + KEYS - 1) / KEYS;
    const key_copier<N, D, KEYS, WARPS * 32> keys(p, b);
    auto copy = [&](int tile, int stage) { keys.copy(p, tile, base + stage * STAGE, base + stage * STAGE + K_TILE); };
#pragma unroll 1
    for (int s = 0; s < STAGES - 1; s++) {
        if (s < tiles)
            copy(s, s);
        copy_commit();
    }

    float out[MT][O_TILES][4], maximum[MT][2], total[MT][2];
#pragma unroll
    for (int i = 0; i < MT; i++) {
        maximum[i][0] = maximum[i][1] = -INFINITY;
        total[i][0] = total[i][1] = 0;
#pragma unroll
        for (int j = 0; j < O_TILES; j++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                out[i][j][e] = 0;
    }

    for (int tile = 0; tile < tiles; tile++) {
        copy_wait<STAGES - 2>();
        __syncthreads();
        if (tile + STAGES - 1 < tiles)
            copy(tile + STAGES - 1, (tile + STAGES - 1) % STAGES);
        copy_commit();
        const uint32_t k_tile = base + tile % STAGES * STAGE, v_tile = k_tile + K_TILE;

        float score[MT][S_TILES][4];
        const bool part = (tile + 1) * KEYS > p.nkeys;
#pragma unroll
        for (int j = 0; j < S_TILES; j++) {
            const int key = tile * KEYS + j * 8 + column_in;
            float2 b = make_float2(0, 0);
            if (p.key_bias)
                b = *(const float2 *)(p.key_bias + (size_t)blockIdx.z * p.key_pitch + key);
            if (part) {
                b.x = key < p.nkeys ? b.x : -1e30f;
                b.y = key + 1 < p.nkeys ? b.y : -1e30f;
            }
#pragma unroll
            for (int i = 0; i < MT; i++) {
                score[i][j][0] = score[i][j][2] = b.x;
                score[i][j][1] = score[i][j][3] = b.y;
            }
        }
        {
#pragma unroll
            for (int s = 0; s < Q_STEPS; s++)
#pragma unroll
                for (int j = 0; j < S_TILES; j += 2) {
                    fragment<N, 2> first, second;
                    load_right<N, K_ROW>(first, second, k_tile, j * 8, s);
#pragma unroll
                    for (int i = 0; i < MT; i++) {
                        multiply<N>(score[i][j], query[i][s], first);
                        multiply<N>(score[i][j + 1], query[i][s], second);
                    }
                }
        }

#pragma unroll
        for (int i = 0; i < MT; i++)
            weigh<N>(score[i], out[i], maximum[i], total[i], []() {});

        {
#pragma unroll
            for (int s = 0; s < V_STEPS; s++) {
                fragment<N, 4> weights[MT];
#pragma unroll
                for (int i = 0; i < MT; i++)
                    weights[i] = as_left<N>(score[i], s);
#pragma unroll
                for (int j = 0; j < O_TILES; j += 2) {
                    fragment<N, 2> first, second;
                    load_right<N, V_ROW>(first, second, v_tile, j * 8, s);
#pragma unroll
                    for (int i = 0; i < MT; i++) {
                        multiply<N>(out[i][j], weights[i], first);
                        multiply<N>(out[i][j + 1], weights[i], second);
                    }
                }
            }
        }
    }
    copy_wait<0>();
    start_next();
    store_result<N, D, MT>(p, out, total, b.row0, b.rows);
}

template <numeric N, int D, int MT> cudaError_t launch_rows(const attend_args &p, const launch *how)
{
    constexpr int ROWS = WARPS * MT * 16, bytes = attend_bytes<N, D, MT>();
    const dim3 grid((p.tokens + ROWS - 1) / ROWS, p.heads, p.images);
    return p.weight ? start(attend<N, D, MT, true>, grid, WARPS * 32, bytes, how, p) : start(attend<N, D, MT, false>, grid, WARPS * 32, bytes, how, p);
}

template <numeric N> cudaError_t launch_head(const attend_args &p, const launch *how)
{
    if (p.head == 128)
        return launch_rows<N, 128, 1>(p, how);
    if constexpr (!is_float<N>)
        if (p.rows == 128)
            return p.head == 64 ? launch_rows<N, 64, 2>(p, how) : launch_rows<N, 32, 2>(p, how);
    return p.head == 64 ? launch_rows<N, 64, 1>(p, how) : launch_rows<N, 32, 1>(p, how);
}

} // namespace

#endif
