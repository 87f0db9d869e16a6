/* f32_neon: float32 kernels, NEON. */
#include "backend/cpu/kernels/vector_neon.h"

enum { K_UNIT = 1 };
#include "backend/cpu/kernels/common_table.h"

const cpu_kernels cpu_kernels_f32_neon = COMMON_TABLE("f32_6x16_neon", CPU_NEON);
