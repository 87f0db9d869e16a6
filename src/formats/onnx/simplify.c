/* simplify: removes nodes that do nothing.  Formats layer; see graph.h. */
#include <string.h>

#include "formats/onnx/op.h"
#include "formats/onnx/store.h"

typedef struct context {
    const onnx_graph *g;
    const onnx_node *node;
} context;

static bool same_shape(const context *c)
{
    const onnx_shape *a = &c->g->values[c->node->inputs[0]].shape, *b = &c->g->values[c->node->outputs[0]].shape;
    return shape_known(a) && a->rank == b->rank && !memcmp(a->dims, b->dims, (size_t)a->rank * sizeof *a->dims);
}

static bool always(const context *c)
{
    (void)c;
    return true;
}

static bool mask_unread(const context *c)
{
    return c->node->output_count < 2 || c->node->outputs[1] < 0 || !c->g->values[c->node->outputs[1]].use_count;
}

static bool same_type(const context *c)
{
    const onnx_type type = c->g->values[c->node->inputs[0]].type;
    return type != ONNX_NO_TYPE && type == (onnx_type)onnx_attribute_int(c->node, "to", 0);
}

static bool keeps_order(const context *c)
{
    const int64_t *perm = NULL;
    const size_t count = onnx_attribute_ints(c->node, "perm", &perm);
    for (size_t d = 0; d < count; d++)
        if (perm[d] != (int64_t)d)
            return false;
    return count > 0;
}

/* All elements of a constant input (or, where slot is -1, of an attribute) are `wanted`. */
static bool all_are(const context *c, int32_t slot, const char *attribute, int64_t wanted)
{
    int64_t list[OP_LIST];
    const int64_t *ints = list;
    int32_t count = 0;
    if (slot >= 0 && onnx_input(c->node, slot) >= 0)
        count = onnx_constant_ints(c->g, onnx_input(c->node, slot), list, OP_LIST);
    else if (attribute)
        count = (int32_t)onnx_attribute_ints(c->node, attribute, &ints);
    for (int32_t n = 0; n < count; n++)
        if (ints[n] != wanted)
            return false;
    return count >= 0;
}

static bool whole_slice(const context *c) { return same_shape(c) && all_are(c, c->node->opset < 10 ? -1 : 4, "steps", 1); }
static bool no_padding(const context *c) { return same_shape(c) && all_are(c, c->node->opset < 11 ? -1 : 1, "pads", 0); }
static bool one_input(const context *c) { return c->node->input_count == 1; }

static bool second_is(const context *c, double wanted)
{
    double number = 0;
    return same_shape(c) && onnx_constant_number(c->g, onnx_input(c->node, 1), &number) && number == wanted;
}

static bool by_zero(const context *c) { return second_is(c, 0); }
static bool by_one(const context *c) { return second_is(c, 1); }

static const struct idle {
    const char *op;
    bool (*is_idle)(const context *);
} idles[] = {
    {"Identity", always}, {"Dropout", mask_unread}, {"Cast", same_type},   {"Transpose", keeps_order}, {"Reshape", same_shape}, {"Expand", same_shape},
    {"Squeeze", same_shape}, {"Unsqueeze", same_shape}, {"Flatten", same_shape}, {"Tile", same_shape},  {"Slice", whole_slice},  {"Pad", no_padding},
    {"Concat", one_input}, {"Add", by_zero},        {"Sub", by_zero},      {"Mul", by_one},            {"Div", by_one},
};

static bool is_idle(const onnx_graph *g, const onnx_node *node)
{
    const context c = {g, node};
    if (*node->domain || !node->input_count || node->inputs[0] < 0 || !node->output_count || node->outputs[0] < 0)
        return false;
    for (size_t i = 0; i < sizeof idles / sizeof *idles; i++)
        if (!strcmp(idles[i].op, node->op))
            return idles[i].is_idle(&c);
    return false;
}

/* Whoever reads `from` reads `to`.  A graph's output keeps its value (and name), so its node stays. */
static void redirect(onnx_store *s, int32_t from, int32_t to)
{
    const onnx_value *value = &s->values[from];
    for (int32_t u = 0; u < value->use_count; u++)
        ((int32_t *)s->nodes[value->uses[u].node].inputs)[value->uses[u].slot] = to; /* the store's own memory */
}

segrt_status onnx_graph_simplify(onnx_graph *graph, segrt_error *error)
{
    segrt_error own = {0};
    error = error ? error : &own;
    onnx_store *s = graph->store;
    for (int32_t n = 0; n < graph->node_count; n++)
        for (int32_t a = 0; a < graph->nodes[n].attribute_count; a++)
            if (graph->nodes[n].attributes[a].graph)
                return SEGRT_OK; /* a subgraph may read any value by its name */
    bool *remove = memory_get_cleared((size_t)graph->node_count, sizeof *remove);
    if (!remove)
        return fail_memory(error, (size_t)graph->node_count, "simplifying the graph");
    for (int32_t n = 0; n < graph->node_count; n++) {
        const onnx_node *node = &graph->nodes[n];
        if (!is_idle(graph, node))
            continue;
        redirect(s, node->outputs[0], node->inputs[0]); /* in node order: chains resolve by themselves */
        remove[n] = !graph->values[node->outputs[0]].is_output;
    }
    segrt_status status = store_compact(s, remove, error);
    memory_free(remove);
    return status;
}
