/* ffn_wide: a whole Mix-FFN in one kernel: both linear maps, depthwise 3x3 and GELU, residual sum, norm (compute capability 9.0a,
 * 16 bits, widths up to 128).  The hidden map, four times as wide as the stage and the largest of the network, is never written.
 *
 * A block has 8 x 16 tokens; their rows with those around them stay in shared memory.  Hidden channels pass in chunks of 64: the first
 * map's product with the neighbours (computed again by the blocks beside), convolution and GELU (convolve.cuh), the second map's
 * product, which runs beside the next chunk's first.  Rows are finished from the accumulators: the columns of the right operand are
 * exchanged, by how the copy engine reads them, so that a thread has four neighbours. */
#ifndef SEGRT_CUDA_FFN_WIDE_CUH
#define SEGRT_CUDA_FFN_WIDE_CUH

#include "backend/cuda/convolve.cuh"

namespace {

constexpr int TILE_H = 8, TOKENS = TILE_H * TILE_W, LEFT_BYTES = TOKENS * 128, TAPS_BYTES = 10 * CHUNK * 4;

struct ffn_maps {
    CUtensorMap rows, first, taps, tap_bias, second;
};

/* What a block's shared memory holds. */
template <int WIDTH> struct ffn_places {
    static constexpr int SLICES = (WIDTH + 63) / 64, TILES = 3, ROWS = TILES * 64 * 128; /* bytes of a slice of the rows, or of a hidden chunk */
    static constexpr int FIRST = SLICES * 64 * 128, SECOND = WIDTH * 128;                /* of a chunk's weights */
    static constexpr int HIDDEN = SLICES * ROWS, LEFT = HIDDEN + ROWS, FIRSTS = LEFT + LEFT_BYTES, SECONDS = FIRSTS + 2 * FIRST;
    static constexpr int TAPS = SECONDS + 2 * SECOND, SQUARES = TAPS + 2 * TAPS_BYTES, BIAS = SQUARES + 2 * TOKENS * 4, FIRST_BIAS = BIAS + 2 * WIDTH * 4;
    static constexpr int BARRIERS = FIRST_BIAS + 2 * CHUNK * 4, BYTES = BARRIERS + 5 * 8;
    static_assert(TILES * 64 >= (TILE_H + 2) * HALO_W, "the tokens with those around them");
};

template <numeric N, int WIDTH, int THREADS>
__global__ void __launch_bounds__(THREADS, 512 / THREADS) ffn_wide(const ffn_args p, const __grid_constant__ ffn_maps maps)
{
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    using T = storage_t<N>;
    using at = ffn_places<WIDTH>;
    constexpr int ROWS = TILE_H * 256 / THREADS, COLUMNS = WIDTH * 256 / THREADS, TILES = COLUMNS / 8, FOURS = COLUMNS / 16, GROUPS = THREADS / 128;
    constexpr bool SHARED_ROWS = THREADS > 256; /* two warps have half of a row's columns each */
    extern __shared__ __align__(1024) unsigned char shared[];
    const uint32_t base = shared_address(shared), first_here = base + at::BARRIERS, second_here = first_here + 2 * 8, rows_here = second_here + 2 * 8;
    const int tid = threadIdx.x, lane = tid & 31, warp = tid >> 5, image = blockIdx.z, y0 = blockIdx.y * TILE_H, x0 = blockIdx.x * TILE_W;
    const int chunks = (p.hidden + CHUNK - 1) / CHUNK, wm = (warp >> 2 & 1) * 64, wn = (warp >> 3) * COLUMNS;

    /* Each warp asks for a part, if any: asking takes it 150 cycles, which all would wait for. */
    auto ask_first = [&](int chunk) {
        const uint32_t here = first_here + (chunk & 1) * 8;
        if (warp < at::SLICES) {
            barrier_expect(here, 64 * 128);
            bulk_load(base + at::FIRSTS + (chunk & 1) * at::FIRST + warp * 64 * 128, &maps.first, here, warp * 64, chunk * CHUNK);
        } else if (warp == 2) {
            const int bias = min(CHUNK, p.hidden - chunk * CHUNK) * 4;
            barrier_expect(here, bias);
            bulk_load_row(base + at::FIRST_BIAS + (chunk & 1) * CHUNK * 4, p.first_bias + chunk * CHUNK, here, bias);
        }
    };
    auto ask_second = [&](int chunk) {
        const uint32_t here = second_here + (chunk & 1) * 8, to = base + at::TAPS + (chunk & 1) * TAPS_BYTES;
        if (warp == 3) {
            barrier_expect(here, 9 * CHUNK * 4);
            bulk_load(to, &maps.taps, here, chunk * CHUNK, 0);
        } else if (warp == 4) {
            barrier_expect(here, CHUNK * 4);
            bulk_load(to + 9 * CHUNK * 4, &maps.tap_bias, here, chunk * CHUNK, 0);
        } else if (warp == 5) {
            barrier_expect(here, at::SECOND);
            bulk_load(base + at::SECONDS + (chunk & 1) * at::SECOND, &maps.second, here, chunk * CHUNK, 0, 0, 0, 0);
        } else if (warp == 6) { /* what rows end with comes along with the first */
            barrier_expect(here, chunk ? 0 : (p.offset ? 8 : 4) * p.width);
            if (chunk == 0)
                bulk_load_row(base + at::BIAS, p.bias, here, 4 * p.width);
            if (chunk == 0 && p.offset)
                bulk_load_row(base + at::BIAS + WIDTH * 4, p.offset, here, 4 * p.width);
        }
    };
    if (tid == 0) {
        for (int i = 0; i < 5; i++)
            barrier_begin(first_here + i * 8, i < 2 ? at::SLICES + 1 : i < 4 ? 4 : 1);
        barriers_begun();
    }
    if (tid < 2 * CHUNK) /* behind the last channel the biases must not be what was there */
        ((float *)(shared + at::FIRST_BIAS))[tid] = 0;
    wide_publish();
    __syncthreads();
    if (lane == 0)
        for (int chunk = 0; chunk < 2 && chunk < chunks; chunk++) {
            ask_first(chunk);
            ask_second(chunk);
        }
    wait_for_previous();
    if (tid == 7 * 32) {
        barrier_expect(rows_here, at::SLICES * halo_bytes(TILE_H));
        for (int slice = 0; slice < at::SLICES; slice++)
            bulk_load(base + slice * at::ROWS, &maps.rows, rows_here, slice * 64, x0 - 1, y0 - 1, image);
    }
    {
        constexpr int LINES = WIDTH / 32; /* of 128 bytes, of a row of the residual stream: on their way to the second-level cache */
        const int token = tid / LINES, y = y0 + token / TILE_W, x = x0 + token % TILE_W, from = tid % LINES * 32;
        if (token < TOKENS && y < p.h && x < p.w && from < p.width)
            asm volatile("prefetch.global.L2 [%0];" ::"l"(p.x + ((size_t)(image * p.h + y) * p.w + x) * p.width + from));
    }
    float sum[TILES][4];
#pragma unroll
    for (int j = 0; j < TILES; j++)
#pragma unroll
        for (int e = 0; e < 4; e++)
            sum[j][e] = 0;
    auto multiply_second = [&](int chunk, bool add) {
        const uint64_t left = wide_tile<128>(base + at::LEFT + wm * 128), right = wide_tile<128>(base + at::SECONDS + (chunk & 1) * at::SECOND + wn * 128);
#pragma unroll
        for (int step = 0; step < 4; step++)
            wide_multiply_both<N>(sum, left + 2 * step, right + 2 * step, add || step > 0);
    };
    /* 64 rows of some columns of a chunk of the hidden map; stored with zeros where there is no token. */
    auto multiply_first = [&](auto &hidden, int tile, int column, int chunk) {
#pragma unroll
        for (int step = 0; step < WIDTH / 16; step++)
            wide_multiply_both<N>(hidden, wide_tile<128>(base + step / 4 * at::ROWS + tile * 64 * 128) + 2 * (step % 4),
                                  wide_tile<128>(base + at::FIRSTS + (chunk & 1) * at::FIRST + (step / 4 * 64 + column) * 128) + 2 * (step % 4), step > 0);
    };
    auto store = [&](const auto &hidden, int tile, int column, int chunk) {
        store_hidden<N>(hidden, base + at::HIDDEN, tile * 64 + (warp & 3) * 16, column, (const float *)(shared + at::FIRST_BIAS) + (chunk & 1) * CHUNK, y0, x0, p.h, p.w);
    };

    const int group = warp & 7, first = (warp >> 3) * ROWS; /* channels and rows that the warp convolves */
    barrier_wait(rows_here, 0);
#pragma unroll 1
    for (int chunk = 0; chunk < chunks; chunk++) {
        barrier_wait(first_here + (chunk & 1) * 8, chunk >> 1 & 1);
        /* Together with the second product of the chunk before.  Before the first that is of nothing, and of no consequence: the sums begin
         * with the chunk after.  So it stands in no branch, where the assembler would make products wait for each other. */
        if constexpr (GROUPS == 2) { /* a tile each, and half of the third */
            float whole[8][4], part[4][4];
            const int half = (warp >> 2) * 32;
            wide_begin();
            multiply_first(whole, warp >> 2, 0, chunk);
            multiply_first(part, 2, half, chunk);
            multiply_second(chunk + 1, chunk > 1);
            wide_commit();
            wide_wait<0>();
            store(whole, warp >> 2, 0, chunk);
            store(part, 2, half, chunk);
        } else { /* the fourth group does what the third does, for the same reason */
            float whole[8][4];
            wide_begin();
            multiply_first(whole, min(warp >> 2, 2), 0, chunk);
            multiply_second(chunk + 1, chunk > 1);
            wide_commit();
            wide_wait<0>();
            store(whole, min(warp >> 2, 2), 0, chunk);
        }
        __syncthreads();
        if (lane == 0) { /* the weights of both products are done with */
            if (chunk + 2 < chunks)
                ask_first(chunk + 2);
            if (chunk && chunk + 1 < chunks)
                ask_second(chunk + 1);
        }
        barrier_wait(second_here + (chunk & 1) * 8, chunk >> 1 & 1);
        const float *const weights = (const float *)(shared + at::TAPS + (chunk & 1) * TAPS_BYTES) + group * 8;
        float weight[9];
#pragma unroll
        for (int i = 0; i < 9; i++)
            weight[i] = weights[i * CHUNK + (lane >> 2)];
        const taps t = make_taps<N>(weight, *(const float2 *)(weights + 9 * CHUNK + (lane & 3) * 2));
        convolve_tile<N, ROWS>(base + at::LEFT, base + at::HIDDEN, first, group, t);
        wide_publish();
        __syncthreads();
    }

    /* The thread's two tokens are eight apart in a row of the tile; its columns are wn + 16 f + 4 (lane % 4). */
    const int y = y0 + (wm >> 4) + (warp & 3), column0 = wn + (lane & 3) * 4;
    bool valid[2];
    size_t row[2];
    float4 x[2][FOURS];
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const int column = x0 + (lane >> 2) + half * 8;
        valid[half] = y < p.h && column < p.w;
        row[half] = ((size_t)(image * p.h + y) * p.w + column) * p.width + column0;
#pragma unroll
        for (int f = 0; f < FOURS; f++) {
            x[half][f] = make_float4(0, 0, 0, 0);
            if (valid[half] && column0 + f * 16 < p.width)
                x[half][f] = *(const float4 *)(p.x + row[half] + f * 16);
        }
    }
    wide_begin();
    multiply_second(chunks - 1, chunks > 1);
    wide_commit();
    wide_wait<0>();
    start_next();

