/* open: a model from its files: which format the weights have, which SegFormer they are, what stands beside them.  Model layer;
 * here is what segrt.h promises of segrt_model. */
#include <stdio.h>
#include <string.h>

#include "base/sized.h"
#include "formats/json.h"
#include "formats/safetensors/safetensors.h"
#include "formats/torch/torch.h"
#include "image/palette.h"
#include "model/card.h"
#include "model/files.h"
#include "model/load.h"
#include "model/preprocessing.h"
#include "model/recognise/recognise.h"

/* A format is known by its content, whatever the file is called.  Either `read` gives tensors, or `open` makes the whole model of a
 * graph. */
typedef struct weights_format {
    const char *name;
    bool (*sniff)(const void *data, size_t size);
    segrt_status (*read)(checkpoint *out, const file_map *file, segrt_error *error);
    segrt_status (*open)(segrt_model *model, const file_map *file, const char *folder, segrt_error *error);
} weights_format;

static const weights_format formats[] = {
    {"safetensors", safetensors_sniff, safetensors_read, NULL},
    {"PyTorch zip", torch_zip_sniff, torch_zip_read, NULL},
    {"PyTorch legacy", torch_legacy_sniff, torch_legacy_read, NULL},
    {"pickle", torch_pickle_sniff, torch_pickle_read, NULL},
    {"ONNX", recognise_sniff, NULL, recognise_open},
};

static const weights_format *format_of(const file_map *file)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (formats[i].sniff(file->data, file->size))
            return &formats[i];
    return NULL;
}

typedef struct opening {
    segrt_model *model;
    model_files files;
    segrt_model_options options; /* whole, whatever the caller was compiled against */
    checkpoint weights;
    model_config config;
    segrt_error *error;
} opening;

/* Keeps a file open as long as the model. */
static segrt_status keep_file(opening *o, const file_map *file)
{
    segrt_model *m = o->model;
    file_map *grown = arena_get(&m->memory, m->file_count + 1, sizeof *grown);
    if (!grown)
        return fail_memory(o->error, (m->file_count + 1) * sizeof *grown, "a list of files");
    if (m->file_count)
        memcpy(grown, m->files, m->file_count * sizeof *grown);
    grown[m->file_count] = *file;
    m->files = grown;
    m->file_count++;
    return SEGRT_OK;
}

static segrt_status open_weights_file(opening *o, const char *name, file_map *file)
{
    bool found;
    segrt_status status = model_files_open(&o->files, name, file, &found, o->error);
    if (!status && !found)
        status = fail_with(o->error, SEGRT_IO, "the model's file '%.200s' is missing", name);
    if (status)
        return status;
    status = keep_file(o, file);
    if (status)
        file_map_close(file);
    return status;
}

/* Names the file of the model that a failure is about, with its folder. */
static void name_file(opening *o, const char *name)
{
    char path[1024];
    snprintf(path, sizeof path, "%s%s", o->files.folder ? o->files.folder : "", name);
    error_in_file(o->error, path);
}

static segrt_status read_tensors(opening *o, const char *name, const file_map *file)
{
    const weights_format *format = format_of(file);
    segrt_status status;
    if (!format)
        status = fail_at(o->error, SEGRT_UNSUPPORTED, 0,
                         "not a format that is read: safetensors, PyTorch (.bin, .pth), PaddlePaddle (.pdparams) and ONNX are");
    else if (format->open)
        status = fail_with(o->error, SEGRT_UNSUPPORTED, "%s cannot be a part of a model in several files", format->name);
    else
        status = format->read(&o->weights, file, o->error);
    if (status)
        name_file(o, name);
    return status;
}

/* "weight_map" of an index: tensor to shard. */
static segrt_status read_shards(opening *o, const json_t *map)
{
    const char *tensor_name;
    json_t *shard;
    segrt_status status = SEGRT_OK;
    if (!json_object_size(map))
        return fail_with(o->error, SEGRT_MALFORMED, "the index has no \"weight_map\"");
    json_t *seen = json_object();
    if (!seen)
        return fail_memory(o->error, 0, "a list of shards");
    json_object_foreach((json_t *)map, tensor_name, shard)
    {
        const char *name = json_string_value(shard);
        if (!name || !model_file_name_is_plain(name)) {
            status = fail_with(o->error, SEGRT_MALFORMED,
                               "the index puts a tensor into '%.100s', which is not a plain name in the model's own folder",
                               name ? name : "(not a text)");
            break;
        }
        if (json_object_get(seen, name))
            continue;
        file_map file;
        if (json_object_set_new(seen, name, json_true()))
            status = fail_memory(o->error, strlen(name), "a list of shards");
        if (!status)
            status = open_weights_file(o, name, &file);
        if (!status)
            status = read_tensors(o, name, &file);
        if (status)
            break;
    }
    json_decref(seen);
    return status;
}

