/* order: who makes and who reads each value, and nodes in topological order.  Formats layer, the last step
 * of the ONNX reader and of every pass that changes nodes. */
#include <string.h>

#include "formats/onnx/store.h"

/* Sets producers; refuses values that are made twice. */
static segrt_status producers(onnx_store *s, segrt_error *error)
{
    onnx_graph *g = &s->graph;
    char text[ONNX_TEXT_ROOM];
    for (int32_t v = 0; v < g->value_count; v++)
        s->values[v].producer = -1;
    for (int32_t n = 0; n < g->node_count; n++)
        for (int32_t slot = 0; slot < s->nodes[n].output_count; slot++) {
            const int32_t v = s->nodes[n].outputs[slot];
            if (v < 0)
                continue;
            onnx_value *value = &s->values[v];
            if (value->producer >= 0 || value->constant || value->is_input)
                return fail_at(error, SEGRT_MALFORMED, s->nodes[n].offset, "%s makes '%.80s', which %s already", onnx_node_text(g, &s->nodes[n], text),
                               value->name, value->constant ? "is an initializer" : value->is_input ? "is an input" : "another node makes");
            value->producer = n;
            value->producer_slot = slot;
        }
    return SEGRT_OK;
}

/* Sets uses, all in one array. */
static segrt_status uses(onnx_store *s, segrt_error *error)
{
    onnx_graph *g = &s->graph;
    size_t total = 0;
    for (int32_t v = 0; v < g->value_count; v++)
        s->values[v].use_count = 0;
    for (int32_t n = 0; n < g->node_count; n++)
        for (int32_t slot = 0; slot < s->nodes[n].input_count; slot++)
            if (s->nodes[n].inputs[slot] >= 0) {
                s->values[s->nodes[n].inputs[slot]].use_count++;
                total++;
            }
    if (total > s->use_room || !s->uses) {
        memory_free(s->uses);
        s->use_room = 0;
        s->uses = memory_get_array(total, sizeof *s->uses);
        if (!s->uses)
            return fail_memory(error, total * sizeof *s->uses, "the graph's edges");
        s->use_room = total;
    }
    size_t at = 0;
    for (int32_t v = 0; v < g->value_count; v++) {
        s->values[v].uses = s->uses + at;
        at += (size_t)s->values[v].use_count;
        s->values[v].use_count = 0;
    }
    for (int32_t n = 0; n < g->node_count; n++)
        for (int32_t slot = 0; slot < s->nodes[n].input_count; slot++) {
            const int32_t v = s->nodes[n].inputs[slot];
            if (v >= 0) {
                onnx_value *value = &s->values[v];
                s->uses[value->uses - s->uses + value->use_count++] = (onnx_use){n, slot};
            }
        }
    return SEGRT_OK;
}

static segrt_status sources(onnx_store *s, segrt_error *error)
{
    onnx_graph *g = &s->graph;
    char text[ONNX_TEXT_ROOM];
    for (int32_t v = 0; v < g->value_count; v++) {
        const onnx_value *value = &s->values[v];
        if (value->producer >= 0 || value->constant || value->is_input)
            continue;
        if (value->use_count) {
            const onnx_node *reader = &s->nodes[value->uses[0].node];
            return fail_at(error, SEGRT_MALFORMED, reader->offset, "%s reads '%.80s', which nothing makes", onnx_node_text(g, reader, text), value->name);
        }
        if (value->is_output)
            return fail_with(error, SEGRT_MALFORMED, "the output '%.80s' of the graph is made by no node", value->name);
    }
    return SEGRT_OK;
}

static bool is_sorted(const onnx_store *s)
{
    for (int32_t n = 0; n < s->graph.node_count; n++)
        for (int32_t slot = 0; slot < s->nodes[n].input_count; slot++) {
            const int32_t v = s->nodes[n].inputs[slot];
            if (v >= 0 && s->values[v].producer >= n)
                return false;
        }
    return true;
}

/* Kahn's algorithm: a node is ready when the last of its inputs is.  Nodes that never are stand in a cycle or
 * behind one. */
