/* vector_neon_int: 32-bit integers beside vector_neon.h's floats. */
#ifndef SEGRT_VECTOR_NEON_INT_H
#define SEGRT_VECTOR_NEON_INT_H

#include "backend/cpu/kernels/vector_neon.h"

typedef int32x4_t vi;
static inline vi vi_set(int32_t x) { return vdupq_n_s32(x); }
static inline vi vi_load(const void *p) { return vld1q_s32(p); }
static inline vf vi_float(vi x) { return vcvtq_f32_s32(x); }

#endif
