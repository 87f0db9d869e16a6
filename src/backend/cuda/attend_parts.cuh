/* attend_parts: what both forms of the attention kernel share: the queries of a tile of rows, where to find keys and
 * values, and what becomes of the result. */
#ifndef SEGRT_CUDA_ATTEND_PARTS_CUH
#define SEGRT_CUDA_ATTEND_PARTS_CUH

#include <type_traits>

#include "backend/cuda/numeric.cuh"

namespace {

constexpr float SLACK = 8; /* log2: how far a row's maximum may grow before what it has seen is rescaled */

/* Rows of a block, and the part of the arguments that concerns it. */
template <numeric N, int D> struct attend_block {
    const storage_t<N> *q, *keys, *values;
    int row0, rows, inner; /* inner: columns of K that exist (one head narrower than D) */

    __device__ attend_block(const attend_args &p, int size)
    {
        row0 = blockIdx.x * size;
        rows = min(size, p.tokens - row0);
        q = (const storage_t<N> *)p.q + ((size_t)blockIdx.z * p.tokens + row0) * p.ldq;
        keys = (const storage_t<N> *)p.keys + (size_t)blockIdx.z * p.nkeys * p.ldk + blockIdx.y * D;
        values = (const storage_t<N> *)p.values + ((size_t)blockIdx.z * p.ldk + blockIdx.y * D) * p.key_pitch;
        inner = min(D, p.ldk - (int)blockIdx.y * D);
    }
};

/* Brings KEYS keys and values in the background into a tile of each.  What a thread copies in every tile is worked out
 * once: addresses only move on. */
template <numeric N, int D, int KEYS, int THREADS> struct key_copier {
    using T = storage_t<N>;
    static constexpr int CHUNK = chunk_elements<N>, K_ROW = D * (int)sizeof(T), V_ROW = KEYS * (int)sizeof(T), K_CHUNKS = K_ROW / 16, V_CHUNKS = V_ROW / 16;
    const T *k_from, *v_from;
    int k_row, k_at, v_row, v_at, inner;

    __device__ key_copier(const attend_args &p, const attend_block<N, D> &b)
        : k_row(threadIdx.x / K_CHUNKS), k_at(threadIdx.x % K_CHUNKS), v_row(threadIdx.x / V_CHUNKS), v_at(threadIdx.x % V_CHUNKS), inner(b.inner)
    {
        k_from = b.keys + k_row * p.ldk + k_at * CHUNK;
        v_from = b.values + v_row * p.key_pitch + v_at * CHUNK;
    }

    __device__ __forceinline__ void copy(const attend_args &p, int tile, uint32_t k_tile, uint32_t v_tile) const
    {
        static_assert(THREADS % K_CHUNKS == 0 && THREADS % V_CHUNKS == 0, "a thread stays in its column of chunks");
        constexpr int K_PASSES = (KEYS * K_CHUNKS + THREADS - 1) / THREADS, K_STEP = THREADS / K_CHUNKS;
        constexpr int V_PASSES = (D * V_CHUNKS + THREADS - 1) / THREADS, V_STEP = THREADS / V_CHUNKS;
        const T *k = k_from + (size_t)tile * KEYS * p.ldk, *v = v_from + tile * KEYS;
        const int k_bytes = k_at * CHUNK < inner ? 16 : 0;
        const bool part = (tile + 1) * KEYS > p.nkeys;
        int v_bytes = 16;
        if (part) {
            const int left = min(max(p.nkeys - tile * KEYS - v_at * CHUNK / 8 * 8, 0), 8); /* keys of this group of eight: zeros behind the last */
            v_bytes = (is_float<N> ? (v_at & 1 ? left / 2 : (left + 1) / 2) : left) * (int)sizeof(T);
            if (!v_bytes)
                v = v_from;
        }
#pragma unroll
        for (int pass = 0; pass < K_PASSES; pass++) {
            const int r = k_row + pass * K_STEP;
            if (KEYS * K_CHUNKS % THREADS && r >= KEYS)
                break;
            if (part)
                copy_part(k_tile + tile_offset<K_ROW>(r, k_at), k_from + (size_t)min(tile * KEYS + pass * K_STEP, p.nkeys - 1 - k_row) * p.ldk, k_bytes);
            else
                copy_part(k_tile + tile_offset<K_ROW>(r, k_at), k + pass * K_STEP * p.ldk, k_bytes);
        }
#pragma unroll
        for (int pass = 0; pass < V_PASSES; pass++) {
            const int r = v_row + pass * V_STEP;
            if (D * V_CHUNKS % THREADS && r >= D)
                break;
            copy_part(v_tile + tile_offset<V_ROW>(r, v_at), v + pass * V_STEP * p.key_pitch, r < inner ? v_bytes : 0);
        }
    }
};

/* The rows' queries as left operands.  QUERY: q = weight x + bias of this head, by slices of 128 bytes of x through a ring
 * of STAGES in shared memory; else as they lie in memory. */
template <numeric N, int D, int MT, int WARPS, int STAGES, bool QUERY>
__device__ __forceinline__ void load_query(fragment<N, 4> (&query)[MT][D * (int)sizeof(storage_t<N>) / 32], const attend_args &p, const attend_block<N, D> &b, uint32_t base)
{
    using T = storage_t<N>;
    constexpr int ROWS = WARPS * MT * 16, THREADS = WARPS * 32, CHUNK = chunk_elements<N>, K_ROW = D * (int)sizeof(T), Q_STEPS = K_ROW / 32, TILES = D / 8;
    const int tid = threadIdx.x, lane = tid & 31, warp_row = (tid >> 5) * MT * 16, column_in = (lane & 3) * 2;
    if constexpr (QUERY) {
        constexpr int SLICE = 128 / (int)sizeof(T), STAGE = (ROWS + D) * 128;
        const T *weight = (const T *)p.weight + (size_t)blockIdx.y * D * p.ldw;
        auto copy = [&](int slice, int stage) {
            const uint32_t tile = base + stage * STAGE;
            each<ROWS * 8, THREADS>([&](int i) {
                const int r = i >> 3, at = i & 7, k = slice * SLICE + at * CHUNK;
                const bool valid = r < b.rows && k < p.k;
                copy_chunk(tile + tile_offset<128>(r, at), b.q + (valid ? r * p.ldq + k : 0), valid);
            });
            each<D * 8, THREADS>([&](int i) {
                const int r = i >> 3, at = i & 7;
                copy_chunk(tile + ROWS * 128 + tile_offset<128>(r, at), weight + r * p.ldw + slice * SLICE + at * CHUNK, true);
            });
        };
        float sum[MT][TILES][4];
#pragma unroll
        for (int j = 0; j < TILES; j++) {
            const float2 bias = *(const float2 *)(p.q_bias + blockIdx.y * D + j * 8 + column_in);
#pragma unroll
            for (int i = 0; i < MT; i++) {
                sum[i][j][0] = sum[i][j][2] = bias.x;
                sum[i][j][1] = sum[i][j][3] = bias.y;
            }
        }
        const int slices = (p.k + SLICE - 1) / SLICE;
#pragma unroll 1
        for (int s = 0; s < STAGES - 1; s++) {
            if (s < slices)
                copy(s, s);
            copy_commit();
        }
        for (int slice = 0; slice < slices; slice++) {
            copy_wait<STAGES - 2>();
            __syncthreads();
            if (slice + STAGES - 1 < slices)
                copy(slice + STAGES - 1, (slice + STAGES - 1) % STAGES);
            copy_commit();
            const uint32_t tile = base + slice % STAGES * STAGE;
#pragma unroll
            for (int step = 0; step < 4; step++) {
                fragment<N, 4> left[MT];
#pragma unroll
                for (int i = 0; i < MT; i++)
                    left[i] = load_left<N, 128>(tile, warp_row + i * 16, step);
#pragma unroll
                for (int j = 0; j < TILES; j += 2) {
                    fragment<N, 2> first, second;
                    load_right<N, 128>(first, second, tile + ROWS * 128, j * 8, step);
#pragma unroll
                    for (int i = 0; i < MT; i++) {
                        multiply<N>(sum[i][j], left[i], first);
                        multiply<N>(sum[i][j + 1], left[i], second);
                    }
                }
            }
        }
#pragma unroll
        for (int i = 0; i < MT; i++)
#pragma unroll
            for (int s = 0; s < Q_STEPS; s++)
                query[i][s] = as_left<N>(sum[i], s);
    } else {
        each<ROWS * (K_ROW / 16), THREADS>([&](int i) {
            const int r = i / (K_ROW / 16), at = i % (K_ROW / 16);
            const bool valid = r < b.rows && at * CHUNK < p.k;
            copy_chunk(base + tile_offset<K_ROW>(r, at), b.q + (valid ? r * p.ldq + blockIdx.y * D + at * CHUNK : 0), valid);
        });
        copy_commit();
        copy_wait<0>();
        __syncthreads();
#pragma unroll
        for (int i = 0; i < MT; i++)
#pragma unroll
            for (int s = 0; s < Q_STEPS; s++)
                query[i][s] = load_left<N, K_ROW>(base, warp_row + i * 16, s);
    }
    __syncthreads(); /* the ring is free */
}

/* Of a thread's two rows. */
template <int S_TILES> __device__ __forceinline__ void largest_scores(const float (&score)[S_TILES][4], float (&top)[2])
{
    top[0] = score[0][0];
    top[1] = score[0][2];
#pragma unroll
    for (int j = 0; j < S_TILES; j++) {
        top[0] = fmaxf(top[0], fmaxf(score[j][0], score[j][1]));
        top[1] = fmaxf(top[1], fmaxf(score[j][2], score[j][3]));
    }
#pragma unroll
    for (int h = 0; h < 2; h++) {
        top[h] = fmaxf(top[h], __shfl_xor_sync(0xffffffffu, top[h], 1));
        top[h] = fmaxf(top[h], __shfl_xor_sync(0xffffffffu, top[h], 2));
    }
}

/* A tile's scores become weights; what the row has seen so far is rescaled where its maximum grew by more than SLACK
 * (`before_rescale` first makes it safe to touch). */
template <numeric N, int S_TILES, int O_TILES, typename F>
__device__ __forceinline__ void weigh(float (&score)[S_TILES][4], float (&out)[O_TILES][4], float (&maximum)[2], float (&total)[2], F before_rescale)
{
    float top[2];
    largest_scores(score, top);
    const bool grown = __any_sync(0xffffffffu, top[0] > maximum[0] + SLACK || top[1] > maximum[1] + SLACK);
    float factor[2] = {1, 1};
    if (grown) {
#pragma unroll
        for (int h = 0; h < 2; h++) {
            const float higher = fmaxf(maximum[h], top[h]);
            factor[h] = exp2_fast(maximum[h] - higher);
            maximum[h] = higher;
            total[h] *= factor[h];
        }
    }
#pragma unroll
    for (int j = 0; j < S_TILES; j++)
#pragma unroll
        for (int e = 0; e < 4; e++) {
            score[j][e] = exp2_fast(score[j][e] - maximum[e >> 1]);
            total[e >> 1] += score[j][e];
        }
    before_rescale();
    if (grown) {
#pragma unroll
        for (int j = 0; j < O_TILES; j++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                out[j][e] *= factor[e >> 1];
    }
}

/* Calls `f` with a head's width, groups of warps with rows of their own and groups that share keys out, as compile-time constants. */
template <int VALUE> using constant = std::integral_constant<int, VALUE>;

template <int D, typename F> cudaError_t by_groups(const attend_args &p, F f)
{
    if (p.row_groups == 2)
        return f(constant<D>(), constant<2>(), constant<1>());
    if (p.key_groups == 2)
        return f(constant<D>(), constant<1>(), constant<2>());
    return f(constant<D>(), constant<1>(), constant<1>());
}

template <typename F> cudaError_t by_head_and_groups(const attend_args &p, F f) { return p.head == 64 ? by_groups<64>(p, f) : by_groups<32>(p, f); }

/* Two groups of four warps that had half of the keys each: their sums by their maxima, through shared memory, which is free.  Group 0 has
 * them then, and group 1 is told (false) that it has nothing to do. */
template <int O_TILES>
__device__ __forceinline__ bool join_groups(unsigned char *shared, int group, float (&out)[O_TILES][4], float (&total)[2], const float (&maximum)[2])
{
    float *const other = (float *)shared + (threadIdx.x & 127);
    __syncthreads();
    if (group == 1) {
#pragma unroll
        for (int j = 0; j < O_TILES; j++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                other[(j * 4 + e) * 128] = out[j][e];
#pragma unroll
        for (int h = 0; h < 2; h++) {
            other[(O_TILES * 4 + h) * 128] = total[h];
            other[(O_TILES * 4 + 2 + h) * 128] = maximum[h];
        }
    }
    __syncthreads();
    if (group == 1)
        return false;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const float there = other[(O_TILES * 4 + 2 + h) * 128], higher = fmaxf(maximum[h], there);
        const float mine = exp2_fast(maximum[h] - higher), its = exp2_fast(there - higher);
        total[h] = total[h] * mine + other[(O_TILES * 4 + h) * 128] * its;
#pragma unroll
        for (int j = 0; j < O_TILES; j++)
#pragma unroll
            for (int e = 2 * h; e < 2 * h + 2; e++)
                out[j][e] = out[j][e] * mine + other[(j * 4 + e) * 128] * its;
    }
    return true;
}

/* Results over their sums: to `out`, or (one head) onto x and its norm to `out`. */
template <numeric N, int D, int MT>
__device__ __forceinline__ void store_result(const attend_args &p, float (&out)[MT][D / 8][4], const float (&total)[MT][2], int row0, int rows)
{
    using T = storage_t<N>;
    constexpr int O_TILES = D / 8;
    const int lane = threadIdx.x & 31, row_in = lane >> 2, column_in = (lane & 3) * 2, warp_row = (threadIdx.x >> 5) * MT * 16, head = blockIdx.y, image = blockIdx.z;
#pragma unroll
    for (int i = 0; i < MT; i++) {
        float2 before[2][O_TILES], bias[O_TILES]; /* what is read, all at once */
#pragma unroll
        for (int j = 0; j < O_TILES; j++) {
            bias[j] = make_float2(0, 0);
            if (p.x && j * 8 + column_in < p.ldo)
                bias[j] = *(const float2 *)(p.out_bias + j * 8 + column_in);
        }
#pragma unroll
        for (int h = 0; h < 2; h++) {
            const int r = warp_row + i * 16 + row_in + h * 8;
            const float *x = p.x + ((size_t)image * p.tokens + row0 + r) * p.ldo;
#pragma unroll
            for (int j = 0; j < O_TILES; j++) {
                const int column = j * 8 + column_in;
                before[h][j] = make_float2(0, 0);
                if (p.x && r < rows && column < p.ldo)
                    before[h][j] = *(const float2 *)(x + column);
            }
        }
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
                        const float2 b = bias[j], was = before[h][j];
                        const float2 after = make_float2(was.x + out[i][j][2 * h] * scale + b.x, was.y + out[i][j][2 * h + 1] * scale + b.y);
                        *(float2 *)(p.x + row + column) = after;
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
}

} // namespace

#endif
