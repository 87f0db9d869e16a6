/* gemm.cuh for one type. */
#include "backend/cuda/gemm.cuh"

cudaError_t gemm_launch_f32(const gemm_args *args, const launch *how) { return launch_any<NUMERIC_F32>(*args, how); }
