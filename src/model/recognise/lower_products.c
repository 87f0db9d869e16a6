/* lower_products: matrix products: with a constant they are linear maps over the channels, with each other
 * they are attention's. */
#include "model/recognise/lower.h"

const char *lower_linear(canon *c, const canon_value *x, int dim, const float *weight, int64_t out, int64_t in, canon_value *y)
{
    const extents *e = &canon_at(c, x->node)->extent;
    if (!weight)
        return "(no memory)";
    if (dim < 0 || !view_is_axis(&x->view, e, dim, AXIS_C))
        return "multiplies something else than the channels of each pixel";
    if (e->of[AXIS_C] != in || out > INT32_MAX || in > INT32_MAX)
        return "has weights of another width than its input";
    canon_node n = canon_unary(c, CANON_LINEAR, x->node);
    n.out = (int)out;
    n.in = (int)in;
    n.kernel = n.stride = n.groups = 1;
    n.weight = weight;
    n.extent.of[AXIS_C] = out;
    *y = (canon_value){.node = canon_make(c, &n), .view = x->view};
    view_replace(&y->view, dim, (piece){AXIS_C, 1, out});
    return NULL;
}

/* A constant matrix, however many leading dimensions of 1 it has. */
static bool is_matrix(const onnx_tensor *t, int64_t *rows, int64_t *columns)
{
    if (t->shape.rank < 2)
        return false;
    for (int i = 0; i + 2 < t->shape.rank; i++)
        if (t->shape.dims[i] != 1)
            return false;
    *rows = t->shape.dims[t->shape.rank - 2];
    *columns = t->shape.dims[t->shape.rank - 1];
    return *rows > 0 && *columns > 0 && *rows <= LOWER_WIDEST && *columns <= LOWER_WIDEST;
}

/* x [..][in] with the constant [in][out], or [out][in] where it is transposed. */
static const char *times_constant(canon *c, const canon_value *x, const onnx_tensor *t, bool transposed, canon_value *y)
{
    int64_t rows, columns;
    if (!is_matrix(t, &rows, &columns))
        return "multiplies by a constant that is no matrix";
    const int last = x->view.rank - 1;
    if (t->shape.rank > x->view.rank)
        return "multiplies by a constant that makes its result larger";
    return transposed ? lower_linear(c, x, last, canon_floats(c, t), rows, columns, y)
                      : lower_linear(c, x, last, canon_transposed(c, t, rows, columns), columns, rows, y);
}

/* Do the dimensions before the last two show the pictures and the heads of this width, each once? */
static bool batch_is_heads(const view *v, const extents *e, int64_t width)
{
    const int64_t heads = e->of[AXIS_C] / width;
    bool pictures = e->of[AXIS_N] == 1, parts = heads == 1;
    const int end = v->rank > 2 ? v->end[v->rank - 3] : 0;
    for (int i = 0; i < end; i++) {
        const piece *p = &v->pieces[i];
        if (p->axis == AXIS_N && p->inner == 1 && p->size == e->of[AXIS_N] && !pictures)
            pictures = true;
        else if (p->axis == AXIS_C && p->inner == width && p->size == heads && !parts)
            parts = true;
        else
            return false;
    }
    return pictures && parts;
}

static bool is_head_width(const view *v, const extents *e, int dim, int64_t *width)
{
    const int begin = view_begin(v, dim), count = v->end[dim] - begin;
    if (count > 1 || (count == 1 && (v->pieces[begin].axis != AXIS_C || v->pieces[begin].inner != 1)))
        return false;
    *width = count ? v->pieces[begin].size : 1;
    return e->of[AXIS_C] % *width == 0;
}

const char *lower_product(canon *c, const canon_value *a, const canon_value *b, canon_value *out)
{
    static const axis pixels[] = {AXIS_H, AXIS_W}, keys[] = {AXIS_KEY_H, AXIS_KEY_W};
    const extents *ae = &canon_at(c, a->node)->extent, *be = &canon_at(c, b->node)->extent;
    const int rank = a->view.rank, row = rank - 2, column = rank - 1;
    int64_t width;
    if (rank < 2 || b->view.rank != rank)
        return "multiplies activations of different ranks";
    for (int d = 0; d < row; d++)
        if (!view_same_dim(&a->view, d, &b->view, d))
            return "multiplies activations of different heads or pictures";
    if (!view_shows(&a->view, ae, row, 2, pixels) || ae->of[AXIS_C] != be->of[AXIS_C])
        return "multiplies activations, but neither queries by keys nor probabilities by values";
    canon_node n = canon_unary(c, CANON_SCORES, a->node);
    n.input_count = 2;
    n.inputs[1] = b->node;
    *out = (canon_value){.view = a->view};
    if (ae->of[AXIS_KEY_H] == 1 && ae->of[AXIS_KEY_W] == 1 && is_head_width(&a->view, ae, column, &width) && view_same_dim(&a->view, column, &b->view, row) &&
        view_shows(&b->view, be, column, 2, pixels) && batch_is_heads(&a->view, ae, width)) {
        n.extent.of[AXIS_KEY_H] = be->of[AXIS_H];
        n.extent.of[AXIS_KEY_W] = be->of[AXIS_W];
        n.at[0] = width;
        n.at[1] = ae->of[AXIS_C] / width;
        view v = {.rank = rank};
        for (int d = 0; d < rank; d++) {
            const view *from = d < column ? &a->view : &b->view;
            for (int i = view_begin(from, d); i < from->end[d] && v.count < VIEW_PIECES; i++)
                v.pieces[v.count++] = from->pieces[i];
            v.end[d] = v.count;
        }
        view_relabel(&v, column, AXIS_KEY_H, AXIS_KEY_W);
        *out = (canon_value){.node = canon_make(c, &n), .view = v};
        return NULL;
    }
    if (view_shows(&a->view, ae, column, 2, keys) && view_shows(&b->view, be, row, 2, pixels) && ae->of[AXIS_KEY_H] == be->of[AXIS_H] &&
        ae->of[AXIS_KEY_W] == be->of[AXIS_W] && is_head_width(&b->view, be, column, &width) && batch_is_heads(&a->view, ae, width)) {
        n.op = CANON_CONTEXT;
        n.extent.of[AXIS_KEY_H] = n.extent.of[AXIS_KEY_W] = 1;
        view_replace(&out->view, column, (piece){AXIS_C, 1, width});
        out->node = canon_make(c, &n);
        return NULL;
    }
    return "multiplies activations, but neither queries by keys nor probabilities by values";
}

