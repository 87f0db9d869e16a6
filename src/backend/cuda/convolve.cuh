/* convolve: depthwise 3x3 and GELU of a tile of tokens by the tensor cores (compute capability 9.0a, 16 bits), for
 * depthwise.cu and ffn_wide.cuh.
 *
 * Eight channels of 16 tokens beside each other are the left operand, as they lie in shared memory; a tap is the right one, a matrix
 * with the channels' weights on its diagonal.  Two taps make a step of 16: four products of that depth and one of 8 for the nine.
 * Seven of eight multiplications are with zero, and still the arithmetic units, which were the bound, have nothing left but GELU.
 * The taps are rounded to 16 bits for it, as the weights of all other products are. */
#ifndef SEGRT_CUDA_CONVOLVE_CUH
#define SEGRT_CUDA_CONVOLVE_CUH

#include "backend/cuda/bulk.cuh"
#include "backend/cuda/gelu.cuh"

namespace {

constexpr int CHUNK = 64;                        /* channels of a tile: rows of 128 bytes */
constexpr int TILE_W = 16, HALO_W = TILE_W + 2;  /* tokens across, without and with their neighbours */
constexpr int HALO_ROW = HALO_W * 128;           /* bytes */

/* Bytes of `rows` rows of tokens with those above and below, in whole turns of the exchange of chunks. */
__host__ __device__ constexpr int halo_bytes(int rows) { return (rows + 2) * HALO_ROW; }
__host__ __device__ constexpr int halo_place(int rows) { return (halo_bytes(rows) + 1023) / 1024 * 1024; }

/* Half of every tap of eight channels, as right operands; half of the biases as what products are added to. */
struct taps {
    uint32_t right[9];
    float2 bias;
};

/* The taps of the lane's channel, in floats, and the biases of its two columns. */
template <numeric N> __device__ __forceinline__ taps make_taps(const float (&weight)[9], float2 bias)
{
    const int lane = threadIdx.x & 31, channel = lane >> 2;
    const bool mine = channel >> 1 == (lane & 3); /* this lane holds the diagonal's element, the others of the channel zeros */
    const float low = mine && !(channel & 1) ? 0.5f : 0.0f, high = mine && channel & 1 ? 0.5f : 0.0f;
    taps t;
#pragma unroll
    for (int i = 0; i < 9; i++)
        t.right[i] = pack16<N>(weight[i] * low, weight[i] * high);
    t.bias = make_float2(0.5f * bias.x, 0.5f * bias.y);
    return t;
}

/* c += left right: 16 tokens, 8 channels, two taps or one. */
template <numeric N> __device__ __forceinline__ void two_taps(float (&c)[4], const uint32_t (&first)[2], const uint32_t (&second)[2], uint32_t right, uint32_t right_second)
{
    const uint32_t a[4] = {first[0], first[1], second[0], second[1]}, b[2] = {right, right_second};
    product<N>(c, a, b);
}

template <numeric N> __device__ __forceinline__ void one_tap(float (&c)[4], const uint32_t (&left)[2], uint32_t right)
{
    if constexpr (N == NUMERIC_F16)
        asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
            : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
            : "r"(left[0]), "r"(left[1]), "r"(right));
    else
        asm("mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
            : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
            : "r"(left[0]), "r"(left[1]), "r"(right));
}

/* Eight channels of a chunk (chunk 16 bytes number `group` of each row) of ROWS rows of tokens: `halo` is the tile's first row with its
 * neighbours, `first` the first of the rows, `out` [tokens][128 bytes], both exchanged by tile_offset.  `out` may be where `halo` is if
 * `first` is 0 and a warp has all rows: what is written was read before. */
