/* lower_fused: operators that are several of ours in one: norms, ONNX Runtime's fusions, attention. */
#include "model/recognise/lower.h"

#include <math.h>

/* ----------------------------------------------------------------------------------------- norms */

const float *lower_vector(canon *c, const onnx_node *node, int slot, int64_t width, bool *ok)
{
    *ok = true;
    if (onnx_input(node, slot) < 0)
        return NULL;
    const onnx_tensor *t = canon_constant(c, onnx_input(node, slot));
    *ok = t && t->count == (size_t)width;
    const float *floats = *ok ? canon_floats(c, t) : NULL;
    *ok = *ok && floats;
    return floats;
}

static const char *normalise(canon *c, const onnx_node *node, const canon_value *x, canon_op op, int dim, int gamma, int beta, canon_value *out)
{
    bool gamma_ok, beta_ok = true;
    if (dim < 0 || dim != x->view.rank - 1 || !view_is_axis(&x->view, &canon_at(c, x->node)->extent, dim, AXIS_C))
        return "normalises something else than the channels of each pixel";
    canon_node n = canon_unary(c, op, x->node);
    n.out = (int)n.extent.of[AXIS_C];
    n.eps = lower_eps((double)onnx_attribute_float(node, "epsilon", 1e-5f));
    n.weight = lower_vector(c, node, gamma, n.out, &gamma_ok);
    if (beta >= 0)
        n.bias = lower_vector(c, node, beta, n.out, &beta_ok);
    if (!gamma_ok || !beta_ok)
        return "has an affine that is no constant of a number a channel";
    *out = (canon_value){.node = canon_make(c, &n), .view = x->view};
    return NULL;
}

static const char *layer_norm(canon *c, const onnx_node *node, canon_value *out)
{
    const canon_value *x = lower_operand(c, node, 0);
    if (!x)
        return "works on a constant";
    return normalise(c, node, x, CANON_NORM, lower_axis(onnx_attribute_int(node, "axis", -1), x->view.rank), 1, 2, out);
}

static const char *rms_norm(canon *c, const onnx_node *node, canon_value *out)
{
    const canon_value *x = lower_operand(c, node, 0);
    if (!x)
        return "works on a constant";
    return normalise(c, node, x, CANON_RMS, lower_axis(onnx_attribute_int(node, "axis", -1), x->view.rank), 1, -1, out);
}

/* norm(x + skip + bias); the fourth output is the sum. */
static const char *skip_layer_norm(canon *c, const onnx_node *node, canon_value *out)
{
    const canon_value *x = lower_operand(c, node, 0), *skip = lower_operand(c, node, 1);
    const onnx_tensor *bias = canon_constant(c, onnx_input(node, 4));
    canon_value biased, sum;
    if (!x || !skip || (onnx_input(node, 4) >= 0 && !bias))
        return "works on constants";
    biased = *x; /* the bias belongs to the branch, not to the residual stream: to whichever of the two is a map */
    const bool skip_is_map = canon_at(c, skip->node)->op == CANON_LINEAR && canon_at(c, x->node)->op != CANON_LINEAR;
    const canon_value *mapped = skip_is_map ? skip : x, *stream = skip_is_map ? x : skip;
    const char *why = bias ? lower_with_constant(c, mapped, bias, '+', false, &biased) : NULL;
    if (!bias)
        biased = *mapped;
    if (!why)
        why = lower_binary(c, CANON_ADD, stream, &biased, &sum);
    if (why)
        return why;
    out[3] = sum;
    return normalise(c, node, &sum, CANON_NORM, sum.view.rank - 1, 2, 3, out);
}

static const char *bias_gelu(canon *c, const onnx_node *node, canon_value *out)
{
    const canon_value *x = lower_operand(c, node, 0);
    const onnx_tensor *bias = canon_constant(c, onnx_input(node, 1));
    canon_value biased;
    if (!x || !bias)
        return "works on constants";
    const char *why = lower_with_constant(c, x, bias, '+', false, &biased);
    if (why)
        return why;
    const canon_node n = canon_unary(c, CANON_GELU, biased.node);
    *out = (canon_value){.node = canon_make(c, &n), .view = biased.view};
    return NULL;
}

