/* fold: types and shapes of all values, and what is constant computed once.  Formats layer; see graph.h.
 *
 * One walk over the nodes in topological order.  Constants are converted when first read, and kept as operands
 * for the walk only; a result becomes a tensor of the graph.  Integers of which some are known (a shape with a
 * symbolic batch) are carried along in operands, with OP_UNKNOWN for those that are not. */
#include <string.h>

#include "formats/onnx/op.h"
#include "formats/onnx/store.h"

enum { PARTIAL = 256 /* elements of integers that are carried where some are not known */, SMALL = 4096 };

/* What folding may cost grows with what the file brought along, so that a small file cannot ask for much: elements read and written,
 * and bytes that results take.  A published network's weights are turned over once or twice; an unfolded sliding test path makes a
 * map of counts a window, of the picture's size. */
enum { WORK_A_CONSTANT = 32, BYTES_A_CONSTANT = 16, WORK_A_PIXEL = 8, NODES_A_WINDOW = 500 };
static const uint64_t least_work = UINT64_C(1) << 25, most_for_maps = UINT64_C(1) << 28, least_bytes = UINT64_C(256) << 20;

typedef struct fold {
    onnx_store *s;
    operand *values; /* [value_count], with elements where they are known */
    bool *partial;   /* [value_count]: some of the elements are OP_UNKNOWN */
    bool *remove;    /* [node_count] */
    op work;
    op_memory memory;
    bool branched; /* an If was replaced: the nodes changed */
} fold;

/* The operand of a value that is read: constants get their elements. */
static segrt_status read(fold *f, int32_t v, bool with_elements, operand **out)
{
    operand *x = &f->values[v];
    const onnx_value *value = &f->s->values[v];
    *out = x;
    if (!x->f && !x->i) {
        x->type = value->type;
        x->shape = value->shape;
        if (value->constant && (with_elements || value->constant->count <= SMALL)) {
            segrt_status status = op_constant(&f->work, value->constant, x);
            x->type = value->type; /* results of a fold are held in wider types than they have */
            return status;
        }
    }
    if (!shape_known(&x->shape) || !shape_count(&x->shape, &x->count))
        x->count = 0;
    return SEGRT_OK;
}

static bool whole(const operand *x)
{
    if (!x->f && !x->i)
        return false;
    for (size_t n = 0; x->i && n < x->count; n++)
        if (x->i[n] == OP_UNKNOWN)
            return false;
    return true;
}

/* What the file declares fills in what could not be inferred. */
static void merge(const onnx_value *declared, operand *inferred)
{
    if (inferred->type == ONNX_NO_TYPE)
        inferred->type = declared->type;
    if (inferred->shape.rank < 0)
        inferred->shape = declared->shape;
    else if (declared->shape.rank == inferred->shape.rank)
        for (int32_t d = 0; d < declared->shape.rank; d++)
            if (inferred->shape.dims[d] < 0)
                inferred->shape.dims[d] = declared->shape.dims[d];
}

/* The largest constant that a node reads. */
static const onnx_tensor *largest_input(const onnx_store *s, const onnx_node *node)
{
    const onnx_tensor *largest = NULL;
    for (int32_t slot = 0; slot < node->input_count; slot++) {
        const onnx_tensor *t = node->inputs[slot] < 0 ? NULL : s->values[node->inputs[slot]].constant;
        largest = t && (!largest || t->count > largest->count) ? t : largest;
    }
    return largest;
}

/* Makes an initializer of a result. */
static segrt_status keep(fold *f, int32_t v, operand *x, segrt_error *error)
{
    onnx_store *s = f->s;
    onnx_value *value = &s->values[v];
    onnx_tensor *t = store_get(s, 1, sizeof *t, "constants", error);
    const bool is_float = onnx_type_is_float(x->type);
    void *data = t ? store_get_data(s, x->count * (is_float ? sizeof(float) : sizeof(int64_t)), error) : NULL;
    if (!data)
        return error->status;
    if (x->count)
        memcpy(data, is_float ? (const void *)x->f : (const void *)x->i, x->count * (is_float ? sizeof(float) : sizeof(int64_t)));
    *t = (onnx_tensor){.type = is_float ? ONNX_FLOAT : ONNX_INT64, .shape = x->shape, .count = x->count, .data = data, .name = value->name};
    if (value->producer >= 0) {
        const onnx_node *node = &s->nodes[value->producer];
        t->offset = node->offset;
        t->computed_by = node->op;
        t->computed_from = largest_input(s, node);
    }
    value->constant = t;
    value->type = x->type;
    return SEGRT_OK;
}

