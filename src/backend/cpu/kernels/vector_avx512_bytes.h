/* vector_avx512_bytes: four bytes a lane multiplied and added (VPDPBUSD) for common_int8_words.h, AVX-512 VNNI. */
#ifndef SEGRT_VECTOR_AVX512_BYTES_H
#define SEGRT_VECTOR_AVX512_BYTES_H

#include "backend/cpu/kernels/vector_avx512_int.h"

typedef int8_t quantum;
#define WEIGHT_OFFSET 128
static inline vi vi_multiply_add(vi sum, vi words, vi weights) { return (vi)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)weights, (__m512i)words); }
static inline vi vi_add_bytes(vi sum, const int8_t *a) { return (vi)_mm512_dpbusd_epi32((__m512i)sum, _mm512_set1_epi8(1), _mm512_loadu_si512(a)); }

#endif
