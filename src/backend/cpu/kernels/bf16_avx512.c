/* bf16_avx512: bfloat16 operands, float arithmetic, AVX-512: where there are no bf16 units. */
#include "backend/cpu/kernels/vector_avx512.h"

enum { K_UNIT = 1 };
#define OPERAND_BF16
#include "backend/cpu/kernels/common_table.h"

const cpu_kernels cpu_kernels_bf16_avx512 = COMMON_TABLE("bf16_12x32_avx512", CPU_AVX512);
