/* f32_amx: float32 in two bfloat16 parts: products on AMX tiles, the rest on AVX-512 in float32.  For attention's
 * scores, weights and values, which bear 2^-17 of an operand; everything else stays with f32_avx512 (docs/numerics.md). */
#include "backend/cpu/kernels/vector_avx512.h"

enum { K_UNIT = 16 };
#define OPERAND_PARTS
#define GEMM_AMX
#include "backend/cpu/kernels/common_table.h"

const cpu_kernels cpu_kernels_f32_amx = COMMON_TABLE("f32_parts_32x32_amx", CPU_AMX);
