/* attend: the choice of rows for attention, and the way to its kernel (attend.cuh).  CUDA backend. */
#include "backend/cuda/kernels.h"

/* More rows read K and V less often; fewer fill the device when there are few.  With wgmma 64 are as fast everywhere. */
void attend_choose(attend_args *args, numeric type, int processors, bool wide)
{
    const bool narrow = (type == NUMERIC_F16 || type == NUMERIC_BF16) && args->head < 128;
    const long others = (long)args->heads * args->images, blocks = (args->tokens + 127) / 128 * others;
    args->wide = narrow && wide;
    args->rows = narrow && !wide && 2 * blocks >= 3L * processors ? 128 : 64;
    /* Two groups of warps that share keys where both find work, that share rows where there are few of them. */
    const long units = (args->tokens + 63) / 64 * others;
    const bool many = blocks >= 3L * processors / 2, few = units <= processors && args->nkeys > 2 * 64;
    args->row_groups = many ? 2 : 1;
    args->key_groups = !many && few ? 2 : 1;
}

cudaError_t attend_launch(const attend_args *args, numeric type, const launch *how)
{
    static cudaError_t (*const launchers[NUMERICS])(const attend_args *, const launch *) = {attend_launch_f16, attend_launch_bf16, attend_launch_tf32,
                                                                                           attend_launch_f32};
    return launchers[type](args, how);
}
