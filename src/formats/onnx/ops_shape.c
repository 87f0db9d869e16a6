/* ops_shape: operators that ask for a shape or give a tensor another one, and keep its elements in order.
 * Formats layer; see op.h. */
#include <string.h>

#include "formats/onnx/op.h"

segrt_status op_infer_shape(op *o)
{
    onnx_shape shape = {.rank = 1, .dims = {ONNX_UNKNOWN}};
    const int32_t rank = o->in[0]->shape.rank;
    if (rank >= 0) {
        int64_t start = onnx_attribute_int(o->node, "start", 0), end = onnx_attribute_int(o->node, "end", rank);
        start = start < -rank ? 0 : start < 0 ? start + rank : start > rank ? rank : start;
        end = end < -rank ? 0 : end < 0 ? end + rank : end > rank ? rank : end;
        shape.dims[0] = end > start ? end - start : 0;
    }
    op_output(o, 0, ONNX_INT64, &shape);
    return SEGRT_OK;
}

segrt_status op_run_shape(op *o)
{
    const int32_t rank = o->in[0]->shape.rank;
    int64_t start = onnx_attribute_int(o->node, "start", 0);
    start = start < -rank ? 0 : start < 0 ? start + rank : start;
    for (size_t n = 0; n < o->out[0]->count; n++) {
        const int64_t dim = o->in[0]->shape.dims[start + (int64_t)n];
        o->out[0]->i[n] = dim < 0 ? OP_UNKNOWN : dim;
    }
    return SEGRT_OK;
}

segrt_status op_infer_size(op *o)
{
    op_output(o, 0, ONNX_INT64, &(onnx_shape){.rank = 0});
    return SEGRT_OK;
}

segrt_status op_run_size(op *o)
{
    size_t count = 0;
    if (!shape_known(&o->in[0]->shape) || !shape_count(&o->in[0]->shape, &count))
        o->out[0]->i[0] = OP_UNKNOWN;
    else
        o->out[0]->i[0] = (int64_t)count;
    return SEGRT_OK;
}

segrt_status op_infer_reshape(op *o)
{
    int64_t list[OP_LIST];
    int32_t count;
    bool given;
    const onnx_shape *in = &o->in[0]->shape;
    segrt_status status = op_list(o, 1, "shape", list, &count, &given);
    if (status)
        return status;
    op_output(o, 0, o->in[0]->type, &(onnx_shape){.rank = ONNX_UNKNOWN});
    const operand *target = op_in(o, 1);
    if (count < 0 && target->shape.rank == 1 && target->shape.dims[0] >= 0 && target->shape.dims[0] <= ONNX_MAX_RANK) {
        count = (int32_t)target->shape.dims[0]; /* at least its rank is known */
        for (int32_t d = 0; d < count; d++)
            list[d] = OP_UNKNOWN;
    }
    if (count < 0)
        return SEGRT_OK;
    if (count > ONNX_MAX_RANK)
        return op_fail(o, SEGRT_UNSUPPORTED, "to %d dimensions", (int)count);
    onnx_shape out = {.rank = count};
    const bool zero_is_zero = onnx_attribute_int(o->node, "allowzero", 0) != 0;
    int32_t rest = -1, unknown = 0;
    size_t product = 1;
    for (int32_t d = 0; d < count; d++) {
        int64_t dim = list[d];
        if (dim == OP_UNKNOWN) {
            dim = ONNX_UNKNOWN;
        } else if (dim == -1) {
            if (rest >= 0)
                return op_fail(o, SEGRT_MALFORMED, "asks for two dimensions of -1");
            rest = d;
            dim = ONNX_UNKNOWN;
        } else if (dim == 0 && !zero_is_zero) {
            if (in->rank >= 0 && d >= in->rank)
                return op_fail(o, SEGRT_MALFORMED, "keeps dimension %d of a tensor of rank %d", (int)d, (int)in->rank);
            dim = in->rank < 0 ? ONNX_UNKNOWN : in->dims[d];
        } else if (dim < 0) {
            return op_fail(o, SEGRT_MALFORMED, "asks for the dimension %lld", (long long)dim);
        }
        unknown += dim < 0 && d != rest;
        if (dim >= 0 && (uint64_t)dim > (SIZE_MAX >> 4) / (product ? product : 1))
            return op_fail(o, SEGRT_MALFORMED, "asks for more elements than memory holds");
        product *= dim < 0 ? 1 : (size_t)dim;
        out.dims[d] = dim;
    }
    size_t elements = 0;
    if (shape_known(in) && shape_count(in, &elements) && !unknown) {
        char before[ONNX_TEXT_ROOM], after[ONNX_TEXT_ROOM];
        const bool fits = rest >= 0 ? (product ? elements % product == 0 : elements == 0) : product == elements;
        if (!fits)
            return op_fail(o, SEGRT_MALFORMED, "%.100s cannot become %.100s", onnx_shape_text(o->in[0]->type, in, before),
                           onnx_shape_text(o->in[0]->type, &out, after));
        if (rest >= 0)
            out.dims[rest] = product ? (int64_t)(elements / product) : 0;
    }
    op_output(o, 0, o->in[0]->type, &out);
    return SEGRT_OK;
}

