/* gemm_split: products of operands that are sums of two halves, see gemm_split.cuh. */
#ifndef SEGRT_CUDA_GEMM_SPLIT_H
#define SEGRT_CUDA_GEMM_SPLIT_H

#include "backend/cuda/kernels.h"

/* Sets tile, splits, together and stages. */
void gemm_split_choose(gemm_args *args, int processors);
cudaError_t gemm_split_launch(const gemm_args *args, numeric type, const launch *how);
cudaError_t gemm_split_launch_f32(const gemm_args *args, const launch *how);
cudaError_t gemm_split_launch_tf32(const gemm_args *args, const launch *how);
const char *gemm_split_name(const gemm_args *args);

enum { SPLIT_ROUNDS = 3 }; /* of sums that blocks of a row exchange: at most a patch's */
/* Shared memory for them. */
constexpr int split_rows_bytes(int bm, int across)
{
    return across > 1 ? SPLIT_ROUNDS * across * bm * 4 : 0;
}

#endif
