/* emitter: what the parts of the ONNX emitter share.  Private to the export layer; emit.h is the entrance.
 *
 * A tensor is known by its value's name.  Tokens are [n][h*w][c], images [n][c][h][w]. */
#ifndef SEGRT_EXPORT_EMITTER_H
#define SEGRT_EXPORT_EMITTER_H

#include "export/builder.h"
#include "export/emit.h"

typedef struct emitter {
    builder b;
    const segrt_model *model;
    const network *centred; /* or NULL */
    onnx_export_options options;
    network_shape shape;    /* of a static size */
    bool any_size;          /* height and width are dynamic */
    arena folded;           /* weights that are not the model's own */
    const char *image_shape[STAGES]; /* int64 [4]: {n, width, h, w} of the stage */
    const char *feature[STAGES];     /* the stage's normalised image */
    const char *head_feature[STAGES];/* what the head reads: the same, or the centred one */
    const char *input;
    segrt_error *error;
} emitter;

/* One operation each; `name` is the result's.  Linear maps work on tokens, convolutions on images. */
const char *emit_linear(emitter *e, const char *name, const char *x, const model_linear *linear);
const char *emit_conv(emitter *e, const char *name, const char *x, const model_conv *conv, int groups);
const char *emit_pointwise(emitter *e, const char *name, const char *x, const model_linear *linear); /* a linear map as a 1x1 convolution */
const char *emit_norm(emitter *e, const char *name, const char *x, const model_norm *norm);
const char *emit_gelu(emitter *e, const char *name, const char *x);
const char *emit_transpose(emitter *e, const char *name, const char *x, int rank, const int64_t *order);
const char *emit_tokens(emitter *e, const char *name, const char *image, int channels);
const char *emit_image(emitter *e, const char *name, const char *tokens, int stage); /* of the stage's width */
/* Bilinear, align_corners = false, to `sizes` (int64 [4]). */
const char *emit_resize(emitter *e, const char *name, const char *image, const char *sizes);
/* int64 [4]: {batch and channels of `like`, height and width of `size`}; for dynamic sizes. */
const char *emit_sizes(emitter *e, const char *name, const char *like, const char *size);

/* The parts of the graph. */
segrt_status emit_encoder(emitter *e);
segrt_status emit_head(emitter *e);

/* ------------------------------------------------------------------------------ the folded weights */

/* A block whose norms have no affine, whose keys and values have no bias and whose score scale is 1; what
 * changed lies in `memory`. */
segrt_status export_fold_block(arena *memory, const model_block *from, model_block *to, segrt_error *error);

/* A linear map with the batch norm behind it (width 0: as it is). */
segrt_status export_fold_batch_norm(arena *memory, const model_linear *from, const model_batch_norm *norm, model_linear *to, segrt_error *error);

/* HEAD_MLP: the one map of each stage to the sum before the ReLU; HEAD_CONV: from the level's ReLU to it.
 * The sum's whole bias is in level 0.  offset: taken from stage i's normalised output before its affine,
 * which is in the map then; NULL: none, the map reads the output with its affine. */
segrt_status export_fold_levels(arena *memory, const segrt_model *model, const weights *offset, model_linear inner[STAGES],
                                model_linear level[STAGES], segrt_error *error);

#endif
