/* slide_rows_avx2: see slide_rows.h; eight pixels a step.  Multiplications and additions are kept apart, so that
 * the numbers are the portable variant's. */
#include <immintrin.h>

#include "image/slide_rows.h"

static void keep_larger(size_t n, int32_t class, const float *logit, float *best, int32_t *label)
{
    const __m256i this_class = _mm256_set1_epi32(class);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const __m256 v = _mm256_loadu_ps(logit + i), b = _mm256_loadu_ps(best + i), larger = _mm256_cmp_ps(v, b, _CMP_GT_OQ);
        const __m256i l = _mm256_loadu_si256((const __m256i *)(label + i));
        _mm256_storeu_ps(best + i, _mm256_blendv_ps(b, v, larger));
        _mm256_storeu_si256((__m256i *)(label + i), _mm256_blendv_epi8(l, this_class, _mm256_castps_si256(larger)));
    }
    slide_rows_portable.keep_larger(n - i, class, logit + i, best + i, label + i);
}

static void add_exp(size_t n, const float *logit, const float *best, float *sum)
{
    static const float series[] = SLIDE_EXP_SERIES;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const __m256 x = _mm256_sub_ps(_mm256_loadu_ps(logit + i), _mm256_loadu_ps(best + i));
        const __m256 scaled = _mm256_mul_ps(_mm256_max_ps(x, _mm256_set1_ps(SLIDE_EXP_LEAST)), _mm256_set1_ps(SLIDE_LOG2_E));
        const __m256 whole = _mm256_round_ps(scaled, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC), f = _mm256_sub_ps(scaled, whole);
        __m256 p = _mm256_set1_ps(series[0]);
        for (size_t k = 1; k < sizeof series / sizeof *series; k++)
            p = _mm256_add_ps(_mm256_mul_ps(p, f), _mm256_set1_ps(series[k]));
        const __m256i power = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(whole), _mm256_set1_epi32(127)), 23);
        _mm256_storeu_ps(sum + i, _mm256_add_ps(_mm256_loadu_ps(sum + i), _mm256_mul_ps(p, _mm256_castsi256_ps(power))));
    }
    slide_rows_portable.add_exp(n - i, logit + i, best + i, sum + i);
}

const slide_rows slide_rows_avx2 = {keep_larger, add_exp};
