/* emit: a model as an ONNX file for other runtimes.  Export layer, beside the backends: what a backend
 * runs, this writes down.
 *
 * Two forms of the same function.  Published: the network as its authors describe it.  Folded: the exact
 * algebra (docs/export.md) that other runtimes do not find by themselves, foremost the head collapsed to
 * one product a stage at the stage's own size.  Batch normalisation is folded into its convolution in both,
 * as every exporter does, so that a file does not depend on where the weights came from. */
#ifndef SEGRT_EXPORT_EMIT_H
#define SEGRT_EXPORT_EMIT_H

#include "base/error.h"
#include "model/model.h"
#include "network/network.h"

enum { EXPORT_OLDEST_OPSET = 11, EXPORT_NEWEST_OPSET = 22, EXPORT_DEFAULT_OPSET = 17 };

typedef enum export_form { EXPORT_PUBLISHED, EXPORT_FOLDED } export_form;
typedef enum export_output { EXPORT_LOGITS, EXPORT_LABELS } export_output;

typedef struct onnx_export_options {
    export_form form;
    segrt_shape shape;         /* n 0: any batch; h and w 0: any size */
    int opset;                 /* 0: EXPORT_DEFAULT_OPSET */
    export_output output;      /* logits [n][classes][ceil(h/4)][ceil(w/4)] float32; labels [n][h][w] int64 */
    segrt_precision precision; /* SEGRT_FLOAT32 (or DEFAULT), SEGRT_FLOAT16: of weights and arithmetic; the input is float32 in both */
} onnx_export_options;

/* Writes `model` to `path` (beside it first, synced, then renamed).  The graph's input is `input`
 * [n][3][h][w], normalised as in training.  centred: a folded network whose offsets (network_set_offsets)
 * the folded form's levels are centred by, or NULL.  `options` may be NULL.  The file depends on nothing but
 * these arguments.  Errors: ARGUMENT, SHAPE (the size leaves a stage without keys), NOT_SEGFORMER (a backbone
 * without a head), UNSUPPORTED (a weight beyond float16, a file beyond 2 GiB), IO, NO_MEMORY. */
segrt_status onnx_export(const segrt_model *model, const network *centred, const onnx_export_options *options, const char *path,
                         segrt_error *error);

#endif
