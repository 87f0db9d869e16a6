/* canon: the recogniser's vocabulary: what an ONNX graph means, free of layout and of ways of writing.
 *
 * Nodes are made in topological order and never change; the same node asked for twice is one node.  A rule
 * (rules.c) sees every node as it is made and may give another in its place: so norms, GELUs, biases and
 * scales that were written out are whole again by the time that somebody reads them. */
#ifndef SEGRT_MODEL_RECOGNISE_CANON_H
#define SEGRT_MODEL_RECOGNISE_CANON_H

#include "base/error.h"
#include "base/memory.h"
#include "formats/onnx/graph.h"
#include "model/recognise/origins.h"
#include "model/recognise/view.h"

typedef enum canon_op {
    /* the network's */
    CANON_INPUT,
    CANON_LINEAR, /* y = weight x + bias over channels: MatMul, Gemm, 1x1 Conv */
    CANON_CONV,
    CANON_NORM,    /* (x - mean) / sqrt(variance + eps) * gamma + beta over channels */
    CANON_GELU,    /* erf form */
    CANON_SCORES,  /* q k^T, head by head */
    CANON_SOFTMAX, /* over keys */
    CANON_CONTEXT, /* probabilities v */
    CANON_ADD,
    CANON_RESIZE, /* bilinear */
    CANON_CONCAT, /* over channels */
    CANON_BATCH_NORM,
    CANON_RELU,
    CANON_AFFINE, /* y = mul x + add, numbers or a number a channel */
    /* the tail's */
    CANON_CLASS_SOFTMAX, /* over channels */
    CANON_ARGMAX,        /* over channels */
    CANON_CROP,
    CANON_PAD,   /* of rows and columns */
    CANON_COUNT, /* x / a constant a pixel */
    /* parts of what is written out, gone when a rule put them together */
    CANON_MEAN,
    CANON_CENTRE /* x - mean */,
    CANON_SUB,
    CANON_MUL,
    CANON_DIV,
    CANON_SQUARE,
    CANON_SQRT,
    CANON_RSQRT,
    CANON_RMS,
    CANON_ERF,
    CANON_OTHER, /* anything else: `why` says what is wrong with it */
} canon_op;

enum { CANON_INPUTS = 8 };

typedef struct canon_node {
    canon_op op;
    int input_count, inputs[CANON_INPUTS]; /* canonical nodes */
    extents extent;                        /* of the result */
    int origin;                            /* the graph's node it was made of, for messages; -1: the input */
    const char *why;                       /* CANON_OTHER: what does not fit; else NULL */
    /* LINEAR, CONV: weight [out][in / groups][kernel][kernel], bias [out] or NULL.  NORM, RMS: weight and bias are gamma and
     * beta [out] or NULL.  BATCH_NORM: and mean, variance. */
    const float *weight, *bias, *mean, *variance;
    int out, in, kernel, stride, pad, groups;
    double eps;
    /* AFFINE */
    int count; /* of mul and add: 1, or the channels */
    const double *mul, *add;
    int64_t at[2];          /* CROP: row and column of the first; PAD: rows above, columns left; SCORES: width of a head, heads */
    bool align_corners;     /* RESIZE */
    const onnx_tensor *map; /* COUNT: what is divided by */
} canon_node;

typedef struct canon_value {
    int node; /* -1: a constant, or nothing known */
    view view;
} canon_value;

typedef struct canon {
    arena *scratch; /* everything but weights */
    arena *keep;    /* weights: the model's memory */
    const onnx_graph *graph;
    canon_node *nodes;
    int count, room;
    int *table, table_room;      /* hash of nodes: index + 1 */
    struct weight_cache **cache; /* buckets */
    origins *origins;
    canon_value *values;           /* of the graph's values */
    const onnx_tensor **constants; /* of the graph's values; NULL: none */
    int origin;                    /* the graph's node at hand */
    uint64_t budget;               /* bytes of numbers that may still be made: a hostile graph cuts the same weights again and again */
    bool no_memory, over_budget;
} canon;

segrt_status canon_open(canon *c, const onnx_graph *graph, arena *scratch, arena *keep, segrt_error *error);
void canon_close(canon *c);

/* The node, or the equal one that stands already, or what a rule makes of it; -1 (and no_memory) where memory is short. */
int canon_make(canon *c, const canon_node *node);

/* Without rules: for what a rule itself makes. */
int canon_intern(canon *c, const canon_node *node);

static inline const canon_node *canon_at(const canon *c, int node)
{
    return &c->nodes[node];
}
static inline const canon_node *canon_input(const canon *c, const canon_node *n, int slot)
{
    return &c->nodes[n->inputs[slot]];
}

/* A node with one input and its extents. */
canon_node canon_unary(const canon *c, canon_op op, int input);

/* y = mul x + add with plain numbers. */
int canon_scale(canon *c, int input, double mul, double add);

/* The reason of a node that would fit, were it not for one before it. */
extern const char canon_behind[];

/* Something that does not fit; its inputs are the graph node's (those that are known). */
int canon_other(canon *c, const onnx_node *node, const char *why);

/* The constant that a value is, or NULL (also for value -1). */
static inline const onnx_tensor *canon_constant(const canon *c, int32_t value)
{
    return value < 0 ? NULL : c->constants[value];
}

/* ------------------------------------------------------------------------------------- weights */

segrt_status canon_open_cache(canon *c, segrt_error *error);

/* Numbers of a constant as float32 in the model's memory, once however often it is asked for; NULL: no memory. */
const float *canon_floats(canon *c, const onnx_tensor *tensor);
/* The same of a matrix [rows][columns], turned over. */
const float *canon_transposed(canon *c, const onnx_tensor *tensor, int64_t rows, int64_t columns);
/* Takes from the budget; false (over_budget) where it is used up: whoever asked goes on as without memory. */
bool canon_charge(canon *c, size_t count, size_t size);
float *canon_new_floats(canon *c, size_t count);   /* in the model's memory */
double *canon_new_doubles(canon *c, size_t count); /* in scratch */

/* Rows (index / inner % size in [begin, begin + count)) of a linear map's outputs, as a map of its own. */
int canon_select(canon *c, int linear, int64_t inner, int64_t size, int64_t begin, int64_t count);

/* ------------------------------------------------------------------------------------- lowering */

/* Makes canonical nodes of all of the graph's. */
segrt_status canon_lower(canon *c, segrt_error *error);

/* A rule: the node to stand in place of `node`, or -1 where it does not apply. */
int canon_apply_rules(canon *c, const canon_node *node);

#endif
