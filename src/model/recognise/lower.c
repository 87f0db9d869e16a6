/* lower: the graph's nodes in order, each through the row of its operator; see lower.h. */
#include "model/recognise/lower.h"

#include <math.h>
#include <string.h>

static const lowering *row_of(const onnx_node *node)
{
    static const lowering *const tables[] = {lower_layout, lower_arithmetic, lower_products, lower_images, lower_fused};
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (const lowering *row = tables[t]; row->op; row++)
            if (strcmp(row->op, node->op) == 0 && strcmp(row->domain, node->domain) == 0)
                return row;
    return NULL;
}

const canon_value *lower_operand(const canon *c, const onnx_node *node, int slot)
{
    const int32_t value = onnx_input(node, slot);
    return value >= 0 && c->values[value].node >= 0 ? &c->values[value] : NULL;
}

const onnx_shape *lower_shape(const canon *c, const onnx_node *node, int slot)
{
    static const onnx_shape unknown = {.rank = ONNX_UNKNOWN};
    return slot < node->output_count && node->outputs[slot] >= 0 ? &c->graph->values[node->outputs[slot]].shape : &unknown;
}

int lower_axis(int64_t wanted, int rank)
{
    if (wanted < 0)
        wanted += rank;
    return wanted >= 0 && wanted < rank ? (int)wanted : -1;
}

double lower_eps(double stored)
{
    double unit = 1;
    for (int power = 0; power < 40; power++, unit /= 10)
        for (int digit = 1; digit < 10; digit++)
            if (fabs(stored - digit * unit) <= 1e-6 * stored)
                return digit / round(1 / unit); /* the double nearest to the decimal */
    return stored;
}

/* Every input is a known value, a constant or left out, and none is of what does not fit. */
static const char *inputs_trouble(const canon *c, const onnx_node *node)
{
    for (int i = 0; i < node->input_count; i++) {
        const int32_t v = node->inputs[i];
        if (v < 0 || canon_constant(c, v))
            continue;
        if (c->values[v].node < 0)
            return "reads something that is no part of the picture's way";
        if (canon_at(c, c->values[v].node)->op == CANON_OTHER)
            return canon_behind;
    }
    return NULL;
}

static bool shape_is_known(const onnx_shape *shape)
{
    for (int i = 0; i < shape->rank; i++)
        if (shape->dims[i] < 1)
            return false;
    return shape->rank >= 0 && shape->rank <= VIEW_RANK;
}

static void lower_node(canon *c, const onnx_node *node)
{
    canon_value out[LOWER_OUTPUTS];
    for (int i = 0; i < LOWER_OUTPUTS; i++)
        out[i].node = -1;
    const lowering *row = row_of(node);
    const char *why = row ? inputs_trouble(c, node) : "is no operator of a SegFormer";
    for (int i = 0; !why && i < node->output_count; i++)
        if (node->outputs[i] >= 0 && !shape_is_known(lower_shape(c, node, i)))
            why = "has an output whose shape is not known";
    if (!why)
        why = row->lower(c, node, out);
    const int other = why ? canon_other(c, node, why) : -1;
    for (int i = 0; i < node->output_count; i++) {
        const int32_t v = node->outputs[i];
        if (v < 0)
            continue;
        if (why)
            c->values[v] = (canon_value){.node = other};
        else if (i < LOWER_OUTPUTS)
            c->values[v] = out[i];
    }
}

segrt_status canon_lower(canon *c, segrt_error *error)
{
    const onnx_graph *g = c->graph;
    for (int i = 0; i < g->input_count; i++) {
        const onnx_value *v = &g->values[g->inputs[i]];
        static const axis order[] = {AXIS_N, AXIS_C, AXIS_H, AXIS_W};
        canon_node input = {.op = CANON_INPUT, .out = i, .extent = {.of = {1, 1, 1, 1, 1, 1}}};
        if (v->shape.rank != 4 || !shape_is_known(&v->shape))
            continue;
        for (int d = 0; d < 4; d++)
            input.extent.of[order[d]] = v->shape.dims[d];
        c->values[g->inputs[i]] = (canon_value){.node = canon_intern(c, &input), .view = view_of(&input.extent, 4, order)};
    }
    for (c->origin = 0; c->origin < g->node_count && !c->no_memory; c->origin++)
        lower_node(c, &g->nodes[c->origin]);
    c->origin = -1;
    if (c->over_budget)
        return fail_with(error, SEGRT_UNSUPPORTED, "the graph makes far more of its weights than a SegFormer does");
    return c->no_memory ? fail_memory(error, 0, "the graph's canonical form") : SEGRT_OK;
}
