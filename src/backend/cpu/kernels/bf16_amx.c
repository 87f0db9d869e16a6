/* bf16_amx: bfloat16 kernels: products on AMX tiles, the rest on AVX-512. */
#include "backend/cpu/kernels/vector_avx512.h"

enum { K_UNIT = 32 };
#define OPERAND_BF16
#define GEMM_AMX
#define ATTEND_AMX
#include "backend/cpu/kernels/common_table.h"

const cpu_kernels cpu_kernels_bf16_amx = COMMON_TABLE("bf16_32x32_amx", CPU_AMX);
