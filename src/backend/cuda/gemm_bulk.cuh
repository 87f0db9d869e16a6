/* gemm_bulk: gemm.cuh with wgmma, its operands brought by the copy engine (compute capability 9.0a, 16 bits and tf32): nobody
 * computes addresses, and what arrives needs no fence before the products read it. */
#ifndef SEGRT_CUDA_GEMM_BULK_CUH
#define SEGRT_CUDA_GEMM_BULK_CUH

#include "backend/cuda/bulk.cuh"
#include "backend/cuda/gemm_end.cuh"

namespace {

/* Both operands as tensors.  Gathered: dimensions channel, x, y, image, of which a block's rows are a box; where patches lie side
 * by side (in_rows): a patch's row, patch, y, image. */
struct gemm_maps {
    CUtensorMap left, right;
};

/* gemm() with wgmma, its slices brought by the copy engine (compute capability 9.0a): one thread asks for a slice where all
 * warps are done with the one before in its place.  A ring of p.stages. */
template <numeric N, int BM, int BN, int THREADS, bool GATHER, block_end END>
__global__ void __launch_bounds__(THREADS, BM * BN == 4096 ? 3 : 2) gemm_bulk(const gemm_args p, const __grid_constant__ gemm_maps maps)
{
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    using T = storage_t<N>;
    constexpr int WN = BM / 64 * BN / (THREADS / 128), RIGHT = WN / 8, WIDE = SLICE / (int)sizeof(T), STAGE = (BM + BN) * SLICE;
    extern __shared__ __align__(1024) unsigned char shared[];
    const int tid = threadIdx.x, warp = tid >> 5, group = warp >> 2;
    const int m0 = blockIdx.y * BM, n0 = blockIdx.x * BN;
    const int wm = group / (BN / WN) * 64 + (warp & 3) * 16, wn = group % (BN / WN) * WN;
    const int slices = (p.k + WIDE - 1) / WIDE, share = (slices + p.splits - 1) / p.splits;
    const int first = blockIdx.z * share, count = max(0, min(slices - first, share)), stages = p.stages;
    const uint32_t base = shared_address(shared);
    const int ring = shared_of(BM, BN, stages, ends_rows<END>, sizeof(T));
    const uint32_t barriers = base + ring + MORE, done = barriers + MOST_STAGES * 8;
    void *const more = shared + ring;

    int corner_x = 0, corner_y = 0, image = 0;
    if constexpr (GATHER) {
        image = m0 / (p.out_h * p.out_w);
        const int pixel = m0 - image * p.out_h * p.out_w, oy = pixel / p.out_w;
        corner_y = oy * p.stride - p.pad;
        corner_x = pixel - oy * p.out_w; /* of patches side by side: of a row of them */
        if (!in_rows(p))
            corner_x = corner_x * p.stride - p.pad;
    }
    auto ask_right = [&](int slice, int stage) { bulk_load(base + stage * STAGE + BM * SLICE, &maps.right, barriers + stage * 8, (first + slice) * WIDE, n0); };
    auto ask_left = [&](int slice, int stage) {
        const uint32_t to = base + stage * STAGE, full = barriers + stage * 8;
        const int k = (first + slice) * WIDE;
        if constexpr (GATHER) {
            const bool rows = in_rows(p);
            const int together = rows ? p.kernel * p.channels : p.channels, tap = k / together, ky = rows ? tap : tap / p.kernel;
            bulk_load(to, &maps.left, full, k - tap * together, rows ? corner_x : corner_x + tap - ky * p.kernel, corner_y + ky, image);
        } else {
            bulk_load(to, &maps.left, full, k, m0);
        }
    };
    if (tid == 0) {
        bulk_ready(&maps.left);
        bulk_ready(&maps.right);
        for (int s = 0; s < stages; s++) {
            barrier_begin(barriers + s * 8, 1);
            barrier_begin(done + s * 8, THREADS / 32);
        }
        barriers_begun();
        for (int s = 0; s < stages && s < count; s++) { /* weights do not depend on the kernel before */
            barrier_expect(barriers + s * 8, STAGE);
            ask_right(s, s);
        }
    }
    end_needs<BM, BN, THREADS, END> needs(p, more, m0, n0);
    __syncthreads();
    wait_for_previous();
    if (tid == 0)
        for (int s = 0; s < stages && s < count; s++)
            ask_left(s, s);
    needs.keep(p, true, m0, n0);

    float sum[1][RIGHT][4];
#pragma unroll
    for (int j = 0; j < RIGHT; j++)
#pragma unroll
        for (int e = 0; e < 4; e++)
            sum[0][j][e] = 0;

    /* A warp is done with a slice; one thread asks for what takes its place when all are. */
    auto release = [&](int slice, int stage, int parity) {
        if ((tid & 31) == 0)
            barrier_arrive(done + stage * 8);
        if (tid == 0 && slice + stages < count) {
            barrier_wait(done + stage * 8, parity);
            barrier_expect(barriers + stage * 8, STAGE);
            ask_right(slice + stages, stage);
            ask_left(slice + stages, stage);
        }
    };
    auto multiply_slice = [&](int stage, int parity) {
        barrier_wait(barriers + stage * 8, parity);
        const uint32_t left_tile = base + stage * STAGE;
        const uint64_t left = wide_tile<SLICE>(left_tile + (wm & ~63) * SLICE), right = wide_tile<SLICE>(left_tile + (BM + wn) * SLICE);
        wide_begin();
#pragma unroll
        for (int step = 0; step < STEPS; step++)
            wide_multiply_both<N>(sum[0], left + 2 * step, right + 2 * step);
        wide_commit();
    };
    if (count > 0) { /* the first one apart: in the loop products alone define the sums, else the assembler makes them wait */
        multiply_slice(0, 0);
        int stage = 1 == stages ? 0 : 1, parity = stage ^ 1, last_stage = 0, last_parity = 0;
#pragma unroll 1
        for (int slice = 1; slice < count; slice++) {
            multiply_slice(stage, parity);
            wide_wait<1>(); /* the slice before */
            release(slice - 1, last_stage, last_parity);
            last_stage = stage;
            last_parity = parity;
            if (++stage == stages) {
                stage = 0;
                parity ^= 1;
            }
        }
        wide_wait<0>();
    }
    start_next();
    __syncthreads();
    end_block<N, BM, BN, THREADS, END>(p, sum, needs, more, shared, wm, wn);
#endif
}

template <numeric N, int BM, int BN, int THREADS> cudaError_t launch_bulk(const gemm_args &p, dim3 grid, const launch *how)
{
    constexpr int ELEMENT = sizeof(storage_t<N>), WIDE = SLICE / ELEMENT;
    const int64_t row = (int64_t)p.lda * ELEMENT;
    const int across = p.kernel && p.out_w < BM ? p.out_w : BM;
    gemm_maps maps = {};
    bulk_tensor left = {.at = p.a, .rank = 2, .size = {p.k, p.m}, .stride = {0, row}, .box = {WIDE, BM}};
    if (p.kernel)
        left = {.at = p.a,
                .rank = 4,
                .size = {p.channels, p.in_w, p.in_h, p.m / (p.out_h * p.out_w)},
                .stride = {0, row, row * p.in_w, row * p.in_w * p.in_h},
                .box = {WIDE, across, BM / across, 1},
                .step = {1, p.stride, p.stride, 1}};
    if (p.kernel && in_rows(p)) {
        left.size[0] = p.kernel * p.channels;
        left.size[1] = p.out_w;
        left.stride[1] = row * p.kernel;
        left.step[1] = 1;
    }
    const bulk_tensor right = {.at = p.w, .rank = 2, .size = {p.ldw, p.n}, .stride = {0, (int64_t)p.ldw * ELEMENT}, .box = {WIDE, BN}};
    cudaError_t status = bulk_describe(&maps.left, N, &left);
    if (status == cudaSuccess)
        status = bulk_describe(&maps.right, N, &right);
    if (status != cudaSuccess)
        return status;
    const int bytes = shared_of(BM, BN, p.stages, p.end == GEMM_ROWS, ELEMENT) + MORE + MOST_STAGES * 16;
    const bool alone = grid.x == 1 && grid.z == 1;
    if (p.kernel && alone)
        return start_cluster(gemm_bulk<N, BM, BN, THREADS, true, END_ALONE>, grid, THREADS, bytes, how, false, p, maps);
    if (p.kernel)
        return start_cluster(gemm_bulk<N, BM, BN, THREADS, true, END_CLUSTER>, grid, THREADS, bytes, how, true, p, maps);
    if (p.end == GEMM_STORE)
        return start_cluster(gemm_bulk<N, BM, BN, THREADS, false, END_STORE>, grid, THREADS, bytes, how, false, p, maps);
    if (p.end == GEMM_KEYS)
        return start_cluster(gemm_bulk<N, BM, BN, THREADS, false, END_KEYS>, grid, THREADS, bytes, how, false, p, maps);
    if (alone)
        return start_cluster(gemm_bulk<N, BM, BN, THREADS, false, END_ALONE>, grid, THREADS, bytes, how, false, p, maps);
    return start_cluster(gemm_bulk<N, BM, BN, THREADS, false, END_CLUSTER>, grid, THREADS, bytes, how, true, p, maps);
}

} // namespace

#endif
