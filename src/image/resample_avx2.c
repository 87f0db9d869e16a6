/* resample_avx2: the resampler's loops for AVX2; the same bytes as resample_kernels.c.
 *
 * Pillow's weights have 23 bits and its sums 32; a multiply-add of 16-bit pairs does two products at once
 * where a 32-bit multiplication does one in two steps.  So a weight is taken as high * 2^12 + low (both fit 16 bits),
 * each half is summed by itself, and the halves are joined at the end.  Sums may wrap on the way: the joined one
 * is exact modulo 2^32, and it fits. */
#include "image/resample_kernels.h"

#include <immintrin.h>
#include <string.h>

/* high << 12 + low + half, shifted down and clamped by the packs that follow. */
static inline __m256i join(__m256i high, __m256i low)
{
    const __m256i sum = _mm256_add_epi32(_mm256_slli_epi32(high, SPLIT_BITS), low);
    return _mm256_srai_epi32(_mm256_add_epi32(sum, _mm256_set1_epi32(1 << (PILLOW_BITS - 1))), PILLOW_BITS);
}

/* Four input pixels a step: the lower lane takes the first two of them as pairs of each channel, the upper the next two. */
static inline __m256i pillow_pixel(const uint8_t *p, const int16_t *split, int groups)
{
    const __m256i pairs = _mm256_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1, /**/ 6, -1, 9, -1, 7, -1, 10, -1, 8,
                                           -1, 11, -1, -1, -1, -1, -1);
    const __m256i highs =
        _mm256_setr_epi8(0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, /**/ 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7);
    const __m256i lows = _mm256_add_epi8(highs, _mm256_set1_epi8(8));
    __m256i high = _mm256_setzero_si256(), low = high;
    for (int g = 0; g < groups; g++, p += 12, split += 8) {
        const __m256i pixels = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)p)), pairs);
        const __m256i weights = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)split));
        high = _mm256_add_epi32(high, _mm256_madd_epi16(pixels, _mm256_shuffle_epi8(weights, highs)));
        low = _mm256_add_epi32(low, _mm256_madd_epi16(pixels, _mm256_shuffle_epi8(weights, lows)));
    }
    return _mm256_add_epi32(_mm256_slli_epi32(high, SPLIT_BITS), low);
}

static void pillow_row_avx2(const resample_axis *axis, const uint8_t *from, size_t readable, uint8_t *to)
{
    const __m128i half = _mm_set1_epi32(1 << (PILLOW_BITS - 1));
    const size_t row = 4 * 2 * (size_t)((axis->taps + 3) / 4);
    for (int x = 0; x < axis->to; x++) {
        const int groups = (axis->count[x] + 3) / 4;
        const size_t at = 3 * (size_t)axis->start[x];
        if (at + 12 * (size_t)groups + 4 > readable || x + 1 == axis->to) { /* it would read, or write, past the end */
            resample_pillow_pixels(axis, from, x, x + 1, to);
            continue;
        }
        const __m256i lanes = pillow_pixel(from + at, axis->split + (size_t)x * row, groups);
        __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(lanes), _mm256_extracti128_si256(lanes, 1));
        sum = _mm_srai_epi32(_mm_add_epi32(sum, half), PILLOW_BITS);
        sum = _mm_packus_epi16(_mm_packs_epi32(sum, sum), sum);
        const int32_t rgb = _mm_cvtsi128_si32(sum);
        memcpy(to + 3 * (size_t)x, &rgb, 4); /* its fourth byte is the next pixel's, still to come */
    }
}

