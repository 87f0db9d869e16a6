/* walk: the SegFormer's grammar over canonical nodes.  Part of the recogniser; each step follows the only
 * reader of a value, or says what was expected there.
 *
 *     network   = normalisation? stage stage stage stage head tail
 *     stage     = patch-conv norm block* norm
 *     block     = x + project(attention(norm x));  x + fc2(gelu(depthwise(fc1(norm x))))
 *     attention = softmax(scale query(y) key(z)^T) value(z),  z = y or norm(reduce y)
 *     head      = levels, resized to stage 1, joined, fused, ReLU, classifier; or the levels' collapsed sum
 *     tail      = nothing, resize, softmax, argmax, sliding windows
 */
#ifndef SEGRT_MODEL_RECOGNISE_WALK_H
#define SEGRT_MODEL_RECOGNISE_WALK_H

#include "model/model.h"
#include "model/recognise/canon.h"

typedef struct walk {
    const canon *c;
    segrt_error *error;
    arena *memory;      /* of the blocks */
    int *first, *users; /* who reads node i: users[first[i]] .. users[first[i + 1] - 1]; live nodes only */
    bool *is_output;
    char place[96]; /* how far recognition came: "stage 2, block 0, after fc1" */
} walk;

/* What one walk found. */
typedef struct found {
    segrt_model *model;              /* stages, head and counts are filled */
    int start, image, logits;        /* canonical nodes: the input or its window; normalised; the classifier's */
    const canon_node *normalisation; /* AFFINE, or NULL */
    int feature[STAGES];             /* what the head reads */
} found;

segrt_status walk_open(walk *w, const canon *c, arena *memory, segrt_error *error);

/* One network, from the input or a window of it. */
segrt_status walk_network(walk *w, int start, found *out);
segrt_status walk_block(walk *w, model_stage *stage, model_block *block, int *x);
segrt_status walk_head(walk *w, found *f);

/* What stands behind the classifiers of `count` equal networks. */
typedef struct tail {
    bool labels, full_size, align_corners, probabilities;
    int window[2];         /* rows, columns; 0: none */
    int least[2], most[2]; /* steps of rows and columns that mmsegmentation's rule lays these windows by */
} tail;
segrt_status walk_tail(walk *w, const found *networks, int count, tail *out);

/* ------------------------------------------------------------------------------------- helpers */

static inline const canon_node *walk_at(const walk *w, int node)
{
    return canon_at(w->c, node);
}
static inline int walk_user_count(const walk *w, int node)
{
    return w->first[node + 1] - w->first[node];
}
static inline int walk_user(const walk *w, int node, int i)
{
    return w->users[w->first[node] + i];
}

/* Says where recognition is. */
void walk_place(walk *w, const char *format, ...) ERROR_FORMAT(2, 3);

/* NOT_SEGFORMER: `wrong` (a canonical node, or -1: nothing follows) stands where `expected` should. */
segrt_status walk_mismatch(walk *w, int wrong, const char *expected);

/* The only reader of `node`, which must be of this kind; -1 with the error recorded. */
int walk_only(walk *w, int node, canon_op op, const char *expected);

/* An Add, or what would be one if what it reads did fit: whoever walks on finds that. */
bool walk_is_add(const walk *w, int node);

/* A reader of this kind among several, or -1 (no error). */
int walk_find(const walk *w, int node, canon_op op);

/* Through numbers alone (y = mul x): the node behind them that is something else; *scale is multiplied. */
int walk_through_scale(const walk *w, int node, double *scale);

model_linear walk_linear(const canon_node *n);
model_conv walk_conv(const canon_node *n);
model_norm walk_norm(const canon_node *n);

#endif
