/* vector_avx2_int: 32-bit integers beside vector_avx2.h's floats. */
#ifndef SEGRT_VECTOR_AVX2_INT_H
#define SEGRT_VECTOR_AVX2_INT_H

#include "backend/cpu/kernels/vector_avx2.h"

typedef __m256i vi;
static inline vi vi_set(int32_t x) { return _mm256_set1_epi32(x); }
static inline vf vi_float(vi x) { return _mm256_cvtepi32_ps(x); }

#endif
