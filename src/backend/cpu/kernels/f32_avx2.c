/* f32_avx2: float32 kernels, avx2. */
#include "backend/cpu/kernels/vector_avx2.h"

enum { K_UNIT = 1 };
#include "backend/cpu/kernels/common_table.h"

const cpu_kernels cpu_kernels_f32_avx2 = COMMON_TABLE("f32_6x16_avx2", CPU_AVX2);