static bool is_index(const file_map *file)
{
    return file->size && *(const char *)file->data == '{';
}

static segrt_status read_index(opening *o, const file_map *file)
{
    json_t *root = NULL;
    segrt_status status = json_parse_object(&root, file->data, file->size, 0, o->error);
    if (status)
        return status;
    status = read_shards(o, json_object_get(root, "weight_map"));
    json_decref(root);
    return status;
}

/* One of the JSON files beside the weights; *found false where it is not there. */
static segrt_status open_sibling(opening *o, const char *name, file_map *file, bool *found)
{
    *found = false;
    return o->files.has_siblings ? model_files_open(&o->files, name, file, found, o->error) : SEGRT_OK;
}

static segrt_status read_config(opening *o)
{
    file_map file;
    bool found;
    segrt_status status = open_sibling(o, "config.json", &file, &found);
    if (status || !found)
        return status;
    status = model_config_read(&o->config, &o->model->memory, &file, o->error);
    file_map_close(&file);
    if (status)
        name_file(o, "config.json");
    return status;
}

/* preprocessor_config.json over what the model has so far: its family's, or, of a graph, what stands in that. */
static segrt_status read_preprocessing(opening *o)
{
    segrt_preprocessing *p = &o->model->preprocessing;
    file_map file;
    bool found;
    segrt_status status = open_sibling(o, "preprocessor_config.json", &file, &found);
    if (status || !found)
        return status;
    status = model_preprocessing_read(p, &file, o->error);
    file_map_close(&file);
    if (status)
        name_file(o, "preprocessor_config.json");
    return status;
}

/* Names from config.json, else from the checkpoint; colours from there too, else those of the list with these names. */
static segrt_status name_classes(opening *o)
{
    segrt_model *m = o->model;
    if (!m->class_count || m->classes)
        return SEGRT_OK;
    const bool from_config = o->config.class_names != NULL;
    const char *const *names = from_config ? o->config.class_names : o->weights.class_names;
    const size_t named = from_config ? (size_t)o->config.class_count : names ? o->weights.class_count : 0;
    const uint8_t(*palette)[3] = o->config.palette ? (const uint8_t(*)[3])o->config.palette : (const uint8_t(*)[3])o->weights.palette;
    size_t colours = o->config.palette ? (size_t)o->config.palette_count : palette ? o->weights.palette_count : 0;
    const palette_list *known = named == (size_t)m->class_count ? palette_find(names, m->class_count) : NULL;
    if (!colours && known) {
        palette = known->rgb;
        colours = (size_t)known->count;
    }
    m->classes = arena_get(&m->memory, (size_t)m->class_count, sizeof *m->classes);
    if (!m->classes)
        return fail_memory(o->error, (size_t)m->class_count * sizeof *m->classes, "classes");
    for (int i = 0; i < m->class_count; i++) {
        char text[32];
        const char *name = (size_t)i < named ? names[i] : NULL;
        if (!name) {
            const int length = snprintf(text, sizeof text, "class %d", i);
            name = arena_copy_text(&m->memory, text, (size_t)length);
        }
        if (!name)
            return fail_memory(o->error, sizeof text, "a class name");
        m->classes[i].name = name;
        palette_color(i + 1, m->classes[i].rgb); /* 0 would be black */
        if ((size_t)i < colours)
            memcpy(m->classes[i].rgb, palette[i], 3);
    }
    return SEGRT_OK;
}

static segrt_status open_checkpoint(opening *o, const file_map *file)
{
    segrt_model *m = o->model;
    segrt_status status = read_config(o);
    if (!status)
        status = is_index(file) ? read_index(o, file) : read_tensors(o, o->files.weights, file);
    if (!status)
        status = model_load(m, &o->weights, &o->config, o->options.heads, o->error);
    if (!status && m->head.kind == HEAD_NONE && o->options.random_head_classes)
        status = model_random_head(m, o->options.random_head_classes, o->error);
    if (!status)
        status = model_finish(m, o->error);
    if (status)
        return status;
    m->preprocessing = model_preprocessing_default(m->family, m->class_count, o->weights.config_text);
    status = read_preprocessing(o);
    return status ? status : name_classes(o);
}

