/* hidden_wide: a Mix-FFN's first map, depthwise 3x3 and GELU in one kernel, for widths that ffn_wide.cuh does not take (compute
 * capability 9.0a, 16 bits): the first map's result is never written.
 *
 * A block has ROWS x 16 tokens, whose rows with those around them stay in shared memory, and some chunks of 64 hidden channels.  Two
 * groups of four warps multiply a chunk with the neighbours while eight warps convolve the one before; another brings weights, the
 * last sends results, which take the place of what they were made of. */
#ifndef SEGRT_CUDA_HIDDEN_WIDE_CUH
#define SEGRT_CUDA_HIDDEN_WIDE_CUH

#include "backend/cuda/convolve.cuh"

namespace {

struct hidden_maps {
    CUtensorMap rows, first, taps, bias, out;
};

constexpr int HIDDEN_THREADS = 18 * 32, HIDDEN_SLICES = 8; /* of 64 columns, at most */

/* What a block's shared memory holds: the rows, two chunks of the hidden map, slices of weights in a ring, taps and biases of two
 * chunks, barriers. */
template <int ROWS> struct hidden_places {
    static constexpr int TILES = ROWS == 8 ? 3 : 2, SLICE_BYTES = TILES * 64 * 128; /* of 64 rows */
    static constexpr int SLICES = ROWS == 8 ? 5 : HIDDEN_SLICES, RING = ROWS == 8 ? 6 : 7, WEIGHT = 64 * 128;
    static constexpr int TAPS_BYTES = 10 * CHUNK * 4;
    static constexpr int HIDDEN = SLICES * SLICE_BYTES, WEIGHTS = HIDDEN + 2 * SLICE_BYTES, TAPS = WEIGHTS + RING * WEIGHT, BIAS = TAPS + 2 * TAPS_BYTES;
    static constexpr int ROWS_HERE = BIAS + 2 * CHUNK * 4, FULL = ROWS_HERE + SLICES * 8, EMPTY = FULL + RING * 8, TAPS_HERE = EMPTY + RING * 8, TAPS_DONE = TAPS_HERE + 16,
                         MADE = TAPS_DONE + 16, CONVOLVED = MADE + 16, SENT = CONVOLVED + 16, BYTES = SENT + 16;
    static_assert(TILES * 64 >= (ROWS + 2) * HALO_W && BYTES <= 227 * 1024, "room");
};

template <numeric N, int ROWS> __global__ void __launch_bounds__(HIDDEN_THREADS, 1) hidden_wide(const depthwise_args p, const __grid_constant__ hidden_maps maps, const int share)
{
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    using at = hidden_places<ROWS>;
    extern __shared__ __align__(1024) unsigned char shared[];
    const uint32_t base = shared_address(shared);
    const int tid = threadIdx.x, lane = tid & 31, warp = __shfl_sync(0xffffffffu, tid >> 5, 0); /* the same for all lanes, so that roles are */
    const int strips = (p.h + ROWS - 1) / ROWS, y0 = (int)(blockIdx.z % strips) * ROWS, image = (int)(blockIdx.z / strips), x0 = blockIdx.y * TILE_W;
    const int all = (p.width + CHUNK - 1) / CHUNK, chunk0 = blockIdx.x * share, chunks = min(share, all - chunk0), slices = (p.inner + 63) / 64;
    auto barrier_of = [&](int first, int i) { return base + first + i * 8; };
    if (tid == 0) {
        for (int i = 0; i < at::SLICES; i++)
            barrier_begin(barrier_of(at::ROWS_HERE, i), 1);
        for (int i = 0; i < at::RING; i++) {
            barrier_begin(barrier_of(at::FULL, i), 1);
            barrier_begin(barrier_of(at::EMPTY, i), 8);
        }
        for (int i = 0; i < 2; i++) {
            barrier_begin(barrier_of(at::TAPS_HERE, i), 1);
            barrier_begin(barrier_of(at::TAPS_DONE, i), 16);
            barrier_begin(barrier_of(at::MADE, i), 8);
            barrier_begin(barrier_of(at::CONVOLVED, i), 8);
            barrier_begin(barrier_of(at::SENT, i), 1);
        }
        barriers_begun();
    }
    if (tid < 2 * CHUNK) /* behind the last channel the biases must not be what was there */
        ((float *)(shared + at::BIAS))[tid] = 0;
    wide_publish();
    __syncthreads();

    if (warp < 8) { /* products */
        const int group = warp >> 2;
        int item = 0;
#pragma unroll 1
        for (int chunk = 0; chunk < chunks; chunk++) {
            constexpr int PART = ROWS == 8 ? 4 : 0; /* half of the third tile */
            float whole[8][4], part[PART ? PART : 1][4];
#pragma unroll
            for (int j = 0; j < 8; j++)
#pragma unroll
                for (int e = 0; e < 4; e++)
                    whole[j][e] = 0;
#pragma unroll
            for (int j = 0; j < PART; j++)
#pragma unroll
                for (int e = 0; e < 4; e++)
                    part[j][e] = 0;
#pragma unroll 1
            for (int slice = 0; slice < slices; slice++, item++) {
                if (chunk == 0)
                    barrier_wait(barrier_of(at::ROWS_HERE, slice), 0);
                barrier_wait(barrier_of(at::FULL, item % at::RING), item / at::RING & 1);
                const uint32_t rows = base + slice * at::SLICE_BYTES, weight = base + at::WEIGHTS + item % at::RING * at::WEIGHT;
                const uint64_t left = wide_tile<128>(rows + group * 64 * 128), right = wide_tile<128>(weight);
                wide_begin();
#pragma unroll
                for (int step = 0; step < 4; step++)
                    wide_multiply_both<N>(whole, left + 2 * step, right + 2 * step);
                if constexpr (PART > 0) {
                    const uint64_t third = wide_tile<128>(rows + 2 * 64 * 128), half = wide_tile<128>(weight + group * 32 * 128);
#pragma unroll
                    for (int step = 0; step < 4; step++)
                        wide_multiply_both<N>(part, third + 2 * step, half + 2 * step);
                }
                wide_commit();
                wide_wait<1>();
                if (lane == 0 && slice > 0)
                    barrier_arrive(barrier_of(at::EMPTY, (item - 1) % at::RING));
            }
            wide_wait<0>();
            if (lane == 0)
                barrier_arrive(barrier_of(at::EMPTY, (item - 1) % at::RING));
            const int of = chunk & 1, turn = chunk >> 1 & 1;
            const float *const bias = (const float *)(shared + at::BIAS) + of * CHUNK;
            barrier_wait(barrier_of(at::TAPS_HERE, of), turn);
            if (chunk > 1)
                barrier_wait(barrier_of(at::SENT, of), turn ^ 1);
            const uint32_t hidden = base + at::HIDDEN + of * at::SLICE_BYTES;
            store_hidden<N>(whole, hidden, group * 64 + (warp & 3) * 16, 0, bias, y0, x0, p.h, p.w);
            if constexpr (PART > 0)
                store_hidden<N>(part, hidden, 2 * 64 + (warp & 3) * 16, group * 32, bias, y0, x0, p.h, p.w);
            __syncwarp();
            if (lane == 0) {
                barrier_arrive(barrier_of(at::MADE, of));
                barrier_arrive(barrier_of(at::TAPS_DONE, of));
            }
        }
    } else if (warp < 16) { /* convolution */
        const int group = warp - 8;
#pragma unroll 1
        for (int chunk = 0; chunk < chunks; chunk++) {
            const int of = chunk & 1, turn = chunk >> 1 & 1;
            const uint32_t hidden = base + at::HIDDEN + of * at::SLICE_BYTES;
            barrier_wait(barrier_of(at::TAPS_HERE, of), turn);
            const float *const weights = (const float *)(shared + at::TAPS + of * at::TAPS_BYTES) + group * 8;
            float weight[9];
#pragma unroll
            for (int i = 0; i < 9; i++)
                weight[i] = weights[i * CHUNK + (lane >> 2)];
            const taps t = make_taps<N>(weight, *(const float2 *)(weights + 9 * CHUNK + (lane & 3) * 2));
            barrier_wait(barrier_of(at::MADE, of), turn);
            convolve_tile<N, ROWS>(hidden, hidden, 0, group, t);
            wide_publish();
            __syncwarp();
            if (lane == 0) {
                barrier_arrive(barrier_of(at::TAPS_DONE, of));
                barrier_arrive(barrier_of(at::CONVOLVED, of));
            }
        }
    } else if (warp == 16) { /* what is read */
        if (lane == 0) {
            int item = 0;
            auto ask_taps = [&](int chunk) {
                const int of = chunk & 1, channel = (chunk0 + chunk) * CHUNK, count = min(CHUNK, p.width - channel) * 4;
                const uint32_t here = barrier_of(at::TAPS_HERE, of), to = base + at::TAPS + of * at::TAPS_BYTES;
                barrier_expect(here, at::TAPS_BYTES + count);
                bulk_load(to, &maps.taps, here, channel, 0);
                bulk_load(to + 9 * CHUNK * 4, &maps.bias, here, channel, 0);
                bulk_load_row(base + at::BIAS + of * CHUNK * 4, p.first_bias + channel, here, count);
            };
            auto ask_weight = [&](int chunk, int slice) {
                const int place = item % at::RING;
                if (item >= at::RING)
                    barrier_wait(barrier_of(at::EMPTY, place), (item / at::RING & 1) ^ 1);
                barrier_expect(barrier_of(at::FULL, place), at::WEIGHT);
                bulk_load(base + at::WEIGHTS + place * at::WEIGHT, &maps.first, barrier_of(at::FULL, place), slice * 64, (chunk0 + chunk) * CHUNK);
                item++;
            };
            ask_weight(0, 0);
            wait_for_previous();
            for (int slice = 0; slice < slices; slice++) {
                barrier_expect(barrier_of(at::ROWS_HERE, slice), halo_bytes(ROWS));
                bulk_load(base + slice * at::SLICE_BYTES, &maps.rows, barrier_of(at::ROWS_HERE, slice), slice * 64, x0 - 1, y0 - 1, image);
                if (slice > 0)
                    ask_weight(0, slice);
            }
            ask_taps(0);
            for (int chunk = 1; chunk < chunks; chunk++) {
                for (int slice = 0; slice < slices; slice++)
                    ask_weight(chunk, slice);
                if (chunk > 1)
                    barrier_wait(barrier_of(at::TAPS_DONE, chunk & 1), (chunk >> 1 & 1) ^ 1);
                ask_taps(chunk);
            }
            start_next();
        }
    } else if (lane == 0) { /* what is written */
        wait_for_previous();
#pragma unroll 1
        for (int chunk = 0; chunk < chunks; chunk++) {
            const int of = chunk & 1;
            barrier_wait(barrier_of(at::CONVOLVED, of), chunk >> 1 & 1);
            bulk_store(&maps.out, base + at::HIDDEN + of * at::SLICE_BYTES, (chunk0 + chunk) * CHUNK, x0, y0, image);
            bulk_sent();
            barrier_arrive(barrier_of(at::SENT, of));
        }
        bulk_stored();
    }
#endif
}

template <numeric N, int ROWS> cudaError_t launch_hidden(const depthwise_args &p, const launch *how)
{
    const int64_t token = 2 * (int64_t)p.inner, taps = 4 * (int64_t)p.width, made = 2 * (int64_t)p.width;
    const bulk_tensor rows = {.at = p.in,
                              .rank = 4,
                              .size = {p.inner, p.w, p.h, p.images},
                              .stride = {0, token, token * p.w, token * p.w * p.h},
                              .box = {64, HALO_W, ROWS + 2, 1}};
    const bulk_tensor first = {.at = p.first, .rank = 2, .size = {p.ld_first, p.width}, .stride = {0, 2 * (int64_t)p.ld_first}, .box = {64, CHUNK}};
    const bulk_tensor tap = {.at = p.weight, .rank = 2, .size = {p.width, 9}, .stride = {0, taps}, .box = {CHUNK, 9}, .plain = true};
    const bulk_tensor bias = {.at = p.bias, .rank = 2, .size = {p.width, 1}, .stride = {0, taps}, .box = {CHUNK, 1}, .plain = true};
    const bulk_tensor out = {
        .at = p.out, .rank = 4, .size = {p.width, p.w, p.h, p.images}, .stride = {0, made, made * p.w, made * p.w * p.h}, .box = {CHUNK, TILE_W, ROWS, 1}};
    hidden_maps maps = {};
    const cudaError_t status = bulk_describe({{&maps.rows, N, &rows}, {&maps.first, N, &first}, {&maps.taps, NUMERIC_F32, &tap}, {&maps.bias, NUMERIC_F32, &bias}, {&maps.out, N, &out}});
    if (status != cudaSuccess)
        return status;
    /* A block a multiprocessor, each with as many chunks as that leaves it. */
    const int tiles = (p.w + TILE_W - 1) / TILE_W * ((p.h + ROWS - 1) / ROWS) * p.images, chunks = (p.width + CHUNK - 1) / CHUNK;
    const int beside = tiles >= p.processors ? 1 : p.processors / tiles, share = beside >= chunks ? 1 : (chunks + beside - 1) / beside;
    const dim3 grid((chunks + share - 1) / share, (p.w + TILE_W - 1) / TILE_W, (p.h + ROWS - 1) / ROWS * p.images);
    return start(hidden_wide<N, ROWS>, grid, HIDDEN_THREADS, hidden_places<ROWS>::BYTES, how, p, maps, share);
}

template <numeric N> cudaError_t launch_hidden_rows(const depthwise_args &p, const launch *how)
{
    return p.inner <= 5 * 64 ? launch_hidden<N, 8>(p, how) : launch_hidden<N, 4>(p, how);
}

} // namespace

#endif
