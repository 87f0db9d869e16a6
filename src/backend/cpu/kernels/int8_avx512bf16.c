/* int8_avx512bf16: bytes by VPDPBUSD beside bfloat16. */
#include "backend/cpu/kernels/vector_avx512_bytes.h"
#define OPERAND_BF16

#include "backend/cpu/kernels/common_int8_words.h"
#include "backend/cpu/kernels/tables.h"

const int8_kernels int8_kernels_avx512bf16 = INT8_TABLE("int8_12x32_avx512bf16", CPU_AVX512BF16, &cpu_kernels_bf16_avx512bf16);