template <numeric N, int ROWS> __device__ __forceinline__ void convolve_tile(uint32_t out, uint32_t halo, int first, int group, const taps &t)
{
    static_assert(ROWS % 2 == 0, "rows pass in pairs");
    const int lane = threadIdx.x & 31, turn = first * HALO_W; /* rows of 128 bytes before the first */
    /* Where the lane's rows of four matrices lie: of both halves of the tokens, unmoved and moved by one, of even and odd rows; and moved
     * by two, of two rows at once.  Two rows further on a chunk's place differs in one bit. */
    uint32_t near[2], far;
    const int x = (lane >> 3 & 1) * 8 + (lane & 7);
#pragma unroll
    for (int odd = 0; odd < 2; odd++) {
        const int r = turn + odd * HALO_W + x + (lane >> 4);
        near[odd] = halo + r * 128 + ((group ^ (r & 7)) << 4);
    }
    {
        const int r = turn + (lane >> 4) * HALO_W + x + 2;
        far = halo + r * 128 + ((group ^ (r & 7)) << 4);
    }
    const uint32_t to = out + (first * TILE_W + (lane >> 4) * TILE_W + x) * 128 + ((group ^ (lane & 7)) << 4);
    uint32_t row[4][3][2]; /* of rows as they are read, turning: moved by 0, 1, 2; halves */
#pragma unroll
    for (int i = 0; i < ROWS + 2; i += 2) {
        const uint32_t bit = i % 4 ? 64 : 0;
#pragma unroll
        for (int odd = 0; odd < 2; odd++) {
            uint32_t m[4];
            load_matrices(m, (near[odd] ^ bit) + i * HALO_ROW);
            row[(i + odd) % 4][0][0] = m[0], row[(i + odd) % 4][0][1] = m[1], row[(i + odd) % 4][1][0] = m[2], row[(i + odd) % 4][1][1] = m[3];
        }
        uint32_t m[4];
        load_matrices(m, (far ^ bit) + i * HALO_ROW);
        row[i % 4][2][0] = m[0], row[i % 4][2][1] = m[1], row[(i + 1) % 4][2][0] = m[2], row[(i + 1) % 4][2][1] = m[3];
        if (i == 0)
            continue;
        uint32_t done[4];
#pragma unroll
        for (int o = 0; o < 2; o++) { /* results of row i - 2 + o from rows i - 2 + o to i + o */
            const auto &above = row[(i + 2 + o) % 4], &at = row[(i + 3 + o) % 4], &below = row[(i + o) % 4];
            float c[4] = {t.bias.x, t.bias.y, t.bias.x, t.bias.y};
            two_taps<N>(c, above[0], above[1], t.right[0], t.right[1]);
            two_taps<N>(c, at[0], at[1], t.right[3], t.right[4]);
            two_taps<N>(c, below[0], below[1], t.right[6], t.right[7]);
            two_taps<N>(c, above[2], at[2], t.right[2], t.right[5]);
            one_tap<N>(c, below[2], t.right[8]);
            done[2 * o] = pack16<N>(gelu_of_half(c[0]), gelu_of_half(c[1]));
            done[2 * o + 1] = pack16<N>(gelu_of_half(c[2]), gelu_of_half(c[3]));
        }
        store_matrices(to + (i - 2) * TILE_W * 128, done);
    }
}

/* 16 rows of 8 COUNT columns of a product, plus biases, in 16 bits into a tile that convolve_tile reads; row r is token
 * (y0 - 1 + r / HALO_W, x0 - 1 + r % HALO_W), zeros where there is none. */
template <numeric N, int COUNT>
__device__ __forceinline__ void store_hidden(const float (&sum)[COUNT][4], uint32_t tile, int row0, int column, const float *bias, int y0, int x0, int h, int w)
{
    const int lane = threadIdx.x & 31, to = row0 + (lane >> 3 & 1) * 8 + (lane & 7);
    const float2 *const pairs = (const float2 *)(bias + column + (lane & 3) * 2);
    uint32_t mask[2];
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const int r = row0 + (lane >> 2) + half * 8, y = y0 - 1 + r / HALO_W, x = x0 - 1 + r % HALO_W;
        mask[half] = y >= 0 && y < h && x >= 0 && x < w ? 0xffffffffu : 0;
    }
#pragma unroll
    for (int j = 0; j < COUNT; j += 2) {
        const float2 b[2] = {pairs[j * 4], pairs[j * 4 + 4]};
        uint32_t r[4];
#pragma unroll
        for (int i = 0; i < 4; i++)
            r[i] = pack16<N>(sum[j + (i >> 1)][2 * (i & 1)] + b[i >> 1].x, sum[j + (i >> 1)][2 * (i & 1) + 1] + b[i >> 1].y) & mask[i & 1];
        store_matrices(tile + to * 128 + ((column / 8 + j + (lane >> 4)) ^ (lane & 7)) * 16, r);
    }
}

} // namespace

#endif