static segrt_status sort(onnx_store *s, segrt_error *error)
{
    onnx_graph *g = &s->graph;
    const size_t count = (size_t)g->node_count;
    segrt_status status = SEGRT_OK;
    int32_t *waits = memory_get_cleared(count, sizeof *waits), *order = memory_get_array(count, sizeof *order);
    onnx_node *sorted = memory_get_array(s->node_room, sizeof *sorted);
    int32_t ready = 0;
    if (!waits || !order || !sorted) {
        status = fail_memory(error, s->node_room * sizeof *sorted, "the order of nodes");
        goto done;
    }
    for (int32_t n = 0; n < g->node_count; n++) {
        for (int32_t slot = 0; slot < s->nodes[n].input_count; slot++)
            waits[n] += s->nodes[n].inputs[slot] >= 0 && s->values[s->nodes[n].inputs[slot]].producer >= 0;
        if (!waits[n])
            order[ready++] = n;
    }
    for (int32_t at = 0; at < ready; at++) {
        const onnx_node *node = &s->nodes[order[at]];
        for (int32_t slot = 0; slot < node->output_count; slot++) {
            const onnx_value *value = node->outputs[slot] < 0 ? NULL : &s->values[node->outputs[slot]];
            for (int32_t u = 0; value && u < value->use_count; u++)
                if (!--waits[value->uses[u].node])
                    order[ready++] = value->uses[u].node;
        }
    }
    for (int32_t n = 0; n < g->node_count && ready < g->node_count; n++)
        if (waits[n] > 0) {
            char text[ONNX_TEXT_ROOM];
            status = fail_at(error, SEGRT_MALFORMED, s->nodes[n].offset, "%s stands in a cycle, or waits for one", onnx_node_text(g, &s->nodes[n], text));
            goto done;
        }
    for (int32_t at = 0; at < ready; at++)
        sorted[at] = s->nodes[order[at]];
    memory_free(s->nodes);
    s->nodes = sorted;
    g->nodes = sorted;
    sorted = NULL;
done:
    memory_free(waits);
    memory_free(order);
    memory_free(sorted);
    return status;
}

segrt_status store_finish(onnx_store *s, segrt_error *error)
{
    onnx_graph *g = &s->graph;
    g->nodes = s->nodes;
    g->values = s->values;
    g->inputs = s->inputs;
    g->outputs = s->outputs;
    segrt_status status = producers(s, error);
    if (!status)
        status = uses(s, error);
    if (!status)
        status = sources(s, error);
    if (status || is_sorted(s))
        return status;
    status = sort(s, error);
    if (!status)
        status = producers(s, error);
    return status ? status : uses(s, error);
}

static bool has_subgraph(const onnx_store *s, const bool *remove)
{
    for (int32_t n = 0; n < s->graph.node_count; n++)
        for (int32_t a = 0; !remove[n] && a < s->nodes[n].attribute_count; a++)
            if (s->nodes[n].attributes[a].graph)
                return true;
    return false;
}

segrt_status store_compact(onnx_store *s, bool *remove, segrt_error *error)
{
    onnx_graph *g = &s->graph;
    bool *read = memory_get_cleared((size_t)g->value_count, sizeof *read);
    if (!read)
        return fail_memory(error, (size_t)g->value_count, "removing nodes");
    for (int32_t o = 0; o < g->output_count; o++)
        read[s->outputs[o]] = true;
    const bool keep_unread = has_subgraph(s, remove); /* its nodes may read any value by name */
    for (int32_t n = g->node_count - 1; n >= 0; n--) {
        const onnx_node *node = &s->nodes[n];
        bool wanted = keep_unread;
        for (int32_t slot = 0; slot < node->output_count && !wanted; slot++)
            wanted = node->outputs[slot] >= 0 && read[node->outputs[slot]];
        remove[n] = remove[n] || !wanted;
        for (int32_t slot = 0; slot < node->input_count && !remove[n]; slot++)
            if (node->inputs[slot] >= 0)
                read[node->inputs[slot]] = true;
    }
    int32_t kept = 0;
    for (int32_t n = 0; n < g->node_count; n++)
        if (!remove[n])
            s->nodes[kept++] = s->nodes[n];
    g->node_count = kept;
    memory_free(read);
    return store_finish(s, error);
}
