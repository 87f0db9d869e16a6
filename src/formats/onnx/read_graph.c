/* read_graph: a GraphProto's initializers, inputs and outputs, nodes and value_info.  Formats layer, part of
 * the ONNX reader. */
#include <string.h>

#include "formats/onnx/store.h"
#include "formats/onnx/wire.h"

enum { NODE = 1, NAME = 2, INITIALIZER = 5, INPUT = 11, OUTPUT = 12, VALUE_INFO = 13, SPARSE_INITIALIZER = 15 };

typedef struct value_info {
    bytes name;
    uint64_t type; /* 0: none is written */
    bool other;    /* a sequence, map or the like */
    onnx_shape shape;
    bytes symbols[ONNX_MAX_RANK];
    bool has_symbols;
} value_info;

static segrt_status read_dimension(wire *outer, bytes message, value_info *out)
{
    if (out->shape.rank == ONNX_MAX_RANK)
        return fail_at(outer->error, SEGRT_UNSUPPORTED, wire_offset(outer, message.begin), "a value of more than %d dimensions",
                       ONNX_MAX_RANK);
    int64_t dim = ONNX_UNKNOWN;
    wire w = wire_of(message, outer->base, "TensorShapeProto.Dimension", outer->error);
    for (wire_field f; wire_next(&w, &f);)
        if (f.number == 1 && wire_is(&w, &f, WIRE_VARINT)) {
            dim = (int64_t)f.value;
        } else if (f.number == 2 && wire_is(&w, &f, WIRE_BYTES)) {
            out->symbols[out->shape.rank] = f.part;
            out->has_symbols = out->has_symbols || f.part.size;
        }
    if (!w.failed && dim < ONNX_UNKNOWN)
        return fail_at(outer->error, SEGRT_MALFORMED, wire_offset(outer, message.begin), "a value has the negative dimension %lld",
                       (long long)dim);
    out->shape.dims[out->shape.rank++] = dim;
    return wire_status(&w);
}

/* TypeProto.Tensor: elem_type 1, shape 2 { dim 1 }. */
static segrt_status read_tensor_type(wire *outer, bytes message, value_info *out)
{
    segrt_status status = SEGRT_OK;
    wire w = wire_of(message, outer->base, "TypeProto.Tensor", outer->error);
    for (wire_field f; !status && wire_next(&w, &f);)
        if (f.number == 1 && wire_is(&w, &f, WIRE_VARINT)) {
            out->type = f.value;
        } else if (f.number == 2 && wire_is(&w, &f, WIRE_BYTES)) {
            wire shape = wire_of(f.part, outer->base, "TensorShapeProto", outer->error);
            out->shape.rank = 0;
            for (wire_field g; !status && wire_next(&shape, &g);)
                if (g.number == 1 && wire_is(&shape, &g, WIRE_BYTES))
                    status = read_dimension(outer, g.part, out);
            status = status ? status : wire_status(&shape);
        }
    return status ? status : wire_status(&w);
}

/* ValueInfoProto: name 1, type 2 { tensor_type 1 }. */
static segrt_status read_value_info(onnx_store *s, bytes message, value_info *out, segrt_error *error)
{
    *out = (value_info){.shape.rank = ONNX_UNKNOWN};
    segrt_status status = SEGRT_OK;
    wire w = wire_of(message, s->base, "ValueInfoProto", error);
    for (wire_field f; !status && wire_next(&w, &f);)
        if (f.number == 1 && wire_is(&w, &f, WIRE_BYTES)) {
            out->name = f.part;
        } else if (f.number == 2 && wire_is(&w, &f, WIRE_BYTES)) {
            wire type = wire_of(f.part, s->base, "TypeProto", error);
            for (wire_field g; !status && wire_next(&type, &g);)
                if (g.number == 1 && wire_is(&type, &g, WIRE_BYTES))
                    status = read_tensor_type(&w, g.part, out);
                else
                    out->other = out->other || (g.number != 1 && g.type == WIRE_BYTES && g.number != 6); /* 6: a denotation */
            status = status ? status : wire_status(&type);
        }
    return status ? status : wire_status(&w);
}

static segrt_status declare(onnx_store *s, onnx_value *value, const value_info *info, segrt_error *error)
{
    value->type = onnx_type_bytes((onnx_type)(info->type & 31)) && info->type < 32 ? (onnx_type)info->type : ONNX_NO_TYPE;
    value->shape = info->shape;
    if (!info->has_symbols)
        return SEGRT_OK;
    const char **symbols = store_get(s, (size_t)info->shape.rank, sizeof *symbols, "names of dimensions", error);
    if (!symbols)
        return error->status;
    for (int32_t d = 0; d < info->shape.rank; d++)
        if (info->symbols[d].size) {
            segrt_status status = store_text(s, NULL, info->symbols[d], &symbols[d], error);
            if (status)
                return status;
        }
    value->symbols = symbols;
    return SEGRT_OK;
}

