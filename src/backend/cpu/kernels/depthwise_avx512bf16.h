/* depthwise_avx512bf16: the 3x3 depthwise convolution and GELU of bfloat16 where AVX-512 has dot products of bfloat16 pairs: the table
 * of common_depthwise.h for the levels avx512bf16 and amx.
 *
 * A pixel's 32 channels are one line.  Unpacking the upper and the middle row makes a pair of each channel, so that one dot product
 * is two taps; the lower row makes pairs with its pixel before.  14 instructions for 32 sums instead of 18 products and 12
 * conversions.  Unpacking works within 128 bits: one vector has channels 0-3, 8-11, ..., the other 4-7, 12-15, ...; packing the
 * results puts them back in order. */
#ifndef SEGRT_DEPTHWISE_AVX512BF16_H
#define SEGRT_DEPTHWISE_AVX512BF16_H

#include "backend/cpu/kernels/common_operand.h"

/* GELU: 29 parabolas, each WIDTH wide and through the function at its Chebyshev points; below them 0, above them x.  Absolute error
 * 9.1e-5, of alternating sign: a twentieth of the rounding of a result near 1. */
#define WIDTH 0.2825f
static const float gelu_parabola[3][32] = {
    {
        0,
        0,
        -0.0198723f,
        -0.04326969f,
        -0.08496079f,
        -0.1498131f,
        -0.23597f,
        -0.3296713f,
        -0.4046463f,
        -0.4305423f,
        -0.38936f,
        -0.2902532f,
        -0.1693815f,
        -0.07016055f,
        -0.01646091f,
        -0.0009882505f,
        0,
        -0.0009882505f,
        -0.01646091f,
        -0.07016055f,
        -0.1693815f,
        -0.2902532f,
        -0.38936f,
        -0.4305423f,
        -0.4046463f,
        -0.3296713f,
        -0.23597f,
        -0.1498131f,
        -0.08496079f,
        -0.04326969f,
        -0.0198723f,
        0,
    },
    {
        0,           0,           -0.009359406f, -0.02167661f, -0.04537248f, -0.08541887f, -0.1436448f, -0.2135428f,
        -0.2758591f, -0.2998222f, -0.2540656f,   -0.1253106f,  0.06590817f,  0.2669526f,   0.4181592f,  0.4890209f,
        0.5f,        0.5109791f,  0.5818408f,    0.7330474f,   0.9340918f,   1.125311f,    1.254066f,   1.299822f,
        1.275859f,   1.213543f,   1.143645f,     1.085419f,    1.045372f,    1.021677f,    1.009359f,   1,
    },
    {
        0,
        0,
        -0.001105707f,
        -0.002726924f,
        -0.006094327f,
        -0.01227742f,
        -0.02211668f,
        -0.03515505f,
        -0.0481074f,
        -0.05365072f,
        -0.04093948f,
        0.0009040463f,
        0.07660636f,
        0.1786191f,
        0.2854101f,
        0.367218f,
        0.3979496f,
        0.367218f,
        0.2854101f,
        0.1786191f,
        0.07660636f,
        0.0009040463f,
        -0.04093948f,
        -0.05365072f,
        -0.0481074f,
        -0.03515505f,
        -0.02211668f,
        -0.01227742f,
        -0.006094327f,
        -0.002726924f,
        -0.001105707f,
        0,
    },
};

typedef struct gelu_table {
    __m512 low[3], high[3]; /* coefficients of parabolas 0-15 and 16-31 */
} gelu_table;

static inline gelu_table gelu_open(void)
{
    gelu_table t;
    for (int i = 0; i < 3; i++) {
        t.low[i] = _mm512_loadu_ps(gelu_parabola[i]);
        t.high[i] = _mm512_loadu_ps(gelu_parabola[i] + 16);
    }
    return t;
}

/* Adding 1.5 * 2^23 leaves the nearest integer in the last bits, where the permutation looks for it. */
static inline __m512 gelu(const gelu_table *t, __m512 x)
{
    const __m512 scale = _mm512_set1_ps(1 / WIDTH), middle = _mm512_set1_ps(12582912.0f + 16), most = _mm512_set1_ps(15.4f * WIDTH);
    const __m512 clamped = _mm512_range_ps(x, most, 2); /* the smaller size, with x's sign */
    const __m512i i = _mm512_castps_si512(_mm512_fmadd_ps(clamped, scale, middle));
    const __m512 p = _mm512_fmadd_ps(_mm512_permutex2var_ps(t->low[2], i, t->high[2]), x, _mm512_permutex2var_ps(t->low[1], i, t->high[1]));
    return _mm512_fmadd_ps(p, x, _mm512_permutex2var_ps(t->low[0], i, t->high[0]));
}

