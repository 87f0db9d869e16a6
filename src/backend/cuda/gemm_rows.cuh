/* gemm_rows: whole rows of a product: residual sum, norms.  Part of gemm.cuh.
 *
 * A block that has whole rows finishes them alone.  Rows that several blocks share (n larger than a tile, or k split over
 * blocks) are finished together by a cluster of blocks through each other's shared memory (compute capability 9.0 on), else by
 * the block that completes them last. */
#ifndef SEGRT_CUDA_GEMM_ROWS_CUH
#define SEGRT_CUDA_GEMM_ROWS_CUH

#include "backend/cuda/gemm_tiles.cuh"
#include "backend/cuda/numeric.cuh"

namespace {

/* ------------------------------------------------------------------- rows, by a cluster of blocks */

__device__ __forceinline__ void cluster_sync()
{
#if __CUDA_ARCH__ >= 900
    asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
#endif
}

__device__ __forceinline__ float4 peer_load(uint32_t address)
{
    float4 v = make_float4(0, 0, 0, 0);
#if __CUDA_ARCH__ >= 900
    asm volatile("ld.shared::cluster.v4.f32 {%0,%1,%2,%3}, [%4];" : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w) : "r"(address) : "memory");
#endif
    return v;
}

__device__ __forceinline__ void peer_store(uint32_t address, float v)
{
#if __CUDA_ARCH__ >= 900
    asm volatile("st.shared::cluster.f32 [%0], %1;" ::"r"(address), "f"(v) : "memory");
#endif
}

__device__ __forceinline__ float sum4(float4 v) { return (v.x + v.y) + (v.z + v.w); }
__device__ __forceinline__ float squares4(float4 v) { return (v.x * v.x + v.y * v.y) + (v.z * v.z + v.w * v.w); }

/* Groups of four columns of x that a thread adds to: few enough are read before the product begins and wait in registers. */
template <int BM, int BN, int THREADS> constexpr int rows_kept = BM * BN / 4 / THREADS <= 8 ? BM * BN / 4 / THREADS : 1;

template <int BM, int BN, int THREADS> __device__ __forceinline__ void load_before(const gemm_args &p, float4 (&before)[rows_kept<BM, BN, THREADS>], int m0, int n0)
{
    constexpr int LANES = BN / 4, PASS = THREADS / LANES, MOST = BM / PASS;
    if constexpr (MOST <= 8) {
        const int column = n0 + threadIdx.x % LANES * 4, splits = gridDim.z, row = m0 + blockIdx.z * (BM / splits) + threadIdx.x / LANES;
#pragma unroll
        for (int i = 0; i < MOST; i++)
            if (i < MOST / splits && column < p.n && row + i * PASS < p.m)
                before[i] = *(const float4 *)(p.x + (size_t)(row + i * PASS) * p.ldo + column);
    }
}

/* What a thread adds to its four columns of every row (ROW_PATCH: bias is a row's own), and which border case a row of the
 * block is; both are asked for before the product, whose end they would be waited for at. */
struct row_vectors {
    float4 bias, gamma, beta, shift;
};

template <int BN> __device__ __forceinline__ row_vectors load_vectors(const gemm_args &p, int n0)
{
    const int column = n0 + threadIdx.x % (BN / 4) * 4;
    const float4 zero = make_float4(0, 0, 0, 0);
    row_vectors v = {zero, zero, zero, zero};
    if (column < p.n) {
        if (p.rows == ROW_PATCH) {
            v.gamma = *(const float4 *)(p.gamma + column);
            v.beta = *(const float4 *)(p.beta + column);
        } else {
            v.bias = *(const float4 *)(p.bias + column);
        }
        if (p.offset)
            v.shift = *(const float4 *)(p.offset + column);
    }
    return v;
}

/* cases [BM], in shared memory; read after a barrier. */
template <int BM> __device__ __forceinline__ void load_cases(const gemm_args &p, int *cases, int m0)
{
    if (p.rows == ROW_PATCH && threadIdx.x < BM) {
        const int pixel = min(m0 + (int)threadIdx.x, p.m - 1) % (p.out_h * p.out_w), oy = pixel / p.out_w, ox = pixel - oy * p.out_w;
        cases[threadIdx.x] = p.case_y[oy] * p.cases_x + p.case_x[ox];
    }
}

