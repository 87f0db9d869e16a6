/* gemm.cuh for one type. */
#include "backend/cuda/gemm.cuh"

cudaError_t gemm_launch_bf16(const gemm_args *args, const launch *how) { return launch_any<NUMERIC_BF16>(*args, how); }