static const char *fast_gelu(canon *c, const onnx_node *node, canon_value *out)
{
    (void)c, (void)node, (void)out;
    return "is the tanh approximation of GELU, not the exact one";
}

/* ------------------------------------------------------------------------------------- attention */

/* [n][tokens][width] or [n][heads][tokens][width / heads] to the latter. */
static const char *to_heads(const canon *c, canon_value *x, int64_t heads)
{
    const extents *e = &canon_at(c, x->node)->extent;
    const int64_t width = e->of[AXIS_C];
    if (x->view.rank == 4)
        return view_size(&x->view, 1) == heads ? NULL : "has another number of heads than its input";
    if (x->view.rank != 3 || heads < 1 || width % heads)
        return "attends to something else than tokens";
    const int64_t dims[] = {view_size(&x->view, 0), view_size(&x->view, 1), heads, width / heads}, order[] = {0, 2, 1, 3};
    return view_reshape(&x->view, 4, dims) && view_transpose(&x->view, 4, order) ? NULL : "attends to something else than tokens";
}

const char *lower_attention(canon *c, const canon_value *q, const canon_value *k, const canon_value *v, int64_t heads, double scale, canon_value *out)
{
    canon_value query = *q, key = *k, value = *v, scores, context;
    const char *why = to_heads(c, &query, heads);
    why = why ? why : to_heads(c, &key, heads);
    why = why ? why : to_heads(c, &value, heads);
    if (why)
        return why;
    const int64_t pictures = view_size(&query.view, 0), tokens = view_size(&query.view, 2), width = view_size(&query.view, 3);
    view_swap(&key.view, 2, 3);
    why = lower_product(c, &query, &key, &scores);
    if (why)
        return why;
    scores.node = canon_scale(c, scores.node, scale ? scale : 1 / sqrt((double)width), 0);
    const canon_node softmax = canon_unary(c, CANON_SOFTMAX, scores.node);
    scores.node = canon_make(c, &softmax);
    if (scores.node < 0)
        return "(no memory)";
    why = lower_product(c, &scores, &value, &context);
    if (why)
        return why;
    *out = context;
    if (q->view.rank == 4)
        return NULL;
    const int64_t order[] = {0, 2, 1, 3}, dims[] = {pictures, tokens, heads * width};
    return view_transpose(&out->view, 4, order) && view_reshape(&out->view, 3, dims) ? NULL : "attends to something else than tokens";
}

/* Inputs from `first` on must be left out: masks, past keys and so on. */
static bool has_more_inputs(const onnx_node *node, int first)
{
    for (int i = first; i < node->input_count; i++)
        if (node->inputs[i] >= 0)
            return true;
    return false;
}

/* com.microsoft.Attention: input [n][tokens][c], weight [c][3 c], bias [3 c]. */
static const char *attention_with_weights(canon *c, const onnx_node *node, canon_value *out)
{
    const canon_value *x = lower_operand(c, node, 0);
    const onnx_tensor *weight = canon_constant(c, onnx_input(node, 1)), *bias = canon_constant(c, onnx_input(node, 2));
    const int64_t *sizes;
    canon_value joined, parts[3];
    if (!x || !weight || weight->shape.rank != 2 || x->view.rank != 3 || (onnx_input(node, 2) >= 0 && !bias))
        return "attends to something else than tokens";
    const size_t given = onnx_attribute_ints(node, "qkv_hidden_sizes", &sizes);
    const int64_t width = weight->shape.dims[1] / 3;
    for (size_t i = 0; i < given; i++)
        if (given != 3 || sizes[i] != width)
            return "has queries, keys and values of different widths";
    if (has_more_inputs(node, 3) || onnx_attribute_int(node, "unidirectional", 0) || onnx_attribute_int(node, "do_rotary", 0))
        return "attends with a mask, a past or a rotation";
    const char *why = lower_linear(c, x, 2, canon_transposed(c, weight, weight->shape.dims[0], weight->shape.dims[1]), weight->shape.dims[1],
                                   weight->shape.dims[0], &joined);
    if (!why && bias) {
        const canon_value product = joined;
        why = lower_with_constant(c, &product, bias, '+', false, &joined);
    }
    for (int i = 0; !why && i < 3; i++) {
        parts[i] = joined;
        why = lower_select(c, &parts[i], 2, i * width, width);
    }
    return why ? why
               : lower_attention(c, &parts[0], &parts[1], &parts[2], onnx_attribute_int(node, "num_heads", 1),
                                 (double)onnx_attribute_float(node, "scale", 0), out);
}