    const float *const bias = (const float *)(shared + at::BIAS) + column0;
    float squares[2] = {0, 0};
#pragma unroll
    for (int f = 0; f < FOURS; f++) {
        if (column0 + f * 16 >= p.width)
            continue;
        const float4 b = *(const float4 *)(bias + f * 16);
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float4 &v = x[half][f];
            v = make_float4(v.x + sum[2 * f][2 * half] + b.x, v.y + sum[2 * f][2 * half + 1] + b.y, v.z + sum[2 * f + 1][2 * half] + b.z,
                            v.w + sum[2 * f + 1][2 * half + 1] + b.w);
            squares[half] += (v.x * v.x + v.y * v.y) + (v.z * v.z + v.w * v.w);
        }
    }
#pragma unroll
    for (int half = 0; half < 2; half++) {
        squares[half] += __shfl_xor_sync(0xffffffffu, squares[half], 1);
        squares[half] += __shfl_xor_sync(0xffffffffu, squares[half], 2);
    }
    if constexpr (SHARED_ROWS) {
        float *const parts = (float *)(shared + at::SQUARES) + (wm + (warp & 3) * 16 + (lane >> 2)) * 2;
        if ((lane & 3) == 0)
            parts[warp >> 3] = squares[0], parts[16 + (warp >> 3)] = squares[1];
        __syncthreads();
        squares[0] = parts[0] + parts[1];
        squares[1] = parts[16] + parts[17];
    }
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const float scale = inverse_rms(squares[half], p.inverse_width, p.eps);
#pragma unroll
        for (int f = 0; f < FOURS; f++) {
            if (!valid[half] || column0 + f * 16 >= p.width)
                continue;
            const float4 v = x[half][f];
            *(float4 *)(p.x + row[half] + f * 16) = v;
            float4 shift = make_float4(0, 0, 0, 0);
            if (p.offset)
                shift = *(const float4 *)(bias + WIDTH + f * 16);
            store4<N>((T *)p.out + row[half] + f * 16, make_float4(v.x * scale - shift.x, v.y * scale - shift.y, v.z * scale - shift.z, v.w * scale - shift.w));
        }
    }
