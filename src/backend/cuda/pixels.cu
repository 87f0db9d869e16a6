/* pixels: the end of the network at the first stage's size in one kernel: the first level's product, the other levels
 * upsampled, bias, ReLU, classifier.  CUDA backend, 16 bits; merge.cu and two products are the plain form.
 *
 * A block has 8 x 16 tokens.  Bilinear upsampling is a product with a matrix of weights (exact in 16 bits where sides
 * halve exactly), so both kinds of term are one product with 64 + 96 columns: the token's own features, and the
 * neighbours in the three smaller levels.  The head's width passes in chunks of 64 channels, and each chunk goes
 * straight from accumulators into the classifier's product: nothing of the head's width is written. */
#include "backend/cuda/pixels_wide.cuh"

namespace {

constexpr int WARPS = TOKENS / 16, THREADS = WARPS * 32, STAGES = 2;
constexpr int NEAR = PIXELS_NEAR, STEPS_OWN = OWN / 16, STEPS_NEAR = NEAR / 16;
constexpr int PITCH = (OWN + NEAR) * 2 + 16; /* an odd number of chunks: rows fall into different banks */

template <int CLASSES> constexpr int stage_bytes = (64 + NEAR + CLASSES) * 128;
template <int CLASSES> constexpr int pixels_bytes = STAGES * stage_bytes<CLASSES> + TOKENS * PITCH;

__device__ __forceinline__ void load_transposed(uint32_t (&r)[4], uint32_t address)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(address) : "memory");
}

