/* lower_arithmetic: operators that work number by number, and means and extremes over channels. */
#include "model/recognise/lower.h"

#include <math.h>
#include <string.h>

/* All numbers of a constant for a moment; to be freed. */
static double *numbers_of(canon *c, const onnx_tensor *t)
{
    double *all = canon_charge(c, t->count, sizeof *all) ? memory_get_array(t->count, sizeof *all) : NULL;
    c->no_memory |= !all;
    if (all)
        onnx_tensor_doubles(t, all);
    return all;
}

/* A constant that differs by channel alone, as a number a channel; NULL where it does not. */
static double *channel_numbers(canon *c, const canon_value *x, const onnx_tensor *t)
{
    const view *v = &x->view;
    const int64_t channels = canon_at(c, x->node)->extent.of[AXIS_C];
    const int shift = v->rank - t->shape.rank;
    if (t->count == 1 || shift < 0)
        return NULL;
    for (int d = 0; d < t->shape.rank; d++) {
        if (t->shape.dims[d] == 1)
            continue;
        if (t->shape.dims[d] != view_size(v, d + shift))
            return NULL;
        for (int i = view_begin(v, d + shift); i < v->end[d + shift]; i++)
            if (v->pieces[i].axis != AXIS_C)
                return NULL;
    }
    double *all = numbers_of(c, t), *numbers = canon_new_doubles(c, (size_t)channels);
    for (int64_t channel = 0; all && numbers && channel < channels; channel++) {
        int64_t at = 0;
        for (int d = 0; d < t->shape.rank; d++) {
            int64_t index = 0;
            for (int i = view_begin(v, d + shift); t->shape.dims[d] > 1 && i < v->end[d + shift]; i++)
                index = index * v->pieces[i].size + channel / v->pieces[i].inner % v->pieces[i].size;
            at = at * t->shape.dims[d] + index;
        }
        numbers[channel] = all[at];
    }
    memory_free(all);
    return c->no_memory ? NULL : numbers;
}

static bool broadcasts_to(const onnx_tensor *t, const view *v)
{
    const int shift = v->rank - t->shape.rank;
    for (int d = 0; shift >= 0 && d < t->shape.rank; d++)
        if (t->shape.dims[d] != 1 && t->shape.dims[d] != view_size(v, d + shift))
            return false;
    return shift >= 0;
}

/* The constant is one number, however often it stands there. */
static bool one_number(canon *c, const onnx_tensor *t, double *number)
{
    if (!t->count)
        return false;
    if (t->count == 1) {
        onnx_tensor_doubles(t, number);
        return true;
    }
    double *all = numbers_of(c, t);
    bool same = all != NULL;
    for (size_t i = 1; same && i < t->count; i++)
        same = all[i] == all[0];
    *number = same ? all[0] : 0;
    memory_free(all);
    return same;
}

/* x / constant [1][1][h][w]: mmsegmentation's count of windows. */
static const char *divide_by_map(canon *c, const canon_value *x, const onnx_tensor *t, char op, bool first, canon_value *out)
{
    const extents *e = &canon_at(c, x->node)->extent;
    if (op != '/' || first || !view_is_image(&x->view, e) || (int64_t)t->count != e->of[AXIS_H] * e->of[AXIS_W])
        return "takes a constant that is neither one number nor a number a channel";
    canon_node n = canon_unary(c, CANON_COUNT, x->node);
    n.map = t;
    *out = (canon_value){.node = canon_make(c, &n), .view = x->view};
    return NULL;
}

const char *lower_with_constant(canon *c, const canon_value *x, const onnx_tensor *t, char op, bool first, canon_value *out)
{
    if (!broadcasts_to(t, &x->view))
        return "takes a constant that makes its other operand larger";
    canon_node n = canon_unary(c, CANON_AFFINE, x->node);
    double number, *given = channel_numbers(c, x, t);
    n.count = given ? (int)n.extent.of[AXIS_C] : 1;
    if (c->no_memory)
        return "(no memory)";
    if (!given) {
        if (!one_number(c, t, &number))
            return divide_by_map(c, x, t, op, first, out);
        given = &number;
    }
    if (op == '/' && first) {
        const canon_node from = *canon_at(c, x->node);
        if (n.count != 1 || *given != 1 || from.op != CANON_SQRT)
            return "divides a constant by activations";
        const canon_node rsqrt = canon_unary(c, CANON_RSQRT, from.inputs[0]);
        *out = (canon_value){.node = canon_make(c, &rsqrt), .view = x->view};
        return NULL;
    }
    double *mul = canon_new_doubles(c, (size_t)n.count), *add = canon_new_doubles(c, (size_t)n.count);
    if (!mul || !add)
        return "(no memory)";
    for (int i = 0; i < n.count; i++) {
        mul[i] = op == '*' ? given[i] : op == '/' ? 1 / given[i] : op == '-' && first ? -1 : 1;
        add[i] = op == '+' || (op == '-' && first) ? given[i] : op == '-' ? -given[i] : 0;
        if (!isfinite(mul[i]) || !isfinite(add[i]))
            return "holds a constant that is not finite, or divides by 0";
    }
    n.mul = mul;
    n.add = add;
    origins_constant(c->origins, op == '*' || op == '/' ? mul : add, t, c->origin,
                     op == '/'             ? "one over it"
                     : op == '-' && !first ? "negated"
                                           : NULL);
    *out = (canon_value){.node = canon_make(c, &n), .view = x->view};
    return NULL;
}

