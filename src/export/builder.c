/* builder: see builder.h.  Field numbers are those of onnx.proto. */
#include "export/builder.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { NODE_INPUT = 1, NODE_OUTPUT = 2, NODE_NAME = 3, NODE_OP = 4, NODE_ATTRIBUTE = 5 };
enum { ATTRIBUTE_NAME = 1, ATTRIBUTE_F = 2, ATTRIBUTE_I = 3, ATTRIBUTE_S = 4, ATTRIBUTE_INTS = 8, ATTRIBUTE_TYPE = 20 };
enum { KIND_FLOAT = 1, KIND_INT = 2, KIND_STRING = 3, KIND_INTS = 7 };
enum { GRAPH_NODE = 1 };
enum { INFO_NAME = 1, INFO_TYPE = 2, TYPE_TENSOR = 1, TENSOR_TYPE = 1, TENSOR_SHAPE = 2, SHAPE_DIM = 1, DIM_VALUE = 1, DIM_SYMBOL = 2 };

static void out_of_memory(builder *b)
{
    fail_memory(&b->failure, 0, "the ONNX graph");
}

void builder_open(builder *b, int opset, int float_type)
{
    *b = (builder){.opset = opset, .float_type = float_type};
}

void builder_close(builder *b)
{
    proto *const parts[] = {&b->nodes, &b->inputs, &b->outputs, &b->properties, &b->node, &b->attributes, &b->scratch};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        proto_free(parts[i]);
    arena_free(&b->memory);
}

const char *builder_name(builder *b, const char *format, ...)
{
    char text[160];
    va_list arguments;
    va_start(arguments, format);
    const int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    const char *name = length > 0 && (size_t)length < sizeof text ? arena_copy_text(&b->memory, text, (size_t)length) : NULL;
    if (!name)
        out_of_memory(b);
    return name ? name : "";
}

/* ----------------------------------------------------------------------------------------- nodes */

void builder_begin(builder *b, const char *op, const char *name, const char *const *inputs)
{
    b->node.size = b->attributes.size = 0;
    b->node_name = name;
    for (; *inputs; inputs++)
        proto_text(&b->node, NODE_INPUT, *inputs);
    proto_text(&b->node, NODE_OUTPUT, name);
    proto_text(&b->node, NODE_NAME, name);
    proto_text(&b->node, NODE_OP, op);
}

static void attribute_begin(builder *b, const char *name)
{
    b->scratch.size = 0;
    proto_text(&b->scratch, ATTRIBUTE_NAME, name);
}

static void attribute_end(builder *b, int kind)
{
    proto_int(&b->scratch, ATTRIBUTE_TYPE, kind);
    proto_message(&b->attributes, NODE_ATTRIBUTE, &b->scratch);
}

void builder_int(builder *b, const char *attribute, int64_t value)
{
    attribute_begin(b, attribute);
    proto_int(&b->scratch, ATTRIBUTE_I, value);
    attribute_end(b, KIND_INT);
}

void builder_ints(builder *b, const char *attribute, int count, const int64_t *values)
{
    attribute_begin(b, attribute);
    for (int i = 0; i < count; i++)
        proto_int(&b->scratch, ATTRIBUTE_INTS, values[i]);
    attribute_end(b, KIND_INTS);
}

void builder_float_attribute(builder *b, const char *attribute, float value)
{
    attribute_begin(b, attribute);
    proto_float(&b->scratch, ATTRIBUTE_F, value);
    attribute_end(b, KIND_FLOAT);
}

void builder_text(builder *b, const char *attribute, const char *value)
{
    attribute_begin(b, attribute);
    proto_text(&b->scratch, ATTRIBUTE_S, value);
    attribute_end(b, KIND_STRING);
}

const char *builder_end(builder *b)
{
    proto_append(&b->node, b->attributes.data, b->attributes.size);
    b->node.broken |= b->attributes.broken | b->scratch.broken;
    proto_message(&b->nodes, GRAPH_NODE, &b->node);
    return b->node_name;
}

const char *builder_node(builder *b, const char *op, const char *name, const char *const *inputs)
{
    builder_begin(b, op, name, inputs);
    return builder_end(b);
}

/* ------------------------------------------------------------------------------------- constants */

