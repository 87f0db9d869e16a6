/* Models made of random numbers, for tests that need no file: any widths, depths, heads, head kind and
 * missing parts. */
#ifndef TESTS_MODEL_SUPPORT_H
#define TESTS_MODEL_SUPPORT_H

#include "model/model.h"

/* Zero is the default of every field: a tiny model of the published structure with an MLP head. */
typedef struct random_model {
    int width[STAGES];     /* 8, 16, 40, 64 */
    int depth[STAGES];     /* 2, 1, 2, 1 */
    int heads[STAGES];     /* 1, 2, 5, 8 */
    int reduction[STAGES]; /* 8, 4, 2, 1 */
    int ratio;             /* hidden width of the Mix-FFN over the stage's; 4 */
    int decoder_width;     /* 32 */
    int level_width;       /* of each level before the fusion; decoder_width */
    int classes;           /* 7 */
    model_head_kind head;  /* HEAD_NONE is the default's HEAD_MLP; say `backbone` for none */
    bool backbone;
    bool no_biases; /* of linear maps and convolutions, as far as models may lack them */
    bool no_affine; /* gamma and beta of all norms absent */
    bool no_reduce_norm;
    bool no_batch_norm;
    bool fuse_bias;
    bool fuse_first_to_last; /* concat c1..c4; else c4..c1 */
    double scale;            /* of the scores, over 1 / sqrt(head width); 1 */
    bool badly_scaled;       /* channels differ by orders of magnitude, as trained ones do */
    uint64_t seed;
} random_model;

/* NULL where memory is short.  Close with random_model_close, not segrt_model_close. */
segrt_model *random_model_open(const random_model *wanted);
void random_model_close(segrt_model *model);

/* Deterministic numbers: uniform in [0, 1), and normal. */
double random_uniform(uint64_t *state);
double random_normal(uint64_t *state);

/* [count] normal numbers. */
void random_fill(uint64_t *state, float *to, size_t count);

#endif
