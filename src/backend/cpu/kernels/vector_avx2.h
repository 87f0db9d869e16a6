/* vector_avx2: eight floats at once for the kernels' common text (common_*.h).  Every vector_<level>.h
 * defines the same names. */
#ifndef SEGRT_VECTOR_AVX2_H
#define SEGRT_VECTOR_AVX2_H

#include <immintrin.h>
#include <stdint.h>

enum { VL = 8, TILE_ROWS = 6, TILE_PANELS = 1 };
typedef __m256 vf;

static inline vf v_zero(void) { return _mm256_setzero_ps(); }
static inline vf v_set(float x) { return _mm256_set1_ps(x); }
static inline vf v_load(const float *p) { return _mm256_loadu_ps(p); }
static inline void v_store(float *p, vf x) { _mm256_storeu_ps(p, x); }
static inline vf v_add(vf a, vf b) { return _mm256_add_ps(a, b); }
static inline vf v_sub(vf a, vf b) { return _mm256_sub_ps(a, b); }
static inline vf v_mul(vf a, vf b) { return _mm256_mul_ps(a, b); }
static inline vf v_div(vf a, vf b) { return _mm256_div_ps(a, b); }
static inline vf v_min(vf a, vf b) { return _mm256_min_ps(a, b); }
static inline vf v_max(vf a, vf b) { return _mm256_max_ps(a, b); }
static inline vf v_fma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
static inline vf v_round(vf x) { return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
/* x * 2^n, n integral, x * 2^n normal. */
static inline vf v_scale2(vf x, vf n)
{
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(x), _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23)));
}

static inline __m256i v_mask(int count)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
/* The first `count` of VL; the others read as zero. */
static inline vf v_load_part(const float *p, int count) { return _mm256_maskload_ps(p, v_mask(count)); }
static inline void v_store_part(float *p, vf x, int count) { _mm256_maskstore_ps(p, v_mask(count), x); }

static inline float v_sum(vf x)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
static inline float v_highest(vf x)
{
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}
/* Bit i: a[i] >= b[i]. */
static inline unsigned v_at_least(vf a, vf b) { return (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_GE_OQ)); }

/* bfloat16, rounded to nearest, ties to even. */
static inline vf v_load_bf16(const uint16_t *p)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p)), 16));
}
static inline __m256i v_carried(vf x) /* the upper halves are right */
{
    const __m256i bits = _mm256_castps_si256(x), odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    return _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
}
static inline vf v_round_bf16(vf x) { return _mm256_castsi256_ps(_mm256_and_si256(v_carried(x), _mm256_set1_epi32((int)0xffff0000))); }
static inline void v_store_bf16(uint16_t *p, vf x)
{
    const __m256i rounded = _mm256_srli_epi32(v_carried(x), 16);
    const __m256i packed = _mm256_packus_epi32(rounded, rounded); /* within halves */
    _mm_storeu_si128((__m128i *)p, _mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0x08)));
}

#endif
