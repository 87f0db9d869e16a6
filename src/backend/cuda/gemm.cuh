/* gemm: out[m][n] = a[m][k] w[n][k]^T with tensor cores, and what follows it at once: bias, ReLU, splitting
 * into keys and transposed values, or whole rows (residual sum, norms).  CUDA backend; most operations of
 * the network are one of these.
 *
 * A block makes a BM x BN tile from 128-byte wide slices of both operands that a ring of STAGES buffers
 * brings in, by products of a warp (mma.sync) or of four (GROUPS: wgmma, compute capability 9.0a, 16 bits);
 * gemm_bulk.cuh is the form for 9.0a whose operands the copy engine brings.  Sums are in a fixed order, so results do not
 * depend on timing. */
#ifndef SEGRT_CUDA_GEMM_CUH
#define SEGRT_CUDA_GEMM_CUH

#include "backend/cuda/gemm_bulk.cuh"
#include "backend/cuda/gemm_picture.cuh"

namespace {

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
    const int tid = threadIdx.x, warp = tid >> 5;
    const int m0 = blockIdx.y * BM, n0 = blockIdx.x * BN;
    const int group = warp >> 2;
    const int wm = GROUPS ? group / (BN / WN) * 64 + (warp & 3) * 16 : warp / (BN / WN) * WM, wn = (GROUPS ? group : warp) % (BN / WN) * WN;
    const int slices = (p.k + WIDE - 1) / WIDE, share = (slices + p.splits - 1) / p.splits;
    const int first = blockIdx.z * share, count = max(0, min(slices - first, share));
    const bool together = p.together || (gridDim.x == 1 && gridDim.z == 1);
    void *const more = shared + shared_of(BM, BN, share < STAGES ? share : STAGES, p.end == GEMM_ROWS, sizeof(T));
    end_needs<BM, BN, THREADS> needs(p, more, m0, n0);

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
    needs.keep(p, together, m0, n0);
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
    end_block<N, BM, BN, THREADS>(p, sum, needs, more, shared, wm, wn);
}

/* ------------------------------------------------------------------------------------------ launch */

template <numeric N, int BM, int BN, int WM, int WN, int STAGES> cudaError_t launch_tile(const gemm_args &p, const launch *how)
{
    const dim3 grid((p.n + BN - 1) / BN, (p.m + BM - 1) / BM, p.splits);
    constexpr int threads = threads_of(BM, BN, WM, WN), WIDE = SLICE / (int)sizeof(storage_t<N>);
    const int slices = ((p.k + WIDE - 1) / WIDE + p.splits - 1) / p.splits;
    const int bytes = shared_of(BM, BN, slices < STAGES ? slices : STAGES, p.end == GEMM_ROWS, sizeof(storage_t<N>)) + MORE;
    const bool cluster = p.together && grid.x * grid.z > 1;
    if constexpr (!is_float<N>) {
        if (p.wide) {
            constexpr int ACROSS = BM / 64 * BN / (threads / 128); /* columns of four warps */
            if (p.kernel)
                return start_cluster(gemm<N, BM, BN, 16, ACROSS, STAGES, true, true>, grid, threads, bytes, how, cluster, p);
            return start_cluster(gemm<N, BM, BN, 16, ACROSS, STAGES, false, true>, grid, threads, bytes, how, cluster, p);
        }
    }
    if (p.kernel)
        return start_cluster(gemm<N, BM, BN, WM, WN, STAGES, true, false>, grid, threads, bytes, how, cluster, p);
    return start_cluster(gemm<N, BM, BN, WM, WN, STAGES, false, false>, grid, threads, bytes, how, cluster, p);
}

template <numeric N> cudaError_t launch_any(const gemm_args &p, const launch *how)
{
    if constexpr (!is_float<N>) {
        if (p.pitch)
            return launch_picture<N>(p, how);
        if (p.stages)
            return launch_bulk_any<N>(p, how);
    }
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
