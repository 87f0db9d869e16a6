/* Float32 by parts over emulated tiles: the logic of f32_amx on any machine.  See amx_tiles.h. */
#include "backend/cpu/kernels/vector_portable.h"

enum { K_UNIT = 16 };
#define OPERAND_PARTS
#define GEMM_AMX
#include "backend/cpu/kernels/common_table.h"

extern const cpu_kernels cpu_kernels_f32_amx_emulated;
const cpu_kernels cpu_kernels_f32_amx_emulated = COMMON_TABLE("f32_parts_32x32_amx_emulated", CPU_PORTABLE);
