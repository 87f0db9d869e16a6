/* torch: see torch.h.
 *
 * Source: torch/serialization.py, _legacy_save and _save. */
#include "formats/torch/torch.h"

#include <stdio.h>
#include <string.h>

#include "formats/torch/tensors.h"
#include "formats/torch/zip.h"

static segrt_status read_root(checkpoint *out, const pickle *p, storage_find_fn *find, void *container, segrt_error *error)
{
    const segrt_status status = tensors_of_pickle(out, p->root, find, container, error);
    return status ? status : meta_of_pickle(out, p->root, error);
}

/* ----------------------------------------------------------------------------------------- zip */

typedef struct zip_container {
    zip_archive zip;
    char prefix[256]; /* "archive/" */
} zip_container;

static bool find_in_zip(void *container, const char *key, storage_bytes *out)
{
    const zip_container *c = container;
    char name[sizeof c->prefix + STORAGE_KEY_CAP + 8];
    snprintf(name, sizeof name, "%sdata/%s", c->prefix, key);
    const zip_entry *entry = zip_find(&c->zip, name);
    if (entry)
        *out = (storage_bytes){.data = entry->data, .size = entry->size, .offset = entry->offset};
    return entry != NULL;
}

bool torch_zip_sniff(const void *data, size_t size)
{
    return zip_sniff(data, size);
}

/* The entry NAME/data.pkl, which also tells the archive's NAME. */
static const zip_entry *find_root(zip_container *c)
{
    static const char root[] = "data.pkl";
    const size_t end = sizeof root - 1;
    for (size_t i = 0; i < c->zip.count; i++) {
        const char *name = c->zip.entries[i].name;
        const size_t length = strlen(name);
        if (length >= end && length - end < sizeof c->prefix && !strcmp(name + length - end, root) &&
            (length == end || name[length - end - 1] == '/')) {
            memcpy(c->prefix, name, length - end);
            c->prefix[length - end] = 0;
            return &c->zip.entries[i];
        }
    }
    return NULL;
}

static segrt_status read_zip(checkpoint *out, arena *scratch, const file_map *file, segrt_error *error)
{
    zip_container c = {0};
    segrt_status status = zip_read(&c.zip, scratch, file, error);
    if (status)
        return status;
    const zip_entry *root = find_root(&c);
    if (!root)
        return fail_with(error, SEGRT_UNSUPPORTED,
                         "a zip archive without data.pkl: not what torch.save writes (a TorchScript or another archive?)");
    char name[sizeof c.prefix + 16];
    snprintf(name, sizeof name, "%sbyteorder", c.prefix);
    const zip_entry *order = zip_find(&c.zip, name);
    if (order && (order->size != 6 || memcmp(order->data, "little", 6)))
        return fail_at(error, SEGRT_UNSUPPORTED, order->offset, "the file was written on a big-endian machine");
    bytes b = bytes_of(root->data, root->size);
    pickle p;
    status = pickle_read(&p, scratch, out->memory, &b, root->offset, error);
    return status ? status : read_root(out, &p, find_in_zip, &c, error);
}

segrt_status torch_zip_read(checkpoint *out, const file_map *file, segrt_error *error)
{
    arena scratch = {0};
    const segrt_status status = read_zip(out, &scratch, file, error);
    arena_free(&scratch);
    return status;
}

/* -------------------------------------------------------------------------------------- legacy */

/* The pickled number 0x1950a86a20f9469cfc6c. */
static const uint8_t legacy_magic[] = {0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19};

bool torch_legacy_sniff(const void *data, size_t size)
{
    return size >= sizeof legacy_magic && !memcmp(data, legacy_magic, sizeof legacy_magic);
}

typedef struct legacy_container {
    storage_bytes *storages; /* [count], data NULL until found */
    storage_reference *references;
    size_t count;
    text_index keys;
} legacy_container;

static bool find_in_legacy(void *container, const char *key, storage_bytes *out)
{
    const legacy_container *c = container;
    const ptrdiff_t at = text_index_find(&c->keys, key);
    if (at < 0 || !c->storages[at].data)
        return false;
    *out = c->storages[at];
    return true;
}

