/* int8_amx: bytes on AMX tiles, the rest on bfloat16's table. */
#include "backend/cpu/kernels/vector_avx512.h"
#define OPERAND_BF16

typedef __m512i vi;
static inline vi vi_load(const int32_t *p) { return _mm512_loadu_si512(p); }
static inline vf vi_float(vi x) { return _mm512_cvtepi32_ps(x); }

#include "backend/cpu/kernels/common_int8_amx.h"
#include "backend/cpu/kernels/tables.h"

const int8_kernels int8_kernels_amx = INT8_TABLE("int8_32x32_amx", &cpu_kernels_bf16_amx);