/* Are all inputs known, or, where the row only moves integers, at least there? */
/* CastLike wants its second input's type alone. */
static bool only_type_wanted(const onnx_node *node, int32_t slot, onnx_type type)
{
    return slot == 1 && type != ONNX_NO_TYPE && onnx_node_is(node, "CastLike");
}

static bool can_compute(const fold *f, const op_row *row, const op *o)
{
    if (!strcmp(row->name, "Shape") || !strcmp(row->name, "Size"))
        return o->in[0]->shape.rank >= 0;
    const bool moves = row->moves && !onnx_type_is_float(o->out[0]->type), concat = !strcmp(row->name, "Concat");
    for (int32_t slot = 0; slot < o->in_count; slot++) {
        const operand *in = o->in[slot];
        const bool some = in && moves && (slot == 0 || concat) && in->i && in->count <= PARTIAL;
        if (in && !some && !only_type_wanted(o->node, slot, in->type) && !whole(in))
            return false;
    }
    return f->memory.work < f->memory.work_limit;
}

static segrt_status fold_node(fold *f, int32_t n, segrt_error *error)
{
    onnx_store *s = f->s;
    const onnx_node *node = &s->nodes[n];
    op *o = &f->work;
    op_memory *memory = &f->memory;
    segrt_error unknown = {0};
    const op_row *row = op_find(&s->graph, node, &unknown);
    segrt_status status = SEGRT_OK;
    if (!row)
        return SEGRT_OK; /* the recogniser or the interpreter will say what they think of it */
    *o = (op){.graph = &s->graph, .node = node, .memory = memory, .error = error};
    if (node->input_count > OP_INPUTS || node->output_count > OP_OUTPUTS)
        return op_fail(o, SEGRT_UNSUPPORTED, "has %d inputs and %d outputs", (int)node->input_count, (int)node->output_count);
    bool constant = row->fold;
    for (int32_t slot = 0; slot < node->input_count; slot++) {
        const int32_t v = node->inputs[slot];
        constant = constant &&
                   (v < 0 || only_type_wanted(node, slot, s->values[v].type) || s->values[v].constant || f->values[v].i || f->values[v].f);
    }
    o->in_count = node->input_count;
    for (int32_t slot = 0; slot < node->input_count && !status; slot++)
        if (node->inputs[slot] >= 0)
            status = read(f, node->inputs[slot], constant, &o->in[slot]);
    operand results[OP_OUTPUTS];
    o->out_count = node->output_count;
    for (int32_t slot = 0; slot < node->output_count; slot++) {
        const int32_t v = node->outputs[slot];
        results[slot] = (operand){.shape.rank = ONNX_UNKNOWN};
        o->out[slot] = &results[slot];
        o->wanted[slot] = v >= 0 && (s->values[v].use_count || s->values[v].is_output);
    }
    if (!status)
        status = op_prepare(row, o);
    bool outputs_known = true;
    for (int32_t slot = 0; slot < o->out_count && !status; slot++)
        if (node->outputs[slot] >= 0) {
            onnx_value *value = &s->values[node->outputs[slot]];
            merge(value, &results[slot]);
            value->type = results[slot].type;
            value->shape = results[slot].shape;
            outputs_known = outputs_known && (!o->wanted[slot] || (shape_known(&value->shape) && value->type));
        }
    if (status || !row->fold || !outputs_known || !can_compute(f, row, o))
        return status;
    status = op_execute(row, o);
    bool all = !status;
    for (int32_t slot = 0; slot < o->out_count && all; slot++)
        all = !o->wanted[slot] || whole(&results[slot]);
    for (int32_t slot = 0; slot < o->out_count && !status; slot++) {
        const int32_t v = node->outputs[slot];
        if (!o->wanted[slot])
            continue;
        if (all)
            status = keep(f, v, &results[slot], error);
        if (!status && results[slot].i && results[slot].count <= PARTIAL) {
            f->values[v] = results[slot];
            f->partial[v] = !all;
            results[slot] = (operand){0};
        }
    }
    for (int32_t slot = 0; slot < o->out_count; slot++)
        operand_drop(memory, &results[slot]);
    f->remove[n] = all && !status;
    return status;
}

/* An If whose condition became constant: its branch's nodes are added behind, for the next walk. */
static segrt_status branch(fold *f, int32_t n, segrt_error *error)
{
    onnx_store *s = f->s;
    const onnx_node node = s->nodes[n];
    double condition = 0;
    if (!onnx_node_is(&node, "If") || node.input_count != 1 || !onnx_constant_number(&s->graph, node.inputs[0], &condition))
        return SEGRT_OK;
    const onnx_attribute *taken = onnx_attribute_find(&node, condition != 0 ? "then_branch" : "else_branch");
    if (!taken || !taken->graph)
        return fail_at(error, SEGRT_MALFORMED, node.offset, "If '%.80s' lacks a branch", node.name);
    f->remove[n] = true;
    f->branched = true;
    return onnx_read_branch(s, taken->graph, &node, error);
}

