/* attend.cuh for one type. */
#include "backend/cuda/attend.cuh"

cudaError_t attend_launch_tf32(const attend_args *args, const launch *how) { return launch_head<NUMERIC_TF32>(*args, how); }