segrt_status op_infer_flatten(op *o)
{
    const onnx_shape *in = &o->in[0]->shape;
    onnx_shape out = {.rank = 2, .dims = {ONNX_UNKNOWN, ONNX_UNKNOWN}};
    if (shape_known(in)) {
        const int64_t axis = onnx_attribute_int(o->node, "axis", 1);
        if (axis < -in->rank || axis > in->rank)
            return op_fail(o, SEGRT_MALFORMED, "axis %lld of a tensor of rank %d", (long long)axis, (int)in->rank);
        size_t count;
        if (!shape_count(in, &count))
            return op_fail(o, SEGRT_MALFORMED, "its input has more elements than memory holds");
        const int32_t cut = (int32_t)(axis < 0 ? axis + in->rank : axis);
        out.dims[0] = (int64_t)shape_span(in, 0, cut);
        out.dims[1] = (int64_t)shape_span(in, cut, in->rank);
    }
    op_output(o, 0, o->in[0]->type, &out);
    return SEGRT_OK;
}

segrt_status op_infer_squeeze(op *o)
{
    const onnx_shape *in = &o->in[0]->shape;
    bool mask[ONNX_MAX_RANK], given, known;
    if (in->rank < 0)
        return op_output_unknown(o, o->in[0]->type);
    segrt_status status = op_axes(o, 1, "axes", in->rank, mask, &given, &known);
    if (status)
        return status;
    if (!known || (!given && !shape_known(in)))
        return op_output_unknown(o, o->in[0]->type);
    onnx_shape out = {0};
    for (int32_t d = 0; d < in->rank; d++) {
        const bool drop = given ? mask[d] : in->dims[d] == 1;
        if (drop && in->dims[d] > 1)
            return op_fail(o, SEGRT_MALFORMED, "dimension %d is %lld, not 1", (int)d, (long long)in->dims[d]);
        if (drop && in->dims[d] == 0)
            return op_fail(o, SEGRT_MALFORMED, "dimension %d is 0, not 1", (int)d);
        if (!drop)
            out.dims[out.rank++] = in->dims[d];
    }
    op_output(o, 0, o->in[0]->type, &out);
    return SEGRT_OK;
}

segrt_status op_infer_unsqueeze(op *o)
{
    const onnx_shape *in = &o->in[0]->shape;
    int64_t list[OP_LIST];
    int32_t count;
    bool given, mask[ONNX_MAX_RANK], known;
    segrt_status status = op_list(o, 1, "axes", list, &count, &given);
    if (status)
        return status;
    if (!given)
        return op_fail(o, SEGRT_MALFORMED, "has no axes");
    if (count < 0 || in->rank < 0)
        return op_output_unknown(o, o->in[0]->type);
    if (in->rank + count > ONNX_MAX_RANK)
        return op_fail(o, SEGRT_UNSUPPORTED, "to %d dimensions", (int)(in->rank + count));
    onnx_shape out = {.rank = in->rank + count};
    status = op_axes(o, 1, "axes", out.rank, mask, &given, &known);
    if (status)
        return status;
    if (!known)
        out.rank = ONNX_UNKNOWN;
    for (int32_t d = 0, from = 0; d < out.rank; d++)
        out.dims[d] = mask[d] ? 1 : in->dims[from++];
    op_output(o, 0, o->in[0]->type, &out);
    return SEGRT_OK;
}

