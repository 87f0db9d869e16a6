/* attend.cuh for one type. */
#include "backend/cuda/attend.cuh"

cudaError_t attend_launch_f32(const attend_args *args, const launch *how) { return launch_head<NUMERIC_F32>(*args, how); }
