/* vector_avx512_int: 32-bit integers beside vector_avx512.h's floats. */
#ifndef SEGRT_VECTOR_AVX512_INT_H
#define SEGRT_VECTOR_AVX512_INT_H

#include "backend/cpu/kernels/vector_avx512.h"

typedef __v16si vi; /* not __m512i, whose lanes are 64-bit numbers: gcc would keep arrays of them in memory */
static inline vi vi_set(int32_t x) { return (vi)_mm512_set1_epi32(x); }
static inline vi vi_load(const void *p) { return (vi)_mm512_loadu_si512(p); }
static inline vf vi_float(vi x) { return _mm512_cvtepi32_ps((__m512i)x); }

#endif
