/* yuv_avx2: see yuv.h; 16 pixels a step. */
#include <immintrin.h>
#include <stddef.h>

#include "image/yuv.h"

/* 16 samples of one channel: luma of pixels 0-7 and 8-15, chroma of 8 pairs of pixels. */
static inline __m128i channel(const __m256i luma[2], __m256i chroma)
{
    const __m256i first = _mm256_permutevar8x32_epi32(chroma, _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3));
    const __m256i second = _mm256_permutevar8x32_epi32(chroma, _mm256_setr_epi32(4, 4, 5, 5, 6, 6, 7, 7));
    const __m256i a = _mm256_srai_epi32(_mm256_add_epi32(luma[0], first), YUV_BITS);
    const __m256i b = _mm256_srai_epi32(_mm256_add_epi32(luma[1], second), YUV_BITS);
    const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xd8);
    return _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
}

static inline void store_rgb(__m128i r, __m128i g, __m128i b, uint8_t *rgb)
{
    /* Byte i of the output is channel i % 3 of pixel i / 3: for each 16 of them, where each channel's come from. */
    enum { X = -1 };
    const __m128i from_r[] = {_mm_setr_epi8(0, X, X, 1, X, X, 2, X, X, 3, X, X, 4, X, X, 5),
                              _mm_setr_epi8(X, X, 6, X, X, 7, X, X, 8, X, X, 9, X, X, 10, X),
                              _mm_setr_epi8(X, 11, X, X, 12, X, X, 13, X, X, 14, X, X, 15, X, X)};
    const __m128i from_g[] = {_mm_setr_epi8(X, 0, X, X, 1, X, X, 2, X, X, 3, X, X, 4, X, X),
                              _mm_setr_epi8(5, X, X, 6, X, X, 7, X, X, 8, X, X, 9, X, X, 10),
                              _mm_setr_epi8(X, X, 11, X, X, 12, X, X, 13, X, X, 14, X, X, 15, X)};
    const __m128i from_b[] = {_mm_setr_epi8(X, X, 0, X, X, 1, X, X, 2, X, X, 3, X, X, 4, X),
                              _mm_setr_epi8(X, 5, X, X, 6, X, X, 7, X, X, 8, X, X, 9, X, X),
                              _mm_setr_epi8(10, X, X, 11, X, X, 12, X, X, 13, X, X, 14, X, X, 15)};
    for (int i = 0; i < 3; i++) {
        const __m128i out =
            _mm_or_si128(_mm_shuffle_epi8(r, from_r[i]), _mm_or_si128(_mm_shuffle_epi8(g, from_g[i]), _mm_shuffle_epi8(b, from_b[i])));
        _mm_storeu_si128((__m128i *)(rgb + 16 * i), out);
    }
}

void yuv_row_avx2(const uint8_t *y, const uint8_t *u, const uint8_t *v, int step, int width, uint8_t *rgb)
{
    const __m256i middle = _mm256_set1_epi32(128), half = _mm256_set1_epi32(YUV_HALF), scale = _mm256_set1_epi32(YUV_Y);
    const __m128i black = _mm_set1_epi8(16), evens = _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, -1, -1, -1, -1, -1, -1, -1, -1);
    int x = 0;
    for (; x + 16 <= width; x += 16) {
        const size_t pair = (size_t)(x / 2) * (size_t)step;
        __m128i us, vs;
        if (step == 2) { /* v lies one behind u */
            const __m128i both = _mm_loadu_si128((const __m128i *)(u + pair));
            us = _mm_shuffle_epi8(both, evens);
            vs = _mm_shuffle_epi8(_mm_srli_epi16(both, 8), evens);
        } else {
            us = _mm_loadl_epi64((const __m128i *)(u + pair));
            vs = _mm_loadl_epi64((const __m128i *)(v + pair));
        }
        const __m256i cu = _mm256_sub_epi32(_mm256_cvtepu8_epi32(us), middle), cv = _mm256_sub_epi32(_mm256_cvtepu8_epi32(vs), middle);
        const __m128i ys = _mm_subs_epu8(_mm_loadu_si128((const __m128i *)(y + x)), black);
        const __m256i luma[] = {_mm256_mullo_epi32(_mm256_cvtepu8_epi32(ys), scale),
                                _mm256_mullo_epi32(_mm256_cvtepu8_epi32(_mm_srli_si128(ys, 8)), scale)};
        const __m256i red = _mm256_add_epi32(_mm256_mullo_epi32(cv, _mm256_set1_epi32(YUV_RV)), half);
        const __m256i green = _mm256_add_epi32(
            _mm256_add_epi32(_mm256_mullo_epi32(cv, _mm256_set1_epi32(YUV_GV)), _mm256_mullo_epi32(cu, _mm256_set1_epi32(YUV_GU))), half);
        const __m256i blue = _mm256_add_epi32(_mm256_mullo_epi32(cu, _mm256_set1_epi32(YUV_BU)), half);
        store_rgb(channel(luma, red), channel(luma, green), channel(luma, blue), rgb + 3 * (size_t)x);
    }
    const size_t pair = (size_t)(x / 2) * (size_t)step;
    yuv_row_portable(y + x, u + pair, v + pair, step, width - x, rgb + 3 * (size_t)x);
}
