/* ops_move: operators that copy elements to other places: Transpose, Concat, Split, Slice, Gather, Expand, Tile,
 * Pad, ScatterND.  Formats layer; see op.h. */
#include "formats/onnx/op_move.h"

void op_move(const operand *to, const operand *from, const onnx_shape *shape, ptrdiff_t start, const ptrdiff_t steps[ONNX_MAX_RANK])
{
    const size_t width = move_width(from);
    /* Neighbours that the source walks through without a gap become one, dimensions of 1 vanish. */
    size_t dims[ONNX_MAX_RANK + 1], index[ONNX_MAX_RANK + 1] = {0};
    ptrdiff_t step[ONNX_MAX_RANK + 1];
    int32_t rank = 0;
    for (int32_t d = 0; d < shape->rank; d++) {
        const size_t dim = (size_t)shape->dims[d];
        if (dim == 0)
            return;
        if (dim == 1)
            continue;
        if (rank && step[rank - 1] == steps[d] * (ptrdiff_t)dim) {
            dims[rank - 1] *= dim;
            step[rank - 1] = steps[d];
        } else {
            dims[rank] = dim;
            step[rank++] = steps[d];
        }
    }
    if (!rank) {
        dims[0] = 1;
        step[rank++] = 1;
    }
    unsigned char *at = move_data(to);
    const unsigned char *source = move_data(from) + start * (ptrdiff_t)width;
    const size_t inner = dims[rank - 1];
    for (;;) {
        move_run(at, source, inner, step[rank - 1], width);
        at += inner * width;
        int32_t d = rank - 2;
        for (; d >= 0; d--) {
            source += step[d] * (ptrdiff_t)width;
            if (++index[d] < dims[d])
                break;
            source -= step[d] * (ptrdiff_t)dims[d] * (ptrdiff_t)width;
            index[d] = 0;
        }
        if (d < 0)
            return;
    }
}

/* --- Transpose --------------------------------------------------------------------------------------- */

static segrt_status permutation(op *o, int32_t rank, int32_t perm[ONNX_MAX_RANK])
{
    const int64_t *given = NULL;
    const size_t count = onnx_attribute_ints(o->node, "perm", &given);
    bool seen[ONNX_MAX_RANK] = {false};
    if (given && count != (size_t)rank)
        return op_fail(o, SEGRT_MALFORMED, "its perm has %zu entries for a tensor of rank %d", count, (int)rank);
    for (int32_t d = 0; d < rank; d++) {
        perm[d] = rank - 1 - d;
        if (!given)
            continue;
        if (given[d] < 0 || given[d] >= rank || seen[given[d]])
            return op_fail(o, SEGRT_MALFORMED, "its perm is no permutation");
        perm[d] = (int32_t)given[d];
        seen[given[d]] = true;
    }
    return SEGRT_OK;
}

segrt_status op_infer_transpose(op *o)
{
    const onnx_shape *in = &o->in[0]->shape;
    int32_t perm[ONNX_MAX_RANK];
    onnx_shape out = {.rank = in->rank};
    segrt_status status = in->rank < 0 ? SEGRT_OK : permutation(o, in->rank, perm);
    for (int32_t d = 0; d < in->rank && !status; d++)
        out.dims[d] = in->dims[perm[d]];
    if (!status)
        op_output(o, 0, o->in[0]->type, &out);
    return status;
}

segrt_status op_run_transpose(op *o)
{
    const operand *x = o->in[0];
    int32_t perm[ONNX_MAX_RANK];
    size_t strides[ONNX_MAX_RANK];
    ptrdiff_t steps[ONNX_MAX_RANK];
    segrt_status status = permutation(o, x->shape.rank, perm);
    shape_strides(&x->shape, strides);
    for (int32_t d = 0; d < x->shape.rank && !status; d++)
        steps[d] = (ptrdiff_t)strides[perm[d]];
    if (!status)
        op_move(o->out[0], x, &o->out[0]->shape, 0, steps);
    return status;
}

/* --- Concat, Split ----------------------------------------------------------------------------------- */

