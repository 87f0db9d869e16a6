/* int8_avx512vnni: bytes by VPDPBUSD beside float32, where there are no bf16 units. */
#include "backend/cpu/kernels/vector_avx512_bytes.h"

#include "backend/cpu/kernels/common_int8_words.h"
#include "backend/cpu/kernels/tables.h"

const int8_kernels int8_kernels_avx512vnni = INT8_TABLE("int8_12x32_avx512vnni", CPU_AVX512VNNI, &cpu_kernels_f32_avx512);
