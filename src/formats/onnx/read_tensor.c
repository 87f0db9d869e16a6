/* read_tensor: a TensorProto to an onnx_tensor.  Formats layer, part of the ONNX reader.
 *
 * Elements stay where they are in the file (raw data, one packed run of fixed-width numbers, external data);
 * only numbers written as varints or one by one are decoded into memory. */
#include <stdlib.h>
#include <string.h>

#include "formats/onnx/store.h"
#include "formats/onnx/wire.h"

enum { DIMS = 1, DATA_TYPE = 2, SEGMENT = 3, FLOAT_DATA = 4, INT32_DATA = 5, INT64_DATA = 7, NAME = 8, RAW_DATA = 9, DOUBLE_DATA = 10,
       UINT64_DATA = 11, EXTERNAL_DATA = 13, DATA_LOCATION = 14 };

/* The typed field that may hold elements of a type (onnx.proto, TensorProto). */
static const struct typed_field {
    uint8_t field;
    wire_type wire;
} typed_fields[] = {
    [ONNX_FLOAT] = {FLOAT_DATA, WIRE_FIXED32},   [ONNX_UINT8] = {INT32_DATA, WIRE_VARINT},   [ONNX_INT8] = {INT32_DATA, WIRE_VARINT},
    [ONNX_UINT16] = {INT32_DATA, WIRE_VARINT},   [ONNX_INT16] = {INT32_DATA, WIRE_VARINT},   [ONNX_INT32] = {INT32_DATA, WIRE_VARINT},
    [ONNX_INT64] = {INT64_DATA, WIRE_VARINT},    [ONNX_BOOL] = {INT32_DATA, WIRE_VARINT},    [ONNX_FLOAT16] = {INT32_DATA, WIRE_VARINT},
    [ONNX_DOUBLE] = {DOUBLE_DATA, WIRE_FIXED64}, [ONNX_UINT32] = {UINT64_DATA, WIRE_VARINT}, [ONNX_UINT64] = {UINT64_DATA, WIRE_VARINT},
    [ONNX_BFLOAT16] = {INT32_DATA, WIRE_VARINT},
};

typedef struct draft {
    int64_t dims[ONNX_MAX_RANK];
    size_t rank;
    uint64_t type, location; /* location 1: external */
    bytes raw, path;
    bool has_raw;
    uint64_t offset, length; /* of external data */
    bool has_length;
    size_t typed[UINT64_DATA + 1]; /* elements in each typed field */
    bytes packed;                  /* the last packed run */
} draft;

static bool decimal(bytes text, uint64_t *out)
{
    uint64_t value = 0;
    for (size_t i = 0; i < text.size; i++) {
        if (text.begin[i] < '0' || text.begin[i] > '9' || value > (UINT64_MAX - 9) / 10)
            return false;
        value = value * 10 + (uint64_t)(text.begin[i] - '0');
    }
    *out = value;
    return text.size > 0;
}

static bool equals(bytes text, const char *word) { return text.size == strlen(word) && !memcmp(text.begin, word, text.size); }

/* StringStringEntryProto: location, offset, length; others (checksum) are not needed. */
static segrt_status read_external_entry(onnx_store *s, bytes message, draft *d, segrt_error *error)
{
    wire w = wire_of(message, s->base, "TensorProto.external_data", error);
    bytes key = {0}, value = {0};
    for (wire_field f; wire_next(&w, &f);)
        if ((f.number == 1 || f.number == 2) && wire_is(&w, &f, WIRE_BYTES))
            *(f.number == 1 ? &key : &value) = f.part;
    if (w.failed)
        return wire_status(&w);
    bool good = true;
    if (equals(key, "location"))
        d->path = value;
    else if (equals(key, "offset"))
        good = decimal(value, &d->offset);
    else if (equals(key, "length"))
        good = d->has_length = decimal(value, &d->length);
    return good ? SEGRT_OK : fail_at(error, SEGRT_MALFORMED, store_offset(s, message.begin), "external data: its offset or length is no number");
}

static segrt_status read_dims(wire *w, const wire_field *f, draft *d)
{
    const size_t count = wire_numbers(w, f, WIRE_VARINT);
    if (count > ONNX_MAX_RANK - d->rank)
        return fail_at(w->error, SEGRT_UNSUPPORTED, wire_offset(w, f->at), "a tensor of more than %d dimensions", ONNX_MAX_RANK);
    bytes at = wire_first(f);
    for (size_t i = 0; i < count; i++) {
        const int64_t dim = (int64_t)wire_number(&at, f, WIRE_VARINT);
        if (dim < 0)
            return fail_at(w->error, SEGRT_MALFORMED, wire_offset(w, f->at), "a tensor has the negative dimension %lld", (long long)dim);
        d->dims[d->rank++] = dim;
    }
    return SEGRT_OK;
}

static segrt_status read_fields(onnx_store *s, wire *w, draft *d, bytes *name, segrt_error *error)
{
    segrt_status status = SEGRT_OK;
    for (wire_field f; !status && wire_next(w, &f);)
        switch (f.number) {
        case DIMS: status = read_dims(w, &f, d); break;
        case DATA_TYPE:
            if (wire_is(w, &f, WIRE_VARINT))
                d->type = f.value;
            break;
        case SEGMENT: status = fail_at(error, SEGRT_UNSUPPORTED, wire_offset(w, f.at), "a tensor in segments"); break;
        case FLOAT_DATA:
        case DOUBLE_DATA:
        case INT32_DATA:
        case INT64_DATA:
        case UINT64_DATA:
            d->typed[f.number] += wire_numbers(w, &f, f.number == FLOAT_DATA ? WIRE_FIXED32 : f.number == DOUBLE_DATA ? WIRE_FIXED64 : WIRE_VARINT);
            d->packed = f.part;
            break;
        case NAME:
            if (wire_is(w, &f, WIRE_BYTES))
                *name = f.part;
            break;
        case RAW_DATA:
            if (wire_is(w, &f, WIRE_BYTES))
                d->raw = f.part;
            d->has_raw = true;
            break;
        case EXTERNAL_DATA:
            if (wire_is(w, &f, WIRE_BYTES))
                status = read_external_entry(s, f.part, d, error);
            break;
        case DATA_LOCATION:
            if (wire_is(w, &f, WIRE_VARINT))
                d->location = f.value;
            break;
        default: break;
        }
    return status ? status : wire_status(w);
}

