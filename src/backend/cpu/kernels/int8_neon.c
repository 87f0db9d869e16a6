/* int8_neon: integers in 16 bits, smull and addp: for any Arm of 64 bits. */
#include "backend/cpu/kernels/vector_neon_int.h"

typedef int16_t quantum;
#define WEIGHT_OFFSET 0
static inline vi vi_multiply_add(vi sum, vi pairs, vi weights)
{
    const int16x8_t x = vreinterpretq_s16_s32(pairs), w = vreinterpretq_s16_s32(weights);
    return vaddq_s32(sum, vpaddq_s32(vmull_s16(vget_low_s16(x), vget_low_s16(w)), vmull_high_s16(x, w)));
}

#include "backend/cpu/kernels/common_int8_words.h"
#include "backend/cpu/kernels/tables.h"

const int8_kernels int8_kernels_neon = INT8_TABLE("int8_6x16_neon", CPU_NEON, &cpu_kernels_f32_neon);