/* Finishes rows of a tile that lies in shared memory as float [BM][BN + 4].  The blocks of a cluster hold the other
 * columns of the rows (x) and the other parts of k (z): each takes BM / splits rows of its columns, adds the parts up,
 * and the blocks exchange what they know of a row's sums.  In passes over shared memory, four rows at once: code that
 * kept rows in registers was so long that fetching instructions took most of the time. */
template <numeric N, int BM, int BN, int THREADS>
__device__ void finish_tile(const gemm_args &p, unsigned char *shared, const float4 (&before)[rows_kept<BM, BN, THREADS>], bool kept, const row_vectors &vectors,
                            const int *cases, int m0, int n0)
{
    constexpr int LANES = BN / 4, PASS = THREADS / LANES, MOST = BM / PASS, PITCH = BN + 4, BATCH = MOST > 8 ? 8 : 4;
    static_assert(LANES <= 32 && BM % PASS == 0, "tile");
    float *const tile = (float *)shared, *const exchanged = tile + BM * PITCH; /* exchanged [3][MOST_TILES][BM] */
    const uint32_t base = shared_address(shared);
    const int tid = threadIdx.x, lane = tid % LANES, column = n0 + lane * 4, across = gridDim.x, splits = gridDim.z;
    const int count = MOST / splits, first = blockIdx.z * (BM / splits) + tid / LANES;
    const bool inside = column < p.n;
    const float4 zero = make_float4(0, 0, 0, 0);
    auto add = [](float4 a, float4 b) { return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w); };
    auto sync = [&]() {
        if (across * splits > 1)
            cluster_sync();
        else
            __syncthreads();
    };
    /* Numbers of the rows first + (i + b) PASS, added over the columns of this block, to all blocks of the rows. */
    auto give = [&](int round, int i, float (&sum)[BATCH]) {
#pragma unroll
        for (int d = LANES / 2; d; d >>= 1)
#pragma unroll
            for (int b = 0; b < BATCH; b++)
                sum[b] += __shfl_xor_sync(0xffffffffu, sum[b], d);
#pragma unroll
        for (int b = 0; b < BATCH; b++) {
            const int r = first + (i + b) * PASS;
            if (i + b >= count)
                break;
            if (across == 1) {
                if (lane == 0)
                    exchanged[round * MOST_TILES * BM + r] = sum[b];
            } else if (lane < across) {
                peer_store(peer_address(base + (uint32_t)((BM * PITCH + (round * MOST_TILES + blockIdx.x) * BM + r) * 4), lane + across * blockIdx.z), sum[b]);
            }
        }
    };
    /* Everybody has given: a thread a row makes f(sum) of it. */
    auto settle = [&](int round, auto f) {
        sync();
        if (tid < BM / splits) {
            float *const of = exchanged + round * MOST_TILES * BM + blockIdx.z * (BM / splits) + tid;
            float sum = 0;
            for (int t = 0; t < across; t++)
                sum += of[t * BM];
            of[0] = f(sum);
        }
        __syncthreads();
    };
    auto settled = [&](int round, int r) { return exchanged[round * MOST_TILES * BM + r]; };

    const float4 bias = vectors.bias;
    sync(); /* every tile is complete, and nobody copies into shared memory any more */
    constexpr int BATCHES = (MOST + BATCH - 1) / BATCH;
    constexpr bool KEEPS = MOST <= 8;
