/* gemm: out[m][n] = a[m][k] w[n][k]^T with tensor cores, and what follows it at once: bias, ReLU, splitting
 * into keys and transposed values, or whole rows (residual sum, norms).  CUDA backend; most operations of
 * the network are one of these.
 *
 * A block makes a BM x BN tile from 128-byte wide slices of both operands that a ring of STAGES buffers
 * brings in, by products of a warp (mma.sync) or of four (GROUPS: wgmma, compute capability 9.0a, 16 bits and tf32).  Rows that several blocks share (n larger than a tile, or k split over blocks) are finished
 * together by a cluster of blocks through each other's shared memory (compute capability 9.0 on), else by the
 * block that completes them last.  Sums are in a fixed order, so results do not depend on timing. */
#ifndef SEGRT_CUDA_GEMM_CUH
#define SEGRT_CUDA_GEMM_CUH

#include "backend/cuda/gemm_tiles.cuh"
#include "backend/cuda/wgmma.cuh"

namespace {

/* ------------------------------------------------------------------- rows, by a cluster of blocks */

__device__ __forceinline__ void cluster_sync()
{
#if __CUDA_ARCH__ >= 900
    asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
#endif
}

/* `address` in the shared memory of block `rank` of the cluster. */
__device__ __forceinline__ uint32_t peer_address(uint32_t address, unsigned rank)
{
    uint32_t there = address;
#if __CUDA_ARCH__ >= 900
    asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(address), "r"(rank));
#endif
    return there;
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

/* Finishes rows of a tile that lies in shared memory as float [BM][BN + 4].  The blocks of a cluster hold the other
 * columns of the rows (x) and the other parts of k (z): each takes BM / splits rows of its columns, adds the parts up,
 * and the blocks exchange what they know of a row's sums.  In passes over shared memory, four rows at once: code that
 * kept rows in registers was so long that fetching instructions took most of the time. */
template <numeric N, int BM, int BN, int THREADS>
__device__ void finish_tile(const gemm_args &p, unsigned char *shared, const float4 (&before)[rows_kept<BM, BN, THREADS>], bool kept, int m0, int n0)
{
    constexpr int LANES = BN / 4, PASS = THREADS / LANES, MOST = BM / PASS, PITCH = BN + 4, BATCH = 4;
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
    /* A number of row r, added over the columns of this block, to all blocks of the row. */
    auto give = [&](int round, int r, float sum) {
#pragma unroll
        for (int d = LANES / 2; d; d >>= 1)
            sum += __shfl_xor_sync(0xffffffffu, sum, d);
        if (across == 1) {
            if (lane == 0)
                exchanged[round * MOST_TILES * BM + r] = sum;
        } else if (lane < across) {
            peer_store(peer_address(base + (uint32_t)((BM * PITCH + (round * MOST_TILES + blockIdx.x) * BM + r) * 4), lane + across * blockIdx.z), sum);
        }
    };
    auto total = [&](int round, int r) {
        float sum = 0;
        for (int t = 0; t < across; t++)
            sum += exchanged[(round * MOST_TILES + t) * BM + r];
        return sum;
    };

    float4 bias = zero;
    if (inside && p.rows != ROW_PATCH)
        bias = *(const float4 *)(p.bias + column);
    sync(); /* every tile is complete, and nobody copies into shared memory any more */
    constexpr int BATCHES = (MOST + BATCH - 1) / BATCH;
    constexpr bool KEEPS = MOST <= 8;
#pragma unroll(KEEPS ? BATCHES : 1)
    for (int i = 0; i < BATCHES * BATCH; i += BATCH) {
        float4 v[BATCH];
        if (i >= count)
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
                if (p.rows == ROW_PATCH) {
                    const int pixel = row % (p.out_h * p.out_w), oy = pixel / p.out_w, ox = pixel - oy * p.out_w;
                    v[b] = *(const float4 *)(p.bias + (size_t)(p.case_y[oy] * p.cases_x + p.case_x[ox]) * p.n + column);
                }
            }
        }
#pragma unroll
        for (int b = 0; b < BATCH; b++) {
            const int r = first + (i + b) * PASS;
            if (i + b < count) { /* the same for all threads */
                float *at = tile + r * PITCH + lane * 4;
                if (splits == 1)
                    v[b] = add(v[b], *(const float4 *)at);
                else
                    for (int z = 0; z < splits; z++)
                        v[b] = add(v[b], peer_load(peer_address(base + (uint32_t)(r * PITCH + lane * 4) * 4, blockIdx.x + across * z)));
                if (!inside)
                    v[b] = zero;
                *(float4 *)at = v[b]; /* of this block's rows the others have read nothing and will not */
                give(0, r, squares4(v[b]));
            }
        }
    }
    sync();
    if (p.rows == ROW_PATCH) {
        float4 gamma = zero, beta = zero;
        if (inside) {
            gamma = *(const float4 *)(p.gamma + column);
            beta = *(const float4 *)(p.beta + column);
        }
#pragma unroll 2
        for (int i = 0; i < count; i++) {
            const int r = first + i * PASS;
            const float scale = inverse_rms(total(0, r), p.inverse_width, p.eps);
            float4 *at = (float4 *)(tile + r * PITCH + lane * 4), v = *at;
            v = make_float4(v.x * scale * gamma.x + beta.x, v.y * scale * gamma.y + beta.y, v.z * scale * gamma.z + beta.z, v.w * scale * gamma.w + beta.w);
            *at = v;
            give(1, r, sum4(v));
        }
        sync();
#pragma unroll 2
        for (int i = 0; i < count; i++) {
            const int r = first + i * PASS;
            const float mean = total(1, r) * p.inverse_width;
            float4 *at = (float4 *)(tile + r * PITCH + lane * 4), v = *at;
            v.x = column < p.true_width ? v.x - mean : 0;
            v.y = column + 1 < p.true_width ? v.y - mean : 0;
            v.z = column + 2 < p.true_width ? v.z - mean : 0;
            v.w = column + 3 < p.true_width ? v.w - mean : 0;
            *at = v;
            give(2, r, squares4(v));
        }
        sync();
    }
    float4 shift = zero;
    if (p.offset && inside)
        shift = *(const float4 *)(p.offset + column);
    const int round = p.rows == ROW_PATCH ? 2 : 0;
    const float eps = p.rows == ROW_REDUCE ? p.eps : p.eps_out;
