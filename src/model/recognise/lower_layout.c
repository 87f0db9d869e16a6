/* lower_layout: operators that only move: they change the view, not the node. */
#include "model/recognise/lower.h"

static const char *reshape(canon *c, const onnx_node *node, canon_value *out)
{
    const canon_value *x = lower_operand(c, node, 0);
    const onnx_shape *shape = lower_shape(c, node, 0);
    if (!x)
        return "works on a constant";
    *out = *x;
    return view_reshape(&out->view, shape->rank, shape->dims) ? NULL : "joins or cuts what belongs to different axes";
}

static const char *dropout(canon *c, const onnx_node *node, canon_value *out)
{
    double training = 0;
    if (onnx_input(node, 2) >= 0 && (!onnx_constant_number(c->graph, onnx_input(node, 2), &training) || training != 0))
        return "drops activations (training mode)";
    return reshape(c, node, out);
}

static const char *cast(canon *c, const onnx_node *node, canon_value *out)
{
    const canon_value *x = lower_operand(c, node, 0);
    const onnx_type to = c->graph->values[node->outputs[0]].type;
    const onnx_tensor *constant = canon_constant(c, onnx_input(node, 0));
    if (constant && onnx_type_is_float(constant->type)) { /* CastLike of a weight to the activations' type */
        c->constants[node->outputs[0]] = constant;
        return NULL;
    }
    if (x && canon_at(c, x->node)->op != CANON_ARGMAX && canon_at(c, x->node)->op != CANON_INPUT && !onnx_type_is_float(to))
        return "turns activations into integers";
    return reshape(c, node, out);
}

static const char *transpose(canon *c, const onnx_node *node, canon_value *out)
{
    const canon_value *x = lower_operand(c, node, 0);
    const int64_t *order;
    int64_t reversed[VIEW_RANK];
    if (!x)
        return "works on a constant";
    *out = *x;
    const int rank = x->view.rank;
    size_t count = onnx_attribute_ints(node, "perm", &order);
    if (!count) {
        for (int i = 0; i < rank; i++)
            reversed[i] = rank - 1 - i;
        order = reversed;
        count = (size_t)rank;
    }
    return count == (size_t)rank && view_transpose(&out->view, rank, order) ? NULL : "has another rank than its order";
}

const char *lower_select(canon *c, canon_value *value, int dim, int64_t begin, int64_t count)
{
    view *v = &value->view;
    const int64_t size = view_size(v, dim);
    if (begin < 0 || count < 1 || begin > size - count)
        return "takes a part that is not there";
    if (count == size)
        return NULL;
    const piece first = v->pieces[view_begin(v, dim)];
    const int64_t rest = size / first.size;
    if (begin % rest || count % rest)
        return "takes a part across axes";
    begin /= rest;
    count /= rest;
    const canon_node *from = canon_at(c, value->node);
    if ((first.axis == AXIS_H || first.axis == AXIS_W) && view_is_image(v, &from->extent)) {
        canon_node crop = canon_unary(c, CANON_CROP, value->node);
        crop.extent.of[first.axis] = count;
        crop.at[first.axis == AXIS_W] = begin;
        static const axis order[] = {AXIS_N, AXIS_C, AXIS_H, AXIS_W};
        *v = view_of(&crop.extent, 4, order);
        value->node = canon_make(c, &crop);
        return NULL;
    }
    if (first.axis != AXIS_C)
        return "takes a part of the pictures or of the pixels";
    value->node = canon_select(c, value->node, first.inner, first.size, begin, count);
    if (value->node < 0)
        return "takes a part of the channels of something that is no linear map";
    for (int i = 0; i < v->count; i++) {
        piece *p = &v->pieces[i];
        if (p->axis == AXIS_C && p->inner == first.inner)
            p->size = count;
        else if (p->axis == AXIS_C && p->inner > first.inner)
            p->inner = p->inner / first.size * count;
    }
    view_join(v);
    return NULL;
}

