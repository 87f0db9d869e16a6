/* bulk: tensors described for the copy engine (compute capability 9.0): tiles of them come into shared memory by one
 * instruction, exchanged as tile_offset says, with zeros where a tile leaves the tensor. */
#ifndef SEGRT_CUDA_BULK_H
#define SEGRT_CUDA_BULK_H

#include <cuda.h>

#include "backend/cuda/kernels.h"

enum { BULK_RANK = 5, BULK_SIDE = 256, BULK_STEP = 8 }; /* dimensions, largest box and step that the engine takes */

/* Innermost dimension first, in elements; strides of the other dimensions in bytes, multiples of 16. */
typedef struct bulk_tensor {
    const void *at;
    int rank;
    int64_t size[BULK_RANK];
    int64_t stride[BULK_RANK];
    int box[BULK_RANK];  /* elements that are loaded */
    int step[BULK_RANK]; /* every step-th element; 0: 1 */
    bool plain;          /* lies in shared memory as it comes, not exchanged as by tile_offset (for which box[0] is 64 or 128 bytes) */
} bulk_tensor;

cudaError_t bulk_describe(CUtensorMap *map, numeric type, const bulk_tensor *tensor);

#endif
