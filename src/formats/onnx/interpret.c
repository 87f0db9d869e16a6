/* interpret: see interpret.h. */
#include "formats/onnx/interpret.h"

#include <string.h>

#include "formats/onnx/op.h"

struct onnx_interpreter {
    const onnx_graph *graph;
    segrt_pool *pool;
    const op_row **rows;  /* [node_count] */
    operand *values;      /* [value_count]; constants stay, others live while they are read */
    int32_t *uses;        /* [value_count]: reads to come in this run */
    onnx_output *outputs; /* [output_count] */
    op work;
    op_memory memory;
};

#define WORK_LIMIT ((uint64_t)20 * 1000 * 1000 * 1000 * 1000)

segrt_status onnx_interpreter_open(onnx_interpreter **out, const onnx_graph *graph, segrt_pool *pool, const onnx_run_limits *limits,
                                   segrt_error *error)
{
    *out = NULL;
    segrt_error own = {0};
    error = error ? error : &own;
    segrt_status status = SEGRT_OK;
    onnx_interpreter *in = memory_get_cleared(1, sizeof *in);
    if (!in)
        return fail_memory(error, sizeof *in, "an ONNX interpreter");
    in->graph = graph;
    in->pool = pool;
    in->memory = (op_memory){.limit = limits && limits->memory ? limits->memory : (size_t)8 << 30, .work_limit = limits && limits->work ? limits->work : WORK_LIMIT};
    in->rows = memory_get_cleared((size_t)graph->node_count, sizeof *in->rows);
    in->values = memory_get_cleared((size_t)graph->value_count, sizeof *in->values);
    in->uses = memory_get_cleared((size_t)graph->value_count, sizeof *in->uses);
    in->outputs = memory_get_cleared((size_t)graph->output_count, sizeof *in->outputs);
    if (!in->rows || !in->values || !in->uses || !in->outputs) {
        status = fail_memory(error, (size_t)graph->value_count * sizeof *in->values, "an ONNX interpreter");
        goto fail;
    }
    if (graph->input_count != 1) {
        status = fail_with(error, SEGRT_UNSUPPORTED, "the graph has %d inputs; graphs of one input are run", (int)graph->input_count);
        goto fail;
    }
    for (int32_t n = 0; n < graph->node_count; n++) {
        const onnx_node *node = &graph->nodes[n];
        in->work = (op){.graph = graph, .node = node, .memory = &in->memory, .error = error};
        in->rows[n] = op_find(graph, node, error);
        if (!in->rows[n])
            status = error->status;
        else if (node->input_count > OP_INPUTS || node->output_count > OP_OUTPUTS)
            status = op_fail(&in->work, SEGRT_UNSUPPORTED, "has %d inputs and %d outputs", (int)node->input_count, (int)node->output_count);
        if (status)
            goto fail;
    }
    for (int32_t v = 0; v < graph->value_count; v++) {
        const onnx_value *value = &graph->values[v];
        if (!value->constant || (!value->use_count && !value->is_output))
            continue;
        in->work = (op){.graph = graph, .node = value->use_count ? &graph->nodes[value->uses[0].node] : NULL, .memory = &in->memory, .error = error};
        const size_t width = onnx_type_is_float(value->type) ? sizeof(float) : sizeof(int64_t);
        if (value->constant->count * width > in->memory.limit - in->memory.held) { /* asked here: op_fail wants a node */
            status = fail_with(error, SEGRT_UNSUPPORTED, "the graph's constants take more than %zu bytes", in->memory.limit);
            goto fail;
        }
        status = op_constant(&in->work, value->constant, &in->values[v]);
        if (status)
            goto fail;
        in->values[v].type = value->type;
    }
    *out = in;
    return SEGRT_OK;
fail:
    onnx_interpreter_close(in);
    return status;
}

static void drop_results(onnx_interpreter *in)
{
    for (int32_t v = 0; in->values && v < in->graph->value_count; v++)
        if (!in->graph->values[v].constant)
            operand_drop(&in->memory, &in->values[v]);
}

void onnx_interpreter_close(onnx_interpreter *in)
{
    if (!in)
        return;
    for (int32_t v = 0; in->values && v < in->graph->value_count; v++)
        operand_drop(&in->memory, &in->values[v]);
    memory_free(in->rows);
    memory_free(in->values);
    memory_free(in->uses);
    memory_free(in->outputs);
    memory_free(in);
}