#pragma unroll(KEEPS ? BATCHES : 1)
    for (int i = 0; i < BATCHES * BATCH; i += BATCH) {
        float4 v[BATCH];
        float sum[BATCH];
        if (i >= count) /* the same for all threads */
            break;
#pragma unroll
        for (int b = 0; b < BATCH; b++) { /* what comes from device memory first */
            const int row = m0 + first + (i + b) * PASS;
            v[b] = bias;
            if (i + b < count && inside && row < p.m) {
                if (p.rows == ROW_RESIDUAL) {
                    if (KEEPS && kept)
                        v[b] = add(v[b], before[KEEPS ? i + b : 0]);
                    else
                        v[b] = add(v[b], *(const float4 *)(p.x + (size_t)row * p.ldo + column));
                }
                if (p.rows == ROW_PATCH)
                    v[b] = *(const float4 *)(p.bias + (size_t)cases[first + (i + b) * PASS] * p.n + column);
            }
        }
        if (splits == 1) {
#pragma unroll
            for (int b = 0; b < BATCH; b++)
                v[b] = add(v[b], *(const float4 *)(tile + (first + (i + b) * PASS) * PITCH + lane * 4));
        } else {
#pragma unroll 1
            for (int z = 0; z < splits; z += 2)
#pragma unroll
                for (int b = 0; b < BATCH; b++)
                    if (i + b < count) {
                        const uint32_t at = base + (uint32_t)((first + (i + b) * PASS) * PITCH + lane * 4) * 4;
                        const float4 part = peer_load(peer_address(at, blockIdx.x + across * z)), next = peer_load(peer_address(at, blockIdx.x + across * (z + 1)));
                        v[b] = add(add(v[b], part), next);
                    }
        }
#pragma unroll
        for (int b = 0; b < BATCH; b++) {
            v[b] = inside ? v[b] : zero;
            sum[b] = squares4(v[b]);
            if (i + b < count) /* of this block's rows the others have read nothing and will not */
                *(float4 *)(tile + (first + (i + b) * PASS) * PITCH + lane * 4) = v[b];
        }
        give(0, i, sum);
    }
    if (p.rows == ROW_PATCH) {
        const float4 gamma = vectors.gamma, beta = vectors.beta;
        settle(0, [&](float sum) { return inverse_rms(sum, p.inverse_width, p.eps); });
#pragma unroll 1
        for (int i = 0; i < count; i += BATCH) {
            float sum[BATCH];
#pragma unroll
            for (int b = 0; b < BATCH; b++) {
                const int r = min(first + (i + b) * PASS, BM - 1);
                const float scale = settled(0, r);
                float4 *at = (float4 *)(tile + r * PITCH + lane * 4), v = *at;
                v = make_float4(v.x * scale * gamma.x + beta.x, v.y * scale * gamma.y + beta.y, v.z * scale * gamma.z + beta.z, v.w * scale * gamma.w + beta.w);
                if (i + b < count)
                    *at = v;
                sum[b] = sum4(v);
            }
            give(1, i, sum);
        }
        settle(1, [&](float sum) { return sum * p.inverse_width; });
#pragma unroll 1
        for (int i = 0; i < count; i += BATCH) {
            float sum[BATCH];
#pragma unroll
            for (int b = 0; b < BATCH; b++) {
                const int r = min(first + (i + b) * PASS, BM - 1);
                const float mean = settled(1, r);
                float4 *at = (float4 *)(tile + r * PITCH + lane * 4), v = *at;
                v.x = column < p.true_width ? v.x - mean : 0;
                v.y = column + 1 < p.true_width ? v.y - mean : 0;
                v.z = column + 2 < p.true_width ? v.z - mean : 0;
                v.w = column + 3 < p.true_width ? v.w - mean : 0;
                if (i + b < count)
                    *at = v;
                sum[b] = squares4(v);
            }
            give(2, i, sum);
        }
    }
    const float4 shift = vectors.shift;
    const int round = p.rows == ROW_PATCH ? 2 : 0;
    const float eps = p.rows == ROW_REDUCE ? p.eps : p.eps_out;
    settle(round, [&](float sum) { return p.rows == ROW_REDUCE && p.plain ? 1.0f : inverse_rms(sum, p.inverse_width, eps); });
#pragma unroll 4
    for (int i = 0; i < count; i++) {
        const int r = first + i * PASS, row = m0 + r;
        const float4 v = *(const float4 *)(tile + r * PITCH + lane * 4);
        const float scale = settled(round, r);
        if (inside && row < p.m) {
            if (p.rows != ROW_REDUCE)
                *(float4 *)(p.x + (size_t)row * p.ldo + column) = v;
            store4<N>((storage_t<N> *)p.out + (size_t)row * p.ldo + column,
                      make_float4(v.x * scale - shift.x, v.y * scale - shift.y, v.z * scale - shift.z, v.w * scale - shift.w));
        }
    }
}

/* finish_tile where the block has whole rows: a group of threads has a row from beginning to end, in registers, and
 * nobody waits for anybody. */
