/* layout: a plan while it is laid out (plan.c).  One function per part of the network appends its steps; buffers come
 * from a bump allocator over the workspace that starts again with every stage. */
#ifndef SEGRT_CUDA_LAYOUT_H
#define SEGRT_CUDA_LAYOUT_H

#include "backend/cuda/plan.h"

typedef struct layout {
    plan *p;
    const plan_maker *maker;
    const network *net;
    const packed *weights;
    numeric type;
    char *workspace; /* NULL while measuring */
    size_t at, largest;
    char *tables; /* device */
    char *tables_host;
    size_t tables_at;
    bool failed; /* the list of steps could not grow */
    step lost;   /* what is written then */
    /* of the stage at hand */
    float *x;
    void *normed, *normed_next;    /* the second: where a kernel writes that still reads the first, or NULL */
    const void *stage_out[STAGES]; /* f */
    const float *logits;
    void *level[STAGES], *level_inner[STAGES]; /* of the head */
} layout;

/* Bytes of the workspace, or rows of the storage type; NULL while measuring. */
void *layout_take(layout *l, size_t bytes);
void *layout_take_rows(layout *l, size_t rows, int width);

/* Appends a step that covers `count` operations from `first` on; never NULL. */
step *layout_add(layout *l, step_kind kind, operation_kind first, int stage, int block, int count);
seen layout_leaves(operation op, const void *at, numeric type, stage_shape where, int channels, int ld);

/* out [rows][ldo] = a [rows][lda] w^T + bias */
gemm_args layout_linear(const void *a, int lda, matrix w, int rows, const float *bias, void *out, int ldo);

/* Chooses the tile and gives the sums that blocks share a place until the next step. */
void layout_finish_gemm(layout *l, step *s);

/* layout_stage.c: stage i, block b. */
void layout_patch(layout *l, int i);
void layout_attention(layout *l, int i, int b);
void layout_ffn(layout *l, int i, int b);
bool layout_ffn_whole(const layout *l, int i); /* whether one kernel makes a stage's Mix-FFN, both maps and all */

/* layout_head.c: levels 1 to 3 of the head have places of their own, because they are made beside the stages (aside). */
void layout_level_place(layout *l, int i);
void layout_level(layout *l, int i, bool aside);
void layout_head(layout *l);
void layout_ending(layout *l);

#endif
