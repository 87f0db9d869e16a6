/* gemm_picture: the first patch convolution straight from the picture's bytes (compute capability 9.0a, 16 bits): gather.cu and
 * gemm_bulk.cuh in one, so that the matrix of patches is never written. */
#ifndef SEGRT_CUDA_GEMM_PICTURE_CUH
#define SEGRT_CUDA_GEMM_PICTURE_CUH

#include "backend/cuda/bulk.cuh"
#include "backend/cuda/gemm_end.cuh"

namespace {

constexpr int PICTURE_ROWS = 128, PICTURE_COLUMNS = 64, PICTURE_THREADS = 256; /* of a block */
constexpr int PICTURE_RING = PICTURE_SLICES * (PICTURE_ROWS + PICTURE_COLUMNS) * SLICE;

/* Eight neighbouring bytes of a row of the picture as numbers; zeros outside and behind the kernel's row. */
template <numeric N> __device__ __forceinline__ uint4 picture_chunk(const uint8_t *line, bool inside, int start, int end, int used)
{
    uint32_t low = 0, high = 0;
    if (inside && start >= 0 && start + 12 <= end) { /* within the row, and so is the word behind */
        const uint8_t *from = line + start;
        const uint32_t shift = (uint32_t)((uintptr_t)from & 3) * 8;
        const uint32_t *word = (const uint32_t *)(from - ((uintptr_t)from & 3));
        const uint32_t a = word[0], b = word[1], c = word[2];
        low = __funnelshift_r(a, b, shift);
        high = __funnelshift_r(b, c, shift);
        if (used < 8) {
            low = used >= 4 ? low : low & ((1u << 8 * max(used, 0)) - 1);
            high = used <= 4 ? 0 : high & ((1u << 8 * (used - 4)) - 1);
        }
    } else if (inside) {
#pragma unroll
        for (int e = 0; e < 8; e++)
            if (e < used && start + e >= 0 && start + e < end) {
                const uint32_t byte = line[start + e];
                if (e < 4)
                    low |= byte << 8 * e;
                else
                    high |= byte << 8 * (e - 4);
            }
    }
    auto number = [](uint32_t word, int e) { return (float)(word >> 8 * e & 255); };
    return make_uint4(pack16<N>(number(low, 0), number(low, 1)), pack16<N>(number(low, 2), number(low, 3)), pack16<N>(number(high, 0), number(high, 1)),
                      pack16<N>(number(high, 2), number(high, 3)));
}

template <numeric N> __global__ void __launch_bounds__(PICTURE_THREADS, 2) gemm_picture(const gemm_args p, const __grid_constant__ CUtensorMap weights)
{
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    constexpr int BM = PICTURE_ROWS, BN = PICTURE_COLUMNS, THREADS = PICTURE_THREADS, LEFT = BM * SLICE, RIGHT = BN * SLICE, CHUNKS = SLICE / 16;
    extern __shared__ __align__(1024) unsigned char shared[];
    const uint32_t base = shared_address(shared), right_base = base + PICTURE_SLICES * LEFT, here = base + PICTURE_RING + MORE;
    const int tid = threadIdx.x, warp = tid >> 5, m0 = blockIdx.y * BM;
    void *const more = shared + PICTURE_RING;
    const end_needs<BM, BN, THREADS, END_ALONE> needs(p, more, m0, 0);
    if (tid == 0) {
        barrier_begin(here, 1);
        barriers_begun();
        barrier_expect(here, PICTURE_SLICES * RIGHT);
        for (int slice = 0; slice < PICTURE_SLICES; slice++) /* zeros behind k */
            bulk_load(right_base + slice * RIGHT, &weights, here, slice * CHUNKS * 8, 0);
    }
    wait_for_previous();
    const int groups = p.pitch / 8, pixels = p.out_h * p.out_w, row_bytes = p.in_w * 3;
    const int chunk = tid % (PICTURE_SLICES * CHUNKS), ky = chunk / groups, first = (chunk - ky * groups) * 8; /* the same in every pass */
    constexpr int PASS = THREADS / (PICTURE_SLICES * CHUNKS);
    if (tid < PASS * PICTURE_SLICES * CHUNKS)
        for (int row = tid / (PICTURE_SLICES * CHUNKS); row < BM; row += PASS) {
            const int m = min(m0 + row, p.m - 1), image = m / pixels, pixel = m - image * pixels, oy = pixel / p.out_w, ox = pixel - oy * p.out_w;
            const int y = oy * p.stride - p.pad + ky;
            const uint8_t *line = (const uint8_t *)p.a + ((size_t)image * p.in_h + y) * row_bytes;
            *(uint4 *)(shared + chunk / CHUNKS * LEFT + tile_offset<SLICE>(row, chunk % CHUNKS)) =
                picture_chunk<N>(line, ky < p.kernel && y >= 0 && y < p.in_h, (ox * p.stride - p.pad) * 3 + first, row_bytes, p.kernel * 3 - first);
        }
    float sum[1][BN / 8][4];
#pragma unroll
    for (int j = 0; j < BN / 8; j++)
#pragma unroll
        for (int e = 0; e < 4; e++)
            sum[0][j][e] = 0;
    wide_publish();
    __syncthreads();
    barrier_wait(here, 0);
    wide_begin();
#pragma unroll
    for (int slice = 0; slice < PICTURE_SLICES; slice++) {
        const uint64_t left = wide_tile<SLICE>(base + slice * LEFT + (warp >> 2) * 64 * SLICE), right = wide_tile<SLICE>(right_base + slice * RIGHT);
#pragma unroll
        for (int step = 0; step < STEPS; step++)
            wide_multiply_both<N>(sum[0], left + 2 * step, right + 2 * step);
    }
    wide_commit();
    wide_wait<0>();
    start_next();
    __syncthreads();
    end_block<N, BM, BN, THREADS, END_ALONE>(p, sum, needs, more, shared, warp * 16, 0);
#endif
}

template <numeric N> cudaError_t launch_picture(const gemm_args &p, const launch *how)
{
    static_assert(shared_of(PICTURE_ROWS, PICTURE_COLUMNS, 1, true, 2) <= PICTURE_RING, "rows are finished in the same place");
    constexpr int BYTES = PICTURE_RING + MORE + 8;
    const bulk_tensor w = {.at = p.w, .rank = 2, .size = {p.ldw, p.n}, .stride = {0, 2 * (int64_t)p.ldw}, .box = {64, PICTURE_COLUMNS}};
    CUtensorMap weights;
    const cudaError_t status = bulk_describe(&weights, N, &w);
    return status == cudaSuccess ? start(gemm_picture<N>, dim3(1, (p.m + PICTURE_ROWS - 1) / PICTURE_ROWS), PICTURE_THREADS, BYTES, how, p, weights) : status;
}

} // namespace

#endif
