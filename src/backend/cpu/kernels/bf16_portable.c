/* bf16_portable: bfloat16 operands, float accumulation, portable: the rounding of the wider levels' bf16 units on any machine,
 * for accuracy, not for speed. */
#include "backend/cpu/kernels/vector_portable.h"

enum { K_UNIT = 1 };
#define OPERAND_BF16
#include "backend/cpu/kernels/common_table.h"

const cpu_kernels cpu_kernels_bf16_portable = COMMON_TABLE("bf16_2x16_portable", CPU_PORTABLE);
