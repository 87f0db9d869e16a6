/* gemm_end: what becomes of a product's sums: bias and ReLU, keys and transposed values, or whole rows (gemm_rows.cuh).  Part
 * of gemm.cuh.  A thread's sums lie LEFT x RIGHT tiles of 16 x 8 from row wm and column wn of its block's tile on. */
#ifndef SEGRT_CUDA_GEMM_END_CUH
#define SEGRT_CUDA_GEMM_END_CUH

#include "backend/cuda/gemm_rows.cuh"

namespace {

/* What an end needs of device memory, asked for before the product: at the end every read would be waited for. */
template <int BM, int BN, int THREADS> struct end_needs {
    float4 before[rows_kept<BM, BN, THREADS>];
    row_vectors vectors;
    bool kept;

    /* `more`: [max(BM, BN)] in shared memory, read after a barrier: biases of the columns, or cases of the rows. */
    __device__ __forceinline__ end_needs(const gemm_args &p, void *more, int m0, int n0) : kept(false)
    {
        if (p.end == GEMM_STORE) {
            if ((int)threadIdx.x < BN)
                ((float *)more)[threadIdx.x] = p.bias && n0 + (int)threadIdx.x < p.n ? p.bias[n0 + threadIdx.x] : 0;
        } else if (p.end == GEMM_ROWS) {
            vectors = load_vectors<BN>(p, n0);
            load_cases<BM>(p, (int *)more, m0);
        }
    }

    /* x, which the kernel before may have written. */
    __device__ __forceinline__ void keep(const gemm_args &p, bool together, int m0, int n0)
    {
        if (p.end == GEMM_ROWS && p.rows == ROW_RESIDUAL && together) {
            load_before<BM, BN, THREADS>(p, before, m0, n0);
            kept = true;
        }
    }
};

/* Through shared memory, so that stores are 16 bytes wide. */
template <numeric N, int BM, int BN, int THREADS, int LEFT, int RIGHT>
__device__ __forceinline__ void end_store(const gemm_args &p, const float (&sum)[LEFT][RIGHT][4], const float *bias, unsigned char *shared, int wm, int wn)
{
    using T = storage_t<N>;
    constexpr int CHUNK = chunk_elements<N>, PITCH = BN * (int)sizeof(T) + 16, CHUNKS = BN / CHUNK;
    const int lane = threadIdx.x & 31, m0 = blockIdx.y * BM, n0 = blockIdx.x * BN, row_in = lane >> 2, column_in = (lane & 3) * 2;
    const float least = p.relu ? 0 : -INFINITY;
#pragma unroll
    for (int j = 0; j < RIGHT; j++) {
        const int column = wn + j * 8 + column_in;
        const float2 b = *(const float2 *)(bias + column);
#pragma unroll
        for (int i = 0; i < LEFT; i++)
#pragma unroll
            for (int half = 0; half < 2; half++)
                *(pair<N> *)(shared + (wm + i * 16 + row_in + half * 8) * PITCH + column * (int)sizeof(T)) =
                    narrow2<N>(fmaxf(sum[i][j][2 * half] + b.x, least), fmaxf(sum[i][j][2 * half + 1] + b.y, least));
    }
    __syncthreads();
    each<BM * CHUNKS, THREADS>([&](int i) {
        const int row = i / CHUNKS, column = i % CHUNKS * CHUNK;
        if (m0 + row < p.m && n0 + column < p.n)
            *(uint4 *)((T *)p.out + (size_t)(m0 + row) * p.ldo + n0 + column) = *(const uint4 *)(shared + row * PITCH + column * (int)sizeof(T));
    });
}

/* Keys, transposed values and key biases; or (float results) float(sum + bias).  The warp's sums begin at `top`, `left`. */
template <numeric N, int LEFT, int RIGHT>
__device__ __forceinline__ void end_columns(const gemm_args &p, const float (&sum)[LEFT][RIGHT][4], bool keys, int top, int left)
{
    using T = storage_t<N>;
    const int lane = threadIdx.x & 31, row_in = lane >> 2, column_in = (lane & 3) * 2;
#pragma unroll
    for (int i = 0; i < LEFT; i++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int row = top + i * 16 + row_in + half * 8;
            if (row >= p.m)
                continue;
            const int image = keys ? row / p.keys : 0, key = row - image * p.keys;
            const int position = is_float<N> ? float_position(key) : key;
#pragma unroll
            for (int j = 0; j < RIGHT; j++) {
                const int column = left + j * 8 + column_in;
                if (column >= p.n)
                    continue;
                const float u = sum[i][j][2 * half], v = sum[i][j][2 * half + 1];
                if (!keys) {
                    *(float2 *)((float *)p.out + (size_t)row * p.ldo + column) = make_float2(u + p.bias[column], v + p.bias[column + 1]);
                } else if (column < p.width) {
                    *(pair<N> *)((T *)p.out + (size_t)row * p.ldo + column) = narrow2<N>(u, v);
                } else if (column < 2 * p.width) {
                    T *to = (T *)p.values + ((size_t)image * p.width + column - p.width) * p.key_pitch + position;
                    to[0] = narrow<N>(u);
                    to[p.key_pitch] = narrow<N>(v);
                } else if (column == 2 * p.width) {
                    p.key_bias[(size_t)image * p.key_pitch + key] = u;
                }
            }
        }
}

/* Rows whose sums are not all in the block's cluster: onto x, or beside each other, until the last block finishes them. */
template <numeric N, int BM, int BN, int LEFT, int RIGHT>
__device__ __forceinline__ void end_last(const gemm_args &p, const float (&sum)[LEFT][RIGHT][4], int wm, int wn)
{
    const int lane = threadIdx.x & 31, m0 = blockIdx.y * BM, n0 = blockIdx.x * BN, row_in = lane >> 2, column_in = (lane & 3) * 2;
    const bool in_place = gridDim.z == 1 && p.rows == ROW_RESIDUAL;
#pragma unroll
    for (int i = 0; i < LEFT; i++)
#pragma unroll
        for (int half = 0; half < 2; half++)
#pragma unroll
            for (int j = 0; j < RIGHT; j++) {
                const int row = m0 + wm + i * 16 + row_in + half * 8, column = n0 + wn + j * 8 + column_in;
                if (row >= p.m || column >= p.n)
                    continue;
                const float2 v = make_float2(sum[i][j][2 * half], sum[i][j][2 * half + 1]);
                if (in_place) {
                    float2 *x = (float2 *)(p.x + (size_t)row * p.ldo + column);
                    const float2 b = *(const float2 *)(p.bias + column), before = *x;
                    *x = make_float2(before.x + v.x + b.x, before.y + v.y + b.y);
                } else {
                    *(float2 *)(p.partial + ((size_t)blockIdx.z * p.m + row) * p.n + column) = v;
                }
            }
    __threadfence();
    __syncthreads();
    bool last = false;
    if (threadIdx.x == 0) {
        last = atomicAdd(p.counters + blockIdx.y, 1u) == gridDim.x * gridDim.z - 1;
        if (last)
            p.counters[blockIdx.y] = 0;
    }
    if (!__syncthreads_or(last))
        return;
    __threadfence();
    finish_any<N>(p, m0, min(BM, p.m - m0), in_place);
}

/* The tile as finish_alone and finish_tile read it: float [BM][BN + 4]. */
template <int BN, int LEFT, int RIGHT> __device__ __forceinline__ void put_sums(float *tile, const float (&sum)[LEFT][RIGHT][4], int wm, int wn)
{
    constexpr int PITCH = BN + 4;
    const int lane = threadIdx.x & 31, row_in = lane >> 2, column_in = (lane & 3) * 2;
#pragma unroll
    for (int i = 0; i < LEFT; i++)
#pragma unroll
        for (int half = 0; half < 2; half++)
#pragma unroll
            for (int j = 0; j < RIGHT; j++)
                *(float2 *)(tile + (wm + i * 16 + row_in + half * 8) * PITCH + wn + j * 8 + column_in) = make_float2(sum[i][j][2 * half], sum[i][j][2 * half + 1]);
}

/* Shared memory is free. */
template <numeric N, int BM, int BN, int THREADS, int LEFT, int RIGHT>
__device__ __forceinline__ void end_block(const gemm_args &p, const float (&sum)[LEFT][RIGHT][4], const end_needs<BM, BN, THREADS> &needs, const void *more,
                                          unsigned char *shared, int wm, int wn)
{
    const int m0 = blockIdx.y * BM, n0 = blockIdx.x * BN;
    if (p.end == GEMM_STORE) {
        end_store<N, BM, BN, THREADS>(p, sum, (const float *)more, shared, wm, wn);
        return;
    }
    if (p.end != GEMM_ROWS) {
        end_columns<N>(p, sum, p.end == GEMM_KEYS, m0 + wm, n0 + wn);
        return;
    }
    const bool alone = gridDim.x == 1 && gridDim.z == 1;
    if (!alone && !p.together) {
        end_last<N, BM, BN>(p, sum, wm, wn);
        return;
    }
    put_sums<BN>((float *)shared, sum, wm, wn);
    if (alone) {
        __syncthreads();
        finish_alone<N, BM, BN, THREADS>(p, (const float *)shared, needs.before, needs.kept, needs.vectors, (const int *)more, m0);
    } else {
        finish_tile<N, BM, BN, THREADS>(p, shared, needs.before, needs.kept, needs.vectors, (const int *)more, m0, n0);
    }
}

} // namespace

#endif