/* Two vectors as unpacked to one line of bfloat16.  Ties go away from zero: they are one in 65536. */
static inline void store_packed(operand *to, __m512 low, __m512 high)
{
    const __m512i half = _mm512_set1_epi32(0x8000);
    const __m512i a = _mm512_srli_epi32(_mm512_add_epi32(_mm512_castps_si512(low), half), 16);
    const __m512i b = _mm512_srli_epi32(_mm512_add_epi32(_mm512_castps_si512(high), half), 16);
    _mm512_storeu_si512(to, _mm512_packus_epi32(a, b));
}

enum { DOTS = 5, DEPTHWISE_BYTES = 2 * (DOTS + 1) * LINE };

/* For each of the two unpacked vectors: upper and middle tap of the left, middle and right column, lower left and middle tap, zero
 * and lower right tap; then the bias in float. */
static void pack_depthwise(void *to, const float *weights)
{
    static const int taps[DOTS][2] = {{0, 3}, {1, 4}, {2, 5}, {6, 7}, {-1, 8}};
    for (int part = 0; part < 2; part++, to = (char *)to + (DOTS + 1) * LINE)
        for (int lane = 0; lane < FLOATS; lane++) {
            const int channel = lane / 4 * 8 + part * 4 + lane % 4;
            for (int d = 0; d < DOTS; d++)
                for (int side = 0; side < 2; side++)
                    ((operand *)to)[d * LANES + 2 * lane + side] = taps[d][side] < 0 ? 0 : o_of(weights[taps[d][side] * LANES + channel]);
            ((float *)to)[DOTS * FLOATS + lane] = weights[9 * LANES + channel];
        }
}

static inline __m512bh tap_pair(const void *weights, int part, int dot, int there)
{
    return (__m512bh)_mm512_and_si512(_mm512_loadu_si512((const char *)weights + (part * (DOTS + 1) + dot) * LINE),
                                      _mm512_set1_epi32(there));
}

/* Sums roll along the row as in common_depthwise.h: each line is loaded once.  Rows outside: their taps are zero. */
static void depthwise(const void *const rows[3], int w, const void *weights, void *out)
{
    const operand *top = rows[0] ? rows[0] : rows[1], *middle = rows[1], *bottom = rows[2] ? rows[2] : rows[1];
    __m512bh tap[2][DOTS];
    __m512 bias[2], here[2], next[2];
    for (int part = 0; part < 2; part++) {
        for (int d = 0; d < DOTS; d++)
            tap[part][d] = tap_pair(weights, part, d, d >= 3 ? rows[2] ? -1 : 0 : rows[0] ? -1 : -65536);
        bias[part] = here[part] = next[part] = _mm512_loadu_ps((const float *)weights + (part * (DOTS + 1) + DOTS) * FLOATS);
    }
    const gelu_table table = gelu_open();
    operand *to = out;
    __m512i before = _mm512_setzero_si512();
    for (int x = 0; x < w; x++) {
        const __m512i t = _mm512_loadu_si512(top + x * LANES), m = _mm512_loadu_si512(middle + x * LANES),
                      b = _mm512_loadu_si512(bottom + x * LANES);
        const __m512bh upper[2] = {(__m512bh)_mm512_unpacklo_epi16(t, m), (__m512bh)_mm512_unpackhi_epi16(t, m)};
        const __m512bh lower[2] = {(__m512bh)_mm512_unpacklo_epi16(before, b), (__m512bh)_mm512_unpackhi_epi16(before, b)};
        before = b;
        __m512 done[2];
        for (int part = 0; part < 2; part++) {
            done[part] = _mm512_dpbf16_ps(_mm512_dpbf16_ps(here[part], upper[part], tap[part][2]), lower[part], tap[part][4]);
            here[part] = _mm512_dpbf16_ps(_mm512_dpbf16_ps(next[part], upper[part], tap[part][1]), lower[part], tap[part][3]);
            next[part] = _mm512_dpbf16_ps(bias[part], upper[part], tap[part][0]);
        }
        if (x > 0)
            store_packed(to + (x - 1) * LANES, gelu(&table, done[0]), gelu(&table, done[1]));
    }
    store_packed(to + (w - 1) * LANES, gelu(&table, here[0]), gelu(&table, here[1]));
}

#endif