segrt_status op_infer_concat(op *o)
{
    onnx_shape out = o->in[0]->shape;
    int32_t axis = 0;
    if (o->node->opset >= 4 && !onnx_attribute_find(o->node, "axis"))
        return op_fail(o, SEGRT_MALFORMED, "has no axis");
    for (int32_t slot = 0; slot < o->in_count; slot++) {
        const onnx_shape *in = &o->in[slot]->shape;
        if (in->rank < 0 || out.rank < 0)
            return op_output_unknown(o, o->in[0]->type);
        segrt_status status = op_axis(o, onnx_attribute_int(o->node, "axis", 1), out.rank, &axis);
        if (status)
            return status;
        if (in->rank != out.rank)
            return op_fail(o, SEGRT_MALFORMED, "joins tensors of rank %d and %d", (int)out.rank, (int)in->rank);
        for (int32_t d = 0; d < out.rank && slot > 0; d++) {
            if (d == axis) {
                if (out.dims[d] > INT64_MAX - (in->dims[d] > 0 ? in->dims[d] : 0))
                    return op_fail(o, SEGRT_MALFORMED, "its result is too large");
                out.dims[d] = out.dims[d] < 0 || in->dims[d] < 0 ? ONNX_UNKNOWN : out.dims[d] + in->dims[d];
            } else if (out.dims[d] < 0 || in->dims[d] < 0) {
                out.dims[d] = out.dims[d] < 0 ? in->dims[d] : out.dims[d];
            } else if (out.dims[d] != in->dims[d]) {
                return op_fail(o, SEGRT_MALFORMED, "joins tensors whose dimension %d is %lld and %lld", (int)d, (long long)out.dims[d], (long long)in->dims[d]);
            }
        }
    }
    op_output(o, 0, o->in[0]->type, &out);
    return SEGRT_OK;
}

segrt_status op_run_concat(op *o)
{
    operand *y = o->out[0];
    int32_t axis = 0;
    segrt_status status = op_axis(o, onnx_attribute_int(o->node, "axis", 1), y->shape.rank, &axis);
    if (status)
        return status;
    const size_t width = move_width(y), outer = shape_span(&y->shape, 0, axis), line = shape_span(&y->shape, axis, y->shape.rank) * width;
    size_t at = 0;
    for (int32_t slot = 0; slot < o->in_count; slot++) {
        const operand *x = o->in[slot];
        const size_t part = shape_span(&x->shape, axis, x->shape.rank) * width;
        for (size_t n = 0; n < outer && part; n++)
            memcpy(move_data(y) + n * line + at, move_data(x) + n * part, part);
        at += part;
    }
    return SEGRT_OK;
}

segrt_status op_infer_split(op *o)
{
    const onnx_shape *in = &o->in[0]->shape;
    int64_t list[OP_LIST];
    int32_t count, axis;
    bool given;
    if (in->rank < 0)
        return op_output_unknown(o, o->in[0]->type);
    segrt_status status = op_list(o, 1, "split", list, &count, &given);
    if (!status)
        status = op_axis(o, onnx_attribute_int(o->node, "axis", 0), in->rank, &axis);
    if (status)
        return status;
    const int32_t parts = o->node->output_count; /* unwanted ones count too */
    if (given && count >= 0 && count != parts)
        return op_fail(o, SEGRT_MALFORMED, "into %d parts with %d outputs", (int)count, (int)parts);
    if (onnx_attribute_int(o->node, "num_outputs", parts) != parts)
        return op_fail(o, SEGRT_MALFORMED, "into %lld parts with %d outputs", (long long)onnx_attribute_int(o->node, "num_outputs", parts), (int)parts);
    int64_t left = in->dims[axis];
    const int64_t even = left < 0 ? ONNX_UNKNOWN : (left + parts - 1) / parts; /* the last may be smaller (opset 18) */
    for (int32_t slot = 0; slot < parts; slot++) {
        onnx_shape out = *in;
        int64_t dim = ONNX_UNKNOWN;
        if (given && count >= 0)
            dim = list[slot] == OP_UNKNOWN ? ONNX_UNKNOWN : list[slot];
        else if (!given && even >= 0)
            dim = slot == parts - 1 ? left : even;
        if (given && count >= 0 && dim < 0 && list[slot] != OP_UNKNOWN)
            return op_fail(o, SEGRT_MALFORMED, "into a part of %lld", (long long)list[slot]);
        if (left >= 0 && dim >= 0) {
            if (dim > left)
                return op_fail(o, SEGRT_MALFORMED, "into parts that pass dimension %d of %lld", (int)axis, (long long)in->dims[axis]);
            left -= dim;
        }
        left = dim < 0 ? ONNX_UNKNOWN : left;
        out.dims[axis] = dim;
        op_output(o, slot, o->in[0]->type, &out);
    }
    if (left > 0)
        return op_fail(o, SEGRT_MALFORMED, "into parts that leave %lld of dimension %d over", (long long)left, (int)axis);
    return SEGRT_OK;
}

