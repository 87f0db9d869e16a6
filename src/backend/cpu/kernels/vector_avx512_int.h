/* vector_avx512_int: 32-bit integers beside vector_avx512.h's floats. */
#ifndef SEGRT_VECTOR_AVX512_INT_H
#define SEGRT_VECTOR_AVX512_INT_H

#include "backend/cpu/kernels/vector_avx512.h"

typedef __m512i vi;
static inline vi vi_set(int32_t x) { return _mm512_set1_epi32(x); }
static inline vi vi_load(const int32_t *p) { return _mm512_loadu_si512(p); }
static inline vf vi_float(vi x) { return _mm512_cvtepi32_ps(x); }

#endif
