/* config: see config.h. */
#include "model/config.h"

#include <stdlib.h>
#include <string.h>

#include "formats/json.h"

enum { WIDTH_CAP = 1 << 16, DEPTH_CAP = 1 << 10, SIDE_CAP = 64 };

/* {"0": "sky", ...}: keys are labels. */
static segrt_status read_names(model_config *out, arena *memory, const json_t *names, segrt_error *error)
{
    const size_t count = json_object_size(names);
    if (!count)
        return SEGRT_OK;
    if (count > CLASS_COUNT_CAP)
        return fail_with(error, SEGRT_UNSUPPORTED, "\"id2label\" has %zu classes; at most %d are read", count, (int)CLASS_COUNT_CAP);
    out->class_names = arena_get(memory, count, sizeof *out->class_names);
    if (!out->class_names)
        return fail_memory(error, count * sizeof *out->class_names, "class names");
    out->class_count = (int)count;
    const char *key;
    const json_t *value;
    void *iterator = json_object_iter((json_t *)names);
    for (; iterator; iterator = json_object_iter_next((json_t *)names, iterator)) {
        key = json_object_iter_key(iterator);
        value = json_object_iter_value(iterator);
        char *end;
        const long label = strtol(key, &end, 10);
        if (end == key || *end || label < 0 || (size_t)label >= count || !json_is_string(value))
            return fail_with(error, SEGRT_MALFORMED, "\"id2label\" must name the labels 0 to %zu; it has \"%.32s\"", count - 1, key);
        out->class_names[label] = checkpoint_class_name(memory, json_string_value(value), json_string_length(value));
        if (!out->class_names[label])
            return fail_memory(error, json_string_length(value), "a class name");
    }
    return SEGRT_OK;
}

static segrt_status read_palette(model_config *out, arena *memory, const json_t *palette, segrt_error *error)
{
    const size_t count = json_array_size(palette);
    if (!count || count > CLASS_COUNT_CAP)
        return SEGRT_OK;
    out->palette = arena_get(memory, count, sizeof *out->palette);
    if (!out->palette)
        return fail_memory(error, count * sizeof *out->palette, "a palette");
    out->palette_count = (int)count;
    for (size_t i = 0; i < count; i++)
        for (size_t c = 0; c < 3; c++) {
            const json_t *level = json_array_get(json_array_get(palette, i), c);
            if (!json_is_integer(level) || json_integer_value(level) < 0 || json_integer_value(level) > 255)
                return fail_with(error, SEGRT_MALFORMED, "\"palette\"[%zu] must be three numbers in 0..255", i);
            out->palette[i][c] = (uint8_t)json_integer_value(level);
        }
    return SEGRT_OK;
}

segrt_status model_config_classes(model_config *out, arena *memory, const json_t *root, segrt_error *error)
{
    const segrt_status status = read_names(out, memory, json_object_get(root, "id2label"), error);
    return status ? status : read_palette(out, memory, json_object_get(root, "palette"), error);
}

static segrt_status read_hugging_face(model_config *out, arena *memory, const json_t *root, segrt_error *error)
{
    const struct {
        const char *field;
        int cap;
        int *to;
    } rows[] = {
        {"hidden_sizes", WIDTH_CAP, out->width}, {"depths", DEPTH_CAP, out->depth},  {"num_attention_heads", WIDTH_CAP, out->heads},
        {"sr_ratios", SIDE_CAP, out->reduction}, {"strides", SIDE_CAP, out->stride}, {"patch_sizes", SIDE_CAP, out->kernel},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bool present;
        const segrt_status status = json_integers(root, rows[i].field, 4, 1, rows[i].cap, rows[i].to, &present, error);
        if (status)
            return status;
    }
    const char *activation = json_text_or(root, "hidden_act", "gelu");
    if (strcmp(activation, "gelu"))
        return fail_with(error, SEGRT_UNSUPPORTED, "\"hidden_act\" is '%.32s'; SegFormer's is 'gelu'", activation);
    if (json_real_or(root, "num_channels", 3) != 3)
        return fail_with(error, SEGRT_UNSUPPORTED, "\"num_channels\" is not 3: only networks for RGB pictures are read");
    const double decoder = json_real_or(root, "decoder_hidden_size", 0);
    out->decoder_width = decoder >= 1 && decoder <= WIDTH_CAP ? (int)decoder : 0;
    return model_config_classes(out, memory, root, error);
}

static segrt_status read_smp(model_config *out, const json_t *root, segrt_error *error)
{
    const char *kind = json_text_or(root, "_model_class", "Segformer");
    if (strcmp(kind, "Segformer"))
        return fail_with(error, SEGRT_NOT_SEGFORMER, "\"_model_class\" is '%.64s', not 'Segformer'", kind);
    if (json_real_or(root, "in_channels", 3) != 3)
        return fail_with(error, SEGRT_UNSUPPORTED, "\"in_channels\" is not 3: only networks for RGB pictures are read");
    const double classes = json_real_or(root, "classes", 0);
    out->classes = classes >= 1 && classes <= CLASS_COUNT_CAP ? (int)classes : 0;
    return SEGRT_OK;
}

segrt_status model_config_read(model_config *out, arena *memory, const file_map *file, segrt_error *error)
{
    json_t *root = NULL;
    segrt_status status = json_parse_object(&root, file->data, file->size, 0, error);
    if (status)
        return status;
    const char *kind = json_text_or(root, "model_type", NULL);
    if (kind && !strcmp(kind, "segformer"))
        status = read_hugging_face(out, memory, root, error);
    else if (kind)
        status = fail_with(error, SEGRT_NOT_SEGFORMER, "\"model_type\" is '%.64s', not 'segformer'", kind);
    else if (json_object_get(root, "encoder_name"))
        status = read_smp(out, root, error);
    else
        status = fail_with(error, SEGRT_NOT_SEGFORMER,
                           "neither \"model_type\" (Hugging Face) nor \"encoder_name\" (segmentation_models_pytorch) is there");
    json_decref(root);
    return status;
}
