/* split: numbers as the sum of two halves, high and low: 22 bits, with the range of halves; whoever splits scales first
 * (ranges.h).  Sixteen neighbours lie as 16 high halves and 16 low ones behind them: the 64 bytes that they take as floats, and a
 * step of a product's k. */
#ifndef SEGRT_CUDA_SPLIT_CUH
#define SEGRT_CUDA_SPLIT_CUH

#include "backend/cuda/numeric.cuh"

enum { SPLIT_GROUP = 16, SPLIT_BYTES = 64, SPLIT_LOW = 32 }; /* numbers of a group, its bytes, where its low halves begin */

struct split_pair {
    uint32_t high, low;
};

__device__ __forceinline__ split_pair split_two(float first, float second)
{
    const __half2 high = __floats2half2_rn(first, second);
    const float2 back = __half22float2(high);
    split_pair made;
    made.high = *reinterpret_cast<const uint32_t *>(&high);
    made.low = pack_half(first - back.x, second - back.y);
    return made;
}

/* Byte at which the high half of number i of a row lies. */
__device__ __forceinline__ int split_at(int i) { return i / SPLIT_GROUP * SPLIT_BYTES + i % SPLIT_GROUP * 2; }

/* A step's left operand: rows r and r + 8, columns 2 t, 2 t + 1 and 8 more (t: lane % 4). */
struct split_left {
    uint32_t high[4], low[4];

    __device__ __forceinline__ void set(int i, float first, float second)
    {
        const split_pair made = split_two(first, second);
        high[i] = made.high;
        low[i] = made.low;
    }
};

/* From rows of 16 floats that lie 64 bytes apart, this thread's of 16 rows.  A thread takes four neighbours at once, so that no two
 * threads of a group read from the same banks: the operand's columns are in the order of split_place, which the other side's rows
 * are packed in. */
__device__ __forceinline__ split_left load_split(const unsigned char *rows, float scale)
{
    const int lane = threadIdx.x & 31;
    const float4 *from = (const float4 *)(rows + (lane >> 2) * 64 + (lane & 3) * 16);
    const float4 upper = from[0], lower = from[8 * 64 / 16];
    split_left made;
    made.set(0, upper.x * scale, upper.y * scale);
    made.set(1, lower.x * scale, lower.y * scale);
    made.set(2, upper.z * scale, upper.w * scale);
    made.set(3, lower.z * scale, lower.w * scale);
    return made;
}

/* The same in the order of the columns, which sums of products have as well. */
__device__ __forceinline__ split_left load_split_ordered(const unsigned char *rows, float scale)
{
    const int lane = threadIdx.x & 31;
    const float2 *from = (const float2 *)(rows + (lane >> 2) * 64 + (lane & 3) * 8);
    split_left made;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const float2 v = from[(i & 1) * 8 * 64 / 8 + (i >> 1) * 4];
        made.set(i, v.x * scale, v.y * scale);
    }
    return made;
}

/* Sums of two neighbouring tiles of 8 columns as a step's left operand. */
template <int TILES> __device__ __forceinline__ split_left split_sums(const float (&c)[TILES][4], int step)
{
    split_left made;
#pragma unroll
    for (int i = 0; i < 4; i++)
        made.set(i, c[2 * step + (i >> 1)][2 * (i & 1)], c[2 * step + (i >> 1)][2 * (i & 1) + 1]);
    return made;
}

/* Left operands (their high halves) that outlive another product's.  The assembler of CUDA 13.0 gives both the same registers where there is
 * as much of each, and the first are lost; it does not where they are written again behind the other product (`nothing`: 0, which it
 * must not know). */
template <int STEPS> __device__ __forceinline__ void split_keep(split_left (&left)[STEPS], uint32_t nothing)
{
#pragma unroll
    for (int s = 0; s < STEPS; s++)
#pragma unroll
        for (int i = 0; i < 4; i++)
            left[s].high[i] |= nothing;
}

/* left = next behind a product of left's: the assembler takes its registers for free while the product still reads them, unless they are
 * read behind it (`nothing` as above). */
template <bool LOW, int STEPS> __device__ __forceinline__ void split_follow(split_left (&left)[STEPS], const split_left (&next)[STEPS], uint32_t nothing)
{
#pragma unroll
    for (int s = 0; s < STEPS; s++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            left[s].high[i] = next[s].high[i] | (left[s].high[i] & nothing);
            if (LOW)
                left[s].low[i] = next[s].low[i] | (left[s].low[i] & nothing);
        }
}

/* Four lanes have four words each: lane i gets word i of all of them. */
__device__ __forceinline__ uint4 quad_transpose(uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
    const bool odd = threadIdx.x & 1, upper = threadIdx.x & 2;
    auto exchange = [](uint32_t &give_below, uint32_t &give_above, bool above, int lane) {
        const uint32_t got = __shfl_xor_sync(0xffffffffu, above ? give_above : give_below, lane);
        (above ? give_above : give_below) = got;
    };
    exchange(b, a, odd, 1);
    exchange(d, c, odd, 1);
    exchange(c, a, upper, 2);
    exchange(d, b, upper, 2);
    return make_uint4(a, b, c, d);
}

/* Of 8 x 8 halves, two neighbours of a row a lane: two of a column. */
__device__ __forceinline__ uint32_t transpose_halves(uint32_t row)
{
    uint32_t column;
    asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(column) : "r"(row));
    return column;
}

/* Where number k of a step of 16 lies among the columns of load_split's operand. */
__host__ __device__ __forceinline__ int split_place(int k) { return (k & 2) * 4 + (k >> 2) * 2 + (k & 1); }

#endif
