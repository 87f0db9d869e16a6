/* attend.cuh for one type. */
#include "backend/cuda/attend.cuh"

cudaError_t attend_launch_f16(const attend_args *args, const launch *how) { return launch_head<NUMERIC_F16>(*args, how); }
