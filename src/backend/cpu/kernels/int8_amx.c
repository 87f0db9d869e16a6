/* int8_amx: bytes on AMX tiles, the rest on bfloat16's table. */
#include "backend/cpu/kernels/vector_avx512_int.h"
#define OPERAND_BF16

#include "backend/cpu/kernels/common_int8_amx.h"
#include "backend/cpu/kernels/tables.h"

const int8_kernels int8_kernels_amx = INT8_TABLE("int8_32x32_amx", CPU_AMX, &cpu_kernels_bf16_amx);
