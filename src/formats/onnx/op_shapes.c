/* op_shapes: shapes, axes and broadcasting, as all operators share them.  Formats layer; see op.h. */
#include <string.h>

#include "formats/onnx/op.h"

bool shape_known(const onnx_shape *shape)
{
    for (int32_t d = 0; d < shape->rank; d++)
        if (shape->dims[d] < 0)
            return false;
    return shape->rank >= 0;
}

bool shape_count(const onnx_shape *shape, size_t *count)
{
    *count = 1;
    for (int32_t d = 0; d < shape->rank; d++)
        if (!shape->dims[d]) {
            *count = 0;
            return true;
        }
    for (int32_t d = 0; d < shape->rank; d++) {
        if ((uint64_t)shape->dims[d] > (SIZE_MAX >> 4) / *count)
            return false;
        *count *= (size_t)shape->dims[d];
    }
    return true;
}

size_t shape_span(const onnx_shape *shape, int32_t from, int32_t to)
{
    size_t span = 1;
    for (int32_t d = from; d < to; d++)
        span *= (size_t)shape->dims[d];
    return span;
}

void shape_strides(const onnx_shape *shape, size_t strides[ONNX_MAX_RANK])
{
    size_t stride = 1;
    for (int32_t d = shape->rank - 1; d >= 0; d--) {
        strides[d] = stride;
        stride *= (size_t)shape->dims[d];
    }
}

void op_output(op *o, int32_t slot, onnx_type type, const onnx_shape *shape)
{
    if (slot >= o->out_count)
        return;
    o->out[slot]->type = type;
    o->out[slot]->shape = *shape;
}

segrt_status op_output_unknown(op *o, onnx_type type)
{
    const onnx_shape unknown = {.rank = ONNX_UNKNOWN};
    for (int32_t slot = 0; slot < o->out_count; slot++)
        op_output(o, slot, type, &unknown);
    return SEGRT_OK;
}

segrt_status op_axis(op *o, int64_t given, int32_t rank, int32_t *axis)
{
    if (given < -rank || given >= rank)
        return op_fail(o, SEGRT_MALFORMED, "axis %lld of a tensor of rank %d", (long long)given, (int)rank);
    *axis = (int32_t)(given < 0 ? given + rank : given);
    return SEGRT_OK;
}

segrt_status op_broadcast(op *o, const onnx_shape *a, const onnx_shape *b, onnx_shape *out)
{
    if (a->rank < 0 || b->rank < 0) {
        *out = (onnx_shape){.rank = ONNX_UNKNOWN};
        return SEGRT_OK;
    }
    onnx_shape result = {.rank = a->rank > b->rank ? a->rank : b->rank};
    for (int32_t d = 0; d < result.rank; d++) {
        const int32_t at_a = d - (result.rank - a->rank), at_b = d - (result.rank - b->rank);
        const int64_t x = at_a < 0 ? 1 : a->dims[at_a], y = at_b < 0 ? 1 : b->dims[at_b];
        if (x == y || y == 1)
            result.dims[d] = x;
        else if (x == 1)
            result.dims[d] = y;
        else if (x < 0 || y < 0)
            result.dims[d] = x < 0 ? y : x; /* the unknown one is 1 or the same */
        else {
            char first[ONNX_TEXT_ROOM], second[ONNX_TEXT_ROOM];
            return op_fail(o, SEGRT_MALFORMED, "%.100s and %.100s do not broadcast", onnx_shape_text(ONNX_NO_TYPE, a, first) + 8,
                           onnx_shape_text(ONNX_NO_TYPE, b, second) + 8);
        }
    }
    *out = result;
    return SEGRT_OK;
}

