/* config: what config.json says of a model: Hugging Face's and segmentation_models_pytorch's.  Model layer. */
#ifndef SEGRT_MODEL_CONFIG_H
#define SEGRT_MODEL_CONFIG_H

#include "base/error.h"
#include "base/memory.h"
#include "formats/checkpoint.h"
#include "formats/json.h"

/* 0 or NULL: the file does not say. */
typedef struct model_config {
    int width[4], depth[4], heads[4], reduction[4], stride[4], kernel[4];
    int decoder_width;
    int classes;
    const char **class_names; /* [class_count]; NULL where one has no name */
    uint8_t (*palette)[3];
    int class_count, palette_count;
} model_config;

/* Reads a config.json; texts go into the arena.  Errors: MALFORMED, UNSUPPORTED (another activation, other channels), NOT_SEGFORMER
 * (another kind of model), NO_MEMORY. */
segrt_status model_config_read(model_config *out, arena *memory, const file_map *file, segrt_error *error);

/* "id2label" and "palette" of an object alone. */
segrt_status model_config_classes(model_config *out, arena *memory, const json_t *root, segrt_error *error);

#endif
