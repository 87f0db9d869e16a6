/* plan: the network for one shape: the list of kernels in order, with every address filled in, and the graph
 * captured from it.  Plans of a session share one workspace. */
#ifndef SEGRT_CUDA_PLAN_H
#define SEGRT_CUDA_PLAN_H

#include "backend/backend.h"
#include "backend/cuda/device.h"
#include "backend/cuda/kernels.h"
#include "backend/cuda/packed.h"

typedef enum step_kind {
    STEP_GATHER,
    STEP_GEMM,
    STEP_ATTEND,
    STEP_DEPTHWISE,
    STEP_FFN,
    STEP_MERGE,
    STEP_PIXELS,
    STEP_LABEL,
    STEP_PLANES
} step_kind;

/* What a step leaves in device memory, for observers. */
typedef struct seen {
    operation op;
    const void *at; /* [rows][ld], NULL: nothing */
    numeric type;   /* NUMERIC_F32: float */
    int h, w, channels, ld;
    int group, pitch;  /* channels lie in groups of `group`, `pitch` apart */
    bool positions;    /* in the order of float_position */
    float split_scale; /* not 0: as split.cuh says, times this */
} seen;

typedef struct step {
    step_kind kind;
    operation first;
    int count; /* operations covered; 0: none of its own */
    const char *name;
    bool aside; /* nothing reads what it makes until the first of the head's other steps: it may run beside the stages */
    uint64_t macs;
    seen leaves[2];
    union {
        gather_args gather;
        gemm_args gemm;
        attend_args attend;
        depthwise_args depthwise;
        ffn_args ffn;
        merge_args merge;
        pixels_args pixels;
        label_args label;
        planes_args planes;
    } args;
} step;

/* What makes one plan differ from another. */
typedef struct plan_key {
    int n, h, w;
    bool pixels; /* else float input */
    bool logits, labels, confidence;
    int label_h, label_w, label_bytes;
    bool via_input;
} plan_key;

typedef struct plan {
    plan_key key;
    network_shape shape;
    step *steps;
    int count, room;
    size_t bytes; /* of the workspace */
    void *tables; /* device: border cases of the patch convolutions */
    void *input;  /* in the workspace: pixels [n][h][w][3] or float [n][3][h][w] */
    void *labels, *confidence;
    float *planes;
    cudaGraphExec_t graph;
    uint64_t used; /* for dropping the one that was not used for longest */
} plan;

/* Everything a plan is made for. */
typedef struct plan_maker {
    const network *net;
    const packed *weights;
    int processors;
    bool clusters; /* of blocks: compute capability 9.0 on */
    bool wide;     /* products of four warps: 9.0 itself */
    size_t shared; /* bytes of shared memory that a block may have */
    bool fused;
    unsigned *counters; /* [PLAN_COUNTERS], zero */
} plan_maker;

enum { PLAN_COUNTERS = 65535 };

/* Lays the plan out.  Where `workspace` is NULL only `bytes` is set.  Call plan_tables before running. */
segrt_status plan_lay_out(plan *p, const plan_maker *maker, const plan_key *key, void *workspace, segrt_error *error);
void plan_close(plan *p);

cudaError_t step_launch(const step *s, numeric type, const launch *how);

#endif