#pragma unroll 2
    for (int i = 0; i < count; i++) {
        const int r = first + i * PASS, row = m0 + r;
        const float4 v = *(const float4 *)(tile + r * PITCH + lane * 4);
        const float scale = p.rows == ROW_REDUCE && p.plain ? 1.0f : inverse_rms(total(round, r), p.inverse_width, eps);
        if (inside && row < p.m) {
            if (p.rows != ROW_REDUCE)
                *(float4 *)(p.x + (size_t)row * p.ldo + column) = v;
            store4<N>((storage_t<N> *)p.out + (size_t)row * p.ldo + column,
                      make_float4(v.x * scale - shift.x, v.y * scale - shift.y, v.z * scale - shift.z, v.w * scale - shift.w));
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

/* GROUPS: four neighbouring warps make 64 x WN together, 16 rows (WM) each. */
template <numeric N, int BM, int BN, int WM, int WN, int STAGES, bool GATHER, bool GROUPS>
__global__ void __launch_bounds__(threads_of(BM, BN, WM, WN), N == NUMERIC_F32 ? 1 : BM * BN == 4096 ? 3 : 2) gemm(const gemm_args p)
{
#ifndef __CUDA_ARCH_FEAT_SM90_ALL
    if constexpr (GROUPS)
        return;
#endif
    using T = storage_t<N>;
    constexpr int THREADS = threads_of(BM, BN, WM, WN), PASS = THREADS / 8; /* rows that a pass of all threads copies */
    constexpr int LEFT = WM / 16, RIGHT = WN / 8, CHUNK = chunk_elements<N>, WIDE = SLICE / (int)sizeof(T);
    static_assert(BM % PASS == 0 && BN % PASS == 0 && RIGHT % 2 == 0 && (!GROUPS || LEFT == 1), "tile");
    extern __shared__ __align__(1024) unsigned char shared[];
    const int tid = threadIdx.x, lane = tid & 31, warp = tid >> 5;
    const int m0 = blockIdx.y * BM, n0 = blockIdx.x * BN;
    const int group = warp >> 2;
    const int wm = GROUPS ? group / (BN / WN) * 64 + (warp & 3) * 16 : warp / (BN / WN) * WM, wn = (GROUPS ? group : warp) % (BN / WN) * WN;
    const int slices = (p.k + WIDE - 1) / WIDE, share = (slices + p.splits - 1) / p.splits;
    const int first = blockIdx.z * share, count = max(0, min(slices - first, share));
    const bool together = p.together || (gridDim.x == 1 && gridDim.z == 1);
    constexpr int KEEPS = rows_kept<BM, BN, THREADS>;

    const uint32_t base = shared_address(shared);
    const int copy_row = tid >> 3, copy_at = tid & 7;
    const T *weight = (const T *)p.w, *a = (const T *)p.a;

    auto copy_weight = [&](int slice, int stage) {
        const uint32_t tile = base + stage * (BM + BN) * SLICE + BM * SLICE;
#pragma unroll
        for (int i = 0; i < BN / PASS; i++) {
            const int row = copy_row + i * PASS;
            const bool valid = n0 + row < p.n;
            copy_chunk(tile + tile_offset<SLICE>(row, copy_at), weight + (valid ? (size_t)(n0 + row) * p.ldw : 0) + (size_t)(first + slice) * WIDE + copy_at * CHUNK, valid);
        }
    };
    int corner_y[GATHER ? BM / PASS : 1], corner_x[GATHER ? BM / PASS : 1], picture[GATHER ? BM / PASS : 1];
    if constexpr (GATHER) {
#pragma unroll
        for (int i = 0; i < BM / PASS; i++) {
            const int row = min(m0 + copy_row + i * PASS, p.m - 1), image = row / (p.out_h * p.out_w), pixel = row - image * p.out_h * p.out_w;
            corner_y[i] = pixel / p.out_w * p.stride - p.pad;
            corner_x[i] = pixel % p.out_w * p.stride - p.pad;
            picture[i] = image * p.in_h;
        }
    }
    auto copy_left = [&](int slice, int stage) {
        const uint32_t tile = base + stage * (BM + BN) * SLICE;
        const int k = (first + slice) * WIDE + copy_at * CHUNK;
        int ky = 0, kx = 0, channel = 0;
        if constexpr (GATHER) {
            const int tap = k / p.channels;
            channel = k - tap * p.channels;
            ky = tap / p.kernel, kx = tap - ky * p.kernel;
        }
#pragma unroll
        for (int i = 0; i < BM / PASS; i++) {
            const int row = copy_row + i * PASS;
            bool valid = m0 + row < p.m && k < p.k;
            const T *from = a;
            if constexpr (GATHER) {
                const int y = corner_y[i] + ky, x = corner_x[i] + kx;
                valid = valid && y >= 0 && y < p.in_h && x >= 0 && x < p.in_w;
                if (valid)
                    from += ((size_t)(picture[i] + y) * p.in_w + x) * p.lda + channel;
            } else if (valid) {
                from += (size_t)(m0 + row) * p.lda + k;
            }
            copy_chunk(tile + tile_offset<SLICE>(row, copy_at), from, valid);
        }
    };

#pragma unroll 1 /* short code: instructions are fetched anew by every kernel */
    for (int s = 0; s < STAGES - 1; s++) /* weights do not depend on the kernel before */
        if (s < count)
            copy_weight(s, s);
    wait_for_previous();
    float4 before[KEEPS];
    if constexpr (!GATHER)
        if (p.end == GEMM_ROWS && p.rows == ROW_RESIDUAL && together)
            load_before<BM, BN, THREADS>(p, before, m0, n0);
#pragma unroll 1
    for (int s = 0; s < STAGES - 1; s++) {
        if (s < count)
            copy_left(s, s);
        copy_commit();
    }

    float sum[LEFT][RIGHT][4];
#pragma unroll
    for (int i = 0; i < LEFT; i++)
#pragma unroll
        for (int j = 0; j < RIGHT; j++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                sum[i][j][e] = 0;

    for (int slice = 0; slice < count; slice++) {
        copy_wait<STAGES - 2>();
        if constexpr (GROUPS) {
            wide_publish();
            wide_wait<0>(); /* the slice before is done with */
        }
        __syncthreads();
        const uint32_t left_tile = base + slice % STAGES * (BM + BN) * SLICE, right_tile = left_tile + BM * SLICE;
        if constexpr (GROUPS) { /* runs while the next slices are asked for */
            const uint64_t left = wide_tile<SLICE>(left_tile + (wm & ~63) * SLICE), right = wide_tile<SLICE>(right_tile + wn * SLICE);
            wide_begin();
#pragma unroll
            for (int step = 0; step < STEPS; step++)
                wide_multiply_both<N>(sum[0], left + 2 * step, right + 2 * step);
            wide_commit();
        }
        const int ahead = slice + STAGES - 1;
        if (ahead < count) {
            copy_weight(ahead, ahead % STAGES);
            copy_left(ahead, ahead % STAGES);
        }
        copy_commit();
#pragma unroll
        for (int step = 0; step < (GROUPS ? 0 : STEPS); step++) {
            fragment<N, 4> left[LEFT];
#pragma unroll
            for (int i = 0; i < LEFT; i++)
                left[i] = load_left<N, SLICE>(left_tile, wm + i * 16, step);
#pragma unroll
            for (int j = 0; j < RIGHT; j += 2) {
                fragment<N, 2> right[2];
                load_right<N, SLICE>(right[0], right[1], right_tile, wn + j * 8, step);
#pragma unroll
                for (int i = 0; i < LEFT; i++) {
                    multiply<N>(sum[i][j], left[i], right[0]);
                    multiply<N>(sum[i][j + 1], left[i], right[1]);
                }
            }
        }
    }
    copy_wait<0>();
    if constexpr (GROUPS)
        wide_wait<0>();
    start_next();
    __syncthreads();

    const int row_in = lane >> 2, column_in = (lane & 3) * 2;
    if (p.end == GEMM_STORE) { /* through shared memory, so that stores are 16 bytes wide */
        constexpr int PITCH = BN * (int)sizeof(T) + 16;
#pragma unroll
        for (int j = 0; j < RIGHT; j++) {
            const int column = wn + j * 8 + column_in;
            float2 b = make_float2(0, 0);
            if (p.bias && n0 + column < p.n)
                b = *(const float2 *)(p.bias + n0 + column);
#pragma unroll
            for (int i = 0; i < LEFT; i++)
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    float u = sum[i][j][2 * half] + b.x, v = sum[i][j][2 * half + 1] + b.y;
                    if (p.relu)
                        u = fmaxf(u, 0), v = fmaxf(v, 0);
                    *(pair<N> *)(shared + (wm + i * 16 + row_in + half * 8) * PITCH + column * (int)sizeof(T)) = narrow2<N>(u, v);
                }
        }
        __syncthreads();
        constexpr int CHUNKS = BN / CHUNK;
        each<BM * CHUNKS, THREADS>([&](int i) {
            const int row = i / CHUNKS, column = i % CHUNKS * CHUNK;
            if (m0 + row < p.m && n0 + column < p.n)
                *(uint4 *)((T *)p.out + (size_t)(m0 + row) * p.ldo + n0 + column) = *(const uint4 *)(shared + row * PITCH + column * (int)sizeof(T));
        });
    } else if (p.end == GEMM_ROWS) {
        const bool single = together, in_place = !single && gridDim.z == 1 && p.rows == ROW_RESIDUAL;
        constexpr int PITCH = BN + 4;
        float *stage = (float *)shared;
#pragma unroll
        for (int i = 0; i < LEFT; i++)
#pragma unroll
            for (int half = 0; half < 2; half++)
#pragma unroll
                for (int j = 0; j < RIGHT; j++) {
                    const int r = wm + i * 16 + row_in + half * 8, c = wn + j * 8 + column_in;
                    float2 v = make_float2(sum[i][j][2 * half], sum[i][j][2 * half + 1]);
                    if (single) {
                        *(float2 *)(stage + r * PITCH + c) = v;
                    } else if (m0 + r < p.m && n0 + c < p.n) {
                        if (in_place) {
                            float2 *x = (float2 *)(p.x + (size_t)(m0 + r) * p.ldo + n0 + c);
                            const float2 b = *(const float2 *)(p.bias + n0 + c), before = *x;
                            *x = make_float2(before.x + v.x + b.x, before.y + v.y + b.y);
                        } else {
                            *(float2 *)(p.partial + ((size_t)blockIdx.z * p.m + m0 + r) * p.n + n0 + c) = v;
                        }
                    }
                }
        if (single) {
            finish_tile<N, BM, BN, THREADS>(p, shared, before, !GATHER, m0, n0);
            return;
        }
        __threadfence();
        __syncthreads();
        bool last = false;
        if (tid == 0) {
            last = atomicAdd(p.counters + blockIdx.y, 1u) == gridDim.x * gridDim.z - 1;
            if (last)
                p.counters[blockIdx.y] = 0;
        }
        if (!__syncthreads_or(last))
            return;
        __threadfence();
        finish_any<N>(p, m0, min(BM, p.m - m0), in_place);
    } else {
#pragma unroll
        for (int i = 0; i < LEFT; i++)
#pragma unroll
            for (int half = 0; half < 2; half++) {
                const int row = m0 + wm + i * 16 + row_in + half * 8;
                if (row >= p.m)
                    continue;
                const int image = p.end == GEMM_KEYS ? row / p.keys : 0, key = row - image * p.keys;
                const int position = is_float<N> ? float_position(key) : key;
#pragma unroll
                for (int j = 0; j < RIGHT; j++) {
                    const int column = n0 + wn + j * 8 + column_in;
                    if (column >= p.n)
                        continue;
                    const float u = sum[i][j][2 * half], v = sum[i][j][2 * half + 1];
                    if (p.end == GEMM_FLOAT) {
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
}

/* ------------------------------------------------------------------------------------------ launch */

template <numeric N, int BM, int BN, int WM, int WN, int STAGES> cudaError_t launch_tile(const gemm_args &p, const launch *how)
{
    const dim3 grid((p.n + BN - 1) / BN, (p.m + BM - 1) / BM, p.splits);
    constexpr int threads = threads_of(BM, BN, WM, WN), WIDE = SLICE / (int)sizeof(storage_t<N>);
    const int slices = ((p.k + WIDE - 1) / WIDE + p.splits - 1) / p.splits;
    const int bytes = shared_of(BM, BN, slices < STAGES ? slices : STAGES, p.end == GEMM_ROWS, sizeof(storage_t<N>));
    const bool cluster = p.together && grid.x * grid.z > 1;
    if constexpr (N != NUMERIC_F32)
        if (p.wide) {
            constexpr int ACROSS = BM / 64 * BN / (threads / 128); /* columns of four warps */
            if (p.kernel)
                return start_cluster(gemm<N, BM, BN, 16, ACROSS, STAGES, true, true>, grid, threads, bytes, how, cluster, p);
            return start_cluster(gemm<N, BM, BN, 16, ACROSS, STAGES, false, true>, grid, threads, bytes, how, cluster, p);
        }
    if (p.kernel)
        return start_cluster(gemm<N, BM, BN, WM, WN, STAGES, true, false>, grid, threads, bytes, how, cluster, p);
    return start_cluster(gemm<N, BM, BN, WM, WN, STAGES, false, false>, grid, threads, bytes, how, cluster, p);
}

template <numeric N> cudaError_t launch_any(const gemm_args &p, const launch *how)
{
    switch (p.tile) {
    case 0:
        return launch_tile<N, TILE_128x128>(p, how);
    case 1:
        return launch_tile<N, TILE_128x64>(p, how);
    default:
        return launch_tile<N, TILE_64x64>(p, how);
    }
}

} // namespace

#endif
