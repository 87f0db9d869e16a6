/* Float32 with attention by parts over emulated tiles: the logic of f32_amx on any machine.  See amx_tiles.h. */
#include "backend/cpu/kernels/vector_portable.h"

enum { K_UNIT = 1 };
#define ATTEND_AMX
#include "backend/cpu/kernels/common_table.h"

extern const cpu_kernels cpu_kernels_f32_amx_emulated;
const cpu_kernels cpu_kernels_f32_amx_emulated = COMMON_TABLE("f32_2x16_amx_emulated", CPU_PORTABLE);
