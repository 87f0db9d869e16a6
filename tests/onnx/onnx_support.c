/* onnx_support: see onnx_support.h. */
#include "onnx_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "npy_support.h"

void message_free(message *m)
{
    free(m->data);
    *m = (message){0};
}

static void append(message *m, const void *data, size_t size)
{
    if (m->size + size > m->room) {
        m->room = (m->size + size) * 2 + 64;
        m->data = realloc(m->data, m->room);
        if (!m->data)
            abort();
    }
    if (size)
        memcpy(m->data + m->size, data, size);
    m->size += size;
}

static void raw_varint(message *m, uint64_t value)
{
    do {
        const uint8_t byte = (uint8_t)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
        append(m, &byte, 1);
        value >>= 7;
    } while (value);
}

void put_varint(message *m, uint32_t field, uint64_t value)
{
    raw_varint(m, (uint64_t)field << 3);
    raw_varint(m, value);
}

void put_fixed32(message *m, uint32_t field, uint32_t bits)
{
    raw_varint(m, (uint64_t)field << 3 | 5);
    append(m, &bits, 4);
}

void put_float(message *m, uint32_t field, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, 4);
    put_fixed32(m, field, bits);
}

void put_bytes(message *m, uint32_t field, const void *data, size_t size)
{
    raw_varint(m, (uint64_t)field << 3 | 2);
    raw_varint(m, size);
    append(m, data, size);
}

void put_text(message *m, uint32_t field, const char *text) { put_bytes(m, field, text, strlen(text)); }

void put_message(message *m, uint32_t field, message part)
{
    put_bytes(m, field, part.data, part.size);
    message_free(&part);
}

message make_tensor(const char *name, onnx_type type, int rank, const int64_t *dims, const void *data, size_t size)
{
    message m = {0};
    for (int d = 0; d < rank; d++)
        put_varint(&m, 1, (uint64_t)dims[d]);
    put_varint(&m, 2, (uint64_t)type);
    if (name)
        put_text(&m, 8, name);
    put_bytes(&m, 9, data, size);
    return m;
}

static void put_names(message *m, uint32_t field, const char *names)
{
    while (*names) {
        const size_t length = strcspn(names, " ");
        put_bytes(m, field, names, length == 1 && *names == '-' ? 0 : length);
        names += length + (names[length] == ' ');
    }
}

message make_node(const char *op, const char *inputs, const char *outputs)
{
    message m = {0};
    put_names(&m, 1, inputs);
    put_names(&m, 2, outputs);
    put_text(&m, 4, op);
    return m;
}

static message attribute(const char *name, uint64_t kind)
{
    message a = {0};
    put_text(&a, 1, name);
    put_varint(&a, 20, kind);
    return a;
}

void put_attribute_int(message *node, const char *name, int64_t value)
{
    message a = attribute(name, 2);
    put_varint(&a, 3, (uint64_t)value);
    put_message(node, 5, a);
}

void put_attribute_float(message *node, const char *name, float value)
{
    message a = attribute(name, 1);
    put_float(&a, 2, value);
    put_message(node, 5, a);
}

void put_attribute_text(message *node, const char *name, const char *value)
{
    message a = attribute(name, 3);
    put_text(&a, 4, value);
    put_message(node, 5, a);
}

void put_attribute_ints(message *node, const char *name, size_t count, const int64_t *values)
{
    message a = attribute(name, 7);
    for (size_t i = 0; i < count; i++)
        put_varint(&a, 8, (uint64_t)values[i]);
    put_message(node, 5, a);
}

void put_attribute_tensor(message *node, const char *name, message tensor)
{
    message a = attribute(name, 4);
    put_message(&a, 5, tensor);
    put_message(node, 5, a);
}

message make_value(const char *name, onnx_type type, int rank, const int64_t *dims)
{
    message shape = {0}, tensor = {0}, typed = {0}, value = {0};
    for (int d = 0; d < rank; d++) {
        message dim = {0};
        if (dims[d] < 0)
            put_text(&dim, 2, "n");
        else
            put_varint(&dim, 1, (uint64_t)dims[d]);
        put_message(&shape, 1, dim);
    }
    put_varint(&tensor, 1, (uint64_t)type);
    put_message(&tensor, 2, shape);
    put_message(&typed, 1, tensor);
    put_text(&value, 1, name);
    put_message(&value, 2, typed);
    return value;
}

message make_model(message graph, int64_t opset)
{
    message model = {0};
    put_varint(&model, 1, 8);
    put_text(&model, 2, "test");
    put_message(&model, 7, graph);
    if (opset) {
        message import = {0};
        put_text(&import, 1, "");
        put_varint(&import, 2, (uint64_t)opset);
        put_message(&model, 8, import);
    }
    return model;
}

/* --- NumPy ------------------------------------------------------------------------------------ */

bool file_exists(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (f)
        fclose(f);
    return f != NULL;
}

bool numbers_load(numbers *out, const char *path)
{
    *out = (numbers){0};
    if (!file_exists(path))
        return false;
    npy array = npy_read(path);
    out->rank = array.rank;
    out->count = array.count;
    out->data = malloc((array.count ? array.count : 1) * sizeof *out->data);
    for (int d = 0; d < array.rank; d++)
        out->dims[d] = (int64_t)array.shape[d];
    for (size_t n = 0; n < array.count; n++)
        out->data[n] = !strcmp(array.type, "<f4")   ? (double)array.f32[n]
                       : !strcmp(array.type, "<f8") ? array.f64[n]
                       : !strcmp(array.type, "|u1") ? (double)array.u8[n]
                                                    : (double)array.i64[n];
    npy_free(&array);
    return true;
}
