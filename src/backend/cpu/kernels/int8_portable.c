/* int8_portable: 8-bit integers in plain C. */
#include "backend/cpu/kernels/vector_portable_int.h"

typedef int16_t quantum;
#define WEIGHT_OFFSET 0
static inline vi vi_multiply_add(vi sum, int32_t pair, const int16_t *b)
{
    int16_t x[2];
    memcpy(x, &pair, sizeof x);
    for (int i = 0; i < VL; i++)
        sum[i] += x[0] * b[2 * i] + x[1] * b[2 * i + 1];
    return sum;
}

#include "backend/cpu/kernels/common_int8_words.h"
#include "backend/cpu/kernels/tables.h"

const int8_kernels int8_kernels_portable = INT8_TABLE("int8_2x16_portable", CPU_PORTABLE, &cpu_kernels_f32_portable);