size_t onnx_interpreter_peak(const onnx_interpreter *in) { return in->memory.peak; }

static segrt_status set_input(onnx_interpreter *in, const float *input, int32_t rank, const int64_t *dims, segrt_error *error)
{
    const onnx_value *value = &in->graph->values[in->graph->inputs[0]];
    operand *x = &in->values[in->graph->inputs[0]];
    onnx_shape shape = {.rank = rank};
    char have[ONNX_TEXT_ROOM], want[ONNX_TEXT_ROOM];
    if (rank < 0 || rank > ONNX_MAX_RANK)
        return fail_with(error, SEGRT_ARGUMENT, "an input of %d dimensions", (int)rank);
    bool fits = value->shape.rank < 0 || value->shape.rank == rank;
    for (int32_t d = 0; d < rank; d++) {
        shape.dims[d] = dims[d];
        fits = fits && dims[d] >= 0 && (value->shape.rank < 0 || value->shape.dims[d] < 0 || value->shape.dims[d] == dims[d]);
    }
    if (!fits)
        return fail_with(error, SEGRT_SHAPE, "input '%.80s' is %s, not %s", value->name, onnx_shape_text(value->type, &value->shape, want),
                         onnx_shape_text(ONNX_FLOAT, &shape, have));
    if (value->type != ONNX_NO_TYPE && !onnx_type_is_float(value->type))
        return fail_with(error, SEGRT_UNSUPPORTED, "input '%.80s' is of type %s, not a float", value->name, onnx_type_text(value->type));
    *x = (operand){.type = value->type ? value->type : ONNX_FLOAT, .shape = shape, .f = (float *)input}; /* borrowed, never written */
    return shape_count(&shape, &x->count) ? SEGRT_OK : fail_with(error, SEGRT_ARGUMENT, "the input has more elements than memory holds");
}

static segrt_status run_node(onnx_interpreter *in, int32_t n, segrt_error *error)
{
    const onnx_graph *g = in->graph;
    const onnx_node *node = &g->nodes[n];
    op *o = &in->work;
    *o = (op){.graph = g, .node = node, .in_count = node->input_count, .out_count = node->output_count, .pool = in->pool, .memory = &in->memory, .error = error};
    operand unread[OP_OUTPUTS];
    for (int32_t slot = 0; slot < node->input_count; slot++)
        o->in[slot] = node->inputs[slot] < 0 ? NULL : &in->values[node->inputs[slot]];
    for (int32_t slot = 0; slot < node->output_count; slot++) {
        const int32_t v = node->outputs[slot];
        o->wanted[slot] = v >= 0 && (g->values[v].use_count || g->values[v].is_output);
        o->out[slot] = o->wanted[slot] ? &in->values[v] : &unread[slot];
        *o->out[slot] = (operand){.shape.rank = ONNX_UNKNOWN};
    }
    const bool first_unread = o->out_count && !o->wanted[0];
    segrt_status status = op_prepare(in->rows[n], o);
    if (!status)
        status = op_execute(in->rows[n], o);
    if (first_unread)
        operand_drop(&in->memory, &unread[0]);
    for (int32_t slot = 0; slot < node->input_count && !status; slot++) {
        const int32_t v = node->inputs[slot];
        if (v >= 0 && --in->uses[v] == 0 && !g->values[v].constant && !g->values[v].is_output)
            operand_drop(&in->memory, &in->values[v]);
    }
    return status;
}

segrt_status onnx_interpreter_run(onnx_interpreter *in, const float *input, int32_t rank, const int64_t *dims, const onnx_output **outputs,
                                  segrt_error *error)
{
    segrt_error own = {0};
    error = error ? error : &own;
    const onnx_graph *g = in->graph;
    *outputs = NULL;
    drop_results(in);
    in->memory.peak = in->memory.held;
    in->memory.work = 0;
    segrt_status status = set_input(in, input, rank, dims, error);
    for (int32_t v = 0; v < g->value_count; v++)
        in->uses[v] = g->values[v].use_count;
    for (int32_t n = 0; n < g->node_count && !status; n++)
        status = run_node(in, n, error);
    for (int32_t k = 0; k < g->output_count && !status; k++) {
        const operand *y = &in->values[g->outputs[k]];
        in->outputs[k] = (onnx_output){.shape = y->shape, .count = y->count, .floats = y->f, .ints = y->i};
    }
    if (status)
        drop_results(in);
    else
        *outputs = in->outputs;
    return status;
}
