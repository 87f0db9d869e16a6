/* attend.cuh for one type. */
#include "backend/cuda/attend.cuh"

cudaError_t attend_launch_bf16(const attend_args *args, const launch *how) { return launch_head<NUMERIC_BF16>(*args, how); }
