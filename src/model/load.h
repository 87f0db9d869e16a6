/* load: finds the SegFormer in a checkpoint's tensors.  Model layer. */
#ifndef SEGRT_MODEL_LOAD_H
#define SEGRT_MODEL_LOAD_H

#include "formats/checkpoint.h"
#include "model/config.h"
#include "model/model.h"

/* Fills stages, head, family, counts and sources from `file`, whose tensors must live as long as the model; widths, depths and
 * reductions come from the shapes, heads from the config, else from `heads`, else they are 1, 2, 5, 8.  A checkpoint without any
 * tensor of a head gives HEAD_NONE.  Errors: NOT_SEGFORMER, naming the first tensor that is missing, misshapen or one too many. */
segrt_status model_load(segrt_model *model, const checkpoint *file, const model_config *config, const int32_t heads[4], segrt_error *error);

/* Gives a backbone NVlabs' head of the published width with the same pseudo-random weights in every run. */
segrt_status model_random_head(segrt_model *model, int classes, segrt_error *error);

#endif