/* Gives `v` leading dimensions of size 1 up to `rank`. */
static void widen(view *v, int rank)
{
    const int more = rank - v->rank;
    if (more <= 0)
        return;
    memmove(v->end + more, v->end, (size_t)v->rank * sizeof *v->end);
    memset(v->end, 0, (size_t)more * sizeof *v->end);
    v->rank = rank;
}

/* May the one-sized dimension of a result with extents `e` stretch over these pieces?  Only where the result has no such axis. */
static bool stretches(const extents *e, const view *over, int dim)
{
    for (int i = view_begin(over, dim); i < over->end[dim]; i++)
        if (e->of[over->pieces[i].axis] != 1)
            return false;
    return true;
}

const char *lower_binary(canon *c, canon_op op, const canon_value *a, const canon_value *b, canon_value *out)
{
    view left = a->view, right = b->view;
    const extents *le = &canon_at(c, a->node)->extent, *re = &canon_at(c, b->node)->extent;
    widen(&left, right.rank);
    widen(&right, left.rank);
    canon_node n = canon_unary(c, op, a->node);
    bool left_rules = true, right_rules = true;
    for (int d = 0; d < left.rank; d++) {
        if (view_same_dim(&left, d, &right, d))
            continue;
        if (right.end[d] == view_begin(&right, d) && stretches(re, &left, d))
            right_rules = false;
        else if (left.end[d] == view_begin(&left, d) && stretches(le, &right, d))
            left_rules = false;
        else
            return "combines tensors of different layouts";
    }
    if (!left_rules && !right_rules)
        return "combines tensors each of which is larger than the other";
    for (int i = 0; i < AXES; i++)
        n.extent.of[i] = le->of[i] > re->of[i] ? le->of[i] : re->of[i];
    n.input_count = 2;
    n.inputs[1] = b->node;
    *out = (canon_value){.node = canon_make(c, &n), .view = left_rules ? left : right};
    return NULL;
}

static const char *arithmetic(canon *c, const onnx_node *node, char op, canon_op both, canon_value *out)
{
    const canon_value *a = lower_operand(c, node, 0), *b = lower_operand(c, node, 1);
    const onnx_tensor *left = canon_constant(c, onnx_input(node, 0)), *right = canon_constant(c, onnx_input(node, 1));
    if (node->input_count != 2)
        return "has not two operands";
    if (a && b)
        return lower_binary(c, both, a, b, out);
    if (a && right)
        return lower_with_constant(c, a, right, op, false, out);
    if (b && left)
        return lower_with_constant(c, b, left, op, true, out);
    return "works on constants";
}

static const char *add(canon *c, const onnx_node *node, canon_value *out)
{
    return arithmetic(c, node, '+', CANON_ADD, out);
}
static const char *subtract(canon *c, const onnx_node *node, canon_value *out)
{
    return arithmetic(c, node, '-', CANON_SUB, out);
}
static const char *multiply(canon *c, const onnx_node *node, canon_value *out)
{
    return arithmetic(c, node, '*', CANON_MUL, out);
}
static const char *divide(canon *c, const onnx_node *node, canon_value *out)
{
    return arithmetic(c, node, '/', CANON_DIV, out);
}

static const char *unary(canon *c, const onnx_node *node, canon_op op, canon_value *out)
{
    const canon_value *x = lower_operand(c, node, 0);
    if (!x)
        return "works on a constant";
    const canon_node n = canon_unary(c, op, x->node);
    *out = (canon_value){.node = canon_make(c, &n), .view = x->view};
    return NULL;
}

static const char *relu(canon *c, const onnx_node *node, canon_value *out)
{
    return unary(c, node, CANON_RELU, out);
}
static const char *erf_of(canon *c, const onnx_node *node, canon_value *out)
{
    return unary(c, node, CANON_ERF, out);
}
static const char *square_root(canon *c, const onnx_node *node, canon_value *out)
{
    return unary(c, node, CANON_SQRT, out);
}

static const char *reciprocal(canon *c, const onnx_node *node, canon_value *out)
{
    const canon_value *x = lower_operand(c, node, 0);
    if (!x || canon_at(c, x->node)->op != CANON_SQRT)
        return "divides by activations";
    const canon_node n = canon_unary(c, CANON_RSQRT, canon_at(c, x->node)->inputs[0]);
    *out = (canon_value){.node = canon_make(c, &n), .view = x->view};
    return NULL;
}

