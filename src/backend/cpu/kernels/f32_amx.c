/* f32_amx: float32 kernels: products on AMX tiles of bfloat16 parts, the rest on AVX-512. */
#include "backend/cpu/kernels/vector_avx512.h"

enum { K_UNIT = 1, PARTS = 3 };
#define GEMM_SPLIT
#include "backend/cpu/kernels/common_table.h"

const cpu_kernels cpu_kernels_f32_amx = COMMON_TABLE("f32_32x32x6_amx", CPU_AMX);
