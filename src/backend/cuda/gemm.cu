/* gemm: out[m][n] = a[m][k] w[n][k]^T with tensor cores, and what follows it at once: bias, ReLU, splitting
 * into keys and transposed values, or whole rows (residual sum, norms).  CUDA backend; most operations of
 * the network are one of these.
 *
 * A block makes a BM x BN tile from 128-byte wide slices of both operands that a ring of STAGES buffers
 * brings in.  Rows that several blocks share (n larger than a tile, or k split over blocks) are finished by
 * the block that completes them last: the sum is in a fixed order, so results do not depend on timing. */
#include "backend/cuda/numeric.cuh"

namespace {

constexpr int SLICE = 128; /* bytes of k that a stage holds */
constexpr int STEPS = SLICE / 32;

__host__ __device__ constexpr int threads_of(int bm, int bn, int wm, int wn) { return bm / wm * (bn / wn) * 32; }
__host__ __device__ constexpr int shared_of(int bm, int bn, int stages) { return (bm + bn) * SLICE * stages; }

/* One row, spread over a warp: lane has columns 2 lane, 2 lane + 1 of every 64. */
template <numeric N, int PAIRS> __device__ void finish_row(const gemm_args &p, float2 (&v)[PAIRS], int row, bool bias_added)
{
    const int lane = threadIdx.x & 31;
    storage_t<N> *out = (storage_t<N> *)p.out + (size_t)row * p.ldo;
    float *x = p.x + (size_t)row * p.ldo;
    const float *bias = p.bias;
    if (p.rows == ROW_PATCH) {
        const int pixel = row % (p.out_h * p.out_w), oy = pixel / p.out_w, ox = pixel - oy * p.out_w;
        bias += (size_t)(p.case_y[oy] * p.cases_x + p.case_x[ox]) * p.n;
    }
    float squares = 0;
#pragma unroll
    for (int j = 0; j < PAIRS; j++) {
        const int column = (j * 32 + lane) * 2;
        if (column < p.n) {
            if (!bias_added) {
                const float2 b = *(const float2 *)(bias + column);
                v[j].x += b.x, v[j].y += b.y;
            }
            if (p.rows == ROW_RESIDUAL) {
                const float2 before = __ldcg((const float2 *)(x + column));
                v[j].x += before.x, v[j].y += before.y;
            }
            squares += v[j].x * v[j].x + v[j].y * v[j].y;
        }
    }
    squares = sum_over_warp(squares);
    if (p.rows == ROW_PATCH) {
        const float scale = inverse_rms(squares, p.inverse_width, p.eps);
        float sum = 0;
#pragma unroll
        for (int j = 0; j < PAIRS; j++) {
            const int column = (j * 32 + lane) * 2;
            if (column < p.n) {
                const float2 gamma = *(const float2 *)(p.gamma + column), beta = *(const float2 *)(p.beta + column);
                v[j].x = v[j].x * scale * gamma.x + beta.x;
                v[j].y = v[j].y * scale * gamma.y + beta.y;
                sum += v[j].x + v[j].y;
            }
        }
        const float mean = sum_over_warp(sum) * p.inverse_width;
        squares = 0;
#pragma unroll
        for (int j = 0; j < PAIRS; j++) {
            const int column = (j * 32 + lane) * 2;
            v[j].x = column < p.true_width ? v[j].x - mean : 0;
            v[j].y = column + 1 < p.true_width ? v[j].y - mean : 0;
            squares += v[j].x * v[j].x + v[j].y * v[j].y;
        }
        squares = sum_over_warp(squares);
    }
    const float scale = p.rows == ROW_REDUCE ? (p.plain ? 1.0f : inverse_rms(squares, p.inverse_width, p.eps)) : inverse_rms(squares, p.inverse_width, p.eps_out);
#pragma unroll
    for (int j = 0; j < PAIRS; j++) {
        const int column = (j * 32 + lane) * 2;
        if (column < p.n) {
            if (p.rows != ROW_REDUCE && !bias_added)
                *(float2 *)(x + column) = v[j];
            float2 shift = make_float2(0, 0);
            if (p.offset)
                shift = *(const float2 *)(p.offset + column);
            *(pair<N> *)(out + column) = narrow2<N>(v[j].x * scale - shift.x, v[j].y * scale - shift.y);
        }
    }
}

/* The rows [m0, m0 + rows): from `stage` in shared memory, else from the partial sums of all blocks, or
 * (in_place) from x, which they have been added to. */
template <numeric N, int PAIRS> __device__ void finish_rows(const gemm_args &p, const float *stage, int pitch, int m0, int rows, bool in_place)
{
    const int lane = threadIdx.x & 31;
    for (int r = threadIdx.x >> 5; r < rows; r += blockDim.x >> 5) {
        float2 v[PAIRS];
#pragma unroll
        for (int j = 0; j < PAIRS; j++) {
            const int column = (j * 32 + lane) * 2;
            v[j] = make_float2(0, 0);
            if (stage) {
                if (column < p.n)
                    v[j] = *(const float2 *)(stage + r * pitch + column);
            } else if (!in_place && column < p.n) {
                for (int s = 0; s < p.splits; s++) {
                    const float2 part = __ldcg((const float2 *)(p.partial + ((size_t)s * p.m + m0 + r) * p.n + column));
                    v[j].x += part.x, v[j].y += part.y;
                }
            }
        }
        finish_row<N, PAIRS>(p, v, m0 + r, in_place);
    }
}

template <numeric N> __device__ void finish_any(const gemm_args &p, const float *stage, int pitch, int m0, int rows, bool in_place)
{
    if (p.n <= 64)
        finish_rows<N, 1>(p, stage, pitch, m0, rows, in_place);
    else if (p.n <= 128)
        finish_rows<N, 2>(p, stage, pitch, m0, rows, in_place);
    else if (p.n <= 320)
        finish_rows<N, 5>(p, stage, pitch, m0, rows, in_place);
    else if (p.n <= 512)
        finish_rows<N, 8>(p, stage, pitch, m0, rows, in_place);
    else
        finish_rows<N, 16>(p, stage, pitch, m0, rows, in_place);
}

template <numeric N, int BM, int BN, int WM, int WN, int STAGES, bool GATHER>
__global__ void __launch_bounds__(threads_of(BM, BN, WM, WN), N == NUMERIC_F32 ? 1 : 2) gemm(const gemm_args p)
{
    using T = storage_t<N>;
    constexpr int THREADS = threads_of(BM, BN, WM, WN), PASS = THREADS / 8; /* rows that a pass of all threads copies */
    constexpr int LEFT = WM / 16, RIGHT = WN / 8, CHUNK = chunk_elements<N>, WIDE = SLICE / (int)sizeof(T);
    static_assert(BM % PASS == 0 && BN % PASS == 0 && RIGHT % 2 == 0, "tile");
    extern __shared__ __align__(1024) unsigned char shared[];
    __shared__ bool last;
    const int tid = threadIdx.x, lane = tid & 31, warp = tid >> 5;
    const int m0 = blockIdx.y * BM, n0 = blockIdx.x * BN;
    const int wm = warp / (BN / WN) * WM, wn = warp % (BN / WN) * WN;
    const int slices = (p.k + WIDE - 1) / WIDE, each = (slices + p.splits - 1) / p.splits;
    const int first = blockIdx.z * each, count = max(0, min(slices - first, each));

    start_next();
    const uint32_t base = shared_address(shared);
    const int copy_row = tid >> 3, copy_at = tid & 7;
    const T *weight = (const T *)p.w, *a = (const T *)p.a;

    auto copy_weight = [&](int slice, int stage) {
        const uint32_t tile = base + stage * (BM + BN) * SLICE + BM * SLICE;
#pragma unroll
        for (int i = 0; i < BN / PASS; i++) {
            const int row = copy_row + i * PASS;
            const bool valid = n0 + row < p.n;
            copy_chunk(tile + tile_offset<SLICE>(row, copy_at), weight + (valid ? (size_t)(n0 + row) * p.ldw : 0) + (size_t)(first + slice) * WIDE + copy_at * CHUNK, valid);
        }
    };
    int corner_y[GATHER ? BM / PASS : 1], corner_x[GATHER ? BM / PASS : 1], picture[GATHER ? BM / PASS : 1];
    if constexpr (GATHER) {
#pragma unroll
        for (int i = 0; i < BM / PASS; i++) {
            const int row = min(m0 + copy_row + i * PASS, p.m - 1), image = row / (p.out_h * p.out_w), pixel = row - image * p.out_h * p.out_w;
            corner_y[i] = pixel / p.out_w * p.stride - p.pad;
            corner_x[i] = pixel % p.out_w * p.stride - p.pad;
            picture[i] = image * p.in_h;
        }
    }
    auto copy_left = [&](int slice, int stage) {
        const uint32_t tile = base + stage * (BM + BN) * SLICE;
        const int k = (first + slice) * WIDE + copy_at * CHUNK;
        int ky = 0, kx = 0, channel = 0;
        if constexpr (GATHER) {
            const int tap = k / p.channels;
            channel = k - tap * p.channels;
            ky = tap / p.kernel, kx = tap - ky * p.kernel;
        }
#pragma unroll
        for (int i = 0; i < BM / PASS; i++) {
            const int row = copy_row + i * PASS;
            bool valid = m0 + row < p.m && k < p.k;
            const T *from = a;
            if constexpr (GATHER) {
                const int y = corner_y[i] + ky, x = corner_x[i] + kx;
                valid = valid && y >= 0 && y < p.in_h && x >= 0 && x < p.in_w;
                if (valid)
                    from += ((size_t)(picture[i] + y) * p.in_w + x) * p.lda + channel;
            } else if (valid) {
                from += (size_t)(m0 + row) * p.lda + k;
            }
            copy_chunk(tile + tile_offset<SLICE>(row, copy_at), from, valid);
        }
    };

#pragma unroll
    for (int s = 0; s < STAGES - 1; s++) /* weights do not depend on the kernel before */
        if (s < count)
            copy_weight(s, s);
    wait_for_previous();
#pragma unroll
    for (int s = 0; s < STAGES - 1; s++) {
        if (s < count)
            copy_left(s, s);
        copy_commit();
    }

    float sum[LEFT][RIGHT][4];
#pragma unroll
    for (int i = 0; i < LEFT; i++)
#pragma unroll
        for (int j = 0; j < RIGHT; j++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                sum[i][j][e] = 0;

    for (int slice = 0; slice < count; slice++) {
        copy_wait<STAGES - 2>();
        __syncthreads();
        const int ahead = slice + STAGES - 1;
        if (ahead < count) {
            copy_weight(ahead, ahead % STAGES);
            copy_left(ahead, ahead % STAGES);
        }
        copy_commit();
        const uint32_t left_tile = base + slice % STAGES * (BM + BN) * SLICE, right_tile = left_tile + BM * SLICE;
#pragma unroll
        for (int step = 0; step < STEPS; step++) {
            fragment<N, 4> left[LEFT];
#pragma unroll
            for (int i = 0; i < LEFT; i++)
                left[i] = load_left<N, SLICE>(left_tile, wm + i * 16, step);
#pragma unroll
            for (int j = 0; j < RIGHT; j += 2) {
                fragment<N, 2> right[2];
                load_right<N, SLICE>(right[0], right[1], right_tile, wn + j * 8, step);
#pragma unroll
                for (int i = 0; i < LEFT; i++) {
                    multiply<N>(sum[i][j], left[i], right[0]);
                    multiply<N>(sum[i][j + 1], left[i], right[1]);
                }
            }
        }
    }
    copy_wait<0>();
    __syncthreads();

    const int row_in = lane >> 2, column_in = (lane & 3) * 2;
    if (p.end == GEMM_STORE) { /* through shared memory, so that stores are 16 bytes wide */
        constexpr int PITCH = BN * (int)sizeof(T) + 16;
#pragma unroll
        for (int j = 0; j < RIGHT; j++) {
            const int column = wn + j * 8 + column_in;
            float2 b = make_float2(0, 0);
            if (p.bias && n0 + column < p.n)
                b = *(const float2 *)(p.bias + n0 + column);
#pragma unroll
            for (int i = 0; i < LEFT; i++)
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    float u = sum[i][j][2 * half] + b.x, v = sum[i][j][2 * half + 1] + b.y;
                    if (p.relu)
                        u = fmaxf(u, 0), v = fmaxf(v, 0);
                    *(pair<N> *)(shared + (wm + i * 16 + row_in + half * 8) * PITCH + column * (int)sizeof(T)) = narrow2<N>(u, v);
                }
        }
        __syncthreads();
        constexpr int CHUNKS = BN / CHUNK;
        for (int i = tid; i < BM * CHUNKS; i += THREADS) {
            const int row = i / CHUNKS, column = i % CHUNKS * CHUNK;
            if (m0 + row < p.m && n0 + column < p.n)
                *(uint4 *)((T *)p.out + (size_t)(m0 + row) * p.ldo + n0 + column) = *(const uint4 *)(shared + row * PITCH + column * (int)sizeof(T));
        }
    } else if (p.end == GEMM_ROWS) {
        const bool single = gridDim.x == 1 && gridDim.z == 1, in_place = !single && gridDim.z == 1 && p.rows == ROW_RESIDUAL;
        constexpr int PITCH = BN + 4;
        float *stage = (float *)shared;
#pragma unroll
        for (int i = 0; i < LEFT; i++)
#pragma unroll
            for (int half = 0; half < 2; half++)
#pragma unroll
                for (int j = 0; j < RIGHT; j++) {
                    const int r = wm + i * 16 + row_in + half * 8, c = wn + j * 8 + column_in;
                    float2 v = make_float2(sum[i][j][2 * half], sum[i][j][2 * half + 1]);
                    if (single) {
                        *(float2 *)(stage + r * PITCH + c) = v;
                    } else if (m0 + r < p.m && n0 + c < p.n) {
                        if (in_place) {
                            float2 *x = (float2 *)(p.x + (size_t)(m0 + r) * p.ldo + n0 + c);
                            const float2 b = *(const float2 *)(p.bias + n0 + c), before = *x;
                            *x = make_float2(before.x + v.x + b.x, before.y + v.y + b.y);
                        } else {
                            *(float2 *)(p.partial + ((size_t)blockIdx.z * p.m + m0 + r) * p.n + n0 + c) = v;
                        }
                    }
                }
        if (!single)
            __threadfence();
        __syncthreads();
        if (!single) {
            if (tid == 0) {
                const unsigned all = gridDim.x * gridDim.z;
                last = atomicAdd(p.counters + blockIdx.y, 1u) == all - 1;
                if (last)
                    p.counters[blockIdx.y] = 0;
            }
            __syncthreads();
            if (!last)
                return;
            __threadfence();
        }
        finish_any<N>(p, single ? stage : nullptr, PITCH, m0, min(BM, p.m - m0), in_place);
    } else {
#pragma unroll
        for (int i = 0; i < LEFT; i++)
#pragma unroll
            for (int half = 0; half < 2; half++) {
                const int row = m0 + wm + i * 16 + row_in + half * 8;
                if (row >= p.m)
                    continue;
                const int image = p.end == GEMM_KEYS ? row / p.keys : 0, key = row - image * p.keys;
                const int position = is_float<N> ? float_position(key) : key;
#pragma unroll
                for (int j = 0; j < RIGHT; j++) {
                    const int column = n0 + wn + j * 8 + column_in;
                    if (column >= p.n)
                        continue;
                    const float u = sum[i][j][2 * half], v = sum[i][j][2 * half + 1];
                    if (p.end == GEMM_FLOAT) {
                        *(float2 *)((float *)p.out + (size_t)row * p.ldo + column) = make_float2(u + p.bias[column], v + p.bias[column + 1]);
                    } else if (column < p.width) {
                        *(pair<N> *)((T *)p.out + (size_t)row * p.ldo + column) = narrow2<N>(u, v);
                    } else if (column < 2 * p.width) {
                        T *to = (T *)p.values + ((size_t)image * p.width + column - p.width) * p.key_pitch + position;
                        to[0] = narrow<N>(u);
                        to[p.key_pitch] = narrow<N>(v);
                    } else if (column == 2 * p.width) {
                        p.key_bias[(size_t)image * p.key_pitch + key] = u;
                    }
                }
            }
    }
}

/* ------------------------------------------------------------------------------------------ choice */

struct tile_row {
    const char *name;
    int bm, bn, threads, shared;
};

#define TILE_128x128 128, 128, 64, 32, 3
#define TILE_128x64 128, 64, 64, 32, 4
#define TILE_64x64 64, 64, 32, 32, 4

const tile_row tiles[] = {
    {"gemm 128x128", 128, 128, threads_of(128, 128, 64, 32), shared_of(128, 128, 3)},
    {"gemm 128x64", 128, 64, threads_of(128, 64, 64, 32), shared_of(128, 64, 4)},
    {"gemm 64x64", 64, 64, threads_of(64, 64, 32, 32), shared_of(64, 64, 4)},
};
constexpr int TILES = sizeof tiles / sizeof *tiles;

template <numeric N, int BM, int BN, int WM, int WN, int STAGES> cudaError_t launch_tile(const gemm_args &p, const launch *how)
{
    const dim3 grid((p.n + BN - 1) / BN, (p.m + BM - 1) / BM, p.splits);
    constexpr int threads = threads_of(BM, BN, WM, WN), bytes = shared_of(BM, BN, STAGES);
    if (p.kernel)
        return start(gemm<N, BM, BN, WM, WN, STAGES, true>, grid, threads, bytes, how, p);
    return start(gemm<N, BM, BN, WM, WN, STAGES, false>, grid, threads, bytes, how, p);
}

template <numeric N> cudaError_t launch_any(const gemm_args &p, const launch *how)
{
    switch (p.tile) {
    case 0:
        return launch_tile<N, TILE_128x128>(p, how);
    case 1:
        return launch_tile<N, TILE_128x64>(p, how);
    default:
        return launch_tile<N, TILE_64x64>(p, how);
    }
}

} // namespace

