/* network: the folded SegFormer that backends run, and the shapes of its tensors.
 *
 * The exact algebra (docs/numerics.md) has been applied; what is left is a fixed list of operations.
 * All of it is exact in exact arithmetic: folds are done in double and rounded once.
 *
 *  - Pixels enter on 0..255 (R, G, B); 1/deviation is in the first weights, the mean in its bias.
 *  - No norm has an affine: gamma went into the readers, beta into their biases.  The residual stream
 *    has zero mean over channels, so every norm is x * rstd, rstd = 1 / sqrt(mean(x^2) + eps).
 *  - Key and value biases are gone; the softmax scale and log2(e) are in the query side: weights are
 *    2^score.
 *  - One head: the query product went into the keys, the output projection into the values.
 *  - The head is one matrix a stage (HEAD_CONV: two), run at the stage's own size.
 *  - Stage outputs are stored minus `offset`; whoever reads them has taken affine and offset in.
 *
 * Activations are [n][h*w][channels].  Weights of linear maps are [out][in].  What a model may lack
 * (biases, affines) is here as zeros or ones; absent are only the weights that are said to be. */
#ifndef SEGRT_NETWORK_H
#define SEGRT_NETWORK_H

#include "base/error.h"
#include "base/memory.h"
#include "model/model.h"

/* Numbers of the folded network: exactly one pointer is set (both NULL: absent).  Fast backends take
 * float32 networks only; float64 ones are for the reference and for tests of the folds. */
typedef struct weights {
    const float *f32;
    const double *f64;
    size_t count;
} weights;

static inline double weight_at(weights w, size_t i)
{
    return w.f32 ? (double)w.f32[i] : w.f64[i];
}

/* Convolution into a stage: y = RMS(conv(x)) * gamma + beta, minus its mean over channels.
 * A zero-padded tap outside the picture contributes neither weight * x nor its tap_bias: the bias of an
 * output pixel is `bias` + the sum of tap_bias over the taps that lie inside. */
typedef struct network_patch {
    int in, out, kernel, stride, pad;
    weights weight;   /* [out][kernel][kernel][in], sums to zero over out */
    weights tap_bias; /* [kernel * kernel][out]: the constant part of the input (affine and offset) through the tap */
    weights bias;     /* [out] */
    double eps;
    weights gamma, beta; /* [out] */
} network_patch;

typedef struct network_block {
    double eps1; /* of the norm before attention: rstd1 per token */
    /* keys and values: y = x * rstd1, where the stage's reduction is 1; else */
    weights reduce;      /* [c][r][r][c] applied to x * rstd1, k = s = r, no padding; then y = . * rstd(reduce_eps) */
    weights reduce_bias; /* [c] */
    double reduce_eps;
    bool reduce_plain; /* no norm after the reduction */
    weights key;       /* K = key y: [c][c] */
    weights value;     /* V = value y: [c][c]; one head: the output projection is inside */
    /* several heads: q = rstd1 * (query x) + query_bias; score = q . K; x += project (softmax V) + out_bias
     * one head: score_ij = rstd1_i * (x_i . K_j) + key_bias . y_j;       x += softmax V + out_bias */
    weights query, query_bias; /* [c][c], [c]; absent with one head */
    weights key_bias;          /* [c]; one head only */
    weights project;           /* [c][c]; absent with one head */
    weights out_bias;          /* [c] */
    double eps2;
    int hidden;
    weights fc1, fc1_bias;  /* z = rstd2 * (fc1 x) + fc1_bias: [hidden][c], [hidden] */
    weights depthwise;      /* [9][hidden]: tap ky * 3 + kx; zero padding */
    weights depthwise_bias; /* [hidden] */
    weights fc2, fc2_bias;  /* x += fc2 gelu(.) + fc2_bias: [c][hidden], [c] */
} network_block;

typedef struct network_stage {
    network_patch patch;
    int width, heads, reduction, depth;
    network_block *blocks;
    double eps;     /* f = x * rstd - offset */
    weights offset; /* [width] */
} network_stage;

/* sum over levels of up(level_i f_i) + bias -> ReLU -> classifier.
 * HEAD_CONV: level_i (relu(inner_i f_i + inner_bias_i)) in place of level_i f_i. */
typedef struct network_head {
    model_head_kind kind;
    int width, inner_width;                    /* inner_width 0 for HEAD_MLP */
    weights inner[STAGES], inner_bias[STAGES]; /* [inner_width][stage width], [inner_width] */
    weights level[STAGES];                     /* [width][stage width or inner_width] */
    weights bias;                              /* [width] */
    weights classifier, classifier_bias;       /* [classes][width], [classes] */
} network_head;

typedef struct network {
    arena memory; /* owns the weights, unless `borrowed` (an engine file's map) */
    network_stage stages[STAGES];
    network_head head;
    int classes;                  /* 0: backbone only; no level, merge, classify */
    double mean[3], deviation[3]; /* a normalised input t becomes pixels t * deviation + mean */
} network;

typedef enum network_width { NETWORK_F32, NETWORK_F64 } network_width;

/* Folds a model.  Offsets are zero.  Close with network_close. */
segrt_status network_fold(network **out, const segrt_model *model, network_width width, segrt_error *error);
void network_close(network *net);

/* Sets the stages' offsets (centring: docs/numerics.md) to `mean` [STAGES][width of the stage], exactly: the next
 * patch embedding and the head take them in. */
segrt_status network_set_offsets(network *net, const double *const mean[STAGES], segrt_error *error);

/* ------------------------------------------------------------------------------------- shapes */

typedef struct stage_shape {
    int h, w;         /* tokens */
    int key_h, key_w; /* reduced */
} stage_shape;

typedef struct network_shape {
    int n, h, w;
    stage_shape stage[STAGES];
} network_shape;

/* Errors: SHAPE, with the smallest side, where a reduction would leave no key; or where counts overflow. */
segrt_status network_shape_of(network_shape *out, const network *net, int n, int h, int w, segrt_error *error);

/* --------------------------------------------------------------------------------- operations */

/* The unit of reference, tolerance, MACs, profile and bisecting, in the order of execution. */
typedef enum operation_kind {
    OP_PATCH,   /* conv, norm, centring: x of the stage */
    OP_REDUCE,  /* y */
    OP_KEYS,    /* K and V */
    OP_QUERY,   /* q (several heads) */
    OP_ATTEND,  /* several heads: softmax(scores) V; one head: x += softmax(scores) V + out_bias */
    OP_PROJECT, /* x += (several heads) */
    OP_FC1,
    OP_DEPTHWISE,  /* and GELU */
    OP_FC2,        /* x += */
    OP_STAGE_NORM, /* f */
    OP_LEVEL,      /* level_i f_i (with inner and ReLU) */
    OP_MERGE,      /* upsample, add, bias, ReLU */
    OP_CLASSIFY,   /* logits */
    OP_LABEL,      /* upsample, argmax, confidence */
    OPERATION_KINDS
} operation_kind;

typedef struct operation {
    operation_kind kind;
    int8_t stage;  /* -1 where there is none */
    int16_t block; /* -1 where there is none */
} operation;

const char *operation_name(operation_kind kind); /* "patch", "reduce", ... */

/* The network's operations in order: from the arena, *count of them.  Levels come after the last stage,
 * from the fourth to the first, then merge, classify and label; none of these in a backbone. */
segrt_status network_operations(const network *net, arena *memory, operation **out, size_t *count, segrt_error *error);

/* Multiply-accumulates of an operation at a shape. */
uint64_t operation_macs(const network *net, const network_shape *shape, operation op);

#endif
