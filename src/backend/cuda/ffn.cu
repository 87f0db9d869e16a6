/* ffn: the choice of a Mix-FFN's fused kernel, and before 9.0 its second half in one kernel: depthwise 3x3, GELU, second linear
 * map, residual sum, norm.  CUDA backend, 16 bits, widths up to 128: there the hidden map is large and its products small, so that what
 * counts is how often it passes through memory (once here, with a halo).  Wider stages would repeat the convolution for every tile of
 * columns; they use depthwise.cu and gemm.cuh.
 *
 * A block has 8 x 16 tokens and all output columns.  Hidden channels pass in chunks of 64: the chunk with its halo comes
 * into shared memory in the background, becomes the left operand of a product there, and is gone. */
#include "backend/cuda/ffn_wide.cuh"

namespace {

constexpr int HALO = (TILE_H + 2) * HALO_W, HALO_BYTES = HALO * 128;

template <int WIDTH> constexpr int stage_bytes = HALO_BYTES + TAPS_BYTES + WIDTH * 128;
template <int WIDTH> constexpr int ffn_bytes()
{
    const int work = LEFT_BYTES + 2 * ((stage_bytes<WIDTH> + 1023) / 1024 * 1024), results = TOKENS * (WIDTH + 4) * 4;
    return work > results ? work : results;
}

/* ROWS tokens of a column, four channels: depthwise convolution and GELU, to a tile of left operands. */
template <numeric N, int ROWS>
__device__ __forceinline__ void convolve(unsigned char *left, const unsigned char *taps, const unsigned char *halo, int r0, int column, int group)
{
    using T = storage_t<N>;
    float4 tap[9];
#pragma unroll
    for (int i = 0; i < 9; i++)
        tap[i] = *(const float4 *)(taps + i * CHUNK * 4);
    const float4 bias = *(const float4 *)(taps + 9 * CHUNK * 4);
    float4 out[3] = {bias, bias, bias}; /* of rows i - 1, i, i + 1 as they are read, turning */
#pragma unroll
    for (int i = 0; i < ROWS + 2; i++) {
        float4 row[3];
#pragma unroll
        for (int j = 0; j < 3; j++)
            row[j] = load4<N>((const T *)(halo + (i * HALO_W + j) * 128));
#pragma unroll
        for (int part = 0; part < 3; part++) { /* tap row 2, 1, 0 of the results that began two rows, one row and no row ago */
            float4 &s = out[(i + part) % 3];
#pragma unroll
            for (int j = 0; j < 3; j++) {
                const float4 w = tap[(2 - part) * 3 + j];
                s.x = fmaf(row[j].x, w.x, s.x), s.y = fmaf(row[j].y, w.y, s.y), s.z = fmaf(row[j].z, w.z, s.z), s.w = fmaf(row[j].w, w.w, s.w);
            }
        }
        float4 &done = out[i % 3];
        if (i >= 2)
            store4<N>((T *)(left + tile_offset<128>((r0 + i - 2) * TILE_W + column, group >> 1) + (group & 1) * 8),
                      make_float4(gelu<N>(done.x), gelu<N>(done.y), gelu<N>(done.z), gelu<N>(done.w)));
        done = bias;
    }
}

/* Residual sum and norm of the block's rows, whose products lie in shared memory as float [TOKENS][WIDTH + 4]. */
template <numeric N, int WIDTH, int THREADS> __device__ __forceinline__ void end_rows(const ffn_args &p, const float *results)
{
    using T = storage_t<N>;
    constexpr int PITCH = WIDTH + 4, LANES = WIDTH / 4, PASS = THREADS / LANES, BATCH = 4;
    const int tid = threadIdx.x, image = blockIdx.z, y0 = blockIdx.y * TILE_H, x0 = blockIdx.x * TILE_W;
    const int at = tid % LANES * 4;
    const bool inside = at < p.width;
    float4 bias = make_float4(0, 0, 0, 0), shift = bias;
    if (inside) {
        bias = *(const float4 *)(p.bias + at);
        if (p.offset)
            shift = *(const float4 *)(p.offset + at);
    }
#pragma unroll 1
    for (int first = tid / LANES; first < TOKENS; first += PASS * BATCH) {
        float4 v[BATCH];
        size_t row[BATCH];
        bool valid[BATCH];
#pragma unroll
        for (int b = 0; b < BATCH; b++) {
            const int r = first + b * PASS, y = y0 + r / TILE_W, x = x0 + r % TILE_W;
            valid[b] = inside && y < p.h && x < p.w;
            row[b] = ((size_t)(image * p.h + y) * p.w + x) * p.width + at;
            v[b] = valid[b] ? *(const float4 *)(p.x + row[b]) : make_float4(0, 0, 0, 0);
        }
#pragma unroll
        for (int b = 0; b < BATCH; b++) {
            const float4 s = *(const float4 *)(results + (first + b * PASS) * PITCH + at);
            v[b] = make_float4(v[b].x + s.x + bias.x, v[b].y + s.y + bias.y, v[b].z + s.z + bias.z, v[b].w + s.w + bias.w);
            float squares = inside ? (v[b].x * v[b].x + v[b].y * v[b].y) + (v[b].z * v[b].z + v[b].w * v[b].w) : 0;
#pragma unroll
            for (int d = LANES / 2; d; d >>= 1)
                squares += __shfl_xor_sync(0xffffffffu, squares, d);
            const float scale = inverse_rms(squares, p.inverse_width, p.eps);
            if (valid[b]) {
                *(float4 *)(p.x + row[b]) = v[b];
                store4<N>((T *)p.out + row[b], make_float4(v[b].x * scale - shift.x, v[b].y * scale - shift.y, v[b].z * scale - shift.z, v[b].w * scale - shift.w));
            }
        }
    }
}

template <numeric N, int WIDTH, int THREADS> __global__ void __launch_bounds__(THREADS, 512 / THREADS) ffn(const ffn_args p)
{
    using T = storage_t<N>;
    constexpr int WARPS = THREADS / 32, ACROSS = WIDTH / 32, WM = TOKENS / (WARPS / ACROSS), LEFT = WM / 16, RIGHT = 4;
    constexpr int ROWS = TILE_H * 256 / THREADS; /* of a thread's column */
    constexpr int STAGE = (stage_bytes<WIDTH> + 1023) / 1024 * 1024;
    extern __shared__ __align__(1024) unsigned char shared[];
    const uint32_t left_base = shared_address(shared), ring = left_base + LEFT_BYTES;
    const int tid = threadIdx.x, lane = tid & 31, warp = tid >> 5, image = blockIdx.z, y0 = blockIdx.y * TILE_H, x0 = blockIdx.x * TILE_W;
    const int wm = warp / ACROSS * WM, wn = warp % ACROSS * 32, chunks = (p.hidden + CHUNK - 1) / CHUNK;
    const T *z = (const T *)p.z + (size_t)image * p.h * p.w * p.hidden, *weight = (const T *)p.weight;

    auto copy_weights = [&](int chunk, int stage) { /* right operand, as the second part of a stage; taps and bias */
        const uint32_t right = ring + stage * STAGE, taps = right + WIDTH * 128;
        each<WIDTH * 8, THREADS>([&](int i) {
            const int row = i >> 3, at = i & 7;
            copy_chunk(right + tile_offset<128>(row, at), weight + (row < p.width ? row * p.ldw + chunk * CHUNK + at * 8 : 0), row < p.width);
        });
        each<10 * CHUNK / 4, THREADS>([&](int i) {
            const int row = i / (CHUNK / 4), channel = chunk * CHUNK + i % (CHUNK / 4) * 4;
            const bool valid = channel < p.hidden;
            copy_chunk(taps + i * 16, (row < 9 ? p.taps + row * p.hidden : p.tap_bias) + (valid ? channel : 0), valid);
        });
    };
    auto copy_hidden = [&](int chunk, int stage) {
        const uint32_t halo = ring + stage * STAGE + WIDTH * 128 + TAPS_BYTES;
        each<HALO * 8, THREADS>([&](int i) {
            const int t = i >> 3, at = i & 7, y = y0 - 1 + t / HALO_W, x = x0 - 1 + t % HALO_W, channel = chunk * CHUNK + at * 8;
            const bool valid = y >= 0 && y < p.h && x >= 0 && x < p.w && channel < p.hidden;
            copy_chunk(halo + i * 16, z + (valid ? (size_t)(y * p.w + x) * p.hidden + channel : 0), valid);
        });
    };

    float sum[LEFT][RIGHT][4];
#pragma unroll
    for (int i = 0; i < LEFT; i++)
#pragma unroll
        for (int j = 0; j < RIGHT; j++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                sum[i][j][e] = 0;
    copy_weights(0, 0);
    wait_for_previous();
    copy_hidden(0, 0);
    copy_commit();

    const int group = tid & 15, column = (tid >> 4) & 15, r0 = (tid >> 8) * ROWS;
#pragma unroll 1
    for (int chunk = 0; chunk < chunks; chunk++) {
        copy_wait<0>();
        __syncthreads(); /* this chunk is here, and the one before is done with */
        if (chunk + 1 < chunks) {
            copy_weights(chunk + 1, (chunk + 1) & 1);
            copy_hidden(chunk + 1, (chunk + 1) & 1);
        }
        copy_commit();
        const unsigned char *stage = shared + LEFT_BYTES + (chunk & 1) * STAGE, *taps = stage + WIDTH * 128 + group * 16;
        const unsigned char *halo = stage + WIDTH * 128 + TAPS_BYTES + (r0 * HALO_W + column) * 128 + group * 8;
        convolve<N, ROWS>(shared, taps, halo, r0, column, group);
        __syncthreads();
#pragma unroll
        for (int step = 0; step < 4; step++) {
            fragment<N, 4> left[LEFT];
#pragma unroll
            for (int i = 0; i < LEFT; i++)
                left[i] = load_left<N, 128>(left_base, wm + i * 16, step);
#pragma unroll
            for (int j = 0; j < RIGHT; j += 2) {
                fragment<N, 2> first, second;
                load_right<N, 128>(first, second, ring + (chunk & 1) * STAGE, wn + j * 8, step);
#pragma unroll
                for (int i = 0; i < LEFT; i++) {
                    multiply<N>(sum[i][j], left[i], first);
                    multiply<N>(sum[i][j + 1], left[i], second);
                }
            }
        }
    }
    start_next();
    __syncthreads();

    constexpr int PITCH = WIDTH + 4;
    float *const results = (float *)shared;
#pragma unroll
    for (int i = 0; i < LEFT; i++)
#pragma unroll
        for (int half = 0; half < 2; half++)
#pragma unroll
            for (int j = 0; j < RIGHT; j++)
                *(float2 *)(results + (wm + i * 16 + (lane >> 2) + half * 8) * PITCH + wn + j * 8 + (lane & 3) * 2) = make_float2(sum[i][j][2 * half], sum[i][j][2 * half + 1]);
    __syncthreads();
    end_rows<N, WIDTH, THREADS>(p, results);
}

template <numeric N> cudaError_t launch_type(const ffn_args &p, const launch *how)
{
    const dim3 grid((p.w + TILE_W - 1) / TILE_W, (p.h + TILE_H - 1) / TILE_H, p.images);
    if (p.wide) {
        if (p.width <= 32)
            return launch_wide<N, 32, 256>(p, grid, how);
        return p.width <= 64 ? launch_wide<N, 64, 256>(p, grid, how) : launch_wide<N, 128, 512>(p, grid, how);
    }
    if (p.width <= 32)
        return start(ffn<N, 32, 256>, grid, 256, ffn_bytes<32>(), how, p);
    if (p.width <= 64)
        return start(ffn<N, 64, 256>, grid, 256, ffn_bytes<64>(), how, p);
    return start(ffn<N, 128, 512>, grid, 512, ffn_bytes<128>(), how, p);
}

} // namespace

/* Where its blocks leave many multiprocessors without work, two kernels of smaller blocks are faster. */
bool ffn_fits(const ffn_args *args, numeric type)
{
    const long blocks = (long)((args->w + TILE_W - 1) / TILE_W) * ((args->h + TILE_H - 1) / TILE_H) * args->images;
    return (type == NUMERIC_F16 || type == NUMERIC_BF16) && args->width <= FFN_WIDTH && 4 * blocks >= 3L * args->processors;
}

cudaError_t ffn_launch(const ffn_args *args, numeric type, const launch *how)
{
    return type == NUMERIC_F16 ? launch_type<NUMERIC_F16>(*args, how) : launch_type<NUMERIC_BF16>(*args, how);
}
