/* common_weights: attention's weights 2^x as pairs of bfloat16 numbers, for products that add two of them (tiles, VDPBF16PS).
 *
 * Two vectors of 16 floats become 32 words by turns: word 2 i is of the first, word 2 i + 1 of the second.  All that is packed
 * for such a product has that order: a group of 32 keys is pairs of a key and the sixteenth after it.
 *
 * bfloat16: a float plus 1.5 * 2^15 is a fixed-point number: its low 16 bits count 2^-8.  With 127 added as well they are 256
 * (exponent + fraction), so that half of it, and half of a correction 256 (2^f - 1 - f) from a table over six bits of the fraction,
 * is the bfloat16 number: an average, which rounds.  Relative error 2.0e-3 in the mean square, of which 1.7e-3 is bfloat16's
 * own; 6.6e-3 at most.
 *
 * float32: two parts, the nearest bfloat16 and the nearest to what is left: 2^-17.  Weights by v_exp2. */
#ifndef SEGRT_COMMON_WEIGHTS_H
#define SEGRT_COMMON_WEIGHTS_H

#include <math.h>

#include "backend/cpu/kernels/common_exp.h"

enum { PAIR_GROUP = 2 * PANEL }; /* words that are made at once */
#ifdef OPERAND_BF16
enum { PARTS = 1 };
#else
enum { PARTS = 2 };
#endif

/* PANEL floats of each of two vectors as words by turns; the second part of a number goes `next` words further. */
static inline void put_pairs_of_floats(const float *first, const float *second, uint16_t *to, ptrdiff_t next)
{
    uint32_t bits[2][PANEL], words[PANEL];
    memcpy(bits[0], first, sizeof bits[0]);
    memcpy(bits[1], second, sizeof bits[1]);
    for (int part = 0; part < PARTS; part++, to += next) {
        for (int i = 0; i < PANEL; i++) {
            const uint32_t low = bits[0][i] + 0x7fff + (bits[0][i] >> 16 & 1), high = bits[1][i] + 0x7fff + (bits[1][i] >> 16 & 1);
            words[i] = low >> 16 | (high & 0xffff0000u);
        }
        memcpy(to, words, sizeof words);
        for (int i = 0; PARTS > 1 && i < PANEL; i++) {
            float rest[2], upper[2];
            const uint32_t rounded[2] = {words[i] << 16, words[i] & 0xffff0000u};
            memcpy(upper, rounded, sizeof upper);
            memcpy(&rest[0], &bits[0][i], sizeof(float));
            memcpy(&rest[1], &bits[1][i], sizeof(float));
            rest[0] -= upper[0];
            rest[1] -= upper[1];
            memcpy(&bits[0][i], &rest[0], sizeof(float));
            memcpy(&bits[1][i], &rest[1], sizeof(float));
        }
    }
}

enum { GROUP_BYTES = PARTS * PANEL * LINE }; /* of 32 rows of a packed panel: [PARTS][16 pairs][PANEL columns][2] */

/* Packs rows [k0, k1) of all panels of a [k][n] matrix as kernels.h's pack_values. */
static void pack_pairs_of_rows(void *b, size_t b_panel, const float *src, ptrdiff_t src_row, int n, int k0, int k1)
{
    for (int j0 = 0; j0 < n; j0 += PANEL) {
        const size_t count = (size_t)(n - j0 < PANEL ? n - j0 : PANEL);
        char *to = (char *)b + (size_t)(j0 / PANEL) * b_panel + (size_t)(k0 / PAIR_GROUP) * GROUP_BYTES;
        for (int k = k0; k < k1; k += PAIR_GROUP, to += GROUP_BYTES)
            for (int pair = 0; pair < PANEL; pair++) {
                float rows[2][PANEL] = {{0}};
                for (int h = 0; h < 2; h++)
                    if (k + pair + h * PANEL < k1)
                        memcpy(rows[h], src + (k - k0 + pair + h * PANEL) * src_row + j0, count * sizeof(float));
                put_pairs_of_floats(rows[0], rows[1], (uint16_t *)(to + pair * LINE), PANEL * LINE / (ptrdiff_t)sizeof(uint16_t));
            }
    }
}

/* Scores [rows][s_row] of one group of keys, of which `there` exist, as they are to be read: * row_scale + shift - maximum, every part
 * optional.  To words at `to`, zero where there is no key; sums of the weights (bfloat16: as stored) are added to lanes
 * [rows][FLOATS]. */
