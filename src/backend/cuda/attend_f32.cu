/* attend.cuh and attend_split.cuh for one type. */
#include "backend/cuda/attend.cuh"
#include "backend/cuda/attend_split.cuh"

cudaError_t attend_launch_f32(const attend_args *args, const launch *how)
{
    return args->split ? launch_attend_split<NUMERIC_F32>(*args, how) : launch_head<NUMERIC_F32>(*args, how);
}
