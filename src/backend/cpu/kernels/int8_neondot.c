/* int8_neondot: bytes by sdot beside float32. */
#include "backend/cpu/kernels/vector_neon_bytes.h"

#include "backend/cpu/kernels/common_int8_words.h"
#include "backend/cpu/kernels/tables.h"

const int8_kernels int8_kernels_neondot = INT8_TABLE("int8_6x16_neondot", CPU_NEONDOT, &cpu_kernels_f32_neon);
