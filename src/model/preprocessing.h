/* preprocessing: how a model's pictures are prepared: from preprocessor_config.json, else as its family does.  Model layer. */
#ifndef SEGRT_MODEL_PREPROCESSING_H
#define SEGRT_MODEL_PREPROCESSING_H

#include "base/file_map.h"
#include "model/model.h"

/* Hugging Face's preprocessor_config.json, in its old and its new form.  Errors: MALFORMED, UNSUPPORTED, NO_MEMORY. */
segrt_status model_preprocessing_read(segrt_preprocessing *out, const file_map *file, segrt_error *error);

/* What the family's published test configuration does with so many classes.  `config_text`: mmsegmentation's configuration of the
 * training run, whose sliding window is taken from it; or NULL. */
segrt_preprocessing model_preprocessing_default(const char *family, int classes, const char *config_text);

#endif
