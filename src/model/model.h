/* model: the canonical SegFormer that every loader fills: config, float32 weights, class names,
 * preprocessing.  Immutable once open.
 *
 * Source: Xie et al., SegFormer, NeurIPS 2021.  Weights are in PyTorch's layouts (linear [out][in],
 * convolution [out][in][k][k]), whatever the file had. */
#ifndef SEGRT_MODEL_H
#define SEGRT_MODEL_H

#include "base/error.h"
#include "base/file_map.h"
#include "base/memory.h"

enum { STAGES = 4 };

/* y = x W^T + b.  weight [out][in]; bias [out], or NULL where the model has none. */
typedef struct model_linear {
    const float *weight, *bias;
    int out, in;
} model_linear;

/* weight [out][in][kernel][kernel] (depthwise: [out][1][kernel][kernel], in == out); bias [out] or NULL. */
typedef struct model_conv {
    const float *weight, *bias;
    int out, in, kernel, stride, pad;
} model_conv;

/* Over `width` channels of a token. */
typedef struct model_norm {
    const float *gamma, *beta; /* [width]; NULL: ones, zeros */
    double eps;
    int width;
} model_norm;

/* Batch normalisation with stored statistics; width 0: none (folded into the layer before by the exporter). */
typedef struct model_batch_norm {
    const float *gamma, *beta, *mean, *variance; /* [width] */
    double eps;
    int width;
} model_batch_norm;

typedef struct model_block {
    model_norm norm1;
    model_linear query, key, value;
    model_conv reduce;      /* kernel = stride = the stage's reduction, no padding; out 0 where the reduction is 1 */
    model_norm reduce_norm; /* width 0 where there is none */
    double scale;           /* of the scores: 1 / sqrt(head width) in all published models */
    model_linear project;
    model_norm norm2;
    model_linear fc1;
    model_conv depthwise; /* 3x3, pad 1 */
    model_linear fc2;
} model_block;

typedef struct model_stage {
    model_conv patch;
    model_norm patch_norm;
    model_block *blocks; /* [depth] */
    int depth, width, heads, reduction;
    model_norm norm;
} model_stage;

typedef enum model_head_kind {
    HEAD_NONE, /* a backbone */
    HEAD_MLP,  /* NVlabs, Hugging Face, smp, PaddleSeg: linear levels, upsample, concat, fuse, BN, ReLU, classifier */
    HEAD_CONV, /* mmsegmentation: each level has BN and ReLU before the upsampling */
} model_head_kind;

typedef struct model_head {
    model_head_kind kind;
    model_linear level[STAGES];          /* stage i -> decoder width; HEAD_CONV: without bias */
    model_batch_norm level_norm[STAGES]; /* HEAD_CONV only */
    model_linear fuse;                   /* [decoder width][4 * level width] */
    int fuse_order[STAGES];              /* which stage the j-th quarter of fuse's inputs is: {3,2,1,0} or {0,1,2,3} */
    model_batch_norm fuse_norm;
    model_linear classifier; /* [classes][decoder width] */
} model_head;

typedef struct model_class {
    const char *name;
    uint8_t rgb[3];
} model_class;

/* Where a tensor came from, for inspect. */
typedef struct model_source {
    const char *role; /* canonical (Hugging Face hub) name, e.g. segformer.encoder.block.0.1.mlp.dense1.weight */
    const char *name; /* in the file */
    const char *type; /* "F32", "F16", "BF16" as stored */
    int rank;
    int64_t shape[4]; /* as stored */
    const char *node; /* of a graph, that reads it; NULL of a checkpoint */
    const char *how;  /* what was made of it: "transposed", "folded: Transpose"; NULL: taken as it stands */
} model_source;

/* What the graph of an ONNX file does around the network; zeros for a checkpoint. */
typedef struct model_graph {
    const char *producer; /* "pytorch 2.1.0"; NULL: not from a graph */
    const char *card; /* what our own exports say of their model (card.h); NULL: nothing */
    int opset, nodes;     /* nodes: as the file has them, functions inlined */
    int64_t input[4];     /* as declared; 0: open */
    float unit;           /* it normalises the pixels itself, which it takes on 0..unit: 1 or 255; 0: it takes them normalised */
    bool full_size;       /* out come logits at the input's size, not at a quarter */
    bool align_corners;   /* and are resized so */
    bool probabilities;   /* a softmax over the classes */
    bool labels;
    int windows;   /* sliding windows in it; 0: none */
    int stride[2]; /* the least and the most that their step may have been */
} model_graph;

struct segrt_model {
    arena memory;    /* everything below that is not mapped */
    file_map *files; /* what weights may point into */
    size_t file_count;
    const char *path;    /* as opened, "" from memory */
    const char *family;  /* "hf", "nvlabs", "mmseg", "smp", "paddle", "onnx" */
    const char *variant; /* "b0".."b5" or "custom" */
    model_stage stages[STAGES];
    model_head head;
    int decoder_width, class_count;
    bool random_head;
    model_class *classes; /* [class_count] */
    segrt_preprocessing preprocessing;
    model_source *sources;
    size_t source_count;
    model_graph graph;
    uint64_t parameters;
};

/* SHA-256, in hex, of the weights file (of an index and its shards one after the other): a pass over all of it. */
enum { MODEL_DIGEST = 65 };
void model_digest(const segrt_model *model, char hex[MODEL_DIGEST]);

/* Smallest input side that every reduction allows. */
int model_smallest_side(const segrt_model *model);

/* Sets variant and parameters from the rest and checks that every shape fits its neighbour; a loader's
 * last step.  Errors: NOT_SEGFORMER with both shapes. */
segrt_status model_finish(segrt_model *model, segrt_error *error);

#endif