/* A third of a constant of 3 c numbers, added to x. */
static const char *add_third(canon *c, canon_value *x, const onnx_tensor *bias, size_t third)
{
    const size_t width = bias->count / 3;
    onnx_tensor part = *bias;
    part.data = (const char *)bias->data + third * width * onnx_type_bytes(bias->type);
    part.count = width;
    part.shape = (onnx_shape){.rank = 1, .dims = {(int64_t)width}};
    const canon_value from = *x;
    return lower_with_constant(c, &from, &part, '+', false, x);
}

/* com.microsoft.MultiHeadAttention: queries, keys and values [n][tokens][c], a bias [3 c] before them. */
static const char *multi_head_attention(canon *c, const onnx_node *node, canon_value *out)
{
    const onnx_tensor *bias = canon_constant(c, onnx_input(node, 3));
    canon_value parts[3];
    if (has_more_inputs(node, 4) || (onnx_input(node, 3) >= 0 && !bias) || onnx_attribute_int(node, "unidirectional", 0))
        return "attends with a mask, a past or a bias that is no constant";
    for (int i = 0; i < 3; i++) {
        const canon_value *x = lower_operand(c, node, i);
        if (!x || (bias && x->view.rank != 3))
            return "has its queries, keys and values packed";
        parts[i] = *x;
        const char *why = bias ? add_third(c, &parts[i], bias, (size_t)i) : NULL;
        if (why)
            return why;
    }
    return lower_attention(c, &parts[0], &parts[1], &parts[2], onnx_attribute_int(node, "num_heads", 1), (double)onnx_attribute_float(node, "scale", 0), out);
}

/* ONNX's own, from operator set 23. */
static const char *attention(canon *c, const onnx_node *node, canon_value *out)
{
    const canon_value *q = lower_operand(c, node, 0), *k = lower_operand(c, node, 1), *v = lower_operand(c, node, 2);
    if (!q || !k || !v || has_more_inputs(node, 3) || onnx_attribute_int(node, "is_causal", 0) || onnx_attribute_float(node, "softcap", 0) != 0)
        return "attends with a mask, a past or a cap";
    const int64_t heads = q->view.rank == 4 ? view_size(&q->view, 1) : onnx_attribute_int(node, "q_num_heads", 1);
    if (q->view.rank != 4 && onnx_attribute_int(node, "kv_num_heads", heads) != heads)
        return "has other heads for keys than for queries";
    return lower_attention(c, q, k, v, heads, (double)onnx_attribute_float(node, "scale", 0), out);
}

const lowering lower_fused[] = {
    {"", "LayerNormalization", layer_norm}, {"com.microsoft", "LayerNormalization", layer_norm}, {"", "SimplifiedLayerNormalization", rms_norm},
    {"com.microsoft", "SimplifiedLayerNormalization", rms_norm}, {"", "RMSNormalization", rms_norm},
    {"com.microsoft", "SkipLayerNormalization", skip_layer_norm}, {"com.microsoft", "BiasGelu", bias_gelu}, {"com.microsoft", "FastGelu", fast_gelu},
    {"com.microsoft", "Attention", attention_with_weights}, {"com.microsoft", "MultiHeadAttention", multi_head_attention}, {"", "Attention", attention},
    {NULL, NULL, NULL},
};
