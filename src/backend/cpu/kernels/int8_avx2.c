/* int8_avx2: integers in 16 bits, vpmaddwd: exact, where the bytes' vpmaddubsw would saturate. */
#include "backend/cpu/kernels/vector_avx2_int.h"

typedef int16_t quantum;
#define WEIGHT_OFFSET 0
static inline vi vi_multiply_add(vi sum, vi pairs, vi weights) { return sum + (vi)_mm256_madd_epi16((__m256i)pairs, (__m256i)weights); }

#include "backend/cpu/kernels/common_int8_words.h"
#include "backend/cpu/kernels/tables.h"

const int8_kernels int8_kernels_avx2 = INT8_TABLE("int8_6x16_avx2", CPU_AVX2, &cpu_kernels_f32_avx2);
