/* gemm_split: products of floats on the units for halves (compute capability 9.0a): operands as sums of two halves, high and low, the
 * three products of high with high, high with low and low with high (tf32: high with high alone).
 *
 * Weights lie as split.cuh says; the copy engine brings them, and what they are multiplied with as floats, which a thread splits
 * in registers.  The tensor cores cut sums off instead of rounding them: those of a slice are made there, small products first, and
 * added up in float registers. */
#ifndef SEGRT_CUDA_GEMM_SPLIT_CUH
#define SEGRT_CUDA_GEMM_SPLIT_CUH

#include <type_traits>

#include "backend/cuda/bulk.cuh"
#include "backend/cuda/gemm_end.cuh"
#include "backend/cuda/gemm_split.h"
#include "backend/cuda/gemm_split_rows.cuh"
#include "backend/cuda/split.cuh"

namespace {

/* How the left operand comes: a plain matrix, patches that are boxes of a tensor, or (any others) patches that threads copy. */
enum split_source { FROM_ROWS, FROM_BOXES, FROM_THREADS };

/* What becomes of the sums: stored; keys and values, or floats; whole rows; whole rows whose k is split over the blocks of a cluster. */
enum split_end { SPLIT_STORE, SPLIT_KEYS, SPLIT_ROWS, SPLIT_PARTS };

struct split_maps {
    CUtensorMap left, right;
};

/* Where an end has needs of its own, or none: end_needs otherwise. */
struct no_needs {
    __device__ __forceinline__ no_needs(const gemm_args &, void *, int, int) {}
};

constexpr int SPLIT_SLICE = SLICE / 4, SPLIT_STEPS = SPLIT_SLICE / SPLIT_GROUP; /* numbers of a slice, and steps */

__device__ __forceinline__ void barrier_arrive_copied(uint32_t barrier) { WGMMA("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];" ::"r"(barrier) : "memory"); }

/* Values of one thread, transposed; zeros behind the last key of an image, up to a whole group. */
__device__ __forceinline__ void store_values(const gemm_args &p, float u, float v, int row, int channel)
{
    const int image = row / p.keys, key = row - image * p.keys, zeros = key == p.keys - 1 ? -p.keys & (SPLIT_GROUP - 1) : 0;
    const split_pair made = split_two(u * p.value_scale, v * p.value_scale);
    uint16_t *to = (uint16_t *)((char *)p.values + ((size_t)image * p.width + channel) * p.key_pitch * 4 + split_at(key)), *next = to + (size_t)p.key_pitch * 2;
    constexpr int LOW = SPLIT_LOW / 2;
    to[0] = (uint16_t)made.high, to[LOW] = (uint16_t)made.low;
    next[0] = (uint16_t)(made.high >> 16), next[LOW] = (uint16_t)(made.low >> 16);
    for (int i = 1; i <= zeros; i++)
        to[i] = to[LOW + i] = next[i] = next[LOW + i] = 0;
}

/* Keys and values as attend_split.cuh reads them: a warp's 16 rows and 16 columns at a time, which four lanes turn into the 64 bytes of a
 * group.  A warp's rows are a group of values' keys where they are neighbours of one image. */
template <int BM, int BN, int RIGHT> __device__ __forceinline__ void end_split_keys(const gemm_args &p, const float (&sum)[1][RIGHT][4], int wm)
{
    const int lane = threadIdx.x & 31, row0 = blockIdx.y * BM + wm, row = row0 + (lane >> 2);
    const int image = row0 / p.keys, key = row0 - image * p.keys;
    const bool group = key % SPLIT_GROUP == 0 && key + SPLIT_GROUP <= p.keys && row0 + SPLIT_GROUP <= p.m;
#pragma unroll
    for (int j = 0; j < RIGHT; j += 2) {
        const int column = blockIdx.x * BN + j * 8;
        if (column >= p.n)
            break;
        if (column < p.width) {
#pragma unroll
            for (int half = 0; half < 2; half++) {
                const split_pair first = split_two(sum[0][j][2 * half] * p.key_scale, sum[0][j][2 * half + 1] * p.key_scale);
                const split_pair second = split_two(sum[0][j + 1][2 * half] * p.key_scale, sum[0][j + 1][2 * half + 1] * p.key_scale);
                const uint4 made = quad_transpose(first.high, second.high, first.low, second.low);
                if (row + half * 8 < p.m)
                    *(uint4 *)((char *)p.out + (size_t)(row + half * 8) * p.ldo * 4 + split_at(column) + (lane & 3) * 16) = made;
            }
        } else if (column < 2 * p.width) {
#pragma unroll
            for (int i = j; i < j + 2; i++) {
                const int channel = column - p.width + (i - j) * 8;
                if (group) {
                    const split_pair upper = split_two(sum[0][i][0] * p.value_scale, sum[0][i][1] * p.value_scale);
                    const split_pair lower = split_two(sum[0][i][2] * p.value_scale, sum[0][i][3] * p.value_scale);
                    const uint4 made = quad_transpose(transpose_halves(upper.high), transpose_halves(lower.high), transpose_halves(upper.low), transpose_halves(lower.low));
                    *(uint4 *)((char *)p.values + ((size_t)image * p.width + channel + (lane >> 2)) * p.key_pitch * 4 + split_at(key) + (lane & 3) * 16) = made;
                } else {
#pragma unroll
                    for (int half = 0; half < 2; half++)
                        if (row + half * 8 < p.m)
                            store_values(p, sum[0][i][2 * half], sum[0][i][2 * half + 1], row + half * 8, channel + (lane & 3) * 2);
                }
            }
        } else if ((lane & 3) == 0) { /* the column behind */
#pragma unroll
            for (int half = 0; half < 2; half++)
                if (row + half * 8 < p.m) {
                    const int of = (row + half * 8) / p.keys;
                    p.key_bias[(size_t)of * p.key_pitch + row + half * 8 - of * p.keys] = sum[0][j][2 * half];
                }
        }
    }
}

template <numeric N, int BM, int BN, int THREADS, split_source SOURCE, split_end END>
__global__ void __launch_bounds__(THREADS, BM * BN == 128 * 128 ? 1 : BM * BN == 64 * 64 ? 3 : 2) gemm_split(const gemm_args p, const __grid_constant__ split_maps maps)
{
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    constexpr bool THREE = N == NUMERIC_F32;
    static_assert(THREADS == BM * 2, "four warps have 64 whole rows of the tile");
    constexpr int RIGHT = BN / 8, STAGE = (BM + BN) * SLICE, GROUP_TILE = BM * SPLIT_BYTES;
    extern __shared__ __align__(1024) unsigned char shared[];
    const int tid = threadIdx.x, wm = (tid >> 5) * 16;
    const int m0 = blockIdx.y * BM, n0 = blockIdx.x * BN;
    const int slices = (p.k + SPLIT_SLICE - 1) / SPLIT_SLICE, share = (slices + p.splits - 1) / p.splits;
    const int first = blockIdx.z * share, count = max(0, min(slices - first, share)), stages = p.stages;
    const uint32_t base = shared_address(shared);
    const int ring = shared_of(BM, BN, stages, END == SPLIT_PARTS, 4);
    const uint32_t barriers = base + ring + MORE, done = barriers + MOST_STAGES * 8;
    void *const more = shared + ring;

    int corner_x = 0, corner_y = 0, image = 0, together = p.k, channel = first * SPLIT_SLICE, tap_x = 0, tap_y = 0; /* of the next group of k */
    if constexpr (SOURCE == FROM_BOXES) {
        image = m0 / (p.out_h * p.out_w);
        const int pixel = m0 - image * p.out_h * p.out_w, oy = pixel / p.out_w;
        corner_y = oy * p.stride - p.pad;
        corner_x = pixel - oy * p.out_w; /* of patches side by side: of a row of them */
        const bool rows = in_rows(p);
        if (!rows)
            corner_x = corner_x * p.stride - p.pad;
        together = rows ? p.kernel * p.channels : p.channels;
        const int tap = channel / together;
        channel -= tap * together;
        tap_y = rows ? tap : tap / p.kernel;
        tap_x = rows ? 0 : tap - tap_y * p.kernel;
    }
    auto ask_right = [&](int slice, int stage) {
        barrier_expect(barriers + stage * 8, SOURCE == FROM_THREADS ? BN * SLICE : STAGE);
        bulk_load(base + stage * STAGE + BM * SLICE, &maps.right, barriers + stage * 8, (first + slice) * SPLIT_SLICE, n0);
    };
    auto ask_left = [&](int stage) { /* one slice after the other */
#pragma unroll
        for (int step = 0; step < SPLIT_STEPS; step++) {
            const uint32_t to = base + stage * STAGE + step * GROUP_TILE, full = barriers + stage * 8;
            if constexpr (SOURCE == FROM_BOXES)
                bulk_load(to, &maps.left, full, channel, corner_x + tap_x, corner_y + tap_y, image);
            else
                bulk_load(to, &maps.left, full, channel, m0);
            channel += SPLIT_GROUP;
            if (SOURCE == FROM_BOXES && channel == together) {
                channel = 0;
                if (in_rows(p) || ++tap_x == p.kernel) {
                    tap_x = 0;
                    tap_y++;
                }
            }
        }
    };
    auto copy_left = [&](int slice, int stage) { /* all threads */
#pragma unroll 1
        for (int i = tid; i < BM * 8; i += THREADS) {
            const int row = i >> 3, k = (first + slice) * SPLIT_SLICE + (i & 7) * 4, m = min(m0 + row, p.m - 1);
            const int of = m / (p.out_h * p.out_w), pixel = m - of * p.out_h * p.out_w, tap = k / p.channels, ky = tap / p.kernel;
            const int y = pixel / p.out_w * p.stride - p.pad + ky, x = pixel % p.out_w * p.stride - p.pad + tap - ky * p.kernel;
            const bool valid = m0 + row < p.m && k < p.k && y >= 0 && y < p.in_h && x >= 0 && x < p.in_w;
            const float *from = (const float *)p.a + (valid ? (((size_t)of * p.in_h + y) * p.in_w + x) * p.lda + k - tap * p.channels : 0);
            copy_chunk(base + stage * STAGE + (i & 7) / 4 * GROUP_TILE + row * SPLIT_BYTES + (i & 3) * 16, from, valid);
        }
        barrier_arrive_copied(barriers + stage * 8);
    };
    if (tid == 0) {
        bulk_ready(&maps.left);
        bulk_ready(&maps.right);
        for (int s = 0; s < stages; s++) {
            barrier_begin(barriers + s * 8, SOURCE == FROM_THREADS ? 1 + THREADS : 1);
            barrier_begin(done + s * 8, THREADS / 32);
        }
        barriers_begun();
        for (int s = 0; s < stages && s < count; s++) /* weights do not depend on the kernel before */
            ask_right(s, s);
    }
    const std::conditional_t<END == SPLIT_PARTS, end_needs<BM, BN, THREADS>, no_needs> needs(p, more, m0, n0);
    const split_rows<BM, RIGHT> finish(p, done + MOST_STAGES * 8, wm);
    if (END == SPLIT_ROWS && gridDim.x > 1) /* peers are told of sums from where all have arrived */
        asm volatile("barrier.cluster.arrive.relaxed.aligned;" ::: "memory");
    __syncthreads();
    wait_for_previous();
    if (SOURCE == FROM_THREADS || tid == 0)
        for (int s = 0; s < stages && s < count; s++)
            if constexpr (SOURCE == FROM_THREADS)
                copy_left(s, s);
            else
                ask_left(s);

    float sum[1][RIGHT][4], part[RIGHT][4];
#pragma unroll
    for (int j = 0; j < RIGHT; j++)
#pragma unroll
        for (int e = 0; e < 4; e++)
            sum[0][j][e] = part[j][e] = 0;
    if constexpr (END == SPLIT_STORE || END == SPLIT_ROWS)
        finish.begin(sum[0]);

    /* What takes the place of a slice, when all warps are done with it. */
    auto renew = [&](int slice, int stage, int parity) {
        if ((SOURCE != FROM_THREADS && tid != 0) || slice < 0 || slice + stages >= count)
            return;
        barrier_wait(done + stage * 8, parity);
        if (tid == 0)
            ask_right(slice + stages, stage);
        if constexpr (SOURCE == FROM_THREADS)
            copy_left(slice + stages, stage);
        else
            ask_left(stage);
    };
    split_left left[SPLIT_STEPS];
    auto load = [&](split_left (&left)[SPLIT_STEPS], int stage, int parity) {
        barrier_wait(barriers + stage * 8, parity);
#pragma unroll
        for (int step = 0; step < SPLIT_STEPS; step++) {
            const unsigned char *rows = shared + stage * STAGE + step * GROUP_TILE + wm * SPLIT_BYTES;
            left[step] = END == SPLIT_KEYS && p.end == GEMM_FLOAT ? load_split_ordered(rows, p.a_scale) : load_split(rows, p.a_scale);
        }
    };
    int stage = 0, parity = 0, last_stage = 0, last_parity = 0;
    const uint32_t nothing = (uint32_t)(p.m >> 31);
    if (count > 0)
        load(left, 0, 0);
#pragma unroll 1
    for (int slice = 0; slice < count; slice++) {
        const uint64_t right = wide_tile<SLICE>(base + stage * STAGE + BM * SLICE);
        wide_begin();
        if constexpr (THREE) {
#pragma unroll
            for (int step = 0; step < SPLIT_STEPS; step++)
                wide_multiply<NUMERIC_F16>(part, left[step].low, right + 4 * step, step > 0);
#pragma unroll
            for (int step = 0; step < SPLIT_STEPS; step++)
                wide_multiply<NUMERIC_F16>(part, left[step].high, right + 4 * step + 2, true);
        }
#pragma unroll
        for (int step = 0; step < SPLIT_STEPS; step++)
            wide_multiply<NUMERIC_F16>(part, left[step].high, right + 4 * step, THREE || step > 0);
        wide_commit();
        split_left next[SPLIT_STEPS]; /* made while the products run */
        if (slice + 1 < count)
            load(next, stage + 1 == stages ? 0 : stage + 1, stage + 1 == stages ? parity ^ 1 : parity);
        wide_wait<0>();
        split_follow<THREE>(left, next, nothing);
        wide_ready(part);
#pragma unroll
        for (int j = 0; j < RIGHT; j++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                sum[0][j][e] += part[j][e] * p.out_scale;
        __syncwarp();
        if ((tid & 31) == 0)
            barrier_arrive(done + stage * 8);
        renew(slice - 1, last_stage, last_parity); /* the one before: other warps are not waited for */
        last_stage = stage;
        last_parity = parity;
        if (++stage == stages) {
            stage = 0;
            parity ^= 1;
        }
    }
    start_next();
    if constexpr (END == SPLIT_STORE) {
        finish.template store<N>(sum[0]);
    } else if constexpr (END == SPLIT_ROWS) {
        if (gridDim.x > 1)
            asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
        finish.template end<N>(sum[0]);
    } else if constexpr (END == SPLIT_KEYS) {
        if (p.end == GEMM_FLOAT)
            end_columns<N>(p, sum, false, m0 + wm, n0);
        else
            end_split_keys<BM, BN>(p, sum, wm);
    } else {
        __syncthreads();
        put_sums<BN>((float *)shared, sum, wm, 0);
        finish_tile<N, BM, BN, THREADS>(p, shared, needs.before, needs.kept, needs.vectors, (const int *)more, m0, n0);
    }
#endif
}

/* ------------------------------------------------------------------------------------------ launch */

template <numeric N, int BM, int BN, int THREADS> cudaError_t launch_split_tile(const gemm_args &p, const launch *how)
{
    const int64_t row = (int64_t)p.lda * 4;
    const int across = p.kernel && p.out_w < BM ? p.out_w : BM;
    const dim3 grid((p.n + BN - 1) / BN, (p.m + BM - 1) / BM, p.splits);
    const bool boxes = p.kernel && gemm_boxes(&p, BM, SPLIT_GROUP);
    split_maps maps = {};
    bulk_tensor left = {.at = p.a, .rank = 2, .size = {p.k, p.m}, .stride = {0, row}, .box = {SPLIT_GROUP, BM}, .plain = true};
    if (boxes) {
        left = {.at = p.a,
                .rank = 4,
                .size = {p.channels, p.in_w, p.in_h, p.m / (p.out_h * p.out_w)},
                .stride = {0, row, row * p.in_w, row * p.in_w * p.in_h},
                .box = {SPLIT_GROUP, across, BM / across, 1},
                .step = {1, p.stride, p.stride, 1},
                .plain = true};
        if (in_rows(p)) {
            left.size[0] = p.kernel * p.channels;
            left.size[1] = p.out_w;
            left.stride[1] = row * p.kernel;
            left.step[1] = 1;
        }
    }
    const bulk_tensor right = {.at = p.w, .rank = 2, .size = {p.ldw, p.n}, .stride = {0, (int64_t)p.ldw * 4}, .box = {SPLIT_SLICE, BN}};
    cudaError_t status = p.kernel && !boxes ? cudaSuccess : bulk_describe(&maps.left, NUMERIC_F32, &left);
    if (status == cudaSuccess)
        status = bulk_describe(&maps.right, NUMERIC_F32, &right);
    if (status != cudaSuccess)
        return status;
    const bool rows = p.end == GEMM_ROWS;
    const bool cluster = rows && grid.x * grid.z > 1;
    const int bytes = shared_of(BM, BN, p.stages, rows && p.splits > 1, 4) + MORE + MOST_STAGES * 16 + split_rows_bytes(BM, rows ? (int)grid.x : 1);
    auto launch_end = [&](auto kernel) { return start_cluster(kernel, grid, THREADS, bytes, how, cluster, p, maps); };
    if constexpr (BM == 64 && BN == 128)
        if (p.kernel && !boxes)
            return p.splits > 1 ? launch_end(gemm_split<N, BM, BN, THREADS, FROM_THREADS, SPLIT_PARTS>) : launch_end(gemm_split<N, BM, BN, THREADS, FROM_THREADS, SPLIT_ROWS>);
    if (p.kernel)
        return p.splits > 1 ? launch_end(gemm_split<N, BM, BN, THREADS, FROM_BOXES, SPLIT_PARTS>) : launch_end(gemm_split<N, BM, BN, THREADS, FROM_BOXES, SPLIT_ROWS>);
    if (p.end == GEMM_STORE)
        return launch_end(gemm_split<N, BM, BN, THREADS, FROM_ROWS, SPLIT_STORE>);
    if (!rows)
        return launch_end(gemm_split<N, BM, BN, THREADS, FROM_ROWS, SPLIT_KEYS>);
    return p.splits > 1 ? launch_end(gemm_split<N, BM, BN, THREADS, FROM_ROWS, SPLIT_PARTS>) : launch_end(gemm_split<N, BM, BN, THREADS, FROM_ROWS, SPLIT_ROWS>);
}

template <numeric N> cudaError_t launch_split(const gemm_args &p, const launch *how)
{
    switch (p.tile) {
    case 0:
        return launch_split_tile<N, 128, 128, 256>(p, how);
    case 1:
        return launch_split_tile<N, 128, 64, 256>(p, how);
    case 2:
        return launch_split_tile<N, 64, 128, 128>(p, how);
    default:
        return launch_split_tile<N, 64, 64, 128>(p, how);
    }
}

} // namespace

#endif
