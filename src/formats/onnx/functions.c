/* functions: calls of model-local functions are replaced by their bodies, an If by one of its branches.
 * Formats layer, part of the ONNX reader.  Depth and size are capped: functions that call each other without
 * end, or double at each level, are refused. */
#include <stdio.h>
#include <string.h>

#include "formats/onnx/store.h"
#include "formats/onnx/wire.h"

enum { NAME = 1, INPUT = 4, OUTPUT = 5, NODE = 7, OPSET = 9, DOMAIN = 10, DEFAULT = 11, OVERLOAD = 13 };
enum { FUNCTIONS = 4096, FUNCTION_SCOPE = -1 /* of names: functions by "domain\1name\1overload" */ };

struct onnx_function {
    bytes message;
    const onnx_opset *opsets;
    const onnx_attribute *defaults;
    int32_t opset_count, default_count;
};

/* The key under which a function is found; NULL and an error where memory ends. */
static const char *key_of(onnx_store *s, bytes domain, bytes name, bytes overload, size_t *length, segrt_error *error)
{
    const bytes parts[3] = {domain, name, overload};
    *length = domain.size + name.size + overload.size + 2;
    char *key = store_get(s, *length + 1, 1, "functions", error);
    size_t at = 0;
    for (int i = 0; key && i < 3; i++) {
        if (parts[i].size)
            memcpy(key + at, parts[i].begin, parts[i].size);
        at += parts[i].size + 1;
        if (i < 2)
            key[at - 1] = '\1';
    }
    return key;
}

segrt_status onnx_read_function(onnx_store *s, bytes message, segrt_error *error)
{
    struct onnx_function function = {.message = message};
    bytes name = {0}, domain = {0}, overload = {0};
    size_t opsets = 0, defaults = 0;
    wire w = wire_of(message, s->base, "FunctionProto", error);
    for (wire_field f; wire_next(&w, &f);) {
        const bool is_text = f.number == NAME || f.number == DOMAIN || f.number == OVERLOAD || f.number == OPSET || f.number == DEFAULT;
        if (is_text && !wire_is(&w, &f, WIRE_BYTES))
            break;
        if (f.number == NAME)
            name = f.part;
        else if (f.number == DOMAIN)
            domain = f.part;
        else if (f.number == OVERLOAD)
            overload = f.part;
        opsets += f.number == OPSET;
        defaults += f.number == DEFAULT;
    }
    if (w.failed)
        return wire_status(&w);
    if (opsets > ONNX_OPSETS || defaults > ONNX_NODE_ATTRIBUTES)
        return fail_at(error, SEGRT_UNSUPPORTED, store_offset(s, message.begin), "a function of %zu imports and %zu attributes", opsets, defaults);
    if (s->function_count == FUNCTIONS)
        return fail_at(error, SEGRT_UNSUPPORTED, store_offset(s, message.begin), "more than %d functions", FUNCTIONS);
    segrt_status status = STORE_GROW(s->functions, s->function_room, s->function_count, error);
    onnx_opset *opset = status ? NULL : store_get(s, opsets, sizeof *opset, "functions", error);
    onnx_attribute *attributes = opset ? store_get(s, defaults, sizeof *attributes, "functions", error) : NULL;
    if (!attributes)
        return error->status;
    function.opsets = opset;
    function.defaults = attributes;
    const onnx_scope nowhere = {0};
    w = wire_of(message, s->base, "FunctionProto", error);
    for (wire_field f; !status && wire_next(&w, &f);) {
        bool absent;
        if (f.number == OPSET)
            status = onnx_read_opset(s, f.part, &opset[function.opset_count++], error);
        else if (f.number == DEFAULT)
            status = onnx_read_attribute(s, &nowhere, f.part, &attributes[function.default_count++], &absent, error);
    }
    size_t length = 0;
    const char *key = status ? NULL : key_of(s, domain, name, overload, &length, error);
    if (!key)
        return error->status;
    if (names_find(&s->names, (uint32_t)FUNCTION_SCOPE, key, length) != NAMES_NONE)
        return fail_at(error, SEGRT_MALFORMED, store_offset(s, message.begin), "the function '%.*s' is there twice", (int)(name.size < 80 ? name.size : 80),
                       (const char *)name.begin);
    s->functions[s->function_count] = function;
    const onnx_scope functions = {.id = (uint32_t)FUNCTION_SCOPE};
    return store_bind(s, &functions, bytes_of(key, length), s->function_count++, error);
}

