/* tables: see kernels.h. */
#include "backend/cpu/kernels/tables.h"

const cpu_kernels *const cpu_kernel_tables[] = {
#if defined(__x86_64__)
    &cpu_kernels_f32_amx, &cpu_kernels_f32_avx512, &cpu_kernels_f32_avx2, &cpu_kernels_bf16_amx, &cpu_kernels_bf16_avx512bf16,
    &cpu_kernels_bf16_avx512, &cpu_kernels_bf16_avx2,
#elif defined(__aarch64__)
    &cpu_kernels_f32_neon, &cpu_kernels_bf16_neonbf16, &cpu_kernels_bf16_neon,
#endif
    &cpu_kernels_f32_portable, &cpu_kernels_bf16_portable,
};
const size_t cpu_kernel_table_count = sizeof cpu_kernel_tables / sizeof *cpu_kernel_tables;
