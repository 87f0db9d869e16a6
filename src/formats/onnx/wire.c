/* wire: see wire.h. */
#include "formats/onnx/wire.h"

wire wire_of(bytes message, const uint8_t *base, const char *name, segrt_error *error)
{
    return (wire){.rest = message, .base = base, .message = name, .error = error};
}

uint64_t wire_offset(const wire *w, const void *at) { return (uint64_t)((const uint8_t *)at - w->base); }

segrt_status wire_status(const wire *w) { return w->failed ? SEGRT_MALFORMED : SEGRT_OK; }

bool wire_next(wire *w, wire_field *field)
{
    bytes *rest = &w->rest;
    if (w->failed || !bytes_left(rest))
        return false;
    *field = (wire_field){.at = rest->begin + rest->at};
    const uint64_t tag = bytes_varint(rest);
    const uint64_t number = tag >> 3;
    field->number = (uint32_t)number;
    field->type = (wire_type)(tag & 7);
    bool known = true;
    switch (field->type) {
    case WIRE_VARINT: field->value = bytes_varint(rest); break;
    case WIRE_FIXED64: field->value = bytes_u64(rest); break;
    case WIRE_FIXED32: field->value = bytes_u32(rest); break;
    case WIRE_BYTES: {
        const uint64_t size = bytes_varint(rest);
        if (size > bytes_left(rest))
            rest->broken = true;
        else
            field->part = bytes_sub(rest, (size_t)size);
        break;
    }
    default: known = false; /* groups, which ONNX never had, and 6 and 7, which mean nothing */
    }
    if (bytes_ok(rest) && known && number > 0 && number <= 0x1fffffff)
        return true;
    w->failed = true;
    if (!bytes_ok(rest))
        fail_at(w->error, SEGRT_MALFORMED, wire_offset(w, field->at), "%s: a field ends past its message; the file is cut off or damaged",
                w->message);
    else
        fail_at(w->error, SEGRT_MALFORMED, wire_offset(w, field->at), "%s: field %llu has wire type %d; this is no ONNX file, or it is damaged",
                w->message, (unsigned long long)number, (int)field->type);
    return false;
}

bool wire_is(wire *w, const wire_field *field, wire_type type)
{
    if (field->type == type)
        return true;
    w->failed = true;
    fail_at(w->error, SEGRT_MALFORMED, wire_offset(w, field->at), "%s: field %u has wire type %d, not %d", w->message,
            (unsigned)field->number, (int)field->type, (int)type);
    return false;
}

size_t wire_numbers(wire *w, const wire_field *field, wire_type type)
{
    if (field->type == type)
        return 1;
    if (!wire_is(w, field, WIRE_BYTES))
        return 0;
    const bytes *part = &field->part;
    size_t count = 0;
    bool whole = true;
    if (type == WIRE_VARINT) {
        for (size_t i = 0; i < part->size; i++)
            count += !(part->begin[i] & 0x80);
        whole = !part->size || !(part->begin[part->size - 1] & 0x80);
    } else {
        const size_t width = type == WIRE_FIXED32 ? 4 : 8;
        count = part->size / width;
        whole = part->size % width == 0;
    }
    if (whole)
        return count;
    w->failed = true;
    fail_at(w->error, SEGRT_MALFORMED, wire_offset(w, field->at), "%s: packed field %u ends in the middle of a number", w->message,
            (unsigned)field->number);
    return 0;
}

bytes wire_first(const wire_field *field) { return field->part; }

uint64_t wire_number(bytes *at, const wire_field *field, wire_type type)
{
    if (field->type != WIRE_BYTES)
        return field->value;
    return type == WIRE_VARINT ? bytes_varint(at) : type == WIRE_FIXED32 ? bytes_u32(at) : bytes_u64(at);
}
