/* attend: softmax(q K^T) V for tiles of rows, with K and V passing through shared memory once a tile (the online
 * softmax of FlashAttention, Dao et al. 2022).  CUDA backend.
 *
 * Before it, in the same kernel: the query product, where there are several heads.  After it, where there is one head:
 * the residual sum and the norm of the row.  Scores are powers of two (the network's fold).
 *
 * Warps of 16 * MT rows, with mma.sync; on compute capability 9.0 groups of four warps with wgmma (WIDE), which reads
 * K and V from shared memory once for 64 rows.  What a row has seen so far is rescaled only when its maximum grew by more than 2^8:
 * sums are in float32, and 2^8 fits every type. */
#ifndef SEGRT_CUDA_ATTEND_CUH
#define SEGRT_CUDA_ATTEND_CUH

#include "backend/cuda/wgmma.cuh"

namespace {

constexpr float SLACK = 8; /* log2 */

template <numeric N, int D> constexpr int keys_of = is_float<N> && D == 128 ? 32 : 64; /* of a stage */
template <numeric N, bool WIDE> constexpr int stages_of = is_float<N> ? 2 : WIDE ? 4 : 3;

template <numeric N, int D, int MT, int WARPS, bool WIDE> constexpr int ring_bytes()
{
    const int ring = stages_of<N, WIDE> * 2 * keys_of<N, D> * D * (int)sizeof(storage_t<N>), query = 2 * (WARPS * MT * 16 + D) * 128;
    return ring > query ? ring : query;
}

template <numeric N, int D, int MT, int WARPS, bool WIDE, bool QUERY>
__global__ void __launch_bounds__(WARPS * 32, WIDE ? 16 / WARPS : MT == 2 || is_float<N> ? 2 : 3) attend(const attend_args p)
{
    static_assert(!WIDE || (MT == 1 && WARPS % 4 == 0 && !is_float<N>), "wgmma takes 64 rows");
#ifndef __CUDA_ARCH_FEAT_SM90_ALL
    if constexpr (WIDE)
        return;
#endif
    using T = storage_t<N>;
    constexpr int ROWS = WARPS * MT * 16, KEYS = keys_of<N, D>, STAGES = stages_of<N, WIDE>, CHUNK = chunk_elements<N>;
    constexpr int K_ROW = D * (int)sizeof(T), V_ROW = KEYS * (int)sizeof(T), K_TILE = KEYS * K_ROW, STAGE = 2 * K_TILE;
    constexpr int Q_STEPS = K_ROW / 32, V_STEPS = V_ROW / 32, S_TILES = KEYS / 8, O_TILES = D / 8;
    extern __shared__ __align__(1024) unsigned char shared[];
    const int tid = threadIdx.x, lane = tid & 31, warp = tid >> 5;
    const int head = blockIdx.y, image = blockIdx.z, row0 = blockIdx.x * ROWS, rows = min(ROWS, p.tokens - row0);
    const uint32_t base = shared_address(shared);
    const T *q = (const T *)p.q + ((size_t)image * p.tokens + row0) * p.ldq;
    const T *keys = (const T *)p.keys + (size_t)image * p.nkeys * p.ldk + head * D;
    const T *values = (const T *)p.values + ((size_t)image * p.ldk + head * D) * p.key_pitch;
    const int inner = min(D, p.ldk - head * D); /* one head narrower than D */
    const int row_in = lane >> 2, column_in = (lane & 3) * 2, warp_row = warp * MT * 16;

    start_next();
    wait_for_previous();

    fragment<N, 4> query[MT][Q_STEPS];
    if constexpr (QUERY) { /* q = weight x + bias for this head, by slices of 128 bytes of x */
        constexpr int SLICE = 128 / (int)sizeof(T), Q_STAGE = (ROWS + D) * 128;
        const T *weight = (const T *)p.weight + (size_t)head * D * p.ldw;
        auto copy = [&](int slice, int stage) {
            const uint32_t tile = base + stage * Q_STAGE;
            for (int i = tid; i < (ROWS + D) * 8; i += WARPS * 32) {
                const int r = i >> 3, at = i & 7, k = slice * SLICE + at * CHUNK;
                const bool left = r < ROWS, valid = left ? r < rows && k < p.k : true;
                const T *from = left ? q + (valid ? (size_t)r * p.ldq + k : 0) : weight + (size_t)(r - ROWS) * p.ldw + k;
                copy_chunk(tile + tile_offset<128>(r, at), from, valid);
            }
            copy_commit();
        };
        float sum[MT][O_TILES][4];
#pragma unroll
        for (int i = 0; i < MT; i++)
#pragma unroll
            for (int j = 0; j < O_TILES; j++) {
                const float2 b = *(const float2 *)(p.q_bias + head * D + j * 8 + column_in);
                sum[i][j][0] = sum[i][j][2] = b.x;
                sum[i][j][1] = sum[i][j][3] = b.y;
            }
        const int slices = (p.k + SLICE - 1) / SLICE;
        copy(0, 0);
        for (int slice = 0; slice < slices; slice++) {
            if (slice + 1 < slices)
                copy(slice + 1, (slice + 1) & 1);
            else
                copy_commit();
            copy_wait<1>();
            __syncthreads();
            const uint32_t tile = base + (slice & 1) * Q_STAGE;
#pragma unroll
            for (int step = 0; step < 4; step++) {
                fragment<N, 4> left[MT];
#pragma unroll
                for (int i = 0; i < MT; i++)
                    left[i] = load_left<N, 128>(tile, warp_row + i * 16, step);
#pragma unroll
                for (int j = 0; j < O_TILES; j += 2) {
                    fragment<N, 2> first, second;
                    load_right<N, 128>(first, second, tile + ROWS * 128, j * 8, step);
#pragma unroll
                    for (int i = 0; i < MT; i++) {
                        multiply<N>(sum[i][j], left[i], first);
                        multiply<N>(sum[i][j + 1], left[i], second);
                    }
                }
            }
            __syncthreads();
        }
#pragma unroll
        for (int i = 0; i < MT; i++)
#pragma unroll
            for (int s = 0; s < Q_STEPS; s++)
                query[i][s] = as_left<N>(sum[i], s);
    } else {
        for (int i = tid; i < ROWS * (K_ROW / 16); i += WARPS * 32) {
            const int r = i / (K_ROW / 16), at = i % (K_ROW / 16);
            const bool valid = r < rows && at * CHUNK < p.k;
            copy_chunk(base + tile_offset<K_ROW>(r, at), q + (valid ? (size_t)r * p.ldq + head * D + at * CHUNK : 0), valid);
        }
        copy_commit();
        copy_wait<0>();
        __syncthreads();
#pragma unroll
        for (int i = 0; i < MT; i++)
#pragma unroll
            for (int s = 0; s < Q_STEPS; s++)
                query[i][s] = load_left<N, K_ROW>(base, warp_row + i * 16, s);
        __syncthreads();
    }

    const int tiles = (p.nkeys + KEYS - 1) / KEYS;
    auto copy = [&](int tile, int stage) {
        const uint32_t to = base + stage * STAGE;
        for (int i = tid; i < KEYS * (K_ROW / 16); i += WARPS * 32) {
            const int r = i / (K_ROW / 16), at = i % (K_ROW / 16), key = tile * KEYS + r;
            const bool valid = key < p.nkeys && at * CHUNK < inner;
            copy_chunk(to + tile_offset<K_ROW>(r, at), keys + (valid ? (size_t)key * p.ldk + at * CHUNK : 0), valid);
        }
        for (int i = tid; i < D * (V_ROW / 16); i += WARPS * 32) {
            const int r = i / (V_ROW / 16), at = i % (V_ROW / 16);
            const int left = min(max(p.nkeys - tile * KEYS - at * CHUNK / 8 * 8, 0), 8); /* keys of this group of eight: zeros behind the last */
            const int count = r >= inner ? 0 : is_float<N> ? (at & 1 ? left / 2 : (left + 1) / 2) : left;
            copy_part(to + K_TILE + tile_offset<V_ROW>(r, at), values + (count ? (size_t)r * p.key_pitch + tile * KEYS + at * CHUNK : 0), count * (int)sizeof(T));
        }
    };
#pragma unroll
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
        if constexpr (WIDE)
            wide_publish();
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
                b = *(const float2 *)(p.key_bias + (size_t)image * p.key_pitch + key);
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
        if constexpr (WIDE) {
            wide_begin();
#pragma unroll
            for (int s = 0; s < Q_STEPS; s++)
                wide_multiply<N>(score[0], query[0][s].high, wide_tile<K_ROW>(k_tile) + 2 * s, true);
            wide_commit();
            wide_wait<0>();
        } else {
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
        for (int i = 0; i < MT; i++) {
            float top[2] = {score[i][0][0], score[i][0][2]};
#pragma unroll
            for (int j = 0; j < S_TILES; j++) {
                top[0] = fmaxf(top[0], fmaxf(score[i][j][0], score[i][j][1]));
                top[1] = fmaxf(top[1], fmaxf(score[i][j][2], score[i][j][3]));
            }
#pragma unroll
            for (int h = 0; h < 2; h++) {
                top[h] = fmaxf(top[h], __shfl_xor_sync(0xffffffffu, top[h], 1));
                top[h] = fmaxf(top[h], __shfl_xor_sync(0xffffffffu, top[h], 2));
            }
            if (__any_sync(0xffffffffu, top[0] > maximum[i][0] + SLACK || top[1] > maximum[i][1] + SLACK)) {
#pragma unroll
                for (int h = 0; h < 2; h++) {
                    const float higher = fmaxf(maximum[i][h], top[h]), factor = exp2_fast(maximum[i][h] - higher);
                    maximum[i][h] = higher;
                    total[i][h] *= factor;
#pragma unroll
                    for (int j = 0; j < O_TILES; j++)
                        out[i][j][2 * h] *= factor, out[i][j][2 * h + 1] *= factor;
                }
            }
#pragma unroll
            for (int j = 0; j < S_TILES; j++)
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    score[i][j][e] = exp2_fast(score[i][j][e] - maximum[i][e >> 1]);
                    total[i][e >> 1] += score[i][j][e];
                }
        }

        if constexpr (WIDE) {
            fragment<N, 4> weights[V_STEPS];
#pragma unroll
            for (int s = 0; s < V_STEPS; s++)
                weights[s] = as_left<N>(score[0], s);
            wide_begin();
#pragma unroll
            for (int s = 0; s < V_STEPS; s++)
                wide_multiply<N>(out[0], weights[s].high, wide_tile<V_ROW>(v_tile) + 2 * s, true);
            wide_commit();
            wide_wait<0>();
        } else {
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

#pragma unroll
    for (int i = 0; i < MT; i++)
#pragma unroll
        for (int h = 0; h < 2; h++) {
            float sum = total[i][h];
            sum += __shfl_xor_sync(0xffffffffu, sum, 1);
            sum += __shfl_xor_sync(0xffffffffu, sum, 2);
            const float scale = 1.0f / sum;
            const int r = warp_row + i * 16 + row_in + h * 8;
            const bool valid = r < rows;
            const size_t row = ((size_t)image * p.tokens + row0 + r) * p.ldo;
            T *to = (T *)p.out + row + head * D;
            if (p.x) {
                float squares = 0;
#pragma unroll
                for (int j = 0; j < O_TILES; j++) {
                    const int column = j * 8 + column_in;
                    if (valid && column < p.ldo) {
                        float2 *x = (float2 *)(p.x + row + column);
                        const float2 before = *x, b = *(const float2 *)(p.out_bias + column);
                        const float2 after = make_float2(before.x + out[i][j][2 * h] * scale + b.x, before.y + out[i][j][2 * h + 1] * scale + b.y);
                        *x = after;
                        out[i][j][2 * h] = after.x, out[i][j][2 * h + 1] = after.y;
                        squares += after.x * after.x + after.y * after.y;
                    }
                }
                squares += __shfl_xor_sync(0xffffffffu, squares, 1);
                squares += __shfl_xor_sync(0xffffffffu, squares, 2);
                const float norm = inverse_rms(squares, p.inverse_width, p.eps);
#pragma unroll
                for (int j = 0; j < O_TILES; j++) {
                    const int column = j * 8 + column_in;
                    if (valid && column < p.ldo)
                        *(pair<N> *)(to + column) = narrow2<N>(out[i][j][2 * h] * norm, out[i][j][2 * h + 1] * norm);
                }
            } else if (valid) {
#pragma unroll
                for (int j = 0; j < O_TILES; j++)
                    *(pair<N> *)(to + j * 8 + column_in) = narrow2<N>(out[i][j][2 * h] * scale, out[i][j][2 * h + 1] * scale);
            }
        }
}

template <numeric N, int D, int MT, int WARPS, bool WIDE> cudaError_t launch_rows(const attend_args &p, const launch *how)
{
    constexpr int ROWS = WARPS * MT * 16;
    const dim3 grid((p.tokens + ROWS - 1) / ROWS, p.heads, p.images);
    constexpr int q_bytes = ROWS * D * (int)sizeof(storage_t<N>), ring = ring_bytes<N, D, MT, WARPS, WIDE>(), bytes = ring > q_bytes ? ring : q_bytes;
    if (p.weight)
        return start(attend<N, D, MT, WARPS, WIDE, true>, grid, WARPS * 32, bytes, how, p);
    return start(attend<N, D, MT, WARPS, WIDE, false>, grid, WARPS * 32, bytes, how, p);
}

template <numeric N, int D> cudaError_t launch_form(const attend_args &p, const launch *how)
{
    if constexpr (!is_float<N>) {
        if (p.wide)
            return p.rows == 128 ? launch_rows<N, D, 1, 8, true>(p, how) : launch_rows<N, D, 1, 4, true>(p, how);
        if (p.rows == 128)
            return launch_rows<N, D, 2, 4, false>(p, how);
    }
    return launch_rows<N, D, 1, 4, false>(p, how);
}

template <numeric N> cudaError_t launch_head(const attend_args &p, const launch *how)
{
    if (p.head == 128)
        return launch_rows<N, 128, 1, 4, false>(p, how);
    return p.head == 64 ? launch_form<N, 64>(p, how) : launch_form<N, 32>(p, how);
}

} // namespace

#endif
