/* gemm_picture: the first patch convolution straight from the picture's bytes (compute capability 9.0a, 16 bits): gather.cu and
 * gemm_bulk.cuh in one, so that the matrix of patches is never written. */
#ifndef SEGRT_CUDA_GEMM_PICTURE_CUH
#define SEGRT_CUDA_GEMM_PICTURE_CUH

#include "backend/cuda/bulk.cuh"
#include "backend/cuda/gemm_rows.cuh"

namespace {

constexpr int PICTURE_ROWS = 128, PICTURE_COLUMNS = 64, PICTURE_THREADS = 256; /* of a block */
constexpr int PICTURE_RING = PICTURE_SLICES * (PICTURE_ROWS + PICTURE_COLUMNS) * SLICE; /* bytes of both operands; gamma and beta lie behind */
constexpr int PICTURE_HERE = PICTURE_RING + 2 * 4 * PICTURE_COLUMNS;                   /* the barrier */

/* Two bytes of a word as numbers, without the conversion unit, which takes four times as long: behind 1024, or 2^23, a byte is the
 * last bits of a number. */
template <numeric N> __device__ __forceinline__ uint32_t two_numbers(uint32_t word, int first)
{
    if constexpr (N == NUMERIC_F16) {
        const uint32_t behind = __byte_perm(word, 0x64646464u, first ? 0x4342 : 0x4140);
        const __half2 r = __hsub2(*reinterpret_cast<const __half2 *>(&behind), __float2half2_rn(1024));
        return *reinterpret_cast<const uint32_t *>(&r);
    }
    auto number = [&](int e) { return __uint_as_float(__byte_perm(word, 0x4b000000u, 0x7650 | e)) - 8388608.0f; };
    return pack16<N>(number(first), number(first + 1));
}

/* Eight neighbouring bytes of a row of the picture, asked for and made numbers later, so that several are on their way. */
struct picture_bytes {
    uint32_t word[3];
    const uint8_t *line;
    int start, used; /* used: of the eight; 0: none is in the picture */
    bool whole;      /* with the word behind within the row */

    __device__ __forceinline__ void ask(const uint8_t *row, bool inside, int first, int end, int of_kernel)
    {
        line = row;
        start = first;
        used = inside ? min(max(of_kernel, 0), 8) : 0;
        whole = inside && start >= 0 && start + 12 <= end;
        const uint32_t *from = (const uint32_t *)((uintptr_t)(line + start) & ~(uintptr_t)3);
#pragma unroll
        for (int i = 0; i < 3; i++)
            word[i] = whole ? from[i] : 0;
    }

