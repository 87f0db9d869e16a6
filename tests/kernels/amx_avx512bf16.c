/* The AMX kernels over emulated tiles and the vectors that they have on the machine.  See amx_tiles.h. */
#include "backend/cpu/kernels/vector_avx512.h"

enum { K_UNIT = 32 };
#define OPERAND_BF16
#define GEMM_AMX
#define ATTEND_AMX
#include "backend/cpu/kernels/common_table.h"

extern const cpu_kernels cpu_kernels_bf16_amx_vectors;
const cpu_kernels cpu_kernels_bf16_amx_vectors = COMMON_TABLE("bf16_32x32_amx_emulated_avx512", CPU_AVX512BF16);
