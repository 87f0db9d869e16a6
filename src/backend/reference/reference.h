/* reference: the oracle that every other backend is held against.  Plain C, double throughout, one file
 * an operation or a small group; made to be read, and never optimised beyond loops that the compiler
 * likes.
 *
 * Two ways through the network: `reference_published` is the model as it was published, operation by
 * operation as PyTorch computes it; backend_reference runs the folded network.  That they agree proves
 * the folds.  The operations of the folded network stand alone below, so that a kernel can be checked
 * on any shape.
 *
 * Activations are double, [n][h*w][channels]; `rows` counts tokens of all pictures.  A NULL pool is the
 * caller's thread; results do not depend on it. */
#ifndef SEGRT_BACKEND_REFERENCE_H
#define SEGRT_BACKEND_REFERENCE_H

#include "backend/backend.h"

/* Tokens of `n` pictures. */
typedef struct grid {
    int n, h, w;
} grid;

static inline size_t grid_rows(grid g)
{
    return (size_t)g.n * (size_t)g.h * (size_t)g.w;
}

/* The model as published.  input [n][3][h][w], normalised; logits [n][classes][h/4][w/4], rounded up, or
 * NULL; stages: each [n][h*w][width], the stage's output behind its norm, or NULL (`stages` too).
 * Errors: SHAPE, NO_MEMORY. */
segrt_status reference_published(const segrt_model *model, const float *input, int n, int h, int w, double *logits,
                                 double *const stages[STAGES], segrt_error *error);

/* What the latest run of an open backend_reference left, in double: logits [n][h/4 * w/4][classes] and a
 * stage's output [n][h * w][width] (without affine, minus its offset).  Until the next run or close. */
const double *reference_logits(const void *state);
const double *reference_stage(const void *state, int stage);

/* ------------------------------------------------------------------- operations of the folded network */

/* OP_PATCH.  in [from][p->in]: pixels 0..255, or the stage before; x [rows of the stage][p->out]. */
void reference_patch(const network_patch *p, const double *in, grid from, double *x, segrt_pool *pool);

/* OP_REDUCE.  x [at][c] -> y [n][h/r * w/r][c]; normed [at][c] is scratch. */
void reference_reduce(const network_block *b, int c, int r, const double *x, grid at, double *normed, double *y, segrt_pool *pool);

/* What keys and values are made of where nothing is reduced: y = x * rstd1. */
void reference_norm(double eps, int c, const double *x, size_t rows, double *y, segrt_pool *pool);

/* OP_KEYS.  y [rows][c] -> k, v [rows][c]; shift [rows] = key_bias . y (one head; else NULL). */
void reference_keys(const network_block *b, int c, const double *y, size_t rows, double *k, double *v, double *shift, segrt_pool *pool);

/* OP_QUERY.  x [rows][c] -> q [rows][c]. */
void reference_query(const network_block *b, int c, const double *x, size_t rows, double *q, segrt_pool *pool);

/* OP_ATTEND, several heads.  q [n][tokens][c], k and v [n][keys][c] -> a [n][tokens][c]; scores [pool_workers][keys]
 * is scratch. */
void reference_attend(int heads, int c, const double *q, const double *k, const double *v, int n, size_t tokens, size_t keys, double *a,
                      double *scores, segrt_pool *pool);

/* OP_ATTEND, one head.  x [n][tokens][c] += softmax(rstd1 x . K + shift) V + out_bias; scores as above. */
void reference_attend_one(const network_block *b, int c, double *x, const double *k, const double *v, const double *shift, int n,
                          size_t tokens, size_t keys, double *scores, segrt_pool *pool);

/* OP_PROJECT.  x [rows][c] += project a + out_bias. */
void reference_project(const network_block *b, int c, const double *a, size_t rows, double *x, segrt_pool *pool);

/* OP_FC1.  x [rows][c] -> z [rows][hidden]. */
void reference_fc1(const network_block *b, int c, const double *x, size_t rows, double *z, segrt_pool *pool);

/* OP_DEPTHWISE.  z [at][hidden] -> g [at][hidden], GELU (exact) behind it. */
void reference_depthwise(const network_block *b, const double *z, grid at, double *g, segrt_pool *pool);

/* OP_FC2.  x [rows][c] += fc2 g + fc2_bias. */
void reference_fc2(const network_block *b, int c, const double *g, size_t rows, double *x, segrt_pool *pool);

/* OP_STAGE_NORM.  x [rows][width] -> f [rows][width]. */
void reference_stage_norm(const network_stage *stage, const double *x, size_t rows, double *f, segrt_pool *pool);

/* OP_LEVEL.  f [rows][stage width] -> level [rows][head width]; inner [rows][inner width] is scratch (NULL for HEAD_MLP). */
void reference_level(const network_head *head, int stage, const double *f, size_t rows, double *inner, double *level, segrt_pool *pool);

/* OP_MERGE.  level[i] [at[i]][head width]; the sum replaces level[0]. */
void reference_merge(const network_head *head, double *const level[STAGES], const grid at[STAGES], segrt_pool *pool);

/* OP_CLASSIFY.  m [rows][head width] -> logits [rows][classes]. */
void reference_classify(const network_head *head, int classes, const double *m, size_t rows, double *logits, segrt_pool *pool);

/* OP_LABEL.  logits [at][classes]; the network's input was h x w. */
void reference_label(const double *logits, int classes, grid at, int h, int w, const label_output *out, segrt_pool *pool);

/* ------------------------------------------------------------------------------------- tolerances */

/* How far a kernel that computes in `precision` may be from the reference on the same input: the norm of
 * the difference over the norm of the reference's output (for `x +=`: of what is added).  OP_LABEL has
 * none: labels are compared by agreement. */
double reference_tolerance(operation_kind kind, segrt_precision precision);

#endif
