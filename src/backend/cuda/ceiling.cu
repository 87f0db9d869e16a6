/* ceiling: the tensor cores at work on operands that never leave shared memory (wgmma) or registers (mma.sync), for a
 * profile's percentages.  Operands are small ordinary numbers: zeros would be faster than life. */
#include "backend/cuda/ceiling.h"
#include "backend/cuda/wgmma.cuh"

namespace {

enum {
    WARPS = 4,
    ROWS = 64,         /* of a wgmma */
    COLUMNS = 128,
    TILE_BYTES = 128,  /* of a row: four steps of k */
    STEPS = 4,
    TILES = 8,         /* of 16x8, a warp and round of mma.sync */
};

__device__ __forceinline__ uint32_t small_pair(int i) { return 0x3c003800u ^ (uint32_t)(i & 7) << 20; } /* a pair of fp16, or a float, near 1 */

template <numeric N> __global__ void __launch_bounds__(32 * WARPS) wide_products(float *out, int rounds)
{
    extern __shared__ __align__(1024) uint8_t tiles[];
    for (int i = threadIdx.x; i < (ROWS + COLUMNS) * TILE_BYTES / 4; i += blockDim.x)
        ((uint32_t *)tiles)[i] = small_pair(i);
    wide_publish();
    __syncthreads();
    const uint32_t at = (uint32_t)__cvta_generic_to_shared(tiles);
    const uint64_t left = wide_tile<TILE_BYTES>(at), right = wide_tile<TILE_BYTES>(at + ROWS * TILE_BYTES);
    float c[COLUMNS / 8][4] = {};
    for (int r = 0; r < rounds; r++) {
        wide_begin();
#pragma unroll
        for (int step = 0; step < STEPS; step++)
            wide_multiply_both<N>(c, left + 2 * step, right + 2 * step);
        wide_commit();
        wide_wait<0>();
    }
    float sum = 0;
#pragma unroll
    for (int j = 0; j < COLUMNS / 8; j++)
        sum += c[j][0] + c[j][1] + c[j][2] + c[j][3];
    out[blockIdx.x * blockDim.x + threadIdx.x] = sum;
}

template <numeric N> __global__ void __launch_bounds__(32 * WARPS) products(float *out, int rounds)
{
    fragment<N, 4> a;
    fragment<N, 2> b;
#pragma unroll
    for (int i = 0; i < 4; i++)
        a.high[i] = small_pair(threadIdx.x + i);
#pragma unroll
    for (int i = 0; i < 2; i++)
        b.high[i] = small_pair(threadIdx.x - i);
    float c[TILES][4] = {};
    for (int r = 0; r < rounds; r++)
#pragma unroll
        for (int j = 0; j < TILES; j++)
            multiply<N>(c[j], a, b);
    float sum = 0;
#pragma unroll
    for (int j = 0; j < TILES; j++)
        sum += c[j][0] + c[j][1] + c[j][2] + c[j][3];
    out[blockIdx.x * blockDim.x + threadIdx.x] = sum;
}

template <numeric N> cudaError_t launch_type(bool wide, int blocks, int rounds, float *out, uint64_t *macs, const launch *how)
{
    constexpr uint64_t depth = N == NUMERIC_TF32 ? 8 : 16; /* of a step of k */
    if constexpr (!is_float<N>)
        if (wide) {
            *macs = ROWS * COLUMNS * depth * STEPS;
            return start(wide_products<N>, dim3((unsigned)blocks), 32 * WARPS, (ROWS + COLUMNS) * TILE_BYTES, how, out, rounds);
        }
    *macs = WARPS * TILES * 16 * 8 * depth;
    return start(products<N>, dim3((unsigned)blocks), 32 * WARPS, 0, how, out, rounds);
}

} // namespace

cudaError_t ceiling_launch(numeric type, bool wide, int blocks, int rounds, float *out, uint64_t *macs, const launch *how)
{
    switch (type) {
    case NUMERIC_F16:
        return launch_type<NUMERIC_F16>(wide, blocks, rounds, out, macs, how);
    case NUMERIC_BF16:
        return launch_type<NUMERIC_BF16>(wide, blocks, rounds, out, macs, how);
    default:
        return launch_type<NUMERIC_TF32>(wide, blocks, rounds, out, macs, how);
    }
}
