/* read_node: a NodeProto to a node, an initializer (Constant), or the nodes of the function that it calls.
 * Formats layer, part of the ONNX reader. */
#include <string.h>

#include "formats/onnx/store.h"
#include "formats/onnx/wire.h"

enum { INPUT = 1, OUTPUT = 2, NAME = 3, OP = 4, ATTRIBUTE = 5, DOMAIN = 7, OVERLOAD = 8 };

typedef struct counts {
    size_t inputs, outputs, attributes;
    bytes name, op, domain, overload;
} counts;

static segrt_status count(wire *w, counts *c)
{
    for (wire_field f; wire_next(w, &f);) {
        if ((f.number == INPUT || f.number == OUTPUT || (f.number >= NAME && f.number <= OVERLOAD && f.number != 6)) &&
            !wire_is(w, &f, WIRE_BYTES))
            break;
        switch (f.number) {
        case INPUT:
            c->inputs++;
            break;
        case OUTPUT:
            c->outputs++;
            break;
        case ATTRIBUTE:
            c->attributes++;
            break;
        case NAME:
            c->name = f.part;
            break;
        case OP:
            c->op = f.part;
            break;
        case DOMAIN:
            c->domain = f.part;
            break;
        case OVERLOAD:
            c->overload = f.part;
            break;
        default:
            break;
        }
    }
    if (w->failed)
        return wire_status(w);
    if (c->inputs > ONNX_NODE_SLOTS || c->outputs > ONNX_NODE_SLOTS || c->attributes > ONNX_NODE_ATTRIBUTES)
        return fail_at(w->error, SEGRT_UNSUPPORTED, wire_offset(w, w->rest.begin), "a node of %zu inputs, %zu outputs and %zu attributes",
                       c->inputs, c->outputs, c->attributes);
    if (!c->op.size)
        return fail_at(w->error, SEGRT_MALFORMED, wire_offset(w, w->rest.begin), "a node without an operator");
    return SEGRT_OK;
}

/* The version of the operator set that the node's domain is imported in. */
static segrt_status set_version(const onnx_scope *scope, onnx_node *node, segrt_error *error)
{
    for (int32_t i = 0; i < scope->opset_count; i++)
        if (!strcmp(scope->opsets[i].domain, node->domain)) {
            node->opset = (int32_t)scope->opsets[i].version;
            return SEGRT_OK;
        }
    /* Files in the wild forget to import the domains of extensions; ONNX's own has no sensible default. */
    node->opset = 1;
    return *node->domain
               ? SEGRT_OK
               : fail_at(error, SEGRT_MALFORMED, node->offset,
                         "node '%.80s' (%.40s): the file does not say which version of ONNX's operators it uses", node->name, node->op);
}

static segrt_status fill(onnx_store *s, const onnx_scope *scope, bytes message, const counts *c, onnx_node *node, segrt_error *error)
{
    int32_t *inputs = store_get(s, c->inputs, sizeof *inputs, "inputs of nodes", error);
    int32_t *outputs = store_get(s, c->outputs, sizeof *outputs, "outputs of nodes", error);
    onnx_attribute *attributes = store_get(s, c->attributes, sizeof *attributes, "attributes", error);
    if (!inputs || !outputs || !attributes)
        return error->status;
    node->inputs = inputs;
    node->outputs = outputs;
    node->attributes = attributes;
    wire w = wire_of(message, s->base, "NodeProto", error);
    segrt_status status = SEGRT_OK;
    for (wire_field f; !status && wire_next(&w, &f);) {
        if (f.number == INPUT || f.number == OUTPUT) {
            int32_t *slot = f.number == INPUT ? &inputs[node->input_count++] : &outputs[node->output_count++];
            *slot = -1;
            if (f.part.size)
                status = store_named(s, scope, f.part, slot, error);
        } else if (f.number == ATTRIBUTE) {
            bool absent;
            status = onnx_read_attribute(s, scope, f.part, &attributes[node->attribute_count], &absent, error);
            node->attribute_count += !absent;
        }
    }
    return status ? status : wire_status(&w);
}