/* Puts `value`, a number of an int32 or (u)int64 field, in `width` bytes; false where it does not fit. */
static bool narrow(uint8_t *to, uint64_t value, onnx_type type)
{
    const int64_t v = (int64_t)value;
    bool fits = true;
    switch (type) {
    case ONNX_INT8: fits = v == (int8_t)v; break;
    case ONNX_INT16: fits = v == (int16_t)v; break;
    case ONNX_INT32: fits = v == (int32_t)v; break;
    case ONNX_UINT8: fits = value <= UINT8_MAX; break;
    case ONNX_BOOL: fits = value <= UINT8_MAX; break;
    case ONNX_UINT16:
    case ONNX_FLOAT16:
    case ONNX_BFLOAT16: fits = value <= UINT16_MAX; break;
    case ONNX_UINT32: fits = value <= UINT32_MAX; break;
    default: break;
    }
    for (size_t i = 0; i < onnx_type_bytes(type); i++)
        to[i] = (uint8_t)(value >> (8 * i));
    return fits;
}

static segrt_status decode(onnx_store *s, bytes message, onnx_tensor *t, segrt_error *error)
{
    const struct typed_field *typed = &typed_fields[t->type];
    const size_t width = onnx_type_bytes(t->type);
    uint8_t *to = store_get_data(s, t->count * width, error); /* the file holds a byte at least for each element */
    if (!to)
        return error->status;
    t->data = to;
    wire w = wire_of(message, s->base, "TensorProto", error);
    for (wire_field f; wire_next(&w, &f);) {
        if (f.number != typed->field)
            continue;
        const size_t count = wire_numbers(&w, &f, typed->wire);
        bytes at = wire_first(&f);
        for (size_t i = 0; i < count; i++, to += width)
            if (!narrow(to, wire_number(&at, &f, typed->wire), t->type) || !bytes_ok(&at))
                return fail_at(error, SEGRT_MALFORMED, wire_offset(&w, f.at), "a tensor's element is out of the range of %s", onnx_type_text(t->type));
    }
    return wire_status(&w);
}

/* Finds the elements, wherever the draft says that they are. */
static segrt_status place(onnx_store *s, bytes message, const draft *d, onnx_tensor *t, segrt_error *error)
{
    const struct typed_field *typed = &typed_fields[t->type];
    const size_t width = onnx_type_bytes(t->type);
    if (t->count > (SIZE_MAX >> 1) / width)
        return fail_at(error, SEGRT_MALFORMED, t->offset, "a tensor of %zu elements", t->count);
    const size_t wanted = t->count * width, listed = d->typed[typed->field];
    if (d->location == 1) {
        if (d->has_length && d->length != wanted)
            return fail_at(error, SEGRT_MALFORMED, t->offset, "external data of %llu bytes for a tensor of %zu", (unsigned long long)d->length, wanted);
        return onnx_external_data(s, d->path, d->offset, wanted, t->offset, &t->data, error);
    }
    if (d->has_raw || !wanted) {
        if (d->raw.size != wanted || listed)
            return fail_at(error, SEGRT_MALFORMED, t->offset, "a tensor of %zu bytes comes with %zu bytes of data", wanted, d->raw.size + listed * width);
        t->data = wanted ? (const void *)d->raw.begin : "";
        return SEGRT_OK;
    }
    if (listed != t->count)
        return fail_at(error, SEGRT_MALFORMED, t->offset, "a tensor of %zu elements comes with %zu", t->count, listed);
    if (typed->wire != WIRE_VARINT && d->packed.size == wanted) {
        t->data = d->packed.begin;
        return SEGRT_OK;
    }
    return decode(s, message, t, error);
}

segrt_status onnx_read_tensor(onnx_store *s, bytes message, onnx_tensor *out, bytes *name, segrt_error *error)
{
    draft d = {0};
    wire w = wire_of(message, s->base, "TensorProto", error);
    segrt_status status = read_fields(s, &w, &d, name, error);
    if (status)
        return status;
    const uint64_t at = store_offset(s, message.begin);
    if (d.type >= sizeof typed_fields / sizeof *typed_fields || !onnx_type_bytes((onnx_type)d.type))
        return fail_at(error, SEGRT_UNSUPPORTED, at, "a tensor of element type %llu (strings, complex, 8-bit floats and narrower are not read)",
                       (unsigned long long)d.type);
    *out = (onnx_tensor){.type = (onnx_type)d.type, .shape.rank = (int32_t)d.rank, .count = 1, .offset = at};
    bool empty = false;
    for (size_t i = 0; i < d.rank; i++) {
        out->shape.dims[i] = d.dims[i];
        empty = empty || !d.dims[i];
    }
    for (size_t i = 0; i < d.rank && !empty; i++) {
        if ((uint64_t)d.dims[i] > (SIZE_MAX >> 4) / out->count)
            return fail_at(error, SEGRT_MALFORMED, at, "a tensor's dimensions multiply to more than memory holds");
        out->count *= (size_t)d.dims[i];
    }
    out->count = empty ? 0 : out->count;
    return place(s, message, &d, out, error);
}
