/* f32_portable: float32 kernels, portable. */
#include "backend/cpu/kernels/vector_portable.h"

enum { K_UNIT = 1 };
#include "backend/cpu/kernels/common_table.h"

const cpu_kernels cpu_kernels_f32_portable = COMMON_TABLE("f32_2x16_portable", CPU_PORTABLE);