static segrt_status set_input(onnx_store *s, const int64_t input[4], segrt_error *error)
{
    if (!input)
        return SEGRT_OK;
    if (s->graph.input_count != 1)
        return fail_with(error, SEGRT_SHAPE, "the graph has %d inputs, not one picture", (int)s->graph.input_count);
    onnx_value *value = &s->values[s->inputs[0]];
    char text[ONNX_TEXT_ROOM];
    bool fits = value->shape.rank == 4 || value->shape.rank < 0;
    for (int d = 0; d < 4 && fits; d++)
        fits = input[d] > 0 && (value->shape.rank < 0 || value->shape.dims[d] < 0 || value->shape.dims[d] == input[d]);
    if (!fits)
        return fail_with(error, SEGRT_SHAPE, "input '%.80s' is %s, not [%lld, %lld, %lld, %lld]", value->name,
                         onnx_shape_text(value->type, &value->shape, text), (long long)input[0], (long long)input[1], (long long)input[2],
                         (long long)input[3]);
    value->shape.rank = 4;
    memcpy(value->shape.dims, input, 4 * sizeof *input);
    return SEGRT_OK;
}

static segrt_status walk(fold *f, segrt_error *error)
{
    onnx_store *s = f->s;
    const int32_t count = s->graph.value_count, nodes = s->graph.node_count;
    segrt_status status = SEGRT_OK;
    f->branched = false;
    f->values = memory_get_cleared((size_t)count, sizeof *f->values);
    f->partial = memory_get_cleared((size_t)count, sizeof *f->partial);
    f->remove = memory_get_cleared(s->limits.nodes + 1, sizeof *f->remove); /* branches add nodes */
    if (!f->values || !f->partial || !f->remove)
        status = fail_memory(error, (size_t)count * sizeof *f->values, "folding the graph");
    for (int32_t n = 0; n < nodes && !status; n++) {
        status = fold_node(f, n, error);
        if (!status)
            status = branch(f, n, error);
    }
    for (int32_t v = 0; f->values && v < count; v++)
        operand_drop(&f->memory, &f->values[v]);
    if (!status)
        status = store_compact(s, f->remove, error);
    memory_free(f->values);
    memory_free(f->partial);
    memory_free(f->remove);
    return status;
}

static void set_limits(fold *f)
{
    const onnx_store *s = f->s;
    const onnx_value *picture = s->graph.input_count ? &s->values[s->inputs[0]] : NULL;
    uint64_t constants = 0, pixels = 1;
    for (int32_t v = 0; v < s->graph.value_count; v++)
        constants += s->values[v].constant ? s->values[v].constant->count : 0;
    for (int32_t d = 2; picture && picture->shape.rank == 4 && d < 4; d++)
        pixels *= picture->shape.dims[d] > 0 ? (uint64_t)picture->shape.dims[d] & UINT32_MAX : 1;
    const uint64_t windows = (uint64_t)s->graph.node_count / NODES_A_WINDOW + 1;
    const uint64_t maps = pixels < most_for_maps / (windows * WORK_A_PIXEL) ? pixels * windows * WORK_A_PIXEL : most_for_maps;
    const uint64_t held = least_bytes + constants * BYTES_A_CONSTANT + maps;
    f->memory.limit = held < s->limits.memory ? (size_t)held : s->limits.memory;
    f->memory.work_limit = least_work + constants * WORK_A_CONSTANT + maps;
}

segrt_status onnx_graph_fold(onnx_graph *graph, const int64_t input[4], segrt_error *error)
{
    segrt_error own = {0};
    error = error ? error : &own;
    onnx_store *s = graph->store;
    fold *f = memory_get_cleared(1, sizeof *f);
    if (!f)
        return fail_memory(error, sizeof *f, "folding the graph");
    f->s = s;
    f->work = (op){.graph = graph, .memory = &f->memory, .error = error};
    segrt_status status = set_input(s, input, error);
    set_limits(f);
    const size_t allowed = s->limits.memory;
    if (s->held + f->memory.limit < allowed) /* what is kept of the results counts as well */
        s->limits.memory = s->held + f->memory.limit;
    do { /* ends: branches within branches are capped */
        status = status ? status : walk(f, error);
    } while (!status && f->branched);
    s->limits.memory = allowed;
    memory_free(f);
    return status;
}
