/* convert: see convert.cu. */
#ifndef SEGRT_CUDA_CONVERT_H
#define SEGRT_CUDA_CONVERT_H

#include "backend/cuda/kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* from [count] -> to [count] of the storage type; both in device memory. */
cudaError_t convert_launch(const float *from, void *to, size_t count, numeric type, cudaStream_t stream);
/* To split operands (split.cuh), columns in the order of split_place unless `ordered`; count: a multiple of 16. */
cudaError_t convert_split_launch(const float *from, void *to, size_t count, bool ordered, cudaStream_t stream);

#ifdef __cplusplus
}
#endif
#endif
