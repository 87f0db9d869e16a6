/* ops_pad: Pad, constant, reflect and edge.  Formats layer; see op.h. */
#include "formats/onnx/op_move.h"

typedef struct padding {
    int64_t before[ONNX_MAX_RANK], after[ONNX_MAX_RANK];
    bool known;
} padding;

static segrt_status padding_of(op *o, padding *p)
{
    const onnx_shape *in = &o->in[0]->shape;
    const bool by_attribute = o->node->opset < 11;
    int64_t list[OP_LIST], axes[OP_LIST];
    int32_t count, axis_count = 0;
    bool given, axes_given = false;
    *p = (padding){.known = in->rank >= 0};
    if (in->rank < 0)
        return SEGRT_OK;
    segrt_status status = op_list(o, by_attribute ? -1 : 1, by_attribute ? "pads" : NULL, list, &count, &given);
    if (!status && !by_attribute)
        status = op_list(o, 3, NULL, axes, &axis_count, &axes_given);
    if (status)
        return status;
    p->known = count >= 0 && axis_count >= 0;
    if (!p->known)
        return SEGRT_OK;
    const int32_t half = axes_given ? axis_count : in->rank;
    if (count != 2 * half)
        return op_fail(o, SEGRT_MALFORMED, "%d pads for %d dimensions", (int)count, (int)half);
    for (int32_t k = 0; k < half; k++) {
        int32_t axis = 0;
        if ((axes_given && axes[k] == OP_UNKNOWN) || list[k] == OP_UNKNOWN || list[k + half] == OP_UNKNOWN) {
            p->known = false;
            return SEGRT_OK;
        }
        status = op_axis(o, axes_given ? axes[k] : k, in->rank, &axis);
        if (status)
            return status;
        p->before[axis] = list[k];
        p->after[axis] = list[k + half];
    }
    return SEGRT_OK;
}

segrt_status op_infer_pad(op *o)
{
    padding p;
    onnx_shape out = o->in[0]->shape;
    segrt_status status = padding_of(o, &p);
    const char *mode = onnx_attribute_text(o->node, "mode", "constant");
    if (!status && strcmp(mode, "constant") != 0 && strcmp(mode, "reflect") != 0 && strcmp(mode, "edge") != 0)
        status = op_fail(o, SEGRT_UNSUPPORTED, "in the mode '%.40s'", mode);
    for (int32_t d = 0; d < out.rank && !status; d++) {
        const int64_t dim = out.dims[d], most = INT64_MAX >> 8;
        if (!p.known || dim < 0) {
            out.dims[d] = ONNX_UNKNOWN;
            continue;
        }
        if (p.before[d] > most || p.before[d] < -most || p.after[d] > most || p.after[d] < -most || dim > most || dim + p.before[d] + p.after[d] < 0)
            return op_fail(o, SEGRT_MALFORMED, "dimension %d of %lld by %lld and %lld", (int)d, (long long)dim, (long long)p.before[d], (long long)p.after[d]);
        out.dims[d] = dim + p.before[d] + p.after[d];
        if (*mode == 'r' && (p.before[d] >= dim || p.after[d] >= dim) && (p.before[d] > 0 || p.after[d] > 0))
            return op_fail(o, SEGRT_MALFORMED, "reflects %lld and %lld of %lld", (long long)p.before[d], (long long)p.after[d], (long long)dim);
        if (*mode == 'e' && dim == 0 && out.dims[d])
            return op_fail(o, SEGRT_MALFORMED, "repeats the edge of nothing");
    }
    if (!status)
        op_output(o, 0, o->in[0]->type, &out);
    return status;
}

/* Where element `at` of the padded dimension comes from; -1: from nowhere. */
static int64_t source(int64_t at, int64_t dim, char mode)
{
    if (at >= 0 && at < dim)
        return at;
    if (mode == 'c')
        return -1;
    if (mode == 'e')
        return at < 0 ? 0 : dim - 1;
    return at < 0 ? -at : 2 * (dim - 1) - at;
}

segrt_status op_run_pad(op *o)
{
    const operand *x = o->in[0], *value = op_in(o, 2);
    operand *y = o->out[0];
    padding p;
    segrt_status status = padding_of(o, &p);
    if (status)
        return status;
    if (value && value->count != 1)
        return op_fail(o, SEGRT_MALFORMED, "with %zu values", value->count);
    const char mode = *onnx_attribute_text(o->node, "mode", "constant");
    const float f = value && value->f ? value->f[0] : onnx_attribute_float(o->node, "value", 0);
    const int64_t i = value && value->i ? value->i[0] : 0;
    size_t strides[ONNX_MAX_RANK];
    int64_t index[ONNX_MAX_RANK] = {0};
    shape_strides(&x->shape, strides);
    for (size_t n = 0; n < y->count; n++) {
        size_t from = 0;
        bool inside = true;
        for (int32_t d = 0; d < y->shape.rank && inside; d++) {
            const int64_t at = source(index[d] - p.before[d], x->shape.dims[d], mode);
            inside = at >= 0;
            from += inside ? (size_t)at * strides[d] : 0;
        }
        if (y->f)
            y->f[n] = inside ? x->f[from] : f;
        else
            y->i[n] = inside ? x->i[from] : i;
        for (int32_t d = y->shape.rank - 1; d >= 0 && ++index[d] == y->shape.dims[d]; d--)
            index[d] = 0;
    }
    return SEGRT_OK;
}
