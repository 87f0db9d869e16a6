/* files: see files.h. */
#include "model/files.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* In the order of preference; an index stands for its shards. */
static const char *const weights_names[] = {
    "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json", "model.pdparams",
    "model.onnx",
};

static bool is_weights_name(const char *name)
{
    for (size_t i = 0; i < sizeof weights_names / sizeof *weights_names; i++)
        if (!strcmp(name, weights_names[i]))
            return true;
    return false;
}

bool model_file_name_is_plain(const char *name)
{
    return *name && *name != '.' && !strpbrk(name, "/\\");
}

static const char *joined(arena *memory, const char *a, const char *b)
{
    const size_t length = strlen(a), more = strlen(b);
    char *text = arena_get(memory, length + more + 1, 1);
    if (text) {
        memcpy(text, a, length);
        memcpy(text + length, b, more);
    }
    return text;
}

segrt_status model_files_of_path(model_files *out, arena *memory, const char *path, segrt_error *error)
{
    *out = (model_files){.memory = memory};
    struct stat facts;
    if (stat(path, &facts))
        return fail_with(error, SEGRT_IO, "cannot open: %s", strerror(errno));
    if (!S_ISDIR(facts.st_mode)) {
        const char *slash = strrchr(path, '/');
        const size_t length = slash ? (size_t)(slash + 1 - path) : 0;
        out->folder = arena_copy_text(memory, path, length);
        out->weights = arena_copy_text(memory, path + length, strlen(path + length));
        if (!out->folder || !out->weights)
            return fail_memory(error, strlen(path), "a path");
        out->has_siblings = is_weights_name(out->weights);
        return SEGRT_OK;
    }
    const size_t length = strlen(path);
    out->folder = joined(memory, path, length && path[length - 1] == '/' ? "" : "/");
    out->has_siblings = true;
    if (!out->folder)
        return fail_memory(error, length + 2, "a path");
    for (size_t i = 0; i < sizeof weights_names / sizeof *weights_names; i++) {
        const char *candidate = joined(memory, out->folder, weights_names[i]);
        if (!candidate)
            return fail_memory(error, length + 32, "a path");
        if (!stat(candidate, &facts)) {
            out->weights = weights_names[i];
            return SEGRT_OK;
        }
    }
    return fail_with(
        error, SEGRT_NOT_SEGFORMER,
        "the folder holds no model.safetensors, pytorch_model.bin, model.pdparams or model.onnx; name the weights file itself");
}

static bool is_json(const char *name)
{
    const size_t length = strlen(name);
    return length >= 5 && !strcmp(name + length - 5, ".json");
}

segrt_status model_files_of_memory(model_files *out, arena *memory, const segrt_file *files, size_t count, segrt_error *error)
{
    *out = (model_files){.memory = memory, .given = files, .given_count = count, .has_siblings = true};
    for (size_t i = 0; i < count; i++)
        if (!files[i].name || (!files[i].data && files[i].size))
            return fail_with(error, SEGRT_ARGUMENT, "file %zu has no name or no data", i);
    for (size_t n = 0; !out->weights && n < sizeof weights_names / sizeof *weights_names; n++)
        for (size_t i = 0; !out->weights && i < count; i++)
            if (!strcmp(files[i].name, weights_names[n]))
                out->weights = weights_names[n];
    for (size_t i = 0; !out->weights && i < count; i++)
        if (!is_json(files[i].name))
            out->weights = files[i].name;
    return out->weights ? SEGRT_OK : fail_with(error, SEGRT_NOT_SEGFORMER, "no weights among the %zu files", count);
}

static segrt_status open_given(const model_files *f, const char *name, file_map *out, bool *found)
{
    for (size_t i = 0; i < f->given_count; i++)
        if (!strcmp(f->given[i].name, name)) {
            *out = file_map_of(f->given[i].size ? f->given[i].data : "", f->given[i].size);
            *found = true;
            break;
        }
    return SEGRT_OK;
}

segrt_status model_files_open(const model_files *f, const char *name, file_map *out, bool *found, segrt_error *error)
{
    *found = false;
    if (f->given)
        return open_given(f, name, out, found);
    const char *path = joined(f->memory, f->folder, name);
    if (!path)
        return fail_memory(error, strlen(name), "a path");
    struct stat facts;
    if (stat(path, &facts) && errno == ENOENT)
        return SEGRT_OK;
    const segrt_status status = file_map_open(out, path, error);
    *found = !status;
    return status;
}
