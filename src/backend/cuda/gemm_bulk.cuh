/* gemm_bulk: gemm.cuh with wgmma, its operands brought by the copy engine (compute capability 9.0a, 16 bits): nobody
 * computes addresses, and what arrives needs no fence before the products read it. */
#ifndef SEGRT_CUDA_GEMM_BULK_CUH
#define SEGRT_CUDA_GEMM_BULK_CUH

#include "backend/cuda/bulk.cuh"
#include "backend/cuda/gemm_end.cuh"
#include "backend/cuda/gemm_finish.cuh"

namespace {

/* Both operands as tensors.  Gathered: dimensions channel, x, y, image, of which a block's rows are a box; where patches lie side
 * by side (in_rows): a patch's row, patch, y, image. */
struct gemm_maps {
    CUtensorMap left, right;
};

/* Threads beside those that multiply, of which one asks for slices: these then wait for nothing else.  The largest tiles' sums leave
 * no registers for them; there a thread of those that multiply asks. */
__host__ __device__ constexpr int asking(int bm, int bn) { return bm * bn > 64 * 160 ? 0 : 32; }

/* gemm() with wgmma, its slices brought by the copy engine (compute capability 9.0a) into a ring of p.stages. */
template <numeric N, int BM, int BN, int THREADS, bool GATHER, finish_kind KIND>
__global__ void __launch_bounds__(THREADS + asking(BM, BN), BM == 64 || BN == 64 ? 3 : 2) gemm_bulk(const gemm_args p, const __grid_constant__ gemm_maps maps)
{
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    using T = storage_t<N>;
    using end_of = finish<BM, BN, THREADS, KIND>;
    constexpr int WN = end_of::WN, RIGHT = end_of::RIGHT, WIDE = SLICE / (int)sizeof(T), STAGE = (BM + BN) * SLICE;
    constexpr bool APART = asking(BM, BN) > 0;
    extern __shared__ __align__(1024) unsigned char shared[];
    const int tid = threadIdx.x, warp = __shfl_sync(0xffffffffu, tid >> 5, 0), group = warp >> 2; /* said to be the same for a warp's threads */
    const bool asks = tid == (APART ? THREADS : 0), multiplies = warp < THREADS / 32;
    const int m0 = blockIdx.y * BM, n0 = blockIdx.x * BN;
    const int slices = (p.k + WIDE - 1) / WIDE, halvings = __ffs(p.splits) - 1, stages = p.stages;
    const int first = slices * blockIdx.z >> halvings, count = (slices * (blockIdx.z + 1) >> halvings) - first; /* not 0: gemm_choose */
    const uint32_t base = shared_address(shared), there = base + stages * STAGE, done = there + MOST_STAGES * 8; /* barriers of slices */
    end_of finish(p, shared + stages * STAGE + BULK_BARRIERS, done + MOST_STAGES * 8);
    int stage = 0, parity = 0; /* of the ring */
    auto advance = [&]() {
        if (++stage == stages) {
            stage = 0;
            parity ^= 1;
        }
    };

    int corner_x = 0, corner_y = 0, image = 0;
    if constexpr (GATHER) {
        image = m0 / (p.out_h * p.out_w);
        const int pixel = m0 - image * p.out_h * p.out_w, oy = pixel / p.out_w;
        corner_y = oy * p.stride - p.pad;
        corner_x = pixel - oy * p.out_w; /* of patches side by side: of a row of them */
        if (!in_rows(p))
            corner_x = corner_x * p.stride - p.pad;
    }
    auto ask_right = [&](int slice, int place) {
        barrier_expect(there + place * 8, STAGE);
        bulk_load(base + place * STAGE + BM * SLICE, &maps.right, there + place * 8, (first + slice) * WIDE, n0);
    };
    auto ask_left = [&](int slice, int place) {
        const uint32_t to = base + place * STAGE, full = there + place * 8;
        const int k = (first + slice) * WIDE;
        if constexpr (GATHER) {
            const bool rows = in_rows(p);
            const int together = rows ? p.kernel * p.channels : p.channels, tap = k / together, ky = rows ? tap : tap / p.kernel;
            bulk_load(to, &maps.left, full, k - tap * together, rows ? corner_x : corner_x + tap - ky * p.kernel, corner_y + ky, image);
        } else {
            bulk_load(to, &maps.left, full, k, m0);
        }
    };
    auto refill = [&](int slice, int place, int phase) { /* where all warps are done with what lies there */
        barrier_wait(done + place * 8, phase);
        ask_right(slice, place);
        ask_left(slice, place);
    };

    const int early = min(stages, count);
    if (asks) {
        bulk_ready(&maps.left);
        bulk_ready(&maps.right);
#pragma unroll 1 /* short code */
        for (int s = 0; s < stages; s++) {
            barrier_begin(there + s * 8, 1);
            barrier_begin(done + s * 8, THREADS / 32);
        }
        finish.begin();
        barriers_begun();
#pragma unroll 1
        for (int s = 0; s < early; s++) /* weights do not depend on the kernel before */
            ask_right(s, s);
    }
    float sum[1][RIGHT][4];
    if (multiplies) {
        finish.load_vectors();
        finish.bias(sum[0]);
    }
    __syncthreads();
    finish.meet();
    wait_for_previous();
    if (asks)
#pragma unroll 1
        for (int s = 0; s < early; s++)
            ask_left(s, s);
    if (!multiplies) {
        if (asks)
#pragma unroll 1
            for (int slice = early; slice < count; slice++) {
                refill(slice, stage, parity);
                advance();
            }
        __syncwarp();
        finish.met();
        return;
    }
    __syncwarp();
    finish.residual(sum[0]);
    const uint32_t left_at = base + group / end_of::SIDES * 64 * SLICE, right_at = base + (BM + group % end_of::SIDES * WN) * SLICE;
    auto multiply_slice = [&]() {
        barrier_wait(there + stage * 8, parity);
        const uint64_t left = wide_tile<SLICE>(left_at + stage * STAGE), right = wide_tile<SLICE>(right_at + stage * STAGE);
        wide_begin();
#pragma unroll
        for (int step = 0; step < STEPS; step++)
            wide_multiply_both<N>(sum[0], left + 2 * step, right + 2 * step);
        wide_commit();
    };
    multiply_slice(); /* apart: in the loop products alone define the sums, else the assembler makes them wait */
#pragma unroll 1
    for (int slice = 1; slice < count; slice++) {
        const int place = stage, phase = parity;
        advance();
        multiply_slice();
        wide_wait<1>(); /* this warp is done with the slice before */
        if ((tid & 31) == 0)
            barrier_arrive(done + place * 8);
        if (!APART && tid == 0 && slice - 1 + stages < count)
            refill(slice - 1 + stages, place, phase);
    }
    wide_wait<0>();
    start_next();
    if constexpr (KIND == FINISH_KEYS)
        end_columns<N>(p, sum, true, m0 + finish.local_row, n0 + group % end_of::SIDES * WN);
    else
        finish.template end<N>(sum[0]);
#endif
}

template <numeric N, int BM, int BN> cudaError_t describe_operands(const gemm_args &p, gemm_maps *maps)
{
    constexpr int ELEMENT = sizeof(storage_t<N>), WIDE = SLICE / ELEMENT;
    const int64_t row = (int64_t)p.lda * ELEMENT;
    const int across = p.kernel && p.out_w < BM ? p.out_w : BM;
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
    return bulk_describe({{&maps->left, N, &left}, {&maps->right, N, &right}});
}

template <numeric N, int BM, int BN, int THREADS> cudaError_t launch_bulk(const gemm_args &p, const launch *how)
{
    const dim3 grid((p.n + BN - 1) / BN, (p.m + BM - 1) / BM, p.splits);
    gemm_maps maps = {};
    const cudaError_t status = describe_operands<N, BM, BN>(p, &maps);
    if (status != cudaSuccess)
        return status;
    const bool rows = p.end == GEMM_ROWS, cluster = rows && grid.x * grid.z > 1;
    const int bytes = p.stages * (BM + BN) * SLICE + BULK_BARRIERS + finish_bytes(BM, BN, THREADS, rows ? (int)(grid.x * grid.z) : 1, (int)grid.z);
    auto launch_kind = [&](auto kernel) { return start_cluster(kernel, grid, THREADS + asking(BM, BN), bytes, how, cluster, p, maps); };
    if (p.kernel)
        return p.rows == ROW_PATCH ? launch_kind(gemm_bulk<N, BM, BN, THREADS, true, FINISH_PATCH>) : launch_kind(gemm_bulk<N, BM, BN, THREADS, true, FINISH_REDUCE>);
    if (p.end == GEMM_STORE)
        return launch_kind(gemm_bulk<N, BM, BN, THREADS, false, FINISH_STORE>);
    if (p.end == GEMM_KEYS)
        return launch_kind(gemm_bulk<N, BM, BN, THREADS, false, FINISH_KEYS>);
    return p.rows == ROW_PATCH ? launch_kind(gemm_bulk<N, BM, BN, THREADS, false, FINISH_PATCH>) : launch_kind(gemm_bulk<N, BM, BN, THREADS, false, FINISH_RESIDUAL>);
}

template <numeric N> cudaError_t launch_bulk_any(const gemm_args &p, const launch *how)
{
    switch (p.tile) { /* rows of gemm.cu's table */
    case 0:
        return launch_bulk<N, 128, 128, 256>(p, how);
    case 1:
        return launch_bulk<N, 128, 64, 256>(p, how);
    case 2:
        return launch_bulk<N, 64, 64, 256>(p, how);
    case 3:
        return launch_bulk<N, 128, 160, 256>(p, how);
    case 4:
        return launch_bulk<N, 64, 160, 128>(p, how);
    default:
        return launch_bulk<N, 64, 128, 128>(p, how);
    }
}

} // namespace

#endif