template <numeric N, int CLASSES> __global__ void __launch_bounds__(THREADS, CLASSES <= 32 ? 2 : 1) pixels(const pixels_args p)
{
    using T = storage_t<N>;
    constexpr int STAGE = stage_bytes<CLASSES>, GROUPS = CLASSES / 8;
    /* Few classes: a warp has 32 tokens and half of a chunk's channels, so that each operand is read half as often. */
    constexpr int HALVES = CLASSES <= 32 ? 2 : 1, LEFT = HALVES, RIGHT = 8 / HALVES;
    extern __shared__ __align__(1024) unsigned char shared[];
    __shared__ int near_row[NEAR]; /* of the levels' rows; -1: none */
    const int tid = threadIdx.x, lane = tid & 31, warp = tid >> 5, image = blockIdx.z;
    const int y0 = blockIdx.y * TILE_H, x0 = blockIdx.x * TILE_W;
    unsigned char *const left = shared + STAGES * STAGE;
    const uint32_t base = shared_address(shared), left_base = shared_address(left);
    const int last_y = min(y0 + TILE_H, p.h[0]) - 1, last_x = min(x0 + TILE_W, p.w[0]) - 1;

    auto copy = [&](int chunk, int stage) {
        const uint32_t to = base + stage * STAGE;
        each<64 * 8, THREADS>([&](int i) {
            const int r = i >> 3, at = i & 7, row = chunk * 64 + r;
            const bool valid = row < p.width && at * 8 < p.k;
            copy_chunk(to + tile_offset<128>(r, at), (const T *)p.weight + (valid ? (size_t)row * p.ldw + at * 8 : 0), valid);
        });
        each<NEAR * 8, THREADS>([&](int i) {
            const int n = i >> 3, at = i & 7, channel = chunk * 64 + at * 8, level = n < PIXELS_NEAR_1 ? 1 : n < PIXELS_NEAR_1 + PIXELS_NEAR_2 ? 2 : 3;
            const bool valid = near_row[n] >= 0 && channel < p.width;
            const T *from = (const T *)(level == 1 ? p.level[1] : level == 2 ? p.level[2] : p.level[3]);
            copy_chunk(to + tile_offset<128>(64 + n, at), from + (valid ? (size_t)near_row[n] * p.width + channel : 0), valid);
        });
        each<CLASSES * 8, THREADS>([&](int i) {
            const int row = i >> 3, at = i & 7;
            const bool valid = row < p.class_ld;
            copy_chunk(to + tile_offset<128>(64 + NEAR + row, at), (const T *)p.classifier + (valid ? (size_t)row * p.ldc + chunk * 64 + at * 8 : 0), valid);
        });
    };

    /* Which rows of the smaller levels the tile needs, and their weights for each token. */
    if (tid < NEAR) {
        const int level = tid < PIXELS_NEAR_1 ? 1 : tid < PIXELS_NEAR_1 + PIXELS_NEAR_2 ? 2 : 3;
        const int in = tid - (level > 1 ? PIXELS_NEAR_1 : 0) - (level > 2 ? PIXELS_NEAR_2 : 0), across = level == 1 ? 10 : level == 2 ? 6 : 4;
        const int y = bilinear_tap(y0, p.h[level], p.h[0]).i0 + in / across, x = bilinear_tap(x0, p.w[level], p.w[0]).i0 + in % across;
        const bool needed = y <= bilinear_tap(last_y, p.h[level], p.h[0]).i1 && x <= bilinear_tap(last_x, p.w[level], p.w[0]).i1;
        near_row[tid] = needed ? (image * p.h[level] + y) * p.w[level] + x : -1;
    }
    if (tid < TOKENS) {
        T *row = (T *)(left + tid * PITCH + OWN * 2);
        for (int i = 0; i < NEAR; i += 8)
            *(uint4 *)(row + i) = make_uint4(0, 0, 0, 0);
        const int y = min(y0 + tid / TILE_W, last_y), x = min(x0 + tid % TILE_W, last_x);
        int first = 0;
#pragma unroll
        for (int level = 1; level < 4; level++) {
            const int across = level == 1 ? 10 : level == 2 ? 6 : 4;
            const tap ty = bilinear_tap(y, p.h[level], p.h[0]), tx = bilinear_tap(x, p.w[level], p.w[0]);
            const int top = bilinear_tap(y0, p.h[level], p.h[0]).i0, start = bilinear_tap(x0, p.w[level], p.w[0]).i0;
            add_taps<N>(row, first, across, top, start, ty, tx);
            first += level == 1 ? PIXELS_NEAR_1 : PIXELS_NEAR_2;
        }
    }
    __syncthreads();
    wait_for_previous();
    each<TOKENS * 8, THREADS>([&](int i) {
        const int r = i >> 3, at = i & 7, y = y0 + r / TILE_W, x = x0 + r % TILE_W;
        const bool valid = y < p.h[0] && x < p.w[0] && at * 8 < p.k;
        copy_chunk(left_base + r * PITCH + at * 16, (const T *)p.features + (valid ? ((size_t)(image * p.h[0] + y) * p.w[0] + x) * p.k + at * 8 : 0), valid);
    });
    copy(0, 0);
    copy_commit();

    float logits[LEFT][GROUPS][4];
    const int column_in = (lane & 3) * 2, chunks = (p.width + 63) / 64, part = warp % HALVES, warp_row = warp / HALVES * LEFT * 16;
#pragma unroll
    for (int i = 0; i < LEFT; i++)
#pragma unroll
        for (int j = 0; j < GROUPS; j++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                logits[i][j][e] = 0;

    const uint32_t left_row = left_base + (warp_row + (lane & 15)) * PITCH + (lane >> 4) * 16;
    for (int chunk = 0; chunk < chunks; chunk++) {
        if (chunk + 1 < chunks)
            copy(chunk + 1, (chunk + 1) % STAGES);
        copy_commit();
        copy_wait<1>();
        __syncthreads();
        const uint32_t tile = base + chunk % STAGES * STAGE;
        float sum[LEFT][RIGHT][4];
#pragma unroll
        for (int j = 0; j < RIGHT; j++) {
            const int column = chunk * 64 + (part * RIGHT + j) * 8 + column_in;
            float2 b = make_float2(0, 0);
            if (column < p.width)
                b = *(const float2 *)(p.bias + column);
#pragma unroll
            for (int i = 0; i < LEFT; i++) {
                sum[i][j][0] = sum[i][j][2] = b.x;
                sum[i][j][1] = sum[i][j][3] = b.y;
            }
        }
#pragma unroll
        for (int step = 0; step < STEPS_OWN + STEPS_NEAR; step++) {
            fragment<N, 4> a[LEFT];
#pragma unroll
            for (int i = 0; i < LEFT; i++)
                load_matrices(a[i].high, left_row + i * 16 * PITCH + step * 32);
#pragma unroll
            for (int j = 0; j < RIGHT; j += 2) {
                fragment<N, 2> first, second;
                if (step < STEPS_OWN) {
                    load_right<N, 128>(first, second, tile, (part * RIGHT + j) * 8, step);
                } else {
                    uint32_t r[4];
                    load_transposed(r, tile + tile_offset<128>(64 + (step - STEPS_OWN) * 16 + (lane & 15), part * RIGHT + j + (lane >> 4)));
                    first.high[0] = r[0], first.high[1] = r[1], second.high[0] = r[2], second.high[1] = r[3];
                }
#pragma unroll
                for (int i = 0; i < LEFT; i++) {
                    multiply<N>(sum[i][j], a[i], first);
                    multiply<N>(sum[i][j + 1], a[i], second);
                }
            }
        }
#pragma unroll
        for (int i = 0; i < LEFT; i++)
#pragma unroll
            for (int j = 0; j < RIGHT; j++)
#pragma unroll
                for (int e = 0; e < 4; e++)
                    sum[i][j][e] = fmaxf(sum[i][j][e], 0);
#pragma unroll
        for (int step = 0; step < RIGHT / 2; step++) {
            fragment<N, 4> a[LEFT];
#pragma unroll
            for (int i = 0; i < LEFT; i++)
                a[i] = as_left<N>(sum[i], step);
#pragma unroll
            for (int j = 0; j < GROUPS; j += 2) {
                fragment<N, 2> first, second;
                load_right<N, 128>(first, second, tile, 64 + NEAR + j * 8, part * (RIGHT / 2) + step);
#pragma unroll
                for (int i = 0; i < LEFT; i++) {
                    multiply<N>(logits[i][j], a[i], first);
                    multiply<N>(logits[i][j + 1], a[i], second);
                }
            }
        }
        __syncthreads();
    }
    start_next();
    if constexpr (HALVES == 2) { /* the other half's sums, through the ring */
        copy_wait<0>();
        __syncthreads();
        float *const other = (float *)shared + (warp_row + (lane >> 2)) * CLASSES + column_in;
#pragma unroll
        for (int i = 0; i < LEFT; i++)
#pragma unroll
            for (int half = 0; half < 2; half++)
#pragma unroll
                for (int j = 0; j < GROUPS; j++)
                    if (part == 1)
                        *(float2 *)(other + (i * 16 + half * 8) * CLASSES + j * 8) = make_float2(logits[i][j][2 * half], logits[i][j][2 * half + 1]);
        __syncthreads();
        if (part == 1)
            return;
#pragma unroll
        for (int i = 0; i < LEFT; i++)
#pragma unroll
            for (int half = 0; half < 2; half++)
#pragma unroll
                for (int j = 0; j < GROUPS; j++) {
                    const float2 more = *(const float2 *)(other + (i * 16 + half * 8) * CLASSES + j * 8);
                    logits[i][j][2 * half] += more.x, logits[i][j][2 * half + 1] += more.y;
                }
    }
#pragma unroll
    for (int i = 0; i < LEFT; i++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int r = warp_row + i * 16 + (lane >> 2) + half * 8, y = y0 + r / TILE_W, x = x0 + r % TILE_W;
            if (y >= p.h[0] || x >= p.w[0])
                continue;
            float *out = p.logits + ((size_t)(image * p.h[0] + y) * p.w[0] + x) * p.class_ld;
#pragma unroll
            for (int j = 0; j < GROUPS; j++) {
                const int column = j * 8 + column_in;
                if (column < p.class_ld)
                    *(float2 *)(out + column) = make_float2(logits[i][j][2 * half] + p.class_bias[column], logits[i][j][2 * half + 1] + p.class_bias[column + 1]);
            }
        }
}

template <numeric N> cudaError_t launch_type(const pixels_args &p, const launch *how)
{
    const dim3 grid((p.w[0] + TILE_W - 1) / TILE_W, (p.h[0] + TILE_H - 1) / TILE_H, p.images);
    if (p.wide && p.class_ld <= pixels_places::CLASSES)
        return launch_wide<N>(p, grid, how);
    if (p.class_ld <= 32)
        return start(pixels<N, 32>, grid, THREADS, pixels_bytes<32>, how, p);
    return start(pixels<N, PIXELS_CLASSES>, grid, THREADS, pixels_bytes<PIXELS_CLASSES>, how, p);
}

/* Rows of a smaller level that `size` consecutive coordinates need at most, from a multiple of `size` on. */
int neighbours(int from, int to, int size)
{
    int most = 0;
    auto low = [&](int at) { const long long n = (2LL * at + 1) * from - to; return n > 0 ? (int)(n / (2 * to)) : 0; };
    for (int at = 0; at < to; at += size) {
        const int last = low((at + size < to ? at + size : to) - 1) + 1, count = (last < from ? last : from - 1) - low(at) + 1;
        most = count > most ? count : most;
    }
    return most;
}

} // namespace

bool pixels_fits(const pixels_args *args, numeric type, size_t shared)
{
    static const int rows[4] = {0, 6, 4, 3}, columns[4] = {0, 10, 6, 4};
    bool fits = (type == NUMERIC_F16 || type == NUMERIC_BF16) && args->k <= OWN && args->class_ld <= PIXELS_CLASSES &&
                (size_t)(args->class_ld <= 32 ? pixels_bytes<32> : pixels_bytes<PIXELS_CLASSES>)+4096 <= shared;
    for (int i = 1; fits && i < 4; i++)
        fits = neighbours(args->h[i], args->h[0], TILE_H) <= rows[i] && neighbours(args->w[i], args->w[0], TILE_W) <= columns[i];
    return fits;
}

cudaError_t pixels_launch(const pixels_args *args, numeric type, const launch *how)
{
    return type == NUMERIC_F16 ? launch_type<NUMERIC_F16>(*args, how) : launch_type<NUMERIC_BF16>(*args, how);
}
