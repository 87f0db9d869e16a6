/* int8: the list of tables; see int8.h. */
#include "backend/cpu/kernels/int8.h"

const int8_kernels *const int8_kernel_tables[] = {
#if defined(__x86_64__)
    &int8_kernels_amx, &int8_kernels_avx512bf16, &int8_kernels_avx512vnni, &int8_kernels_avx512, &int8_kernels_avxvnni, &int8_kernels_avx2,
#elif defined(__aarch64__)
    &int8_kernels_neonbf16, &int8_kernels_neondot, &int8_kernels_neon,
#endif
    &int8_kernels_portable,
};
const size_t int8_kernel_table_count = sizeof int8_kernel_tables / sizeof *int8_kernel_tables;
