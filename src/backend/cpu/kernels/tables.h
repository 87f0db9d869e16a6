/* tables: the names of all kernel tables, one for each file that defines one. */
#ifndef SEGRT_CPU_TABLES_H
#define SEGRT_CPU_TABLES_H

#include "backend/cpu/kernels/kernels.h"

extern const cpu_kernels cpu_kernels_f32_portable, cpu_kernels_bf16_portable;
extern const cpu_kernels cpu_kernels_f32_avx2, cpu_kernels_bf16_avx2;
extern const cpu_kernels cpu_kernels_f32_avx512, cpu_kernels_bf16_avx512, cpu_kernels_bf16_avx512bf16;
extern const cpu_kernels cpu_kernels_bf16_amx, cpu_kernels_f32_amx;
extern const cpu_kernels cpu_kernels_f32_neon, cpu_kernels_bf16_neon, cpu_kernels_bf16_neonbf16;

#endif
