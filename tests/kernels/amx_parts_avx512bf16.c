/* Float32 with attention by parts over emulated tiles and the vectors that f32_amx has on the machine.  See amx_tiles.h. */
#include "backend/cpu/kernels/vector_avx512.h"

enum { K_UNIT = 1 };
#define ATTEND_AMX
#include "backend/cpu/kernels/common_table.h"

extern const cpu_kernels cpu_kernels_f32_amx_vectors;
const cpu_kernels cpu_kernels_f32_amx_vectors = COMMON_TABLE("f32_12x32_amx_emulated_avx512", CPU_AVX512BF16);
