/* read_model: a ModelProto to an onnx_graph: the reader's entrance.  Formats layer.
 *
 *     read_model -> read_graph -> read_tensor, read_node -> read_attribute, functions -> order */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "formats/onnx/store.h"
#include "formats/onnx/wire.h"

enum { IR_VERSION = 1, PRODUCER_NAME = 2, PRODUCER_VERSION = 3, GRAPH = 7, OPSET_IMPORT = 8, METADATA = 14, FUNCTION = 25 };
enum { METADATA_BYTES = 4 << 20 };

segrt_status onnx_read_opset(onnx_store *s, bytes message, onnx_opset *out, segrt_error *error)
{
    *out = (onnx_opset){.domain = ""};
    bytes domain = {0};
    wire w = wire_of(message, s->base, "OperatorSetIdProto", error);
    for (wire_field f; wire_next(&w, &f);)
        if (f.number == 1 && wire_is(&w, &f, WIRE_BYTES))
            domain = f.part;
        else if (f.number == 2 && wire_is(&w, &f, WIRE_VARINT))
            out->version = (int64_t)f.value;
    if (w.failed)
        return wire_status(&w);
    if (out->version < 1 || out->version > INT32_MAX)
        return fail_at(error, SEGRT_MALFORMED, store_offset(s, message.begin), "operator set version %lld", (long long)out->version);
    segrt_status status = store_text(s, NULL, domain, &out->domain, error);
    if (!strcmp(out->domain, "ai.onnx"))
        out->domain = "";
    return status;
}

/* Metadata is free text (class names, YAML): only zeros are refused. */
static segrt_status read_free_text(onnx_store *s, bytes text, const char **out, segrt_error *error)
{
    if (text.size > METADATA_BYTES || (text.size && memchr(text.begin, 0, text.size)))
        return fail_at(error, SEGRT_UNSUPPORTED, store_offset(s, text.begin), "metadata that is binary or longer than %d bytes", METADATA_BYTES);
    char *copy = store_get(s, text.size + 1, 1, "metadata", error);
    if (!copy)
        return error->status;
    if (text.size)
        memcpy(copy, text.begin, text.size);
    *out = copy;
    return SEGRT_OK;
}

static segrt_status read_property(onnx_store *s, bytes message, segrt_error *error)
{
    onnx_graph *g = &s->graph;
    bytes key = {0}, text = {0};
    wire w = wire_of(message, s->base, "StringStringEntryProto", error);
    for (wire_field f; wire_next(&w, &f);)
        if ((f.number == 1 || f.number == 2) && wire_is(&w, &f, WIRE_BYTES))
            *(f.number == 1 ? &key : &text) = f.part;
    segrt_status status = wire_status(&w);
    if (!status)
        status = STORE_GROW(s->properties, s->property_room, g->property_count, error);
    if (!status)
        status = read_free_text(s, key, &s->properties[g->property_count].key, error);
    if (!status)
        status = read_free_text(s, text, &s->properties[g->property_count].text, error);
    g->property_count += !status;
    return status;
}

static segrt_status read_field(onnx_store *s, wire *w, const wire_field *f, bytes *graph, segrt_error *error)
{
    onnx_graph *g = &s->graph;
    if (f->number == IR_VERSION) {
        if (wire_is(w, f, WIRE_VARINT))
            g->ir_version = (int64_t)f->value;
        return wire_status(w);
    }
    if (!wire_is(w, f, WIRE_BYTES))
        return wire_status(w);
    segrt_status status = SEGRT_OK;
    switch (f->number) {
    case PRODUCER_NAME: return store_text(s, NULL, f->part, &g->producer_name, error);
    case PRODUCER_VERSION: return store_text(s, NULL, f->part, &g->producer_version, error);
    case METADATA: return read_property(s, f->part, error);
    case FUNCTION: return onnx_read_function(s, f->part, error);
    case OPSET_IMPORT:
        if (g->opset_count == ONNX_OPSETS)
            return fail_at(error, SEGRT_UNSUPPORTED, wire_offset(w, f->at), "more than %d operator sets are imported", ONNX_OPSETS);
        status = STORE_GROW(s->opsets, s->opset_room, g->opset_count, error);
        if (!status)
            status = onnx_read_opset(s, f->part, &s->opsets[g->opset_count], error);
        g->opset_count += !status;
        return status;
    default: /* GRAPH */
        if (graph->begin)
            return fail_at(error, SEGRT_MALFORMED, wire_offset(w, f->at), "the model has two graphs");
        *graph = f->part;
        return SEGRT_OK;
    }
}

