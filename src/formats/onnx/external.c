/* external: tensors whose bytes lie in other files of the model's folder.  Formats layer, part of the ONNX
 * reader.  A model file must not be able to name any other file of the machine. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "formats/onnx/store.h"

struct onnx_external {
    const char *location;
    file_map file;
};

/* Refuses what could lead out by its words alone. */
static segrt_status check_words(const char *location, uint64_t at, segrt_error *error)
{
    if (!*location || *location == '/' || strchr(location, '\\') || strchr(location, ':'))
        return fail_at(error, SEGRT_MALFORMED, at, "external data in '%.120s': only files in the model's own folder are read", location);
    for (const char *part = location; *part;) {
        const size_t length = strcspn(part, "/");
        if (length == 2 && !strncmp(part, "..", 2))
            return fail_at(error, SEGRT_MALFORMED, at, "external data in '%.120s': '..' would leave the model's folder", location);
        part += length + (part[length] == '/');
    }
    return SEGRT_OK;
}

static segrt_status map(onnx_store *s, const char *location, uint64_t at, file_map *file, segrt_error *error)
{
    if (!s->folder)
        return fail_at(error, SEGRT_UNSUPPORTED, at, "tensors lie in another file, '%.120s', but the model was given without its folder", location);
    segrt_status status = check_words(location, at, error);
    if (status)
        return status;
    char path[PATH_MAX], real[PATH_MAX];
    const size_t folder = strlen(s->folder), name = strlen(location);
    if (folder + name + 2 > sizeof path)
        return fail_at(error, SEGRT_MALFORMED, at, "external data in '%.120s': the path is too long", location);
    memcpy(path, s->folder, folder);
    path[folder] = '/';
    memcpy(path + folder + 1, location, name + 1);
    if (!realpath(path, real)) /* into our buffer: nothing is allocated; follows links, so what is opened below has none */
        return fail_at(error, SEGRT_IO, at, "cannot open the external data '%.120s': %s", location, strerror(errno));
    const bool inside = !strcmp(s->folder, "/") || (!strncmp(real, s->folder, folder) && real[folder] == '/');
    if (!inside)
        return fail_at(error, SEGRT_MALFORMED, at, "external data in '%.120s': a link leads out of the model's folder", location);
    return file_map_open(file, real, error);
}

segrt_status onnx_external_data(onnx_store *s, bytes location, uint64_t offset, uint64_t bytes_wanted, uint64_t at, const void **data,
                                segrt_error *error)
{
    struct onnx_external *external = NULL;
    for (int32_t i = 0; i < s->external_count && !external; i++)
        if (strlen(s->externals[i].location) == location.size && !memcmp(s->externals[i].location, location.begin, location.size))
            external = &s->externals[i];
    if (!external) {
        if (s->external_count == ONNX_EXTERNAL_FILES)
            return fail_at(error, SEGRT_UNSUPPORTED, at, "external data in more than %d files", ONNX_EXTERNAL_FILES);
        segrt_status status = STORE_GROW(s->externals, s->external_room, s->external_count, error);
        struct onnx_external opened = {0};
        if (!status)
            status = store_text(s, NULL, location, &opened.location, error);
        if (!status)
            status = map(s, opened.location, at, &opened.file, error);
        if (status)
            return status;
        s->externals[s->external_count] = opened;
        external = &s->externals[s->external_count++];
    }
    if (offset > external->file.size || bytes_wanted > external->file.size - offset)
        return fail_at(error, SEGRT_MALFORMED, at, "external data: %llu bytes at %llu of '%.120s', which has %zu", (unsigned long long)bytes_wanted,
                       (unsigned long long)offset, external->location, external->file.size);
    *data = (const uint8_t *)external->file.data + offset;
    return SEGRT_OK;
}

void onnx_external_close(onnx_store *s)
{
    for (int32_t i = 0; i < s->external_count; i++)
        file_map_close(&s->externals[i].file);
    memory_free(s->externals);
}