typedef struct weights_args {
    const float *scores;
    ptrdiff_t s_row;
    int rows, there;
    const float *row_scale, *shift, *maximum; /* [rows], [PAIR_GROUP], [rows] */
    uint16_t *to;                             /* [rows][to_row]: [PARTS][PAIR_GROUP] */
    ptrdiff_t to_row;
    float *lanes;
} weights_args;

#ifdef OPERAND_BF16

/* 256 (2^f - 1 - f) + 31.5: not negative, and without the half that an average adds too much.  The 32 are taken off the
 * number before, so the first entry is for f = 32 / 256 above it. */
static const _Alignas(LINE) uint8_t weight_table[64] = {
    22, 21, 20, 20, 19, 18, 17, 16, 16, 15, 14, 14, 13, 13, 12, 12, 11, 11, 11, 10, 10, 10, 10, 10, 10, 9,  9,  10, 10, 10, 10, 10,
    10, 11, 11, 12, 12, 12, 13, 14, 14, 15, 16, 17, 17, 18, 19, 20, 21, 23, 24, 25, 26, 28, 29, 31, 31, 30, 29, 28, 26, 25, 24, 23,
};

#define WEIGHT_BIAS 49278.875f /* 1.5 * 2^15 + 127 - 32 / 256 */

#else
#define WEIGHT_BIAS 0.0f
#endif

#define WEIGHT_LEAST (-126.0f) /* of a weight's exponent */

#if defined(__AVX512BW__)

#ifdef OPERAND_BF16

static inline __m512i weight_correction(__m512i x)
{
    const __m512i at = _mm512_srli_epi16(x, 2);
#ifdef __AVX512VBMI__
    return _mm512_maskz_permutexvar_epi8(0x5555555555555555, at, _mm512_load_si512(weight_table));
#else
    const __m512i low = _mm512_cvtepu8_epi16(_mm256_load_si256((const __m256i *)weight_table));
    const __m512i high = _mm512_cvtepu8_epi16(_mm256_load_si256((const __m256i *)(weight_table + 32)));
    return _mm512_permutex2var_epi16(low, at, high);
#endif
}

/* Weights of one row from scores with WEIGHT_BIAS added; keys that are there. */
static inline void put_weights(vf first, vf second, __mmask16 first_there, __mmask16 second_there, uint16_t *to, float *lanes)
{
    const __m512i turns = _mm512_set4_epi32(0x0d0c0000, 0x09080000, 0x05040000, 0x01000000);
    const __mmask32 there = _mm512_movepi16_mask(
        _mm512_or_si512(_mm512_maskz_set1_epi32(first_there, 0x8000), _mm512_maskz_set1_epi32(second_there, (int)0x80000000)));
    const __m512i x = _mm512_mask_shuffle_epi8(_mm512_castps_si512(first), 0xcccccccccccccccc, _mm512_castps_si512(second), turns);
    const __m512i w = _mm512_maskz_avg_epu16(there, x, weight_correction(x));
#ifdef __AVX512BF16__
    const vf sum = _mm512_dpbf16_ps(v_load(lanes), (__m512bh)w, (__m512bh)_mm512_set1_epi16(0x3f80)); /* by ones */
#else
    const vf odd = _mm512_castsi512_ps(_mm512_and_si512(w, _mm512_set1_epi32((int)0xffff0000)));
    const vf sum = v_add(v_add(v_load(lanes), odd), _mm512_castsi512_ps(_mm512_slli_epi32(w, 16)));
#endif
    v_store(lanes, sum);
    _mm512_storeu_si512(to, w);
}

#else

static inline void put_weights(vf first, vf second, __mmask16 first_there, __mmask16 second_there, uint16_t *to, float *lanes)
{
    const __m512i half = _mm512_set1_epi32(0x8000), mask = _mm512_set1_epi32((int)0xffff0000);
    vf p = _mm512_maskz_mov_ps(first_there, v_exp2(first)), q = _mm512_maskz_mov_ps(second_there, v_exp2(second));
    v_store(lanes, v_add(v_load(lanes), v_add(p, q)));
    for (int part = 0; part < PARTS; part++) {
        const __m512i low = _mm512_and_si512(_mm512_add_epi32(_mm512_castps_si512(p), half), mask);
        const __m512i high = _mm512_and_si512(_mm512_add_epi32(_mm512_castps_si512(q), half), mask);
        _mm512_storeu_si512(to + part * PAIR_GROUP, _mm512_or_si512(_mm512_srli_epi32(low, 16), high));
        p = v_sub(p, _mm512_castsi512_ps(low));
        q = v_sub(q, _mm512_castsi512_ps(high));
    }
}

#endif

