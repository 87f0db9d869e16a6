/* onnx_harness: what the ONNX harnesses assert of a graph. */
#ifndef SEGRT_FUZZ_ONNX_HARNESS_H
#define SEGRT_FUZZ_ONNX_HARNESS_H

#include <stdlib.h>
#include <string.h>

#include "entry.h"
#include "formats/onnx/graph.h"

static inline void require(bool holds)
{
    if (!holds)
        abort();
}

/* A failure says why. */
static inline bool succeeded(segrt_status status, const segrt_error *error)
{
    require(status == error->status && !status == !error->message[0]);
    return !status;
}

/* What graph.h promises of every graph. */
static inline void check_graph(const onnx_graph *g)
{
    for (int32_t n = 0; n < g->node_count; n++) {
        const onnx_node *node = &g->nodes[n];
        char text[ONNX_TEXT_ROOM];
        require(strlen(onnx_node_text(g, node, text)) < sizeof text);
        for (int32_t slot = 0; slot < node->input_count; slot++) {
            const int32_t v = node->inputs[slot];
            require(v >= -1 && v < g->value_count);
            require(v < 0 || g->values[v].producer < n);
            require(v < 0 || g->values[v].producer >= 0 || g->values[v].constant || g->values[v].is_input);
        }
        for (int32_t slot = 0; slot < node->output_count; slot++) {
            const int32_t v = node->outputs[slot];
            require(v >= -1 && v < g->value_count && (v < 0 || (g->values[v].producer == n && !g->values[v].constant)));
        }
    }
    for (int32_t v = 0; v < g->value_count; v++) {
        const onnx_value *value = &g->values[v];
        require(value->shape.rank >= -1 && value->shape.rank <= ONNX_MAX_RANK);
        for (int32_t d = 0; d < value->shape.rank; d++)
            require(value->shape.dims[d] >= ONNX_UNKNOWN);
        for (int32_t u = 0; u < value->use_count; u++)
            require(g->nodes[value->uses[u].node].inputs[value->uses[u].slot] == v);
        const onnx_tensor *t = value->constant;
        if (!t || t->count > 1 << 20)
            continue;
        double *elements = malloc((t->count ? t->count : 1) * sizeof *elements); /* reads every byte of it */
        require(elements != NULL);
        onnx_tensor_doubles(t, elements);
        free(elements);
    }
}

#endif
