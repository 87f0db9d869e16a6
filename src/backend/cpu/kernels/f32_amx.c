/* f32_amx: float32 kernels: attention's scores, weights and values as pairs of bfloat16 parts on AMX tiles, for these bear 2^-17 of
 * a factor (docs/numerics.md); the rest on AVX-512. */
#include "backend/cpu/kernels/vector_avx512.h"

enum { K_UNIT = 1 };
#define ATTEND_AMX
#include "backend/cpu/kernels/common_table.h"

const cpu_kernels cpu_kernels_f32_amx = COMMON_TABLE("f32_12x32_amx", CPU_AMX);
