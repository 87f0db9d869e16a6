/* vector_avx512: sixteen floats at once for the kernels' common text (common_*.h). */
#ifndef SEGRT_VECTOR_AVX512_H
#define SEGRT_VECTOR_AVX512_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

enum { VL = 16, TILE_ROWS = 12, TILE_PANELS = 2 }; /* 24 sums, 2 weights and a broadcast of 32 registers */
typedef __m512 vf;

static inline vf v_zero(void) { return _mm512_setzero_ps(); }
static inline vf v_set(float x) { return _mm512_set1_ps(x); }
static inline vf v_load(const float *p) { return _mm512_loadu_ps(p); }
static inline void v_store(float *p, vf x) { _mm512_storeu_ps(p, x); }
static inline vf v_add(vf a, vf b) { return _mm512_add_ps(a, b); }
static inline vf v_sub(vf a, vf b) { return _mm512_sub_ps(a, b); }
static inline vf v_mul(vf a, vf b) { return _mm512_mul_ps(a, b); }
static inline vf v_div(vf a, vf b) { return _mm512_div_ps(a, b); }
static inline vf v_min(vf a, vf b) { return _mm512_min_ps(a, b); }
static inline vf v_max(vf a, vf b) { return _mm512_max_ps(a, b); }
static inline vf v_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
static inline vf v_round(vf x) { return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
/* x * 2^n, n integral, x * 2^n normal. */
static inline vf v_scale2(vf x, vf n) { return _mm512_scalef_ps(x, n); }

static inline __mmask16 v_mask(int count) { return count >= VL ? (__mmask16)0xffff : (__mmask16)((1u << count) - 1); }
/* The first `count` of VL; the others read as zero. */
static inline vf v_load_part(const float *p, int count) { return _mm512_maskz_loadu_ps(v_mask(count), p); }
static inline void v_store_part(float *p, vf x, int count) { _mm512_mask_storeu_ps(p, v_mask(count), x); }

static inline float v_sum(vf x) { return _mm512_reduce_add_ps(x); }
static inline float v_highest(vf x) { return _mm512_reduce_max_ps(x); }
/* Bit i: a[i] >= b[i]. */
static inline unsigned v_at_least(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ); }

/* bfloat16, rounded to nearest, ties to even. */
static inline vf v_load_bf16(const uint16_t *p)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p)), 16));
}
static inline __m256i v_to_bf16(vf x)
{
#ifdef __AVX512BF16__
    return (__m256i)_mm512_cvtneps_pbh(x);
#else
    const __m512i bits = _mm512_castps_si512(x), odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff))), 16));
#endif
}
static inline vf v_round_bf16(vf x) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(v_to_bf16(x)), 16)); }
static inline void v_store_bf16(uint16_t *p, vf x) { _mm256_storeu_si256((__m256i *)p, v_to_bf16(x)); }

#ifdef __AVX512BF16__
#define VECTOR_AVX512BF16 /* depthwise_avx512bf16.h fits */
/* Sixteen pairs of bfloat16, one pair sixteen times, and sums of both products of each. */
typedef __m512bh v_pairs;
static inline v_pairs v_load_pairs(const uint16_t *p) { return (v_pairs)_mm512_loadu_si512(p); }
static inline v_pairs v_set_pairs(const uint16_t *p)
{
    int32_t both;
    memcpy(&both, p, sizeof both);
    return (v_pairs)_mm512_set1_epi32(both);
}
static inline vf v_dot_pairs(v_pairs a, v_pairs b, vf sum) { return _mm512_dpbf16_ps(sum, a, b); }
#endif

#endif