/* A graph brings its network whole; names and sizes may stand beside it.  What it does to pixels and with windows itself, it is
 * asked about and nobody else. */
static segrt_status open_graph(opening *o, const weights_format *format, const file_map *file)
{
    segrt_model *m = o->model;
    segrt_status status = format->open(m, file, o->files.folder, o->error);
    if (!status)
        status = read_config(o);
    if (status)
        return status;
    const segrt_preprocessing own = m->preprocessing, usual = model_preprocessing_default(m->family, m->class_count, NULL);
    if (m->graph.card) { /* what stands beside the file counts more than what stands in it */
        model_config card = {0};
        status = model_card_read(m->graph.card, &m->memory, &card, &m->preprocessing, o->error);
        if (status)
            return status;
        if (!o->config.class_names)
            o->config = card;
    }
    status = read_preprocessing(o);
    if (memcmp(own.mean, usual.mean, sizeof own.mean) || memcmp(own.deviation, usual.deviation, sizeof own.deviation)) {
        memcpy(m->preprocessing.mean, own.mean, sizeof own.mean);
        memcpy(m->preprocessing.deviation, own.deviation, sizeof own.deviation);
    }
    if (own.window || !m->graph.card) {
        m->preprocessing.window = own.window;
        m->preprocessing.stride = own.stride;
    }
    return status ? status : name_classes(o);
}

static segrt_status open_model(opening *o)
{
    file_map file;
    const segrt_status status = open_weights_file(o, o->files.weights, &file);
    if (status)
        return status;
    const weights_format *format = format_of(&file);
    return format && format->open ? open_graph(o, format, &file) : open_checkpoint(o, &file);
}

/* Both ways of opening: `path`, or `files`. */
static segrt_status open_any(segrt_model **out, const char *path, const segrt_file *given, size_t count, const segrt_model_options *options,
                             segrt_error *error)
{
    *out = NULL;
    opening o = {.error = error};
    segrt_status status = sized_read(&o.options, sizeof o.options, options, "segrt_model_options", error);
    if (status)
        return status;
    for (int i = 0; i < STAGES; i++)
        if (o.options.heads[i] < 0)
            return fail_with(error, SEGRT_ARGUMENT, "%d attention heads in stage %d", (int)o.options.heads[i], i);
    segrt_model *m = o.model = memory_get_cleared(1, sizeof *m);
    if (!m)
        return fail_memory(error, sizeof *m, "a model");
    o.weights.memory = &m->memory;
    m->path = arena_copy_text(&m->memory, path, strlen(path));
    if (!m->path) {
        status = fail_memory(error, strlen(path), "a path");
        goto fail;
    }
    status =
        given ? model_files_of_memory(&o.files, &m->memory, given, count, error) : model_files_of_path(&o.files, &m->memory, path, error);
    if (!status)
        status = open_model(&o);
    if (status)
        goto fail;
    *out = m;
    return SEGRT_OK;
fail:
    if (*path)
        error_in_file(error, path);
    segrt_model_close(m);
    return status;
}

segrt_status segrt_model_open(segrt_model **out, const char *path, const segrt_model_options *options, segrt_error *error)
{
    if (!out)
        return fail_with(error, SEGRT_ARGUMENT, "segrt_model_open: out is NULL");
    *out = NULL;
    if (!path || !*path)
        return fail_with(error, SEGRT_ARGUMENT, "segrt_model_open: no path");
    return open_any(out, path, NULL, 0, options, error);
}

segrt_status segrt_model_open_files(segrt_model **out, const segrt_file *files, size_t count, const segrt_model_options *options,
                                    segrt_error *error)
{
    if (!out)
        return fail_with(error, SEGRT_ARGUMENT, "segrt_model_open_files: out is NULL");
    *out = NULL;
    if (!files || !count)
        return fail_with(error, SEGRT_ARGUMENT, "segrt_model_open_files: no files");
    return open_any(out, "", files, count, options, error);
}

void segrt_model_close(segrt_model *model)
{
    if (!model)
        return;
    for (size_t i = 0; i < model->file_count; i++)
        file_map_close(&model->files[i]);
    arena_free(&model->memory);
    memory_free(model);
}
