/* attend.cuh and attend_wide.cuh for one type. */
#include "backend/cuda/attend.cuh"
#include "backend/cuda/attend_wide.cuh"

cudaError_t attend_launch_bf16(const attend_args *args, const launch *how) { return args->wide ? launch_wide<NUMERIC_BF16>(*args, how) : launch_head<NUMERIC_BF16>(*args, how); }
