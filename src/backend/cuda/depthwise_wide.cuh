/* depthwise_wide: depthwise.cu by the tensor cores and the copy engine (compute capability 9.0a, 16 bits; see convolve.cuh).
 *
 * A block has ROWS x 16 tokens and a chunk of 64 channels, a warp eight of them.  Results take the place of what they were made of. */
#ifndef SEGRT_CUDA_DEPTHWISE_WIDE_CUH
#define SEGRT_CUDA_DEPTHWISE_WIDE_CUH

#include "backend/cuda/convolve.cuh"

namespace {

constexpr int WIDE_THREADS = CHUNK / 8 * 32, WIDE_BLOCKS = 4; /* of a multiprocessor at once */

struct depthwise_maps {
    CUtensorMap in, out;
};

template <numeric N, int ROWS> __global__ void __launch_bounds__(WIDE_THREADS, WIDE_BLOCKS) depthwise_wide(const depthwise_args p, const __grid_constant__ depthwise_maps maps)
{
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    constexpr int BARRIER = halo_place(ROWS);
    extern __shared__ __align__(1024) unsigned char shared[];
    const uint32_t base = shared_address(shared), here = base + BARRIER;
    const int lane = threadIdx.x & 31, group = threadIdx.x >> 5, channel0 = blockIdx.x * CHUNK, x0 = blockIdx.y * TILE_W;
    const int strips = (p.h + ROWS - 1) / ROWS, y0 = (int)(blockIdx.z % strips) * ROWS, image = (int)(blockIdx.z / strips);
    if (threadIdx.x == 0) {
        barrier_begin(here, 1);
        barriers_begun();
    }
    const int first = channel0 + group * 8, channel = min(first + (lane >> 2), p.width - 1), column = min(first + (lane & 3) * 2, p.width - 2);
    float weight[9];
#pragma unroll
    for (int i = 0; i < 9; i++)
        weight[i] = p.weight[i * p.width + channel];
    const float2 bias = *(const float2 *)(p.bias + column);
    wait_for_previous();
    if (threadIdx.x == 0) {
        barrier_expect(here, halo_bytes(ROWS));
        bulk_load(base, &maps.in, here, channel0, x0 - 1, y0 - 1, image);
    }
    const taps t = make_taps<N>(weight, bias);
    __syncthreads();
    barrier_wait(here, 0);
    start_next();
    convolve_tile<N, ROWS>(base, base, 0, group, t);
    wide_publish();
    __syncthreads();
    if (threadIdx.x == 0) {
        bulk_store(&maps.out, base, channel0, x0, y0, image);
        bulk_stored();
    }
#endif
}

dim3 wide_grid(const depthwise_args &p, int rows) { return dim3((p.width + CHUNK - 1) / CHUNK, (p.w + TILE_W - 1) / TILE_W, (p.h + rows - 1) / rows * p.images); }

template <numeric N, int ROWS> cudaError_t launch_wide(const depthwise_args &p, const launch *how)
{
    const int64_t token = 2 * (int64_t)p.width;
    bulk_tensor map = {.at = p.in, .rank = 4, .size = {p.width, p.w, p.h, p.images}, .stride = {0, token, token * p.w, token * p.w * p.h}, .box = {CHUNK, HALO_W, ROWS + 2, 1}};
    depthwise_maps maps = {};
    cudaError_t status = bulk_describe(&maps.in, N, &map);
    map.at = p.out;
    map.box[1] = TILE_W;
    map.box[2] = ROWS;
    if (status == cudaSuccess)
        status = bulk_describe(&maps.out, N, &map);
    return status == cudaSuccess ? start(depthwise_wide<N, ROWS>, wide_grid(p, ROWS), WIDE_THREADS, halo_place(ROWS) + 8, how, p, maps) : status;
}

/* Rows of a block: more are read less twice, fewer leave fewer multiprocessors idle at the end.  A block costs `extra` rows besides, and
 * a multiprocessor has `at_once`. */
template <int COUNT> int choose_rows(const int (&choices)[COUNT], dim3 (*grid_of)(const depthwise_args &, int), const depthwise_args &p, int at_once, int extra)
{
    int best = choices[0];
    long least = 0;
    for (int rows : choices) {
        const dim3 grid = grid_of(p, rows);
        const long places = (long)at_once * p.processors, waves = ((long)grid.x * grid.y * grid.z + places - 1) / places, cost = waves * (rows + extra);
        if (!least || cost < least) {
            least = cost;
            best = rows;
        }
    }
    return best;
}

template <numeric N> cudaError_t launch_wide_rows(const depthwise_args &p, const launch *how)
{
    static const int choices[] = {16, 8, 4};
    const int best = choose_rows(choices, wide_grid, p, WIDE_BLOCKS, 5);
    return best == 16 ? launch_wide<N, 16>(p, how) : best == 8 ? launch_wide<N, 8>(p, how) : launch_wide<N, 4>(p, how);
}

} // namespace

#endif
