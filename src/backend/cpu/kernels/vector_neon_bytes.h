/* vector_neon_bytes: four bytes a lane multiplied and added (sdot) for common_int8_words.h, Armv8.2 dot products. */
#ifndef SEGRT_VECTOR_NEON_BYTES_H
#define SEGRT_VECTOR_NEON_BYTES_H

#include "backend/cpu/kernels/vector_neon_int.h"

typedef int8_t quantum;
#define WEIGHT_OFFSET 0
static inline vi vi_multiply_add(vi sum, vi words, vi weights)
{
    return vdotq_s32(sum, vreinterpretq_s8_s32(weights), vreinterpretq_s8_s32(words));
}

#endif
