/* safetensors: see safetensors.h. */
#include "formats/safetensors/safetensors.h"

#include <string.h>

#include "formats/json.h"

enum { LENGTH_BYTES = 8 };

bool safetensors_sniff(const void *data, size_t size)
{
    bytes b = bytes_of(data, size);
    const uint64_t length = bytes_u64(&b);
    const uint8_t *first = bytes_take(&b, 1);
    return first && *first == '{' && length < (uint64_t)1 << 40;
}

/* One entry of the header.  `data` is the file's part behind the header, at `base`; `end` grows to the last byte that any tensor has. */
static segrt_status read_entry(checkpoint *out, const char *name, const json_t *entry, bytes data, uint64_t base, uint64_t *end,
                               segrt_error *error)
{
    if (!tensor_name_fits(name, strlen(name)))
        return fail_at(error, SEGRT_MALFORMED, LENGTH_BYTES, "a tensor's name is empty, longer than %d bytes or holds control characters",
                       (int)TENSOR_NAME_CAP);
    const json_t *shape = json_object_get(entry, "shape"), *offsets = json_object_get(entry, "data_offsets");
    const char *type_name = json_string_value(json_object_get(entry, "dtype"));
    const json_t *first = json_array_get(offsets, 0), *last = json_array_get(offsets, 1);
    if (!type_name || !json_is_array(shape) || json_array_size(offsets) != 2 || !json_is_integer(first) || !json_is_integer(last))
        return fail_at(error, SEGRT_MALFORMED, LENGTH_BYTES, "tensor '%s' lacks dtype, shape or data_offsets", name);
    const tensor_type_row *type = tensor_type_named(type_name);
    if (!type)
        return fail_at(error, SEGRT_UNSUPPORTED, LENGTH_BYTES, "tensor '%s' has the unknown type '%.16s'", name, type_name);
    tensor t = {.type = type->type, .type_name = type->name, .rank = (int)json_array_size(shape)};
    if (json_array_size(shape) > TENSOR_RANK)
        return fail_at(error, SEGRT_UNSUPPORTED, LENGTH_BYTES, "tensor '%s' has %zu dimensions; at most %d are read", name,
                       json_array_size(shape), (int)TENSOR_RANK);
    for (int i = 0; i < t.rank; i++) {
        const json_t *side = json_array_get(shape, (size_t)i);
        t.shape[i] = json_is_integer(side) ? json_integer_value(side) : -1;
        if (t.shape[i] < 0)
            return fail_at(error, SEGRT_MALFORMED, LENGTH_BYTES, "tensor '%s': dimension %d is not a whole number", name, i);
    }
    const json_int_t begin = json_integer_value(first), after = json_integer_value(last);
    const int64_t count = tensor_elements(&t);
    if (begin < 0 || after < begin || (uint64_t)after > data.size)
        return fail_at(error, SEGRT_MALFORMED, base,
                       "tensor '%s' lies at bytes %lld to %lld of %zu: the file is truncated or its header wrong", name, (long long)begin,
                       (long long)after, data.size);
    if (count < 0 || (after - begin) / type->bytes != count || (after - begin) % type->bytes)
        return fail_at(error, SEGRT_MALFORMED, base + (uint64_t)begin,
                       "tensor '%s' has %lld bytes, which its shape and type %s do not make", name, (long long)(after - begin), type->name);
    tensor_set_dense(&t);
    t.data = data.begin + begin;
    t.name = arena_copy_text(out->memory, name, strlen(name));
    if (!t.name)
        return fail_memory(error, strlen(name) + 1, "a tensor's name");
    *end = (uint64_t)after > *end ? (uint64_t)after : *end;
    return checkpoint_add(out, &t, error);
}

segrt_status safetensors_read(checkpoint *out, const file_map *file, segrt_error *error)
{
    bytes b = bytes_of(file->data, file->size);
    const uint64_t length = bytes_u64(&b);
    if (!bytes_ok(&b) || length > bytes_left(&b))
        return fail_at(error, SEGRT_MALFORMED, 0, "the header has %llu bytes, the file %zu: it is truncated or not a safetensors file",
                       (unsigned long long)length, file->size);
    json_t *header = NULL;
    segrt_status status = json_parse_object(&header, bytes_take(&b, (size_t)length), (size_t)length, LENGTH_BYTES, error);
    if (status)
        return status;
    const uint64_t base = b.at;
    const bytes data = bytes_sub(&b, bytes_left(&b));
    uint64_t end = 0;
    const char *name;
    json_t *entry;
    json_object_foreach(header, name, entry)
    {
        if (strcmp(name, "__metadata__"))
            status = read_entry(out, name, entry, data, base, &end, error);
        if (status)
            goto done;
    }
    if (end != data.size)
        status = fail_at(error, SEGRT_MALFORMED, base + end, "%llu bytes behind the last tensor", (unsigned long long)(data.size - end));
done:
    json_decref(header);
    return status;
}