/* A Constant's tensor, from whichever of its attributes. */
static segrt_status constant_of(onnx_store *s, const onnx_node *node, onnx_tensor **out, segrt_error *error)
{
    const onnx_attribute *a = node->attribute_count == 1 ? node->attributes : NULL;
    onnx_tensor *t = store_get(s, 1, sizeof *t, "constants", error);
    if (!t)
        return error->status;
    *t = (onnx_tensor){.count = 1, .offset = node->offset};
    *out = t;
    switch (a ? a->kind : 0) {
    case ONNX_ATTRIBUTE_TENSOR:
        *t = *a->tensor;
        return SEGRT_OK;
    case ONNX_ATTRIBUTE_FLOAT:
        t->type = ONNX_FLOAT;
        t->data = &a->f;
        return SEGRT_OK;
    case ONNX_ATTRIBUTE_INT:
        t->type = ONNX_INT64;
        t->data = &a->i;
        return SEGRT_OK;
    case ONNX_ATTRIBUTE_FLOATS:
    case ONNX_ATTRIBUTE_INTS:
        t->type = a->kind == ONNX_ATTRIBUTE_INTS ? ONNX_INT64 : ONNX_FLOAT;
        t->data = a->kind == ONNX_ATTRIBUTE_INTS ? (const void *)a->ints : (const void *)a->floats;
        t->shape = (onnx_shape){.rank = 1, .dims = {(int64_t)a->count}};
        t->count = a->count;
        return SEGRT_OK;
    default:
        return fail_at(error, SEGRT_UNSUPPORTED, node->offset,
                       "Constant '%.80s' has no value that is read (strings and sparse tensors are not)", node->name);
    }
}

static segrt_status set_constant(onnx_store *s, const onnx_node *node, segrt_error *error)
{
    onnx_tensor *t = NULL;
    segrt_status status = constant_of(s, node, &t, error);
    if (status)
        return status;
    if (node->output_count != 1 || node->outputs[0] < 0)
        return fail_at(error, SEGRT_MALFORMED, node->offset, "Constant '%.80s' has no output, or several", node->name);
    onnx_value *value = &s->values[node->outputs[0]];
    if (value->constant || value->is_input)
        return fail_at(error, SEGRT_MALFORMED, node->offset, "Constant '%.80s' makes '%.80s', which is made already", node->name,
                       value->name);
    t->name = value->name;
    value->constant = t;
    value->type = t->type;
    value->shape = t->shape;
    return SEGRT_OK;
}

segrt_status onnx_read_node(onnx_store *s, const onnx_scope *scope, bytes message, segrt_error *error)
{
    counts c = {0};
    onnx_node node = {.offset = store_offset(s, message.begin)};
    wire w = wire_of(message, s->base, "NodeProto", error);
    segrt_status status = count(&w, &c);
    if (!status)
        status = store_text(s, scope->prefix, c.name, &node.name, error);
    if (!status)
        status = store_text(s, NULL, c.op, &node.op, error);
    if (!status)
        status = store_text(s, NULL, c.domain, &node.domain, error);
    if (status)
        return status;
    if (!strcmp(node.domain, "ai.onnx"))
        node.domain = "";
    status = fill(s, scope, message, &c, &node, error);
    if (status)
        return status;
    bool called = false;
    if (s->function_count)
        status = onnx_inline_call(s, scope, &node, c.overload, &called, error);
    if (status || called)
        return status;
    if (onnx_node_is(&node, "Constant"))
        return set_constant(s, &node, error);
    status = set_version(scope, &node, error);
    const bool has_rules = !*node.domain || !strcmp(node.domain, "com.microsoft");
    for (int32_t a = 0; a < node.attribute_count && has_rules && !status; a++)
        status = onnx_check_attribute(&node.attributes[a], error);
    return status ? status : store_node(s, &node, error);
}