static segrt_status read_initializer(onnx_store *s, const onnx_scope *scope, bytes message, segrt_error *error)
{
    bytes name = {0};
    onnx_tensor *tensor = store_get(s, 1, sizeof *tensor, "initializers", error);
    if (!tensor)
        return error->status;
    segrt_status status = onnx_read_tensor(s, message, tensor, &name, error);
    if (status)
        return status;
    if (!name.size)
        return fail_at(error, SEGRT_MALFORMED, tensor->offset, "an initializer without a name");
    if (names_find(&s->names, scope->id, (const char *)name.begin, name.size) != NAMES_NONE)
        return fail_at(error, SEGRT_MALFORMED, tensor->offset, "the initializer '%.*s' is there twice",
                       (int)(name.size < 80 ? name.size : 80), (const char *)name.begin);
    int32_t index = -1;
    status = store_named(s, scope, name, &index, error);
    if (status)
        return status;
    tensor->name = s->values[index].name;
    s->values[index].constant = tensor;
    s->values[index].type = tensor->type;
    s->values[index].shape = tensor->shape;
    return SEGRT_OK;
}

static segrt_status read_port(onnx_store *s, const onnx_scope *scope, bytes message, bool is_input, segrt_error *error)
{
    onnx_graph *g = &s->graph;
    value_info info;
    int32_t index = -1;
    segrt_status status = read_value_info(s, message, &info, error);
    if (status)
        return status;
    const uint64_t at = store_offset(s, message.begin);
    if (!info.name.size)
        return fail_at(error, SEGRT_MALFORMED, at, "an input or output of the graph without a name");
    if (info.other && !info.type)
        return fail_at(error, SEGRT_UNSUPPORTED, at, "'%.*s', an input or output of the graph, is no tensor",
                       (int)(info.name.size < 80 ? info.name.size : 80), (const char *)info.name.begin);
    status = store_named(s, scope, info.name, &index, error);
    if (status)
        return status;
    onnx_value *value = &s->values[index];
    if (is_input ? value->is_input : value->is_output)
        return fail_at(error, SEGRT_MALFORMED, at, "the graph has the %s '%.80s' twice", is_input ? "input" : "output", value->name);
    if (is_input && value->constant)
        return SEGRT_OK; /* before IR version 4, initializers are inputs too */
    if (!value->constant && !value->is_input)
        status = declare(s, value, &info, error);
    if (status)
        return status;
    if (is_input) {
        value->is_input = true;
        status = STORE_GROW(s->inputs, s->input_room, g->input_count, error);
        if (!status)
            s->inputs[g->input_count++] = index;
    } else {
        value->is_output = true;
        status = STORE_GROW(s->outputs, s->output_room, g->output_count, error);
        if (!status)
            s->outputs[g->output_count++] = index;
    }
    return status;
}

static segrt_status read_declaration(onnx_store *s, const onnx_scope *scope, bytes message, segrt_error *error)
{
    value_info info;
    segrt_status status = read_value_info(s, message, &info, error);
    const int32_t index = status ? NAMES_NONE : names_find(&s->names, scope->id, (const char *)info.name.begin, info.name.size);
    if (index < 0 || s->values[index].constant || s->values[index].is_input || s->values[index].is_output)
        return status;
    return declare(s, &s->values[index], &info, error);
}

/* A look over the fields before anything is stored: too many of them end here, in the time that it takes to
 * count to the limit. */
static segrt_status survey(onnx_store *s, const onnx_scope *scope, bytes message, segrt_error *error)
{
    size_t nodes = 0, others = 0;
    wire w = wire_of(message, s->base, "GraphProto", error);
    for (wire_field f; wire_next(&w, &f);) {
        if (f.number == SPARSE_INITIALIZER)
            return fail_at(error, SEGRT_UNSUPPORTED, wire_offset(&w, f.at), "sparse initializers");
        if (f.number != NAME && (f.number <= VALUE_INFO && f.number != 10) && f.number != 3 && f.number != 4 &&
            !wire_is(&w, &f, WIRE_BYTES))
            break;
        nodes += f.number == NODE;
        others += f.number != NODE;
        if (nodes > s->limits.nodes)
            return fail_at(error, SEGRT_UNSUPPORTED, wire_offset(&w, f.at), "the graph has more than %zu nodes", s->limits.nodes);
        if (others > 2 * s->limits.values)
            return fail_at(error, SEGRT_UNSUPPORTED, wire_offset(&w, f.at), "the graph has more than %zu values", s->limits.values);
        if (f.number == NAME && scope->id == 0 && wire_is(&w, &f, WIRE_BYTES)) {
            segrt_status status = store_text(s, NULL, f.part, &s->graph.name, error);
            if (status)
                return status;
        }
    }
    return wire_status(&w);
}

segrt_status onnx_read_graph(onnx_store *s, const onnx_scope *scope, bytes message, segrt_error *error)
{
    /* The order of fields in a file is free; names must mean constants and inputs before nodes use them. */
    static const uint32_t passes[] = {INITIALIZER, INPUT, NODE, OUTPUT, VALUE_INFO};
    segrt_status status = survey(s, scope, message, error);
    for (size_t pass = 0; pass < sizeof passes / sizeof *passes && !status; pass++) {
        const uint32_t wanted = passes[pass];
        if (scope->id != 0 && (wanted == INPUT || wanted == OUTPUT))
            continue;
        wire w = wire_of(message, s->base, "GraphProto", error);
        for (wire_field f; !status && wire_next(&w, &f);) {
            if (f.number != wanted)
                continue;
            if (wanted == INITIALIZER)
                status = read_initializer(s, scope, f.part, error);
            else if (wanted == NODE)
                status = onnx_read_node(s, scope, f.part, error);
            else if (wanted == VALUE_INFO)
                status = read_declaration(s, scope, f.part, error);
            else
                status = read_port(s, scope, f.part, wanted == INPUT, error);
        }
        status = status ? status : wire_status(&w);
    }
    return status;
}
