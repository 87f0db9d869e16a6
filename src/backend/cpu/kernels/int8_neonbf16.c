/* int8_neonbf16: bytes by sdot beside bfloat16. */
#include "backend/cpu/kernels/vector_neon_bytes.h"
#define OPERAND_BF16

#include "backend/cpu/kernels/common_int8_words.h"
#include "backend/cpu/kernels/tables.h"

const int8_kernels int8_kernels_neonbf16 = INT8_TABLE("int8_6x16_neonbf16", CPU_NEONBF16, &cpu_kernels_bf16_neonbf16);
