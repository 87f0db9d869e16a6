/* vector_avx2_int: 32-bit integers beside vector_avx2.h's floats. */
#ifndef SEGRT_VECTOR_AVX2_INT_H
#define SEGRT_VECTOR_AVX2_INT_H

#include "backend/cpu/kernels/vector_avx2.h"

typedef __v8si vi; /* not __m256i, whose lanes are 64-bit numbers: gcc would keep arrays of them in memory */
static inline vi vi_set(int32_t x) { return (vi)_mm256_set1_epi32(x); }
static inline vi vi_load(const void *p) { return (vi)_mm256_loadu_si256((const __m256i *)p); }
static inline vf vi_float(vi x) { return _mm256_cvtepi32_ps((__m256i)x); }

#endif