segrt_status op_run_split(op *o)
{
    const operand *x = o->in[0];
    int32_t axis = 0;
    segrt_status status = op_axis(o, onnx_attribute_int(o->node, "axis", 0), x->shape.rank, &axis);
    if (status)
        return status;
    const size_t width = move_width(x), outer = shape_span(&x->shape, 0, axis), line = shape_span(&x->shape, axis, x->shape.rank) * width;
    size_t at = 0;
    for (int32_t slot = 0; slot < o->out_count; slot++) {
        operand *y = o->out[slot];
        const size_t part = shape_span(&y->shape, axis, y->shape.rank) * width; /* y may be unwanted: only its shape is there */
        for (size_t n = 0; n < outer && part && o->wanted[slot]; n++)
            memcpy(move_data(y) + n * part, move_data(x) + n * line + at, part);
        at += part;
    }
    return SEGRT_OK;
}

/* --- Slice -------------------------------------------------------------------------------------------- */

typedef struct slice {
    onnx_shape out;
    int64_t start[ONNX_MAX_RANK], step[ONNX_MAX_RANK];
} slice;

static segrt_status slice_of(op *o, slice *s)
{
    static const char *const attributes[4] = {"starts", "ends", "axes", "steps"};
    const onnx_shape *in = &o->in[0]->shape;
    const bool by_attribute = o->node->opset < 10;
    int64_t lists[4][OP_LIST];
    int32_t counts[4];
    bool given[4], seen[ONNX_MAX_RANK] = {false};
    *s = (slice){.out = *in};
    for (int32_t d = 0; d < ONNX_MAX_RANK; d++)
        s->step[d] = 1;
    if (in->rank < 0)
        return SEGRT_OK;
    for (int k = 0; k < 4; k++) {
        segrt_status status = op_list(o, by_attribute ? -1 : k + 1, by_attribute ? attributes[k] : NULL, lists[k], &counts[k], &given[k]);
        if (status)
            return status;
    }
    if (counts[2] < 0 || (counts[0] < 0 && counts[1] < 0 && !given[2])) {
        for (int32_t d = 0; d < in->rank; d++)
            s->out.dims[d] = ONNX_UNKNOWN;
        return SEGRT_OK;
    }
    const int32_t count = given[2] ? counts[2] : counts[0] < 0 ? counts[1] : counts[0];
    if ((counts[0] >= 0 && counts[0] != count) || (counts[1] >= 0 && counts[1] != count) || (given[3] && counts[3] >= 0 && counts[3] != count))
        return op_fail(o, SEGRT_MALFORMED, "its starts, ends, axes and steps differ in number");
    for (int32_t k = 0; k < count; k++) {
        int32_t axis = 0;
        if (given[2] && lists[2][k] == OP_UNKNOWN)
            return op_fail(o, SEGRT_UNSUPPORTED, "its axes are computed from the input's size");
        segrt_status status = op_axis(o, given[2] ? lists[2][k] : k, in->rank, &axis);
        if (status)
            return status;
        if (seen[axis])
            return op_fail(o, SEGRT_MALFORMED, "axis %d is there twice", (int)axis);
        seen[axis] = true;
        const int64_t dim = in->dims[axis], step = !given[3] ? 1 : counts[3] < 0 ? OP_UNKNOWN : lists[3][k];
        int64_t start = counts[0] < 0 ? OP_UNKNOWN : lists[0][k], end = counts[1] < 0 ? OP_UNKNOWN : lists[1][k];
        if (step == 0)
            return op_fail(o, SEGRT_MALFORMED, "with a step of zero");
        if (dim < 0 || start == OP_UNKNOWN || end == OP_UNKNOWN || step == OP_UNKNOWN) {
            s->out.dims[axis] = ONNX_UNKNOWN;
            continue;
        }
        const int64_t low = step < 0 ? -1 : 0, high = step < 0 ? dim - 1 : dim;
        start = start < 0 ? start + dim : start;
        end = end < 0 ? end + dim : end;
        start = start < 0 ? 0 : start > high ? high : start;
        end = end < low ? low : end > dim ? dim : end;
        int64_t taken = 0;
        if (step > 0 && end > start)
            taken = 1 + (end - start - 1) / step;
        else if (step < 0 && end < start)
            taken = 1 + (start - end - 1) / (step == INT64_MIN ? INT64_MAX : -step);
        s->out.dims[axis] = dim ? taken : 0;
        s->start[axis] = taken ? start : 0;
        s->step[axis] = taken > 1 ? step : 1;
    }
    return SEGRT_OK;
}

