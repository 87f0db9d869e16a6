/* int8_avxvnni: bytes by VPDPBUSD in vectors of 256 bits, for processors without AVX-512 (AVX-VNNI). */
#include "backend/cpu/kernels/vector_avx2_int.h"

typedef int8_t quantum;
#define WEIGHT_OFFSET 128
static inline vi vi_multiply_add(vi sum, vi words, vi weights) { return (vi)_mm256_dpbusd_avx_epi32((__m256i)sum, (__m256i)weights, (__m256i)words); }
static inline vi vi_add_bytes(vi sum, const int8_t *a)
{
    return (vi)_mm256_dpbusd_avx_epi32((__m256i)sum, _mm256_set1_epi8(1), _mm256_loadu_si256((const __m256i *)a));
}

#include "backend/cpu/kernels/common_int8_words.h"
#include "backend/cpu/kernels/tables.h"

const int8_kernels int8_kernels_avxvnni = INT8_TABLE("int8_6x16_avxvnni", CPU_AVXVNNI, &cpu_kernels_f32_avx2);