/* Clock cycles by a model that ranks well enough: a slice costs its products at the measured rate, at least
 * a latency; blocks beyond what fits at once wait; finishing rows costs their traffic on one multiprocessor. */
size_t gemm_choose(gemm_args *args, numeric type, int processors)
{
    const int wide = SLICE / (type == NUMERIC_F16 || type == NUMERIC_BF16 ? 2 : 4), slices = (args->k + wide - 1) / wide;
    const double rate = type == NUMERIC_F32 ? 1.0 / 3 : 1;
    double best = 0;
    args->tile = -1;
    for (int t = 0; t < TILES; t++) {
        const long across = (args->n + tiles[t].bn - 1) / tiles[t].bn, down = (args->m + tiles[t].bm - 1) / tiles[t].bm;
        for (int splits = 1; splits <= 16; splits *= 2) {
            if (splits > 1 && (args->end != GEMM_ROWS || slices / splits < 2))
                break;
            const long blocks = across * down * splits;
            const int fit = 200 * 1024 / tiles[t].shared, resident = (int)((blocks + processors - 1) / processors);
            const int at_once = resident < fit ? resident : fit;
            const double waves = (double)((blocks + (long)processors * at_once - 1) / ((long)processors * at_once));
            const double work = (double)tiles[t].bm * tiles[t].bn * 128 / 2600 / rate * at_once, latency = 350;
            double cost = waves * (1500 + ((slices + splits - 1) / splits) * (work > latency ? work : latency));
            if (args->end == GEMM_ROWS && across * splits > 1)
                cost += 2500 + (double)tiles[t].bm * args->n * 4 * (splits + 1) / 40;
            if (args->tile < 0 || cost < best) {
                best = cost;
                args->tile = t;
                args->splits = splits;
            }
        }
    }
    const bool alone = args->n <= tiles[args->tile].bn && args->splits == 1;
    const bool partial = args->end == GEMM_ROWS && !alone && (args->splits > 1 || args->rows != ROW_RESIDUAL);
    return partial ? (size_t)args->splits * (size_t)args->m * (size_t)args->n : 0;
}

const char *gemm_name(const gemm_args *args) { return tiles[args->tile].name; }

cudaError_t gemm_launch(const gemm_args *args, numeric type, const launch *how)
{
    switch (type) {
    case NUMERIC_F16:
        return launch_any<NUMERIC_F16>(*args, how);
    case NUMERIC_BF16:
        return launch_any<NUMERIC_BF16>(*args, how);
    case NUMERIC_TF32:
        return launch_any<NUMERIC_TF32>(*args, how);
    default:
        return launch_any<NUMERIC_F32>(*args, how);
    }
}