segrt_status op_infer_slice(op *o)
{
    slice s;
    segrt_status status = slice_of(o, &s);
    if (!status)
        op_output(o, 0, o->in[0]->type, &s.out);
    return status;
}

segrt_status op_run_slice(op *o)
{
    slice s;
    size_t strides[ONNX_MAX_RANK];
    ptrdiff_t steps[ONNX_MAX_RANK], start = 0;
    segrt_status status = slice_of(o, &s);
    if (status)
        return status;
    shape_strides(&o->in[0]->shape, strides);
    for (int32_t d = 0; d < s.out.rank; d++) {
        steps[d] = (ptrdiff_t)s.step[d] * (ptrdiff_t)strides[d];
        start += (ptrdiff_t)s.start[d] * (ptrdiff_t)strides[d];
    }
    op_move(o->out[0], o->in[0], &s.out, start, steps);
    return SEGRT_OK;
}

/* --- Gather, Expand, Tile, Pad, ScatterND --------------------------------------------------------------- */

segrt_status op_infer_gather(op *o)
{
    const onnx_shape *in = &o->in[0]->shape, *at = &o->in[1]->shape;
    int32_t axis = 0;
    if (in->rank < 0 || at->rank < 0)
        return op_output_unknown(o, o->in[0]->type);
    segrt_status status = op_axis(o, onnx_attribute_int(o->node, "axis", 0), in->rank, &axis);
    if (status)
        return status;
    if (in->rank - 1 + at->rank > ONNX_MAX_RANK)
        return op_fail(o, SEGRT_UNSUPPORTED, "to %d dimensions", (int)(in->rank - 1 + at->rank));
    onnx_shape out = {.rank = in->rank - 1 + at->rank};
    for (int32_t d = 0; d < out.rank; d++)
        out.dims[d] = d < axis ? in->dims[d] : d < axis + at->rank ? at->dims[d - axis] : in->dims[d - at->rank + 1];
    op_output(o, 0, o->in[0]->type, &out);
    return SEGRT_OK;
}

segrt_status op_run_gather(op *o)
{
    const operand *x = o->in[0], *at = o->in[1];
    int32_t axis = 0;
    segrt_status status = op_axis(o, onnx_attribute_int(o->node, "axis", 0), x->shape.rank, &axis);
    if (status)
        return status;
    const size_t outer = shape_span(&x->shape, 0, axis), inner = shape_span(&x->shape, axis + 1, x->shape.rank) * move_width(x);
    const int64_t dim = x->shape.dims[axis];
    unsigned char *to = move_data(o->out[0]);
    for (size_t k = 0; k < at->count; k++)
        if (at->i[k] < -dim || at->i[k] >= dim)
            return op_fail(o, SEGRT_MALFORMED, "takes element %lld of dimension %d of %lld", (long long)at->i[k], (int)axis, (long long)dim);
    for (size_t n = 0; n < outer && inner; n++)
        for (size_t k = 0; k < at->count; k++, to += inner) {
            const size_t index = (size_t)(at->i[k] < 0 ? at->i[k] + dim : at->i[k]);
            memcpy(to, move_data(x) + (n * (size_t)dim + index) * inner, inner);
        }
    return SEGRT_OK;
}

segrt_status op_infer_expand(op *o)
{
    int64_t list[OP_LIST];
    int32_t count;
    bool given;
    segrt_status status = op_list(o, 1, NULL, list, &count, &given);
    if (status)
        return status;
    const onnx_shape *wanted_shape = &o->in[1]->shape;
    if (count < 0 && wanted_shape->rank == 1 && wanted_shape->dims[0] >= 0 && wanted_shape->dims[0] <= ONNX_MAX_RANK) {
        count = (int32_t)wanted_shape->dims[0];
        for (int32_t d = 0; d < count; d++)
            list[d] = OP_UNKNOWN;
    }
    if (count < 0)
        return op_output_unknown(o, o->in[0]->type);
    if (count > ONNX_MAX_RANK)
        return op_fail(o, SEGRT_UNSUPPORTED, "to %d dimensions", (int)count);
    onnx_shape wanted = {.rank = count}, out;
    for (int32_t d = 0; d < count; d++) {
        if (list[d] < 0 && list[d] != OP_UNKNOWN)
            return op_fail(o, SEGRT_MALFORMED, "to the dimension %lld", (long long)list[d]);
        wanted.dims[d] = list[d] == OP_UNKNOWN ? ONNX_UNKNOWN : list[d];
    }
    status = op_broadcast(o, &o->in[0]->shape, &wanted, &out);
    if (!status)
        op_output(o, 0, o->in[0]->type, &out);
    return status;
}