#endif
}

template <numeric N, int WIDTH, int THREADS> cudaError_t launch_wide(const ffn_args &p, dim3 grid, const launch *how)
{
    const int64_t token = 2 * (int64_t)p.width, taps = 4 * (int64_t)p.hidden, column = 2 * (int64_t)p.ldw;
    const bulk_tensor rows = {.at = p.rows,
                              .rank = 4,
                              .size = {p.width, p.w, p.h, p.images},
                              .stride = {0, token, token * p.w, token * p.w * p.h},
                              .box = {64, HALO_W, TILE_H + 2, 1}};
    const bulk_tensor first = {.at = p.first, .rank = 2, .size = {p.ld_first, p.hidden}, .stride = {0, 2 * (int64_t)p.ld_first}, .box = {64, CHUNK}};
    const bulk_tensor tap = {.at = p.taps, .rank = 2, .size = {p.hidden, 9}, .stride = {0, taps}, .box = {CHUNK, 9}, .plain = true};
    const bulk_tensor bias = {.at = p.tap_bias, .rank = 2, .size = {p.hidden, 1}, .stride = {0, taps}, .box = {CHUNK, 1}, .plain = true};
    /* Column 8 a + 2 b + c of two tiles of a product, where a thread has two of each, is column 4 b + 2 a + c of the result. */
    const bulk_tensor second = {.at = p.weight,
                                .rank = 5,
                                .size = {p.ldw, 2, 4, 2, p.width / 16},
                                .stride = {0, column, 4 * column, 2 * column, 16 * column},
                                .box = {CHUNK, 2, 4, 2, WIDTH / 16}};
    ffn_maps maps = {};
    const cudaError_t status = bulk_describe({{&maps.rows, N, &rows}, {&maps.first, N, &first}, {&maps.taps, NUMERIC_F32, &tap}, {&maps.tap_bias, NUMERIC_F32, &bias}, {&maps.second, N, &second}});
    return status == cudaSuccess ? start(ffn_wide<N, WIDTH, THREADS>, grid, THREADS, ffn_places<WIDTH>::BYTES, how, p, maps) : status;
}

} // namespace

#endif