static inline __attribute__((always_inline)) void weights_rows(const weights_args *a, const bool scaled, const bool shifted,
                                                               const bool lowered)
{
    const __mmask16 there[2] = {v_mask(a->there), a->there > PANEL ? v_mask(a->there - PANEL) : 0};
    const vf bias = v_set(WEIGHT_BIAS);
    const vf add[2] = {shifted ? v_add(v_load(a->shift), bias) : bias,
                       shifted && a->there > PANEL ? v_add(v_load(a->shift + PANEL), bias) : bias};
    for (int r = 0; r < a->rows; r++) {
        vf x[2];
        for (int h = 0; h < 2; h++) {
            const vf score = v_load(a->scores + r * a->s_row + h * PANEL);
            if (lowered)
                x[h] = v_add(v_max(v_sub(score, v_set(a->maximum[r])), v_set(WEIGHT_LEAST)), bias);
            else
                x[h] = scaled ? v_fma(score, v_set(a->row_scale[r]), add[h]) : v_add(score, add[h]);
        }
        put_weights(x[0], x[1], there[0], there[1], a->to + r * a->to_row, a->lanes + r * FLOATS);
    }
}

static void make_weights(const weights_args *a)
{
    if (a->maximum)
        weights_rows(a, false, false, true);
    else if (a->row_scale && a->shift)
        weights_rows(a, true, true, false);
    else if (a->row_scale)
        weights_rows(a, true, false, false);
    else if (a->shift)
        weights_rows(a, false, true, false);
    else
        weights_rows(a, false, false, false);
}

#else

static inline void put_weights(const float *x, int there, uint16_t *to, float *lanes)
{
#ifdef OPERAND_BF16
    for (int key = 0; key < PAIR_GROUP; key++) {
        uint32_t bits;
        memcpy(&bits, x + key, sizeof bits);
        const uint32_t fixed = bits & 0xffff;
        const operand w = key < there ? (operand)((fixed + weight_table[fixed >> 2 & 63] + 1) >> 1) : 0;
        to[key % PANEL * 2 + key / PANEL] = w;
        lanes[key % PANEL] += o_float(w);
    }
#else
    float w[PAIR_GROUP];
    for (int key = 0; key < PAIR_GROUP; key += VL)
        v_store(w + key, v_exp2(v_load(x + key)));
    for (int key = there; key < PAIR_GROUP; key++)
        w[key] = 0;
    for (int key = 0; key < PANEL; key++)
        lanes[key] += w[key] + w[PANEL + key];
    put_pairs_of_floats(w, w + PANEL, to, PAIR_GROUP);
#endif
}

static void make_weights(const weights_args *a)
{
    for (int r = 0; r < a->rows; r++) {
        float x[PAIR_GROUP];
        for (int key = 0; key < PAIR_GROUP; key++) {
            const float score = a->scores[r * a->s_row + key], shift = a->shift && key < a->there ? a->shift[key] : 0;
            x[key] = (a->row_scale ? score * a->row_scale[r] : score) + (shift + WEIGHT_BIAS);
            if (a->maximum)
                x[key] = (score - a->maximum[r] > WEIGHT_LEAST ? score - a->maximum[r] : WEIGHT_LEAST) + WEIGHT_BIAS;
        }
        put_weights(x, a->there, a->to + r * a->to_row, a->lanes + r * FLOATS);
    }
}

#endif

/* Scores of a row as the softmax sees them, and the largest. */
static float finish_scores(float *s, int n, float scale, const float *shift)
{
    vf high = v_set(-INFINITY);
    for (int j = 0; j < n; j += VL) {
        vf x = v_mul(v_load(s + j), v_set(scale));
        if (shift)
            x = v_add(x, v_load(shift + j));
        v_store(s + j, x);
        for (int r = 0; n - j < VL && r < n - j; r++)
            high = v_max(high, v_set(s[j + r]));
        if (n - j >= VL)
            high = v_max(high, x);
    }
    return v_highest(high);
}

/* A tile of n keys' scores [m][s_row] of a streaming softmax, scaled and shifted in place: the rows' running maxima, and the factors
 * by which older sums and lanes must shrink.  first: there is nothing older. */
static void raise_maxima(float *scores, ptrdiff_t s_row, int m, int n, const float *row_scale, const float *shift, bool first,
                         float *maximum, float *shrink)
{
    for (int i = 0; i < m; i++) {
        const float largest = finish_scores(scores + i * s_row, n, row_scale ? row_scale[i] : 1.0f, shift),
                    before = first ? largest : maximum[i];
        maximum[i] = largest > before ? largest : before;
        shrink[i] = exp2f(before - maximum[i]);
    }
}

#endif
