/* bf16_neonbf16: bfloat16 kernels for Arm with bf16 instructions: two products a lane (bfdot). */
#include "backend/cpu/kernels/vector_neon.h"

enum { K_UNIT = 2 };
#define OPERAND_BF16
#define GEMM_PAIRS
#include "backend/cpu/kernels/common_table.h"

const cpu_kernels cpu_kernels_bf16_neonbf16 = COMMON_TABLE("bf16_6x16_neonbf16", CPU_NEONBF16);