segrt_status op_list(op *o, int32_t slot, const char *attribute, int64_t out[OP_LIST], int32_t *count, bool *given)
{
    const operand *in = slot < 0 ? NULL : op_in(o, slot);
    *count = 0;
    *given = in != NULL;
    if (in) {
        if (in->shape.rank > 1)
            return op_fail(o, SEGRT_MALFORMED, "its input #%d must be a list of integers, but has rank %d", (int)slot, (int)in->shape.rank);
        if (!in->i || !shape_known(&in->shape)) {
            *count = -1;
            return SEGRT_OK;
        }
        if (in->count > OP_LIST)
            return op_fail(o, SEGRT_UNSUPPORTED, "its input #%d is a list of %zu integers", (int)slot, in->count);
        memcpy(out, in->i, in->count * sizeof *out);
        *count = (int32_t)in->count;
        return SEGRT_OK;
    }
    const int64_t *ints = NULL;
    const size_t listed = attribute ? onnx_attribute_ints(o->node, attribute, &ints) : 0;
    *given = ints != NULL;
    if (listed > OP_LIST)
        return op_fail(o, SEGRT_UNSUPPORTED, "attribute '%s' has %zu integers", attribute, listed);
    if (listed)
        memcpy(out, ints, listed * sizeof *out);
    *count = (int32_t)listed;
    return SEGRT_OK;
}

segrt_status op_axes(op *o, int32_t slot, const char *attribute, int32_t rank, bool mask[ONNX_MAX_RANK], bool *given, bool *known)
{
    int64_t list[OP_LIST];
    int32_t count;
    memset(mask, 0, ONNX_MAX_RANK * sizeof *mask);
    segrt_status status = op_list(o, slot, attribute, list, &count, given);
    *known = !status && count >= 0;
    for (int32_t i = 0; i < count && !status && *known; i++) {
        int32_t axis = 0;
        if (list[i] == OP_UNKNOWN) {
            *known = false;
            break;
        }
        status = op_axis(o, list[i], rank, &axis);
        if (!status && mask[axis])
            status = op_fail(o, SEGRT_MALFORMED, "axis %d is there twice", (int)axis);
        mask[axis] = true;
    }
    return status;
}

void op_walk(const onnx_shape *out, int32_t inputs, const onnx_shape *const shapes[WALK_INPUTS], walk_fn *row, void *context)
{
    /* Dimensions of 1 vanish; neighbours that every input walks through alike become one. */
    size_t dims[ONNX_MAX_RANK + 1], strides[WALK_INPUTS][ONNX_MAX_RANK + 1];
    int32_t rank = 0;
    size_t own[WALK_INPUTS][ONNX_MAX_RANK];
    for (int32_t k = 0; k < inputs; k++)
        shape_strides(shapes[k], own[k]);
    for (int32_t d = 0; d < out->rank; d++) {
        if (out->dims[d] == 1)
            continue;
        size_t step[WALK_INPUTS] = {0};
        for (int32_t k = 0; k < inputs; k++) {
            const int32_t at = d - (out->rank - shapes[k]->rank);
            step[k] = at < 0 || shapes[k]->dims[at] == 1 ? 0 : own[k][at];
        }
        bool merges = rank > 0;
        for (int32_t k = 0; k < inputs && merges; k++)
            merges = strides[k][rank - 1] == step[k] * (size_t)out->dims[d];
        if (merges)
            dims[rank - 1] *= (size_t)out->dims[d];
        else
            dims[rank++] = (size_t)out->dims[d];
        for (int32_t k = 0; k < inputs; k++)
            strides[k][rank - 1] = step[k];
    }
    if (!rank) {
        dims[rank++] = 1;
        for (int32_t k = 0; k < inputs; k++)
            strides[k][0] = 0;
    }
    size_t total = 1, inner = dims[rank - 1], last[WALK_INPUTS] = {0}, from[WALK_INPUTS] = {0}, index[ONNX_MAX_RANK + 1] = {0};
    for (int32_t d = 0; d < rank; d++)
        total *= dims[d];
    for (int32_t k = 0; k < inputs; k++)
        last[k] = strides[k][rank - 1];
    for (size_t to = 0; to < total; to += inner) {
        row(context, inner, to, from, last);
        for (int32_t d = rank - 2; d >= 0; d--) {
            for (int32_t k = 0; k < inputs; k++)
                from[k] += strides[k][d];
            if (++index[d] < dims[d])
                break;
            for (int32_t k = 0; k < inputs; k++)
                from[k] -= strides[k][d] * dims[d];
            index[d] = 0;
        }
    }
}