template <numeric N, int BM, int BN, int THREADS>
__device__ void finish_alone(const gemm_args &p, const float *tile, const float4 (&before)[rows_kept<BM, BN, THREADS>], bool kept, const row_vectors &vectors,
                             const int *cases, int m0)
{
    constexpr int LANES = BN / 4, PASS = THREADS / LANES, MOST = BM / PASS, PITCH = BN + 4, BATCH = MOST > 8 ? 8 : 4;
    constexpr bool KEEPS = MOST <= 8;
    static_assert(MOST % BATCH == 0, "whole batches");
    const int column = threadIdx.x % LANES * 4, first = threadIdx.x / LANES;
    const bool inside = column < p.n;
    const float4 zero = make_float4(0, 0, 0, 0);
    auto reduce = [](float (&sum)[BATCH]) {
#pragma unroll
        for (int d = LANES / 2; d; d >>= 1)
#pragma unroll
            for (int b = 0; b < BATCH; b++)
                sum[b] += __shfl_xor_sync(0xffffffffu, sum[b], d);
    };
    const float4 bias = vectors.bias, gamma = vectors.gamma, beta = vectors.beta, shift = vectors.shift;
    const float eps = p.rows == ROW_REDUCE ? p.eps : p.eps_out;
#pragma unroll(KEEPS ? MOST / BATCH : 1)
    for (int i = 0; i < MOST; i += BATCH) {
        float4 v[BATCH];
        float sum[BATCH];
#pragma unroll
        for (int b = 0; b < BATCH; b++) {
            const int row = m0 + first + (i + b) * PASS;
            v[b] = bias;
            if (inside && row < p.m) {
                if (p.rows == ROW_RESIDUAL) {
                    const float4 x = KEEPS && kept ? before[KEEPS ? i + b : 0] : *(const float4 *)(p.x + (size_t)row * p.ldo + column);
                    v[b] = make_float4(x.x + bias.x, x.y + bias.y, x.z + bias.z, x.w + bias.w);
                } else if (p.rows == ROW_PATCH) {
                    v[b] = *(const float4 *)(p.bias + (size_t)cases[first + (i + b) * PASS] * p.n + column);
                }
            }
        }
#pragma unroll
        for (int b = 0; b < BATCH; b++) {
            const float4 t = *(const float4 *)(tile + (first + (i + b) * PASS) * PITCH + column);
            v[b] = inside ? make_float4(v[b].x + t.x, v[b].y + t.y, v[b].z + t.z, v[b].w + t.w) : zero;
            sum[b] = squares4(v[b]);
        }
        reduce(sum);
        if (p.rows == ROW_PATCH) {
            float mean[BATCH];
#pragma unroll
            for (int b = 0; b < BATCH; b++) {
                const float scale = inverse_rms(sum[b], p.inverse_width, p.eps);
                v[b] = make_float4(v[b].x * scale * gamma.x + beta.x, v[b].y * scale * gamma.y + beta.y, v[b].z * scale * gamma.z + beta.z, v[b].w * scale * gamma.w + beta.w);
                mean[b] = sum4(v[b]);
            }
            reduce(mean);
#pragma unroll
            for (int b = 0; b < BATCH; b++) {
                const float m = mean[b] * p.inverse_width;
                v[b].x = column < p.true_width ? v[b].x - m : 0;
                v[b].y = column + 1 < p.true_width ? v[b].y - m : 0;
                v[b].z = column + 2 < p.true_width ? v[b].z - m : 0;
                v[b].w = column + 3 < p.true_width ? v[b].w - m : 0;
                sum[b] = squares4(v[b]);
            }
            reduce(sum);
        }
#pragma unroll
        for (int b = 0; b < BATCH; b++) {
            const int row = m0 + first + (i + b) * PASS;
            const float scale = p.rows == ROW_REDUCE && p.plain ? 1.0f : inverse_rms(sum[b], p.inverse_width, eps);
            if (inside && row < p.m) {
                if (p.rows != ROW_REDUCE)
                    *(float4 *)(p.x + (size_t)row * p.ldo + column) = v[b];
                store4<N>((storage_t<N> *)p.out + (size_t)row * p.ldo + column,
                          make_float4(v[b].x * scale - shift.x, v[b].y * scale - shift.y, v[b].z * scale - shift.z, v[b].w * scale - shift.w));
            }
        }
    }
}

/* --------------------------------------------------- rows, by the block that completes them last */

