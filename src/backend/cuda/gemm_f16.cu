/* gemm.cuh for one type. */
#include "backend/cuda/gemm.cuh"

cudaError_t gemm_launch_f16(const gemm_args *args, const launch *how) { return launch_any<NUMERIC_F16>(*args, how); }