static const char *slice(canon *c, const onnx_node *node, canon_value *out)
{
    const canon_value *x = lower_operand(c, node, 0);
    int64_t begin[VIEW_RANK], end[VIEW_RANK], axes[VIEW_RANK], steps[VIEW_RANK];
    if (!x)
        return "works on a constant";
    const int32_t count = onnx_constant_ints(c->graph, onnx_input(node, 1), begin, VIEW_RANK);
    if (count < 0 || onnx_constant_ints(c->graph, onnx_input(node, 2), end, VIEW_RANK) != count)
        return "slices at places that are not known";
    if (onnx_input(node, 3) < 0)
        for (int i = 0; i < count; i++)
            axes[i] = i;
    else if (onnx_constant_ints(c->graph, onnx_input(node, 3), axes, VIEW_RANK) != count)
        return "slices axes that are not known";
    if (onnx_input(node, 4) >= 0) {
        const int32_t given = onnx_constant_ints(c->graph, onnx_input(node, 4), steps, VIEW_RANK);
        for (int i = 0; i < count; i++)
            if (given != count || steps[i] != 1)
                return "slices with a step";
    }
    *out = *x;
    for (int i = 0; i < count; i++) {
        const int dim = lower_axis(axes[i], x->view.rank);
        if (dim < 0)
            return "slices an axis that is not there";
        const int64_t size = view_size(&out->view, dim);
        int64_t from = begin[i] < 0 ? begin[i] + size : begin[i], to = end[i] < 0 ? end[i] + size : end[i];
        from = from < 0 ? 0 : from > size ? size : from;
        to = to < 0 ? 0 : to > size ? size : to;
        const char *why = lower_select(c, out, dim, from, to - from);
        if (why)
            return why;
    }
    return NULL;
}

static const char *gather(canon *c, const onnx_node *node, canon_value *out)
{
    const canon_value *x = lower_operand(c, node, 0);
    int64_t index;
    if (!x)
        return "works on a constant";
    const int dim = lower_axis(onnx_attribute_int(node, "axis", 0), x->view.rank);
    if (dim < 0 || onnx_constant_ints(c->graph, onnx_input(node, 1), &index, 1) != 1)
        return "gathers more than one part: channels in another order?";
    *out = *x;
    const char *why = lower_select(c, out, dim, index < 0 ? index + view_size(&x->view, dim) : index, 1);
    const onnx_shape *shape = lower_shape(c, node, 0);
    return why ? why : view_reshape(&out->view, shape->rank, shape->dims) ? NULL : "joins or cuts what belongs to different axes";
}

static const char *split(canon *c, const onnx_node *node, canon_value *out)
{
    const canon_value *x = lower_operand(c, node, 0);
    if (!x)
        return "works on a constant";
    const int dim = lower_axis(onnx_attribute_int(node, "axis", 0), x->view.rank);
    if (dim < 0 || node->output_count > LOWER_OUTPUTS)
        return "splits an axis that is not there, or in many parts";
    int64_t begin = 0;
    for (int i = 0; i < node->output_count; i++) { /* shapes are known: the sizes need not be looked up */
        const onnx_shape *shape = lower_shape(c, node, i);
        if (shape->rank != x->view.rank)
            return "splits into parts that nobody wants";
        out[i] = *x;
        const char *why = lower_select(c, &out[i], dim, begin, shape->dims[dim]);
        if (why)
            return why;
        begin += shape->dims[dim];
    }
    return NULL;
}

static const char *concat(canon *c, const onnx_node *node, canon_value *out)
{
    const int count = node->input_count;
    const canon_value *first = lower_operand(c, node, 0);
    if (count < 1 || count > CANON_INPUTS || !first)
        return "joins many tensors, or constants";
    const int dim = lower_axis(onnx_attribute_int(node, "axis", 0), first->view.rank);
    if (dim < 0)
        return "joins along an axis that is not there";
    canon_node joined = canon_unary(c, CANON_CONCAT, first->node);
    joined.input_count = count;
    joined.extent.of[AXIS_C] = 0;
    for (int i = 0; i < count; i++) {
        const canon_value *x = lower_operand(c, node, i);
        if (!x || x->view.rank != first->view.rank || !view_is_axis(&x->view, &canon_at(c, x->node)->extent, dim, AXIS_C))
            return "joins something else than channels";
        for (int d = 0; d < x->view.rank; d++)
            if (d != dim && !view_same_dim(&x->view, d, &first->view, d))
                return "joins tensors of different layouts";
        joined.inputs[i] = x->node;
        joined.extent.of[AXIS_C] += canon_at(c, x->node)->extent.of[AXIS_C];
    }
    out->view = first->view;
    view_replace(&out->view, dim, (piece){AXIS_C, 1, joined.extent.of[AXIS_C]});
    out->node = canon_make(c, &joined);
    return NULL;
}

const lowering lower_layout[] = {
    {"", "Reshape", reshape}, {"", "Squeeze", reshape}, {"", "Unsqueeze", reshape}, {"", "Flatten", reshape}, {"", "Expand", reshape},
    {"", "Identity", reshape}, {"", "Dropout", dropout}, {"", "Cast", cast}, {"", "CastLike", cast}, {"", "Transpose", transpose}, {"", "Slice", slice},
    {"", "Gather", gather}, {"", "Split", split}, {"", "Concat", concat}, {NULL, NULL, NULL},
};