static const char *power(canon *c, const onnx_node *node, canon_value *out)
{
    double exponent;
    if (!onnx_constant_number(c->graph, onnx_input(node, 1), &exponent))
        return "has an exponent that is no number";
    return exponent == 2      ? unary(c, node, CANON_SQUARE, out)
           : exponent == 0.5  ? unary(c, node, CANON_SQRT, out)
           : exponent == -0.5 ? unary(c, node, CANON_RSQRT, out)
                              : "has an exponent that no part of a SegFormer has";
}

static const char *gelu(canon *c, const onnx_node *node, canon_value *out)
{
    if (strcmp(onnx_attribute_text(node, "approximate", "none"), "none") != 0)
        return "is the tanh approximation of GELU, not the exact one";
    return unary(c, node, CANON_GELU, out);
}

static const char *mean(canon *c, const onnx_node *node, canon_value *out)
{
    const canon_value *x = lower_operand(c, node, 0);
    const int64_t *axes;
    int64_t given[VIEW_RANK];
    if (!x)
        return "works on a constant";
    size_t count = onnx_attribute_ints(node, "axes", &axes);
    if (!count) {
        const int32_t found = onnx_constant_ints(c->graph, onnx_input(node, 1), given, VIEW_RANK);
        count = found < 0 ? 0 : (size_t)found;
        axes = given;
    }
    const int dim = count == 1 ? lower_axis(axes[0], x->view.rank) : -1;
    if (dim < 0 || !view_is_axis(&x->view, &canon_at(c, x->node)->extent, dim, AXIS_C))
        return "takes means over something else than the channels";
    canon_node n = canon_unary(c, CANON_MEAN, x->node);
    n.extent.of[AXIS_C] = 1;
    *out = (canon_value){.node = canon_make(c, &n), .view = x->view};
    view_replace(&out->view, dim, (piece){.size = 1});
    const onnx_shape *shape = lower_shape(c, node, 0);
    return view_reshape(&out->view, shape->rank, shape->dims) ? NULL : "joins or cuts what belongs to different axes";
}

static const char *softmax(canon *c, const onnx_node *node, canon_value *out)
{
    static const axis keys[] = {AXIS_KEY_H, AXIS_KEY_W};
    const canon_value *x = lower_operand(c, node, 0);
    if (!x)
        return "works on a constant";
    const canon_node *from = canon_at(c, x->node);
    const int rank = x->view.rank, dim = lower_axis(onnx_attribute_int(node, "axis", node->opset < 13 ? 1 : -1), rank);
    if (dim < 0 || (node->opset < 13 && dim != rank - 1)) /* before 13 it works on everything behind the axis as one */
        return "works on several axes at once";
    const bool over_keys = from->extent.of[AXIS_KEY_H] * from->extent.of[AXIS_KEY_W] > 1 || from->op == CANON_SCORES ||
                           (from->op == CANON_AFFINE && canon_input(c, from, 0)->op == CANON_SCORES);
    if (over_keys ? !view_shows(&x->view, &from->extent, dim, 2, keys) : !view_is_axis(&x->view, &from->extent, dim, AXIS_C))
        return over_keys ? "works on another axis than the keys" : "works on another axis than the channels";
    const canon_node n = canon_unary(c, over_keys ? CANON_SOFTMAX : CANON_CLASS_SOFTMAX, x->node);
    *out = (canon_value){.node = canon_make(c, &n), .view = x->view};
    return NULL;
}

static const char *arg_max(canon *c, const onnx_node *node, canon_value *out)
{
    const canon_value *x = lower_operand(c, node, 0);
    if (!x)
        return "works on a constant";
    const int dim = lower_axis(onnx_attribute_int(node, "axis", 0), x->view.rank);
    if (dim < 0 || !view_is_axis(&x->view, &canon_at(c, x->node)->extent, dim, AXIS_C))
        return "works on another axis than the classes";
    if (onnx_attribute_int(node, "select_last_index", 0))
        return "takes the last of equal classes; segrt takes the first";
    canon_node n = canon_unary(c, CANON_ARGMAX, x->node);
    n.extent.of[AXIS_C] = 1;
    *out = (canon_value){.node = canon_make(c, &n), .view = x->view};
    view_replace(&out->view, dim, (piece){.size = 1});
    const onnx_shape *shape = lower_shape(c, node, 0);
    return view_reshape(&out->view, shape->rank, shape->dims) ? NULL : "joins or cuts what belongs to different axes";
}

const lowering lower_arithmetic[] = {
    {"", "Add", add},          {"", "Sum", add},
    {"", "Sub", subtract},     {"", "Mul", multiply},
    {"", "Div", divide},       {"", "Pow", power},
    {"", "Relu", relu},        {"", "Erf", erf_of},
    {"", "Sqrt", square_root}, {"", "Reciprocal", reciprocal},
    {"", "Gelu", gelu},        {"com.microsoft", "Gelu", gelu},
    {"", "ReduceMean", mean},  {"", "Softmax", softmax},
    {"", "ArgMax", arg_max},   {NULL, NULL, NULL},
};
