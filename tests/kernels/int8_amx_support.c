/* The int8 AMX kernels over emulated tiles: their logic on any machine. */
#include "backend/cpu/kernels/vector_portable_int.h"
#define OPERAND_BF16
#include "backend/cpu/kernels/common_int8_amx.h"

extern const cpu_kernels cpu_kernels_bf16_amx_emulated;
extern const int8_kernels int8_kernels_amx_emulated;
const int8_kernels int8_kernels_amx_emulated = INT8_TABLE("int8_32x32_amx_emulated", CPU_PORTABLE, &cpu_kernels_bf16_amx_emulated);