static segrt_status read_model(onnx_store *s, bytes message, segrt_error *error)
{
    onnx_graph *g = &s->graph;
    bytes graph = {0};
    size_t count = 0;
    segrt_status status = SEGRT_OK;
    wire w = wire_of(message, s->base, "ModelProto", error);
    for (wire_field f; !status && wire_next(&w, &f);) {
        if (++count > s->limits.nodes)
            return fail_at(error, SEGRT_UNSUPPORTED, wire_offset(&w, f.at), "the model has more than %zu fields", s->limits.nodes);
        static const uint32_t wanted[] = {IR_VERSION, PRODUCER_NAME, PRODUCER_VERSION, GRAPH, OPSET_IMPORT, METADATA, FUNCTION};
        for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
            if (f.number == wanted[i])
                status = read_field(s, &w, &f, &graph, error);
    }
    status = status ? status : wire_status(&w);
    if (status)
        return status;
    if (!graph.begin)
        return fail_with(error, SEGRT_MALFORMED, "no graph in it: this is no ONNX model, or its end is missing");
    g->opsets = s->opsets;
    g->properties = s->properties;
    onnx_scope *scope = store_get(s, 1, sizeof *scope, "functions", error);
    if (!scope)
        return error->status;
    *scope = (onnx_scope){.opsets = s->opsets, .opset_count = g->opset_count};
    status = onnx_read_graph(s, scope, graph, error);
    return status ? status : store_finish(s, error);
}

segrt_status onnx_graph_open(onnx_graph **out, const file_map *file, const char *folder, const onnx_limits *limits, segrt_error *error)
{
    *out = NULL;
    segrt_error own = {0}; /* below here there always is one, so that helpers can hand on error->status */
    error = error ? error : &own;
    onnx_store *s = memory_get_cleared(1, sizeof *s);
    if (!s)
        return fail_memory(error, sizeof *s, "an ONNX graph");
    s->graph = (onnx_graph){.producer_name = "", .producer_version = "", .name = "", .store = s};
    s->limits = limits ? *limits : (onnx_limits){0};
    s->limits.nodes = s->limits.nodes ? s->limits.nodes : 200000;
    s->limits.values = s->limits.values ? s->limits.values : 800000;
    s->limits.memory = s->limits.memory ? s->limits.memory : (size_t)2 << 30;
    s->base = file->data;
    s->size = file->size;
    segrt_status status = SEGRT_OK;
    if (folder) {
        char real[PATH_MAX];
        folder = *folder ? folder : "."; /* a lone file name's */
        s->folder = memory_copy_text(realpath(folder, real) ? real : folder); /* a folder that is not there fails when a tensor wants it */
        if (!s->folder)
            status = fail_memory(error, strlen(folder), "a path");
    }
    if (!status)
        status = read_model(s, bytes_of(file->data, file->size), error);
    if (status)
        onnx_graph_close(&s->graph);
    else
        *out = &s->graph;
    return status;
}

void onnx_graph_close(onnx_graph *graph)
{
    if (!graph)
        return;
    onnx_store *s = graph->store;
    onnx_external_close(s);
    names_free(&s->names);
    memory_free(s->folder);
    memory_free(s->nodes);
    memory_free(s->values);
    memory_free(s->inputs);
    memory_free(s->outputs);
    memory_free(s->uses);
    memory_free(s->opsets);
    memory_free(s->properties);
    memory_free(s->functions);
    arena_free(&s->memory);
    memory_free(s);
}
