/* int8_avx512: integers in 16 bits, vpmaddwd over 32 of them. */
#include "backend/cpu/kernels/vector_avx512_int.h"

typedef int16_t quantum;
#define WEIGHT_OFFSET 0
static inline vi vi_multiply_add(vi sum, vi pairs, vi weights) { return sum + (vi)_mm512_madd_epi16((__m512i)pairs, (__m512i)weights); }

#include "backend/cpu/kernels/common_int8_words.h"
#include "backend/cpu/kernels/tables.h"

const int8_kernels int8_kernels_avx512 = INT8_TABLE("int8_12x32_avx512", CPU_AVX512, &cpu_kernels_f32_avx512);
