/* gemm_split.cuh for one type. */
#include "backend/cuda/gemm_split.cuh"

cudaError_t gemm_split_launch_f32(const gemm_args *args, const launch *how) { return launch_split<NUMERIC_F32>(*args, how); }
