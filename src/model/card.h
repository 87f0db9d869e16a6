/* card: what a model says of itself beside its weights (class names, colours, how pictures are prepared, where it came from), as one
 * JSON text.  Model layer; exported ONNX files carry it in their metadata, under this key. */
#ifndef SEGRT_MODEL_CARD_H
#define SEGRT_MODEL_CARD_H

#include "model/config.h"
#include "model/model.h"

#define MODEL_CARD_KEY "segrt.model"

/* The text, in the arena; the same for the same model. */
segrt_status model_card_write(const segrt_model *model, arena *memory, const char **text, segrt_error *error);

/* Class names and colours go to `classes`, the preparation of pictures to `preprocessing`; texts into the arena.  What the card leaves
 * out stays as it is.  Errors: MALFORMED, UNSUPPORTED (too large), NO_MEMORY. */
segrt_status model_card_read(const char *text, arena *memory, model_config *classes, segrt_preprocessing *preprocessing,
                             segrt_error *error);

#endif