/* One row, spread over a warp: lane has columns 2 lane, 2 lane + 1 of every 64. */
template <numeric N, int PAIRS> __device__ void finish_row(const gemm_args &p, float2 (&v)[PAIRS], int row, bool bias_added)
{
    const int lane = threadIdx.x & 31;
    storage_t<N> *out = (storage_t<N> *)p.out + (size_t)row * p.ldo;
    float *x = p.x + (size_t)row * p.ldo;
    const float *bias = p.bias;
    if (p.rows == ROW_PATCH) {
        const int pixel = row % (p.out_h * p.out_w), oy = pixel / p.out_w, ox = pixel - oy * p.out_w;
        bias += (size_t)(p.case_y[oy] * p.cases_x + p.case_x[ox]) * p.n;
    }
    float squares = 0;
#pragma unroll
    for (int j = 0; j < PAIRS; j++) {
        const int column = (j * 32 + lane) * 2;
        if (column < p.n) {
            if (!bias_added) {
                const float2 b = *(const float2 *)(bias + column);
                v[j].x += b.x, v[j].y += b.y;
            }
            if (p.rows == ROW_RESIDUAL) {
                const float2 before = __ldcg((const float2 *)(x + column));
                v[j].x += before.x, v[j].y += before.y;
            }
            squares += v[j].x * v[j].x + v[j].y * v[j].y;
        }
    }
    squares = sum_over_warp(squares);
    if (p.rows == ROW_PATCH) {
        const float scale = inverse_rms(squares, p.inverse_width, p.eps);
        float sum = 0;
#pragma unroll
        for (int j = 0; j < PAIRS; j++) {
            const int column = (j * 32 + lane) * 2;
            if (column < p.n) {
                const float2 gamma = *(const float2 *)(p.gamma + column), beta = *(const float2 *)(p.beta + column);
                v[j].x = v[j].x * scale * gamma.x + beta.x;
                v[j].y = v[j].y * scale * gamma.y + beta.y;
                sum += v[j].x + v[j].y;
            }
        }
        const float mean = sum_over_warp(sum) * p.inverse_width;
        squares = 0;
#pragma unroll
        for (int j = 0; j < PAIRS; j++) {
            const int column = (j * 32 + lane) * 2;
            v[j].x = column < p.true_width ? v[j].x - mean : 0;
            v[j].y = column + 1 < p.true_width ? v[j].y - mean : 0;
            squares += v[j].x * v[j].x + v[j].y * v[j].y;
        }
        squares = sum_over_warp(squares);
    }
    const float scale = p.rows == ROW_REDUCE ? (p.plain ? 1.0f : inverse_rms(squares, p.inverse_width, p.eps)) : inverse_rms(squares, p.inverse_width, p.eps_out);
#pragma unroll
    for (int j = 0; j < PAIRS; j++) {
        const int column = (j * 32 + lane) * 2;
        if (column < p.n) {
            if (p.rows != ROW_REDUCE && !bias_added)
                *(float2 *)(x + column) = v[j];
            float2 shift = make_float2(0, 0);
            if (p.offset)
                shift = *(const float2 *)(p.offset + column);
            *(pair<N> *)(out + column) = narrow2<N>(v[j].x * scale - shift.x, v[j].y * scale - shift.y);
        }
    }
}

/* The rows [m0, m0 + rows) from the partial sums of all blocks, or (in_place) from x, which they have been added to. */
template <numeric N, int PAIRS> __device__ void finish_rows(const gemm_args &p, int m0, int rows, bool in_place)
{
    const int lane = threadIdx.x & 31;
    for (int r = threadIdx.x >> 5; r < rows; r += blockDim.x >> 5) {
        float2 v[PAIRS];
#pragma unroll
        for (int j = 0; j < PAIRS; j++) {
            const int column = (j * 32 + lane) * 2;
            v[j] = make_float2(0, 0);
            if (!in_place && column < p.n) {
                for (int s = 0; s < p.splits; s++) {
                    const float2 part = __ldcg((const float2 *)(p.partial + ((size_t)s * p.m + m0 + r) * p.n + column));
                    v[j].x += part.x, v[j].y += part.y;
                }
            }
        }
        finish_row<N, PAIRS>(p, v, m0 + r, in_place);
    }
}

template <numeric N> __device__ void finish_any(const gemm_args &p, int m0, int rows, bool in_place)
{
    if (p.n <= 64)
        finish_rows<N, 1>(p, m0, rows, in_place);
    else if (p.n <= 128)
        finish_rows<N, 2>(p, m0, rows, in_place);
    else if (p.n <= 320)
        finish_rows<N, 5>(p, m0, rows, in_place);
    else if (p.n <= 512)
        finish_rows<N, 8>(p, m0, rows, in_place);
    else
        finish_rows<N, 16>(p, m0, rows, in_place);
}

} // namespace

#endif