    /* Zeros outside and behind the kernel's row. */
    template <numeric N> __device__ __forceinline__ uint4 numbers(int end) const
    {
        const uint32_t shift = (uint32_t)((uintptr_t)(line + start) & 3) * 8;
        uint32_t low = __funnelshift_r(word[0], word[1], shift), high = __funnelshift_r(word[1], word[2], shift);
        if (!whole) {
            low = high = 0;
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
        if (used < 8) {
            low = used >= 4 ? low : low & ((1u << 8 * used) - 1);
            high = used <= 4 ? 0 : high & ((1u << 8 * (used - 4)) - 1);
        }
        return make_uint4(two_numbers<N>(low, 0), two_numbers<N>(low, 2), two_numbers<N>(high, 0), two_numbers<N>(high, 2));
    }
};

/* Rows are finished from the accumulators: the columns of the right operand are exchanged as in ffn_wide.cuh, so that a thread has four
 * neighbours and four threads a row. */
template <numeric N> __global__ void __launch_bounds__(PICTURE_THREADS, 2) gemm_picture(const gemm_args p, const __grid_constant__ CUtensorMap weights)
{
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    using T = storage_t<N>;
    constexpr int BM = PICTURE_ROWS, BN = PICTURE_COLUMNS, THREADS = PICTURE_THREADS, LEFT = BM * SLICE, RIGHT = BN * SLICE, CHUNKS = SLICE / 16, FOURS = BN / 16;
    extern __shared__ __align__(1024) unsigned char shared[];
    const uint32_t base = shared_address(shared), right_base = base + PICTURE_SLICES * LEFT, here = base + PICTURE_HERE;
    const int tid = threadIdx.x, lane = tid & 31, warp = tid >> 5, m0 = blockIdx.x * BM;
    if (tid == 0) {
        barrier_begin(here, 1);
        barriers_begun();
        barrier_expect(here, PICTURE_SLICES * RIGHT + 2 * 4 * p.n);
        for (int slice = 0; slice < PICTURE_SLICES; slice++) /* zeros behind k */
            bulk_load(right_base + slice * RIGHT, &weights, here, slice * CHUNKS * 8, 0, 0, 0, 0);
        bulk_load_row(base + PICTURE_RING, p.gamma, here, 4 * p.n);
        bulk_load_row(base + PICTURE_RING + 4 * BN, p.beta, here, 4 * p.n);
    }
    const int groups = p.pitch / 8, pixels = p.out_h * p.out_w, row_bytes = p.in_w * 3;
    float4 v[2][FOURS]; /* of two rows; first the biases of their border cases */
    const int column0 = (lane & 3) * 4;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const int pixel = min(m0 + warp * 16 + (lane >> 2) + half * 8, p.m - 1) % pixels, oy = pixel / p.out_w, ox = pixel - oy * p.out_w;
        const float *bias = p.bias + (size_t)(p.case_y[oy] * p.cases_x + p.case_x[ox]) * p.n + column0;
#pragma unroll
        for (int f = 0; f < FOURS; f++)
            v[half][f] = column0 + f * 16 < p.n ? *(const float4 *)(bias + f * 16) : make_float4(0, 0, 0, 0);
    }
    wait_for_previous();
    const int chunk = tid % (PICTURE_SLICES * CHUNKS), ky = chunk / groups, first = (chunk - ky * groups) * 8; /* the same in every pass */
    constexpr int PASS = THREADS / (PICTURE_SLICES * CHUNKS), AT_ONCE = 5;
    if (tid < PASS * PICTURE_SLICES * CHUNKS) {
        int row0 = tid / (PICTURE_SLICES * CHUNKS), image = (m0 + row0) / pixels, oy = (m0 + row0 - image * pixels) / p.out_w,
            ox = m0 + row0 - image * pixels - oy * p.out_w; /* followed from row to row: divisions would be half of all instructions */
#pragma unroll 1
        for (; row0 < BM; row0 += PASS * AT_ONCE) {
            picture_bytes bytes[AT_ONCE];
#pragma unroll
            for (int i = 0; i < AT_ONCE; i++) {
                const int y = oy * p.stride - p.pad + ky;
                bytes[i].ask((const uint8_t *)p.a + ((size_t)image * p.in_h + y) * row_bytes,
                             ky < p.kernel && y >= 0 && y < p.in_h && m0 + row0 + i * PASS < p.m, (ox * p.stride - p.pad) * 3 + first, row_bytes, p.kernel * 3 - first);
                ox += PASS;
                while (ox >= p.out_w) {
                    ox -= p.out_w;
                    oy++;
                }
                while (oy >= p.out_h) {
                    oy -= p.out_h;
                    image++;
                }
            }
#pragma unroll
            for (int i = 0; i < AT_ONCE; i++) {
                const int row = row0 + i * PASS;
                if (row < BM)
                    *(uint4 *)(shared + chunk / CHUNKS * LEFT + tile_offset<SLICE>(row, chunk % CHUNKS)) = bytes[i].template numbers<N>(row_bytes);
            }
        }
    }
    float sum[BN / 8][4];
#pragma unroll
    for (int j = 0; j < BN / 8; j++)
#pragma unroll
        for (int e = 0; e < 4; e++)
            sum[j][e] = 0;
    wide_publish();
    __syncthreads();
    barrier_wait(here, 0);
    wide_begin();
#pragma unroll
    for (int slice = 0; slice < PICTURE_SLICES; slice++) {
        const uint64_t left = wide_tile<SLICE>(base + slice * LEFT + (warp >> 2) * 64 * SLICE), right = wide_tile<SLICE>(right_base + slice * RIGHT);
#pragma unroll
        for (int step = 0; step < STEPS; step++)
            wide_multiply_both<N>(sum, left + 2 * step, right + 2 * step);
    }
    wide_commit();
    wide_wait<0>();
    start_next();

