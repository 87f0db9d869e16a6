/* The AMX kernels over emulated tiles: their logic on any machine.  See amx_tiles.h. */
#include "backend/cpu/kernels/vector_portable.h"

enum { K_UNIT = 32 };
#define OPERAND_BF16
#define GEMM_AMX
#define ATTEND_AMX
#include "backend/cpu/kernels/common_table.h"

extern const cpu_kernels cpu_kernels_bf16_amx_emulated;
const cpu_kernels cpu_kernels_bf16_amx_emulated = COMMON_TABLE("bf16_32x32_amx_emulated", CPU_PORTABLE);
