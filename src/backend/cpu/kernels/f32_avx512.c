/* f32_avx512: float32 kernels, AVX-512. */
#include "backend/cpu/kernels/vector_avx512.h"

enum { K_UNIT = 1 };
#include "backend/cpu/kernels/common_table.h"

const cpu_kernels cpu_kernels_f32_avx512 = COMMON_TABLE("f32_12x32_avx512", CPU_AVX512);
