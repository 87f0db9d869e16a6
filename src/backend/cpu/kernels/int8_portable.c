/* int8_portable: 8-bit integers in plain C. */
#include "backend/cpu/kernels/vector_portable_int.h"

typedef int16_t quantum;
#define WEIGHT_OFFSET 0
static inline vi vi_multiply_add(vi sum, vi pairs, vi weights)
{
    int16_t x[2 * VL], w[2 * VL];
    memcpy(x, &pairs, sizeof x);
    memcpy(w, &weights, sizeof w);
    for (int i = 0; i < VL; i++)
        sum[i] += x[2 * i] * w[2 * i] + x[2 * i + 1] * w[2 * i + 1];
    return sum;
}

#include "backend/cpu/kernels/common_int8_words.h"
#include "backend/cpu/kernels/tables.h"

const int8_kernels int8_kernels_portable = INT8_TABLE("int8_2x16_portable", CPU_PORTABLE, &cpu_kernels_f32_portable);