segrt_status op_run_expand(op *o)
{
    const operand *x = o->in[0];
    const onnx_shape *out = &o->out[0]->shape;
    size_t strides[ONNX_MAX_RANK];
    ptrdiff_t steps[ONNX_MAX_RANK];
    shape_strides(&x->shape, strides);
    for (int32_t d = 0; d < out->rank; d++) {
        const int32_t at = d - (out->rank - x->shape.rank);
        steps[d] = at < 0 || x->shape.dims[at] == 1 ? 0 : (ptrdiff_t)strides[at];
    }
    op_move(o->out[0], x, out, 0, steps);
    return SEGRT_OK;
}

segrt_status op_infer_tile(op *o)
{
    int64_t list[OP_LIST];
    int32_t count;
    bool given;
    onnx_shape out = o->in[0]->shape;
    segrt_status status = op_list(o, 1, NULL, list, &count, &given);
    if (status)
        return status;
    if (count >= 0 && out.rank >= 0 && count != out.rank)
        return op_fail(o, SEGRT_MALFORMED, "%d repeats for a tensor of rank %d", (int)count, (int)out.rank);
    for (int32_t d = 0; d < out.rank; d++) {
        const int64_t times = count < 0 ? OP_UNKNOWN : list[d];
        if (times != OP_UNKNOWN && (times < 0 || (out.dims[d] > 0 && times > (INT64_MAX >> 4) / out.dims[d])))
            return op_fail(o, SEGRT_MALFORMED, "%lld repeats", (long long)times);
        out.dims[d] = times == OP_UNKNOWN || out.dims[d] < 0 ? ONNX_UNKNOWN : out.dims[d] * times;
    }
    op_output(o, 0, o->in[0]->type, &out);
    return SEGRT_OK;
}

segrt_status op_run_tile(op *o)
{
    const operand *x = o->in[0];
    operand *y = o->out[0];
    const size_t width = move_width(x);
    size_t in[ONNX_MAX_RANK], index[ONNX_MAX_RANK] = {0};
    shape_strides(&x->shape, in);
    for (size_t n = 0; n < y->count; n++) {
        size_t from = 0;
        for (int32_t d = 0; d < y->shape.rank; d++)
            from += index[d] % (size_t)x->shape.dims[d] * in[d];
        memcpy(move_data(y) + n * width, move_data(x) + from * width, width);
        for (int32_t d = y->shape.rank - 1; d >= 0 && ++index[d] == (size_t)y->shape.dims[d]; d--)
            index[d] = 0;
    }
    return SEGRT_OK;
}

segrt_status op_infer_scatter_nd(op *o)
{
    if (strcmp(onnx_attribute_text(o->node, "reduction", "none"), "none") != 0)
        return op_fail(o, SEGRT_UNSUPPORTED, "with a reduction");
    return op_infer_same(o);
}

segrt_status op_run_scatter_nd(op *o)
{
    const operand *x = o->in[0], *at = o->in[1], *part = o->in[2];
    const size_t width = move_width(x);
    const int32_t depth = at->shape.rank ? (int32_t)at->shape.dims[at->shape.rank - 1] : -1;
    if (depth < 0 || depth > x->shape.rank || (at->shape.rank && at->shape.dims[at->shape.rank - 1] > x->shape.rank))
        return op_fail(o, SEGRT_MALFORMED, "its indices do not fit a tensor of rank %d", (int)x->shape.rank);
    const size_t inner = shape_span(&x->shape, depth, x->shape.rank), places = shape_span(&at->shape, 0, at->shape.rank - 1);
    if (part->count != places * inner)
        return op_fail(o, SEGRT_MALFORMED, "%zu updates for %zu places of %zu", part->count, places, inner);
    size_t strides[ONNX_MAX_RANK];
    shape_strides(&x->shape, strides);
    if (x->count)
        memcpy(move_data(o->out[0]), move_data(x), x->count * width);
    for (size_t n = 0; n < places; n++) {
        size_t to = 0;
        for (int32_t d = 0; d < depth; d++) {
            const int64_t dim = x->shape.dims[d], index = at->i[n * (size_t)depth + (size_t)d];
            if (index < -dim || index >= dim)
                return op_fail(o, SEGRT_MALFORMED, "writes element %lld of dimension %d of %lld", (long long)index, (int)d, (long long)dim);
            to += (size_t)(index < 0 ? index + dim : index) * strides[d];
        }
        if (inner)
            memcpy(move_data(o->out[0]) + to * width, move_data(part) + n * inner * width, inner * width);
    }
    return SEGRT_OK;
}