segrt_status op_infer_constant_of_shape(op *o)
{
    int64_t list[OP_LIST];
    int32_t count;
    bool given;
    const onnx_attribute *value = onnx_attribute_find(o->node, "value");
    if (value && (!value->tensor || value->tensor->count != 1))
        return op_fail(o, SEGRT_MALFORMED, "its value is not one number");
    const onnx_type type = value ? value->tensor->type : ONNX_FLOAT;
    segrt_status status = op_list(o, 0, NULL, list, &count, &given);
    if (status)
        return status;
    onnx_shape out = {.rank = count < 0 ? ONNX_UNKNOWN : count};
    if (count > ONNX_MAX_RANK)
        return op_fail(o, SEGRT_UNSUPPORTED, "of %d dimensions", (int)count);
    for (int32_t d = 0; d < out.rank; d++) {
        if (list[d] < 0 && list[d] != OP_UNKNOWN)
            return op_fail(o, SEGRT_MALFORMED, "of the dimension %lld", (long long)list[d]);
        out.dims[d] = list[d] == OP_UNKNOWN ? ONNX_UNKNOWN : list[d];
    }
    op_output(o, 0, type, &out);
    return SEGRT_OK;
}

segrt_status op_run_constant_of_shape(op *o)
{
    const onnx_attribute *value = onnx_attribute_find(o->node, "value");
    operand *y = o->out[0];
    float f = 0;
    int64_t i = 0;
    if (value && y->f)
        onnx_tensor_floats(value->tensor, &f);
    else if (value)
        onnx_tensor_ints(value->tensor, &i);
    for (size_t n = 0; n < y->count; n++)
        if (y->f)
            y->f[n] = f;
        else
            y->i[n] = i;
    return SEGRT_OK;
}

/* start, limit, delta: how many elements they make; -1 where they are not known. */
static segrt_status range_count(op *o, int64_t *count)
{
    double bound[3];
    *count = ONNX_UNKNOWN;
    for (int32_t slot = 0; slot < 3; slot++) {
        const operand *in = o->in[slot];
        if ((!in->f && !in->i) || in->count != 1 || (in->i && in->i[0] == OP_UNKNOWN))
            return in->shape.rank > 0 && shape_known(&in->shape) && in->count != 1 ? op_fail(o, SEGRT_MALFORMED, "its bounds are not single numbers") : SEGRT_OK;
        bound[slot] = in->f ? (double)in->f[0] : (double)in->i[0];
    }
    if (bound[2] == 0)
        return op_fail(o, SEGRT_MALFORMED, "with a step of zero");
    const double steps = (bound[1] - bound[0]) / bound[2];
    if (!(steps < 1e9))
        return op_fail(o, SEGRT_UNSUPPORTED, "of %g elements", steps);
    *count = steps <= 0 ? 0 : (int64_t)steps + ((double)(int64_t)steps < steps);
    return SEGRT_OK;
}

segrt_status op_infer_range(op *o)
{
    onnx_shape out = {.rank = 1};
    segrt_status status = range_count(o, &out.dims[0]);
    if (!status)
        op_output(o, 0, o->in[0]->type, &out);
    return status;
}

segrt_status op_run_range(op *o)
{
    operand *y = o->out[0];
    for (size_t n = 0; n < y->count; n++)
        if (y->f)
            y->f[n] = o->in[0]->f[0] + (float)n * o->in[2]->f[0];
        else
            y->i[n] = (int64_t)((uint64_t)o->in[0]->i[0] + n * (uint64_t)o->in[2]->i[0]);
    return SEGRT_OK;
}
