/* copy: rows of pictures from one layout to another, within device memory. */
#ifndef SEGRT_CUDA_COPY_H
#define SEGRT_CUDA_COPY_H

#include <cuda_runtime_api.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* All but images and h in bytes. */
typedef struct copy_args {
    const void *from;
    size_t from_row, from_picture; /* from a row to the next, from a picture to the next */
    void *to;
    size_t to_row, to_picture;
    size_t row; /* of a row that are copied */
    int images, h;
} copy_args;

cudaError_t copy_launch(const copy_args *args, cudaStream_t stream);

#ifdef __cplusplus
}
#endif
#endif