/* a b, of operands that have been turned as the node wants; each NULL for a constant. */
static const char *product(canon *c, const onnx_node *node, const canon_value *a, const canon_value *b, bool transpose_b, canon_value *out)
{
    const onnx_tensor *left = canon_constant(c, onnx_input(node, 0)), *right = canon_constant(c, onnx_input(node, 1));
    int64_t rows, columns;
    if (a && right)
        return times_constant(c, a, right, transpose_b, out);
    if (b && left && !transpose_b) { /* [out][in] times x [..][in][pixels] */
        if (!is_matrix(left, &rows, &columns) || left->shape.rank > b->view.rank)
            return "multiplies by a constant that is no matrix";
        return lower_linear(c, b, b->view.rank - 2, canon_floats(c, left), rows, columns, out);
    }
    if (!a || !b)
        return "works on constants";
    canon_value turned = *b;
    if (transpose_b && b->view.rank >= 2)
        view_swap(&turned.view, b->view.rank - 2, b->view.rank - 1);
    return lower_product(c, a, &turned, out);
}

static const char *mat_mul(canon *c, const onnx_node *node, canon_value *out)
{
    return product(c, node, lower_operand(c, node, 0), lower_operand(c, node, 1), false, out);
}

/* ONNX Runtime's transBatch: [m][batch..][k] stands for [batch..][m][k]; trans: the last two are exchanged. */
static void turn(view *v, bool batch, bool matrix)
{
    int64_t order[VIEW_RANK];
    for (int i = 0; batch && i < v->rank; i++)
        order[i] = i + 2 < v->rank ? i + 1 : i + 2 == v->rank ? 0 : i;
    if (batch && v->rank > 2)
        view_transpose(v, v->rank, order);
    if (matrix && v->rank >= 2)
        view_swap(v, v->rank - 2, v->rank - 1);
}

static const char *fused_mat_mul(canon *c, const onnx_node *node, canon_value *out)
{
    const canon_value *a = lower_operand(c, node, 0), *b = lower_operand(c, node, 1);
    const bool transpose_b = onnx_attribute_int(node, "transB", 0) != 0;
    canon_value left, right;
    if (!a)
        return "multiplies a constant by activations";
    left = *a;
    turn(&left.view, onnx_attribute_int(node, "transBatchA", 0) != 0, onnx_attribute_int(node, "transA", 0) != 0);
    if (b) {
        right = *b;
        turn(&right.view, onnx_attribute_int(node, "transBatchB", 0) != 0, false);
    }
    const char *why = product(c, node, &left, b ? &right : NULL, transpose_b, out);
    if (!why)
        out->node = canon_scale(c, out->node, (double)onnx_attribute_float(node, "alpha", 1), 0);
    return why;
}

static const char *gemm(canon *c, const onnx_node *node, canon_value *out)
{
    const canon_value *x = lower_operand(c, node, 0);
    const onnx_tensor *weight = canon_constant(c, onnx_input(node, 1)), *bias = canon_constant(c, onnx_input(node, 2));
    if (!x || !weight || (onnx_input(node, 2) >= 0 && !bias))
        return "multiplies something else than activations by a constant";
    if (onnx_attribute_int(node, "transA", 0) || onnx_attribute_float(node, "alpha", 1) != 1 || (bias && onnx_attribute_float(node, "beta", 1) != 1))
        return "transposes or scales what it multiplies";
    canon_value y;
    const char *why = times_constant(c, x, weight, onnx_attribute_int(node, "transB", 0) != 0, &y);
    *out = y;
    return why || !bias ? why : lower_with_constant(c, &y, bias, '+', false, out);
}

const lowering lower_products[] = {
    {"", "MatMul", mat_mul}, {"", "Gemm", gemm}, {"com.microsoft", "FusedMatMul", fused_mat_mul}, {NULL, NULL, NULL},
};
