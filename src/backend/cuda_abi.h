/* cuda_abi: the one door between libsegrt and libsegrt-cuda.so.  Both come from one build; the numbers below catch a
 * library of another version before a structure is misread. */
#ifndef SEGRT_BACKEND_CUDA_ABI_H
#define SEGRT_BACKEND_CUDA_ABI_H

#include "backend/backend.h"

typedef struct cuda_abi {
    uint32_t version, network_bytes, block_bytes, run_bytes, options_bytes, backend_bytes;
} cuda_abi;

/* Raise the version when a meaning changes and no size does. */
#define CUDA_ABI ((cuda_abi){1, sizeof(network), sizeof(network_block), sizeof(backend_run), sizeof(backend_options), sizeof(backend)})

/* The backend, or NULL where `abi` is not this library's.  All memory comes from `allocator` from then on. */
typedef const backend *cuda_backend_fn(const cuda_abi *abi, const segrt_allocator *allocator);
#define CUDA_BACKEND_SYMBOL "segrt_cuda_backend"

#endif
