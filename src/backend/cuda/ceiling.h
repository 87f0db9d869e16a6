/* ceiling: the launcher of the kernel that does nothing but multiply, seen from C.  CUDA backend. */
#ifndef SEGRT_CUDA_CEILING_H
#define SEGRT_CUDA_CEILING_H

#include "backend/cuda/kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* `blocks` blocks, each `rounds` rounds of *macs multiply-accumulates.  `wide`: by wgmma.  out: a float for each thread, 128 a block. */
cudaError_t ceiling_launch(numeric type, bool wide, int blocks, int rounds, float *out, uint64_t *macs, const launch *how);

#ifdef __cplusplus
}
#endif
#endif
