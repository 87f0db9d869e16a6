/* bf16_avx512bf16: bfloat16 kernels for AVX-512 with bf16 units and no tiles: two products a lane (VDPBF16PS). */
#include "backend/cpu/kernels/vector_avx512.h"

enum { K_UNIT = 2 };
#define OPERAND_BF16
#define GEMM_PAIRS
#include "backend/cpu/kernels/common_table.h"

const cpu_kernels cpu_kernels_bf16_avx512bf16 = COMMON_TABLE("bf16_12x32_avx512bf16", CPU_AVX512BF16);