static segrt_status add_identity(onnx_store *s, const onnx_scope *scope, const onnx_node *at, int32_t from, int32_t to, segrt_error *error)
{
    int32_t *slots = store_get(s, 2, sizeof *slots, "inputs of nodes", error);
    if (!slots)
        return error->status;
    slots[0] = from;
    slots[1] = to;
    int32_t version = 1;
    for (int32_t i = 0; i < scope->opset_count; i++)
        version = scope->opsets[i].domain[0] ? version : (int32_t)scope->opsets[i].version;
    return store_node(s, &(onnx_node){.op = "Identity", .domain = "", .name = at->name, .opset = version, .offset = at->offset, .inputs = slots,
                                      .input_count = from >= 0, .outputs = slots + 1, .output_count = 1}, error);
}

static segrt_status open_scope(onnx_store *s, const onnx_scope *outer, const char *name, bytes body, uint64_t at, onnx_scope **out, segrt_error *error)
{
    if (body.size > ONNX_BODY_BYTES - s->bodies)
        return fail_at(error, SEGRT_UNSUPPORTED, at, "'%.80s': functions and branches pass %d MiB when inlined", name, ONNX_BODY_BYTES >> 20);
    s->bodies += body.size;
    if (outer->depth >= ONNX_CALL_DEPTH)
        return fail_at(error, SEGRT_MALFORMED, at, "'%.80s' is nested %d deep, or calls itself", name, ONNX_CALL_DEPTH);
    const size_t length = strlen(name) + 2;
    if (length > ONNX_NAME_BYTES)
        return fail_at(error, SEGRT_UNSUPPORTED, at, "names of nested functions pass %d bytes", ONNX_NAME_BYTES);
    char *prefix = store_get(s, length, 1, "names", error);
    if (!prefix)
        return error->status;
    snprintf(prefix, length, "%s/", name);
    *out = store_get(s, 1, sizeof **out, "functions", error);
    if (!*out)
        return error->status;
    **out = (onnx_scope){.id = ++s->scopes, .depth = outer->depth + 1, .prefix = prefix};
    return SEGRT_OK;
}

/* Binds the body's inputs to the call's, then its outputs.  An output that is one of the inputs at once gets
 * an Identity. */
static segrt_status bind(onnx_store *s, onnx_scope *scope, bytes message, const onnx_node *call, segrt_error *error)
{
    segrt_status status = SEGRT_OK;
    for (uint32_t wanted = INPUT; wanted <= OUTPUT; wanted++) {
        wire w = wire_of(message, s->base, "FunctionProto", error);
        int32_t slot = 0;
        for (wire_field f; !status && wire_next(&w, &f);) {
            if (f.number != wanted || !wire_is(&w, &f, WIRE_BYTES))
                continue;
            const int32_t have = wanted == INPUT ? call->input_count : call->output_count;
            const int32_t *slots = wanted == INPUT ? call->inputs : call->outputs;
            const int32_t value = slot < have ? slots[slot] : -1;
            slot++;
            const int32_t bound = names_find(&s->names, scope->id, (const char *)f.part.begin, f.part.size);
            if (wanted == INPUT && bound != NAMES_NONE)
                status = fail_at(error, SEGRT_MALFORMED, wire_offset(&w, f.at), "a function has an input twice");
            else if (wanted == INPUT)
                status = store_bind(s, scope, f.part, value, error);
            else if (value >= 0 && bound != NAMES_NONE)
                status = add_identity(s, scope, call, bound, value, error);
            else if (value >= 0)
                status = store_bind(s, scope, f.part, value, error);
        }
        if (!status)
            status = wire_status(&w);
        const int32_t given = wanted == INPUT ? call->input_count : call->output_count;
        if (!status && given > slot)
            status = fail_at(error, SEGRT_MALFORMED, call->offset, "'%.80s' calls '%.80s' with %d %s, but it has %d", call->name, call->op, (int)given,
                             wanted == INPUT ? "inputs" : "outputs", (int)slot);
    }
    return status;
}

