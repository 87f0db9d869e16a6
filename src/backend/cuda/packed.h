/* packed: the folded network's weights in device memory, in the layouts that the kernels read: padded, in
 * the storage type, matrices that are multiplied together stacked. */
#ifndef SEGRT_CUDA_PACKED_H
#define SEGRT_CUDA_PACKED_H

#include "backend/cuda/kernels.h"
#include "network/network.h"

/* T [n][ld], columns [0, k) used.  Split (packed.split): what it is multiplied with times in_scale, results times out_scale. */
typedef struct matrix {
    const void *at;
    int n, k, ld;
    float in_scale, out_scale;
} matrix;

typedef struct packed_block {
    matrix reduce, keys_values, query, project, fc1, fc2;
    const float *reduce_bias, *query_bias, *out_bias, *fc1_bias, *fc2_bias, *depthwise, *depthwise_bias;
    int hidden;                                /* padded */
    float query_scale, key_scale, value_scale; /* split */
} packed_block;

typedef struct packed_stage {
    int width;       /* padded */
    int head, inner; /* padded width of a head as the kernel has it; width of keys: heads * head, or the stage's (one head) */
    matrix patch;
    const float *gamma, *beta, *offset;
    packed_block *blocks;
} packed_stage;

typedef struct packed {
    arena memory;
    numeric type;
    bool split; /* matrices as split.cuh says */
    packed_stage stages[STAGES];
    matrix inner[STAGES], level[STAGES], classifier;
    float level_scale; /* split */
    const float *inner_bias[STAGES], *bias, *classifier_bias;
    int head_width, inner_width, class_ld; /* padded */
    void *device;
    size_t bytes;
} packed;

static inline int padded(int width, int to)
{
    return (width + to - 1) / to * to;
}
static inline size_t type_bytes(numeric type)
{
    return type == NUMERIC_F16 || type == NUMERIC_BF16 ? 2 : 4;
}

/* `fused`: queries are made inside the attention kernel.  `halves`: floats may be split for the units for halves.  Errors: UNSUPPORTED
 * (widths; numbers outside fp16's range), NO_MEMORY, DEVICE. */
segrt_status packed_open(packed *out, const network *net, numeric type, bool fused, bool halves, cudaStream_t stream, segrt_error *error);
void packed_close(packed *p);

#endif