/* Storages do not tell their types; the references to them do. */
static segrt_status list_references(legacy_container *c, const pickle *p, arena *scratch, segrt_error *error)
{
    c->count = p->persistent_count;
    c->storages = arena_get(scratch, c->count, sizeof *c->storages);
    c->references = arena_get(scratch, c->count, sizeof *c->references);
    text_entry *keys = arena_get(scratch, c->count, sizeof *keys);
    if (!c->storages || !c->references || !keys)
        return fail_memory(error, c->count * sizeof *c->references, "a list of storages");
    for (size_t i = 0; i < c->count; i++) {
        const segrt_status status = storage_reference_read(&c->references[i], p->persistent[i], error);
        if (status)
            return status;
        keys[i] = (text_entry){.text = c->references[i].key, .position = i};
    }
    c->keys = text_index_of(keys, c->count);
    return SEGRT_OK;
}

/* After the pickles: for each key of the list the number of elements in eight bytes, then the elements. */
static segrt_status find_storages(legacy_container *c, const pickle_value *keys, bytes *b, segrt_error *error)
{
    for (size_t i = 0; i < pickle_length(keys); i++) {
        const pickle_value *key = pickle_item(keys, i);
        char text[STORAGE_KEY_CAP] = "";
        if (key->kind == PICKLE_TEXT && key->text.data && key->text.size < sizeof text)
            memcpy(text, key->text.data, key->text.size);
        const ptrdiff_t at = text_index_find(&c->keys, text);
        if (at < 0)
            return fail_at(error, SEGRT_MALFORMED, b->at, "storage '%s' belongs to no tensor", text);
        const uint64_t elements = bytes_u64(b), size = (uint64_t)c->references[at].type->bytes;
        const uint64_t offset = b->at;
        if (elements > SIZE_MAX / size || !bytes_take(b, (size_t)(elements * size)))
            return fail_at(error, SEGRT_MALFORMED, offset, "storage '%s' of %llu elements is not whole: the file is truncated", text,
                           (unsigned long long)elements);
        c->storages[at] = (storage_bytes){.data = b->begin + offset, .size = (size_t)(elements * size), .offset = offset};
    }
    return SEGRT_OK;
}

static segrt_status read_legacy(checkpoint *out, arena *scratch, const file_map *file, segrt_error *error)
{
    bytes b = bytes_of(file->data, file->size);
    enum { MAGIC, PROTOCOL, SYSTEM, ROOT, KEYS, PICKLES };
    pickle p[PICKLES];
    for (int i = 0; i < PICKLES; i++) {
        const segrt_status status = pickle_read(&p[i], scratch, out->memory, &b, 0, error);
        if (status)
            return status;
    }
    const pickle_value *order = pickle_get(p[SYSTEM].root, "little_endian");
    if (order && order->kind == PICKLE_BOOL && !order->integer)
        return fail_with(error, SEGRT_UNSUPPORTED, "the file was written on a big-endian machine");
    legacy_container c;
    segrt_status status = list_references(&c, &p[ROOT], scratch, error);
    if (!status)
        status = find_storages(&c, p[KEYS].root, &b, error);
    return status ? status : read_root(out, &p[ROOT], find_in_legacy, &c, error);
}

segrt_status torch_legacy_read(checkpoint *out, const file_map *file, segrt_error *error)
{
    arena scratch = {0};
    const segrt_status status = read_legacy(out, &scratch, file, error);
    arena_free(&scratch);
    return status;
}

/* ------------------------------------------------------------------------------- a lone pickle */

bool torch_pickle_sniff(const void *data, size_t size)
{
    const uint8_t *p = data;
    return size >= 2 && p[0] == 0x80 && p[1] >= 2 && p[1] <= 5 && !torch_legacy_sniff(data, size);
}

segrt_status torch_pickle_read(checkpoint *out, const file_map *file, segrt_error *error)
{
    arena scratch = {0};
    bytes b = bytes_of(file->data, file->size);
    pickle p;
    segrt_status status = pickle_read(&p, &scratch, out->memory, &b, 0, error);
    if (!status)
        status = read_root(out, &p, NULL, NULL, error);
    arena_free(&scratch);
    return status;
}