/* The constant of this name, made where there is none; NULL where it stood already or memory ran out. */
static builder_constant *constant_of(builder *b, const char *name, int type, int rank, const int64_t *dims)
{
    for (const builder_constant *c = b->constants; c; c = c->next)
        if (strcmp(c->name, name) == 0)
            return NULL;
    builder_constant *c = arena_get(&b->memory, 1, sizeof *c);
    if (!c) {
        out_of_memory(b);
        return NULL;
    }
    *c = (builder_constant){.name = name, .type = type, .rank = rank, .count = 1};
    for (int i = 0; i < rank; i++) {
        c->dims[i] = dims[i];
        c->count *= (size_t)dims[i];
    }
    if (b->last)
        b->last->next = c;
    else
        b->constants = c;
    b->last = c;
    return c;
}

const char *builder_weights(builder *b, const char *name, const float *data, int rank, const int64_t *dims)
{
    builder_constant *c = constant_of(b, name, b->float_type, rank, dims);
    if (c)
        c->floats = data;
    return name;
}

const char *builder_transposed(builder *b, const char *name, const float *data, int out, int in)
{
    builder_constant *c = constant_of(b, name, b->float_type, 2, (const int64_t[]){in, out});
    if (c) {
        c->floats = data;
        c->transposed = 1;
    }
    return name;
}

static const char *copied_floats(builder *b, const char *name, int type, int rank, int count, const float *data)
{
    builder_constant *c = constant_of(b, name, type, rank, (const int64_t[]){count});
    if (!c)
        return name;
    float *copy = arena_get(&b->memory, (size_t)count + 1, sizeof *copy);
    if (!copy) {
        out_of_memory(b);
        return name;
    }
    if (count)
        memcpy(copy, data, (size_t)count * sizeof *copy);
    c->floats = copy;
    return name;
}

const char *builder_scalar(builder *b, const char *name, double value)
{
    return copied_floats(b, name, b->float_type, 0, 1, &(float){(float)value});
}

const char *builder_float32(builder *b, const char *name, int count, const float *data)
{
    return copied_floats(b, name, BUILDER_FLOAT, 1, count, data);
}

const char *builder_integers(builder *b, const char *name, int count, const int64_t *values)
{
    builder_constant *c = constant_of(b, name, BUILDER_INT64, 1, (const int64_t[]){count});
    if (!c)
        return name;
    int64_t *copy = arena_get(&b->memory, (size_t)count + 1, sizeof *copy);
    if (!copy) {
        out_of_memory(b);
        return name;
    }
    memcpy(copy, values, (size_t)count * sizeof *copy);
    c->ints = copy;
    return name;
}

/* ---------------------------------------------------------------------------- inputs and outputs */

static void value_info(builder *b, proto *to, int field, const char *name, int type, int rank, const int64_t *dims,
                       const char *const *symbols)
{
    proto shape = {0}, tensor = {0}, wrapped = {0}, info = {0}, dim = {0};
    for (int i = 0; i < rank; i++) {
        dim.size = 0;
        if (dims[i] > 0)
            proto_int(&dim, DIM_VALUE, dims[i]);
        else
            proto_text(&dim, DIM_SYMBOL, symbols[i]);
        proto_message(&shape, SHAPE_DIM, &dim);
    }
    proto_int(&tensor, TENSOR_TYPE, type);
    proto_message(&tensor, TENSOR_SHAPE, &shape);
    proto_message(&wrapped, TYPE_TENSOR, &tensor);
    proto_text(&info, INFO_NAME, name);
    proto_message(&info, INFO_TYPE, &wrapped);
    proto_message(to, field, &info);
    if (to->broken)
        out_of_memory(b);
    proto *const parts[] = {&shape, &tensor, &wrapped, &info, &dim};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        proto_free(parts[i]);
}

enum { GRAPH_INPUT = 11, GRAPH_OUTPUT = 12 };

void builder_input(builder *b, const char *name, int type, int rank, const int64_t *dims, const char *const *symbols)
{
    value_info(b, &b->inputs, GRAPH_INPUT, name, type, rank, dims, symbols);
}

void builder_output(builder *b, const char *name, int type, int rank, const int64_t *dims, const char *const *symbols)
{
    value_info(b, &b->outputs, GRAPH_OUTPUT, name, type, rank, dims, symbols);
}

void builder_property(builder *b, const char *key, const char *text)
{
    enum { MODEL_METADATA = 14, ENTRY_KEY = 1, ENTRY_VALUE = 2 };
    proto entry = {0};
    proto_text(&entry, ENTRY_KEY, key);
    proto_text(&entry, ENTRY_VALUE, text);
    proto_message(&b->properties, MODEL_METADATA, &entry);
    proto_free(&entry);
}
