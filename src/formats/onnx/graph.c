/* graph: looking around in a graph, see graph.h.  Formats layer. */
#include "formats/onnx/graph.h"

#include <stdio.h>
#include <string.h>

#include "formats/onnx/store.h"

bool onnx_node_is(const onnx_node *node, const char *op) { return !*node->domain && !strcmp(node->op, op); }

bool onnx_node_is_in(const onnx_node *node, const char *domain, const char *op)
{
    return !strcmp(node->domain, domain) && !strcmp(node->op, op);
}

const onnx_node *onnx_producer(const onnx_graph *graph, int32_t value)
{
    return value < 0 || graph->values[value].producer < 0 ? NULL : &graph->nodes[graph->values[value].producer];
}

const onnx_node *onnx_only_consumer(const onnx_graph *graph, int32_t value)
{
    if (value < 0 || graph->values[value].is_output || graph->values[value].use_count != 1)
        return NULL;
    return &graph->nodes[graph->values[value].uses[0].node];
}

int32_t onnx_input(const onnx_node *node, int32_t slot) { return slot < node->input_count ? node->inputs[slot] : -1; }

int32_t onnx_node_index(const onnx_graph *graph, const onnx_node *node) { return (int32_t)(node - graph->nodes); }

int32_t onnx_find_value(const onnx_graph *graph, const char *name)
{
    const int32_t value = names_find(&graph->store->names, 0, name, strlen(name));
    return value < 0 ? -1 : value;
}

const char *onnx_node_text(const onnx_graph *graph, const onnx_node *node, char text[ONNX_TEXT_ROOM])
{
    const char *dot = *node->domain ? "." : "";
    if (*node->name) {
        snprintf(text, ONNX_TEXT_ROOM, "%.24s%s%.32s '%.90s'", node->domain, dot, node->op, node->name);
        return text;
    }
    const char *makes = "";
    for (int32_t slot = 0; slot < node->output_count && !*makes; slot++)
        makes = node->outputs[slot] >= 0 ? graph->values[node->outputs[slot]].name : "";
    snprintf(text, ONNX_TEXT_ROOM, "%.24s%s%.32s #%d (makes '%.60s')", node->domain, dot, node->op, (int)onnx_node_index(graph, node), makes);
    return text;
}

const onnx_attribute *onnx_attribute_find(const onnx_node *node, const char *name)
{
    for (int32_t i = 0; i < node->attribute_count; i++)
        if (!strcmp(node->attributes[i].name, name))
            return &node->attributes[i];
    return NULL;
}

static const onnx_attribute *find(const onnx_node *node, const char *name, onnx_attribute_kind kind)
{
    const onnx_attribute *a = onnx_attribute_find(node, name);
    return a && a->kind == kind ? a : NULL;
}

int64_t onnx_attribute_int(const onnx_node *node, const char *name, int64_t otherwise)
{
    const onnx_attribute *a = find(node, name, ONNX_ATTRIBUTE_INT);
    return a ? a->i : otherwise;
}

float onnx_attribute_float(const onnx_node *node, const char *name, float otherwise)
{
    const onnx_attribute *a = find(node, name, ONNX_ATTRIBUTE_FLOAT);
    return a ? a->f : otherwise;
}

const char *onnx_attribute_text(const onnx_node *node, const char *name, const char *otherwise)
{
    const onnx_attribute *a = find(node, name, ONNX_ATTRIBUTE_STRING);
    return a ? a->text : otherwise;
}

size_t onnx_attribute_ints(const onnx_node *node, const char *name, const int64_t **ints)
{
    const onnx_attribute *a = find(node, name, ONNX_ATTRIBUTE_INTS);
    *ints = a ? a->ints : NULL;
    return a ? a->count : 0;
}

const onnx_tensor *onnx_constant(const onnx_graph *graph, int32_t value) { return value < 0 ? NULL : graph->values[value].constant; }

bool onnx_constant_number(const onnx_graph *graph, int32_t value, double *out)
{
    const onnx_tensor *tensor = onnx_constant(graph, value);
    if (!tensor || tensor->count != 1)
        return false;
    onnx_tensor_doubles(tensor, out);
    return true;
}

int32_t onnx_constant_ints(const onnx_graph *graph, int32_t value, int64_t *out, int32_t room)
{
    const onnx_tensor *tensor = onnx_constant(graph, value);
    if (!tensor || tensor->shape.rank > 1 || onnx_type_is_float(tensor->type) || tensor->count > (size_t)room)
        return -1;
    onnx_tensor_ints(tensor, out);
    return (int32_t)tensor->count;
}