static void pillow_column_avx2(const uint8_t *from, size_t stride, int count, const int32_t *weight, size_t bytes, uint8_t *to)
{
    size_t at = 0;
    for (; at + 32 <= bytes; at += 32) {
        __m256i high[4], low[4];
        for (int i = 0; i < 4; i++)
            high[i] = low[i] = _mm256_setzero_si256();
        for (int k = 0; k < count; k += 2) {
            /* An odd last row is paired with itself at weight 0. */
            const uint8_t *first = from + (size_t)k * stride + at, *second = k + 1 < count ? first + stride : first;
            const int32_t w0 = weight[k], w1 = k + 1 < count ? weight[k + 1] : 0;
            const __m256i highs =
                _mm256_set1_epi32((int32_t)((uint32_t)(w0 >> SPLIT_BITS) & 0xffff) | (int32_t)((uint32_t)(w1 >> SPLIT_BITS) << 16));
            const __m256i lows = _mm256_set1_epi32((w0 & SPLIT_MASK) | (w1 & SPLIT_MASK) << 16);
            for (int i = 0; i < 2; i++) {
                const __m256i a = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(first + 16 * i)));
                const __m256i b = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(second + 16 * i)));
                const __m256i left = _mm256_unpacklo_epi16(a, b), right = _mm256_unpackhi_epi16(a, b);
                high[2 * i] = _mm256_add_epi32(high[2 * i], _mm256_madd_epi16(left, highs));
                low[2 * i] = _mm256_add_epi32(low[2 * i], _mm256_madd_epi16(left, lows));
                high[2 * i + 1] = _mm256_add_epi32(high[2 * i + 1], _mm256_madd_epi16(right, highs));
                low[2 * i + 1] = _mm256_add_epi32(low[2 * i + 1], _mm256_madd_epi16(right, lows));
            }
        }
        const __m256i first = _mm256_packs_epi32(join(high[0], low[0]), join(high[1], low[1]));
        const __m256i second = _mm256_packs_epi32(join(high[2], low[2]), join(high[3], low[3]));
        _mm256_storeu_si256((__m256i *)(to + at), _mm256_permute4x64_epi64(_mm256_packus_epi16(first, second), 0xd8));
    }
    if (at < bytes)
        resample_pillow_column(from + at, stride, count, weight, bytes - at, to + at);
}

/* Two output pixels a step, a lane each: channels as pairs of left and right. */
static void opencv_row_avx2(const resample_axis *axis, const uint8_t *from, size_t readable, int16_t *to)
{
    const __m256i pairs = _mm256_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1, /**/ 0, -1, 3, -1, 1, -1, 4, -1, 2, -1,
                                           5, -1, -1, -1, -1, -1);
    const __m256i spread = _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1);
    int x = 0;
    for (; x + 3 <= axis->to; x += 2) { /* the second's fourth sample is the next pixel's */
        const size_t left = 3 * (size_t)axis->start[x], right = 3 * (size_t)axis->start[x + 1];
        if (right + 8 > readable || left + 8 > readable)
            break;
        /* A pixel at the right edge has no neighbour, and weight 0 for it: whatever lies there. */
        const __m256i pixels =
            _mm256_set_m128i(_mm_loadl_epi64((const __m128i *)(from + right)), _mm_loadl_epi64((const __m128i *)(from + left)));
        const __m256i weights =
            _mm256_permutevar8x32_epi32(_mm256_castsi128_si256(_mm_loadl_epi64((const __m128i *)(axis->split + 2 * (size_t)x))), spread);
        const __m256i sums = _mm256_srai_epi32(_mm256_madd_epi16(_mm256_shuffle_epi8(pixels, pairs), weights), OPENCV_KEPT);
        const __m256i packed = _mm256_packs_epi32(sums, sums);
        _mm_storel_epi64((__m128i *)(to + 3 * (size_t)x), _mm256_castsi256_si128(packed));
        _mm_storel_epi64((__m128i *)(to + 3 * (size_t)x + 3), _mm256_extracti128_si256(packed, 1));
    }
    resample_opencv_pixels(axis, from, x, axis->to, to);
}

static void opencv_column_avx2(const int16_t *above, const int16_t *below, int weight_above, int weight_below, size_t count, uint8_t *to)
{
    const __m256i wa = _mm256_set1_epi16((int16_t)weight_above), wb = _mm256_set1_epi16((int16_t)weight_below), two = _mm256_set1_epi16(2);
    size_t i = 0;
    for (; i + 32 <= count; i += 32) {
        __m256i sum[2];
        for (size_t k = 0; k < 2; k++) {
            const __m256i a = _mm256_loadu_si256((const __m256i *)(above + i + 16 * k)),
                          b = _mm256_loadu_si256((const __m256i *)(below + i + 16 * k));
            sum[k] = _mm256_add_epi16(_mm256_add_epi16(_mm256_mulhi_epi16(a, wa), _mm256_mulhi_epi16(b, wb)), two);
            sum[k] = _mm256_srai_epi16(sum[k], 2);
        }
        _mm256_storeu_si256((__m256i *)(to + i), _mm256_permute4x64_epi64(_mm256_packus_epi16(sum[0], sum[1]), 0xd8));
    }
    resample_opencv_column(above + i, below + i, weight_above, weight_below, count - i, to + i);
}

const resample_kernels resample_kernels_avx2 = {"avx2", pillow_row_avx2, pillow_column_avx2, opencv_row_avx2, opencv_column_avx2};
