/* The AMX kernels for float32 over emulated tiles.  See amx_tiles.h. */
#include "backend/cpu/kernels/vector_portable.h"

enum { K_UNIT = 1, PARTS = 3 };
#define GEMM_SPLIT
#include "backend/cpu/kernels/common_table.h"

extern const cpu_kernels cpu_kernels_f32_amx_emulated;
const cpu_kernels cpu_kernels_f32_amx_emulated = COMMON_TABLE("f32_32x32x6_amx_emulated", CPU_PORTABLE);
