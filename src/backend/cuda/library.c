/* library: what libsegrt-cuda.so exports; see cuda_abi.h. */
#include "backend/cuda_abi.h"

#include <string.h>

#include "backend/cuda/session.h"

__attribute__((visibility("default"))) cuda_backend_fn segrt_cuda_backend;

const backend *segrt_cuda_backend(const cuda_abi *abi, const segrt_allocator *allocator)
{
    const cuda_abi mine = CUDA_ABI;
    if (memcmp(abi, &mine, sizeof mine) != 0)
        return NULL;
    segrt_set_allocator(allocator);
    return &cuda_backend_table;
}
