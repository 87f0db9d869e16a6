/* bf16_avx2: bfloat16 operands, float accumulation, avx2: the rounding of the wider levels' bf16 units on any machine,
 * for accuracy, not for speed. */
#include "backend/cpu/kernels/vector_avx2.h"

enum { K_UNIT = 1 };
#define OPERAND_BF16
#include "backend/cpu/kernels/common_table.h"

const cpu_kernels cpu_kernels_bf16_avx2 = COMMON_TABLE("bf16_6x16_avx2", CPU_AVX2);
