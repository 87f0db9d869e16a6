/* store: see store.h. */
#include "formats/onnx/store.h"

#include <stdio.h>
#include <string.h>

void *store_get_data(onnx_store *s, size_t size, segrt_error *error)
{
    if (size > s->limits.memory - s->held) {
        fail_with(error, SEGRT_UNSUPPORTED, "the graph's constants need more than %zu bytes", s->limits.memory);
        return NULL;
    }
    void *memory = arena_get(&s->memory, 1, size);
    if (!memory)
        fail_memory(error, size, "a constant of the graph");
    else
        s->held += size;
    return memory;
}

void *store_get(onnx_store *s, size_t count, size_t size, const char *what, segrt_error *error)
{
    if (count > (ONNX_STRUCTURE_BYTES - s->structure) / size) {
        fail_with(error, SEGRT_UNSUPPORTED, "the graph is larger than any SegFormer: its %s pass %d MiB", what, ONNX_STRUCTURE_BYTES >> 20);
        return NULL;
    }
    void *memory = arena_get(&s->memory, count, size);
    if (!memory)
        fail_memory(error, count * size, what);
    else
        s->structure += count * size;
    return memory;
}

segrt_status store_grow(void **array, size_t *room, size_t count, size_t size, segrt_error *error)
{
    if (count < *room)
        return SEGRT_OK;
    const size_t bigger = *room ? *room * 2 : 64;
    void *memory = memory_get_array(bigger, size);
    if (!memory)
        return fail_memory(error, bigger * size, "the graph");
    if (*array)
        memcpy(memory, *array, count * size);
    memory_free(*array);
    *array = memory;
    *room = bigger;
    return SEGRT_OK;
}

segrt_status store_text(onnx_store *s, const char *prefix, bytes text, const char **out, segrt_error *error)
{
    *out = "";
    if (!text.size)
        return SEGRT_OK;
    if (text.size > ONNX_NAME_BYTES)
        return fail_at(error, SEGRT_MALFORMED, store_offset(s, text.begin), "a name of %zu bytes; at most %d are read", text.size, ONNX_NAME_BYTES);
    for (size_t i = 0; i < text.size; i++)
        if (text.begin[i] < 0x20 || text.begin[i] == 0x7f)
            return fail_at(error, SEGRT_MALFORMED, store_offset(s, text.begin + i), "a name holds the control character 0x%02x", text.begin[i]);
    const size_t before = prefix ? strlen(prefix) : 0;
    char *copy = store_get(s, before + text.size + 1, 1, "names", error);
    if (!copy)
        return error ? error->status : SEGRT_NO_MEMORY;
    if (before)
        memcpy(copy, prefix, before);
    memcpy(copy + before, text.begin, text.size);
    *out = copy;
    return SEGRT_OK;
}

segrt_status store_value(onnx_store *s, const char *name, int32_t *out, segrt_error *error)
{
    onnx_graph *g = &s->graph;
    if ((size_t)g->value_count >= s->limits.values)
        return fail_with(error, SEGRT_UNSUPPORTED, "the graph has more than %zu values", s->limits.values);
    segrt_status status = STORE_GROW(s->values, s->value_room, g->value_count, error);
    if (status)
        return status;
    s->values[g->value_count] = (onnx_value){.name = name, .shape.rank = ONNX_UNKNOWN, .producer = -1};
    *out = g->value_count++;
    g->values = s->values;
    return SEGRT_OK;
}

segrt_status store_bind(onnx_store *s, const onnx_scope *scope, bytes name, int32_t value, segrt_error *error)
{
    switch (names_add(&s->names, scope->id, (const char *)name.begin, name.size, value)) {
    case NAMES_OK: return SEGRT_OK;
    case NAMES_NO_MEMORY: return fail_memory(error, name.size, "the names of values");
    default: return fail_at(error, SEGRT_MALFORMED, store_offset(s, name.begin), "the file's names are made to collide");
    }
}

segrt_status store_named(onnx_store *s, const onnx_scope *scope, bytes name, int32_t *out, segrt_error *error)
{
    for (const onnx_scope *at = scope; at; at = at->outer) {
        *out = names_find(&s->names, at->id, (const char *)name.begin, name.size);
        if (*out != NAMES_NONE)
            return SEGRT_OK;
    }
    const char *text = "";
    segrt_status status = store_text(s, scope->prefix, name, &text, error);
    if (!status)
        status = store_value(s, text, out, error);
    return status ? status : store_bind(s, scope, name, *out, error);
}

segrt_status store_node(onnx_store *s, const onnx_node *node, segrt_error *error)
{
    onnx_graph *g = &s->graph;
    if ((size_t)g->node_count >= s->limits.nodes)
        return fail_at(error, SEGRT_UNSUPPORTED, node->offset, "the graph has more than %zu nodes, functions inlined", s->limits.nodes);
    segrt_status status = STORE_GROW(s->nodes, s->node_room, g->node_count, error);
    if (status)
        return status;
    s->nodes[g->node_count++] = *node;
    g->nodes = s->nodes;
    return SEGRT_OK;
}