segrt_status onnx_inline_call(onnx_store *s, const onnx_scope *scope, const onnx_node *call, bytes overload, bool *called, segrt_error *error)
{
    size_t length = 0;
    const char *key = key_of(s, bytes_of(call->domain, strlen(call->domain)), bytes_of(call->op, strlen(call->op)), overload, &length, error);
    if (!key)
        return error->status;
    const int32_t index = names_find(&s->names, (uint32_t)FUNCTION_SCOPE, key, length);
    *called = index != NAMES_NONE;
    if (!*called)
        return SEGRT_OK;
    const struct onnx_function function = s->functions[index];
    onnx_scope *body = NULL;
    onnx_node *kept = store_get(s, 1, sizeof *kept, "functions", error);
    if (!kept)
        return error->status;
    *kept = *call;
    segrt_status status = open_scope(s, scope, *call->name ? call->name : call->op, function.message, call->offset, &body, error);
    if (status)
        return status;
    body->opsets = function.opsets;
    body->opset_count = function.opset_count;
    body->call = kept;
    body->defaults = function.defaults;
    body->default_count = function.default_count;
    status = bind(s, body, function.message, call, error);
    wire w = wire_of(function.message, s->base, "FunctionProto", error);
    for (wire_field f; !status && wire_next(&w, &f);)
        if (f.number == NODE && wire_is(&w, &f, WIRE_BYTES))
            status = onnx_read_node(s, body, f.part, error);
    return status ? status : wire_status(&w);
}

segrt_status onnx_read_branch(onnx_store *s, const struct onnx_subgraph *branch, const onnx_node *node, segrt_error *error)
{
    enum { GRAPH_OUTPUT = 12 };
    onnx_scope *scope = NULL;
    segrt_status status = open_scope(s, branch->scope, *node->name ? node->name : node->op, branch->message, node->offset, &scope, error);
    if (status)
        return status;
    scope->outer = branch->scope;
    scope->opsets = branch->scope->opsets;
    scope->opset_count = branch->scope->opset_count;
    status = onnx_read_graph(s, scope, branch->message, error);
    wire w = wire_of(branch->message, s->base, "GraphProto", error);
    int32_t slot = 0;
    for (wire_field f; !status && wire_next(&w, &f);) {
        if (f.number != GRAPH_OUTPUT || !wire_is(&w, &f, WIRE_BYTES))
            continue;
        bytes name = {0};
        wire info = wire_of(f.part, s->base, "ValueInfoProto", error);
        for (wire_field g; wire_next(&info, &g);)
            if (g.number == 1 && wire_is(&info, &g, WIRE_BYTES))
                name = g.part;
        int32_t from = -1;
        status = wire_status(&info);
        if (!status && slot < node->output_count && node->outputs[slot] >= 0) {
            status = store_named(s, scope, name, &from, error);
            if (!status)
                status = add_identity(s, scope, node, from, node->outputs[slot], error);
        }
        slot++;
    }
    if (!status)
        status = wire_status(&w);
    return status || slot >= node->output_count ? status : fail_at(error, SEGRT_MALFORMED, node->offset, "a branch of '%.80s' has too few outputs", node->name);
}
