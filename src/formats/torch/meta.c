/* meta: what mmsegmentation's containers say beside the tensors; see tensors.h. */
#include <string.h>

#include "formats/torch/tensors.h"

static const pickle_value *first_of(const pickle_value *mapping, const char *const *keys)
{
    const pickle_value *found = NULL;
    for (; !found && *keys; keys++)
        found = pickle_get(mapping, *keys);
    return found;
}

static segrt_status read_names(checkpoint *out, const pickle_value *list, segrt_error *error)
{
    const size_t count = pickle_length(list);
    if (!count || count > CLASS_COUNT_CAP)
        return SEGRT_OK;
    for (size_t i = 0; i < count; i++)
        if (pickle_item(list, i)->kind != PICKLE_TEXT)
            return SEGRT_OK; /* names of another kind are no names */
    out->class_names = arena_get(out->memory, count, sizeof *out->class_names);
    if (!out->class_names)
        return fail_memory(error, count * sizeof *out->class_names, "class names");
    for (size_t i = 0; i < count; i++) {
        const pickle_value *name = pickle_item(list, i);
        out->class_names[i] = checkpoint_class_name(out->memory, name->text.data ? name->text.data : "", name->text.size);
        if (!out->class_names[i])
            return fail_memory(error, name->text.size + 1, "a class name");
    }
    out->class_count = count;
    return SEGRT_OK;
}

static segrt_status read_palette(checkpoint *out, const pickle_value *list, segrt_error *error)
{
    const size_t count = pickle_length(list);
    if (!count || count > CLASS_COUNT_CAP)
        return SEGRT_OK;
    for (size_t i = 0; i < count; i++)
        for (size_t c = 0; c < 3; c++)
            if (pickle_integer_or(pickle_item(pickle_item(list, i), c), 0, 255, -1) < 0)
                return SEGRT_OK;
    out->palette = arena_get(out->memory, count, sizeof *out->palette);
    if (!out->palette)
        return fail_memory(error, count * sizeof *out->palette, "a palette");
    for (size_t i = 0; i < count; i++)
        for (size_t c = 0; c < 3; c++)
            out->palette[i][c] = (uint8_t)pickle_item(pickle_item(list, i), c)->integer;
    out->palette_count = count;
    return SEGRT_OK;
}

segrt_status meta_of_pickle(checkpoint *out, const pickle_value *root, segrt_error *error)
{
    static const char *const names[] = {"classes", "CLASSES", NULL}, *const palettes[] = {"palette", "PALETTE", NULL},
                             *const configs[] = {"cfg", "config", NULL};
    enum { CONFIG_CAP = 1 << 20 };
    const pickle_value *meta = pickle_get(root, "meta"), *dataset = pickle_get(meta, "dataset_meta");
    if (!pickle_is_mapping(dataset))
        dataset = meta;
    segrt_status status = read_names(out, first_of(dataset, names), error);
    if (!status)
        status = read_palette(out, first_of(dataset, palettes), error);
    const pickle_value *config = first_of(meta, configs);
    if (status || !config || config->kind != PICKLE_TEXT || !config->text.data || config->text.size > CONFIG_CAP)
        return status;
    out->config_text = arena_copy_text(out->memory, config->text.data, config->text.size);
    return out->config_text ? SEGRT_OK : fail_memory(error, config->text.size + 1, "a configuration");
}
