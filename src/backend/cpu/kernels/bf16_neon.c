/* bf16_neon: bfloat16 operands, float arithmetic, NEON: half the memory of activations, not faster products. */
#include "backend/cpu/kernels/vector_neon.h"

enum { K_UNIT = 1 };
#define OPERAND_BF16
#include "backend/cpu/kernels/common_table.h"

const cpu_kernels cpu_kernels_bf16_neon = COMMON_TABLE("bf16_6x16_neon", CPU_NEON);