    auto over_row = [](float part) { /* four threads */
        part += __shfl_xor_sync(0xffffffffu, part, 1);
        return part + __shfl_xor_sync(0xffffffffu, part, 2);
    };
    const float *const gamma = (const float *)(shared + PICTURE_RING) + column0, *const beta = gamma + BN;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        float4(&r)[FOURS] = v[half];
        float squares = 0, total = 0;
#pragma unroll
        for (int f = 0; f < FOURS; f++) { /* zeros behind the width */
            r[f].x += sum[2 * f][2 * half], r[f].y += sum[2 * f][2 * half + 1], r[f].z += sum[2 * f + 1][2 * half], r[f].w += sum[2 * f + 1][2 * half + 1];
            squares += squares4(r[f]);
        }
        const float scale = inverse_rms(over_row(squares), p.inverse_width, p.eps);
#pragma unroll
        for (int f = 0; f < FOURS; f++)
            if (column0 + f * 16 < p.n) {
                const float4 g = *(const float4 *)(gamma + f * 16), b = *(const float4 *)(beta + f * 16);
                r[f] = make_float4(r[f].x * scale * g.x + b.x, r[f].y * scale * g.y + b.y, r[f].z * scale * g.z + b.z, r[f].w * scale * g.w + b.w);
                total += sum4(r[f]);
            }
        const float mean = over_row(total) * p.inverse_width;
        squares = 0;
#pragma unroll
        for (int f = 0; f < FOURS; f++) {
            const int column = column0 + f * 16;
            r[f].x = column < p.true_width ? r[f].x - mean : 0;
            r[f].y = column + 1 < p.true_width ? r[f].y - mean : 0;
            r[f].z = column + 2 < p.true_width ? r[f].z - mean : 0;
            r[f].w = column + 3 < p.true_width ? r[f].w - mean : 0;
            squares += squares4(r[f]);
        }
        const float norm = inverse_rms(over_row(squares), p.inverse_width, p.eps_out);
        const int m = m0 + warp * 16 + (lane >> 2) + half * 8;
        const size_t at = (size_t)m * p.ldo + column0;
#pragma unroll
        for (int f = 0; f < FOURS; f++)
            if (m < p.m && column0 + f * 16 < p.n) {
                *(float4 *)(p.x + at + f * 16) = r[f];
                store4<N>((T *)p.out + at + f * 16, make_float4(r[f].x * norm, r[f].y * norm, r[f].z * norm, r[f].w * norm));
            }
    }
#endif
}

template <numeric N> cudaError_t launch_picture(const gemm_args &p, const launch *how)
{
    const int64_t column = 2 * (int64_t)p.ldw;
    const bulk_tensor w = {.at = p.w,
                           .rank = 5,
                           .size = {p.ldw, 2, 4, 2, p.n / 16},
                           .stride = {0, column, 4 * column, 2 * column, 16 * column},
                           .box = {64, 2, 4, 2, PICTURE_COLUMNS / 16}};
    CUtensorMap weights;
    const cudaError_t status = bulk_describe(&weights, N, &w);
    return status == cudaSuccess ? start(gemm_picture<N>, dim3((p.m + PICTURE_ROWS - 1) / PICTURE_ROWS), PICTURE_THREADS, PICTURE_HERE + 8, how, p, weights) : status;
}

} // namespace

#endif
