/* rules: what is written out in several nodes becomes one again.  Each rule is asked when a node of its
 * operation is made, and looks at the nodes before it, which the rules have been through already.  All of
 * them are identities of exact arithmetic; constants must be the operation's own to float rounding. */
#include <math.h>

#include "model/recognise/lower.h"

static const canon_node *in(const canon *c, const canon_node *n, int slot)
{
    return canon_input(c, n, slot);
}

/* y = mul x, one number. */
static bool is_scale(const canon_node *n)
{
    return n->op == CANON_AFFINE && n->count == 1 && n->add[0] == 0;
}

static bool is_one(double x)
{
    return fabs(x - 1) <= 2e-7;
}

static bool all_are(const double *x, int count, double value)
{
    for (int i = 0; i < count; i++)
        if (x[i] != value)
            return false;
    return true;
}

/* ------------------------------------------------------------------------------------- affines */

static int affine_that_does_nothing(canon *c, const canon_node *n)
{
    (void)c;
    return n->count == 1 && is_one(n->mul[0]) && n->add[0] == 0 ? n->inputs[0] : -1;
}

static int affine_of_affine(canon *c, const canon_node *n)
{
    const canon_node inner = *in(c, n, 0);
    if (inner.op != CANON_AFFINE)
        return -1;
    canon_node joined = *n;
    joined.inputs[0] = inner.inputs[0];
    joined.count = inner.count > n->count ? inner.count : n->count;
    double *mul = canon_new_doubles(c, (size_t)joined.count), *add = canon_new_doubles(c, (size_t)joined.count);
    if (!mul || !add)
        return -1;
    for (int i = 0; i < joined.count; i++) {
        const int outer_at = n->count == 1 ? 0 : i, inner_at = inner.count == 1 ? 0 : i;
        mul[i] = inner.mul[inner_at] * n->mul[outer_at];
        add[i] = inner.add[inner_at] * n->mul[outer_at] + n->add[outer_at];
    }
    joined.mul = mul;
    joined.add = add;
    origins_made(c->origins, mul, inner.mul, "times", n->mul);
    origins_made(c->origins, add, inner.add, "plus", n->add);
    return canon_make(c, &joined);
}

/* A bias, or a batch norm that an exporter left as two numbers a channel.  A lone factor stays: it is the
 * attention's scale, and weights must stay as the file has them. */
static int affine_behind_a_map(canon *c, const canon_node *n)
{
    const canon_node from = *in(c, n, 0);
    if ((from.op != CANON_LINEAR && from.op != CANON_CONV) || is_scale(n) || (n->count != 1 && n->count != from.out))
        return -1;
    canon_node map = from;
    const size_t out = (size_t)from.out, row = (size_t)(from.in / from.groups) * (size_t)from.kernel * (size_t)from.kernel;
    float *bias = canon_new_floats(c, out);
    if (!bias)
        return -1;
    for (size_t o = 0; o < out; o++) {
        const size_t at = n->count == 1 ? 0 : o;
        bias[o] = (float)((from.bias ? (double)from.bias[o] : 0) * n->mul[at] + n->add[at]);
    }
    map.bias = bias;
    origins_made(c->origins, bias, from.bias, "plus", n->add);
    if (!all_are(n->mul, n->count, 1)) {
        float *weight = canon_new_floats(c, out * row);
        if (!weight)
            return -1;
        for (size_t o = 0; o < out; o++)
            for (size_t i = 0; i < row; i++)
                weight[o * row + i] = (float)((double)from.weight[o * row + i] * n->mul[n->count == 1 ? 0 : o]);
        map.weight = weight;
        origins_made(c->origins, weight, from.weight, "times", n->mul);
    }
    return canon_intern(c, &map);
}

static int affine_behind_a_norm(canon *c, const canon_node *n)
{
    const canon_node from = *in(c, n, 0);
    if (from.op != CANON_NORM || is_scale(n) || (n->count != 1 && n->count != from.out))
        return -1;
    canon_node norm = from;
    const size_t width = (size_t)from.out;
    const bool scales = !all_are(n->mul, n->count, 1), shifts = !all_are(n->add, n->count, 0);
    float *gamma = from.weight || scales ? canon_new_floats(c, width) : NULL,
          *beta = from.bias || shifts ? canon_new_floats(c, width) : NULL;
    for (size_t i = 0; i < width; i++) {
        const size_t at = n->count == 1 ? 0 : i;
        if (gamma)
            gamma[i] = (float)((from.weight ? (double)from.weight[i] : 1) * n->mul[at]);
        if (beta)
            beta[i] = (float)((from.bias ? (double)from.bias[i] : 0) * n->mul[at] + n->add[at]);
    }
    norm.weight = gamma;
    norm.bias = beta;
    origins_made(c->origins, gamma, from.weight, "times", n->mul);
    origins_made(c->origins, beta, from.bias, "plus", n->add);
    return c->no_memory ? -1 : canon_intern(c, &norm);
}

/* -------------------------------------------------------------------------------- layer norm */

static int difference_from_the_mean(canon *c, const canon_node *n)
{
    const canon_node *mean = in(c, n, 1);
    if (mean->op != CANON_MEAN || mean->inputs[0] != n->inputs[0])
        return -1;
    const canon_node centre = canon_unary(c, CANON_CENTRE, n->inputs[0]);
    return canon_make(c, &centre);
}

static int product_with_itself(canon *c, const canon_node *n)
{
    if (n->inputs[0] != n->inputs[1])
        return -1;
    const canon_node square = canon_unary(c, CANON_SQUARE, n->inputs[0]);
    return canon_make(c, &square);
}

/* Is `node` mean((x - mean x)^2) + eps? */
static bool is_variance_and_eps(const canon *c, int node, int x, double *eps)
{
    const canon_node *sum = canon_at(c, node);
    if (sum->op != CANON_AFFINE || sum->count != 1 || !is_one(sum->mul[0]) || !(sum->add[0] > 0))
        return false;
    *eps = lower_eps(sum->add[0]);
    const canon_node *mean = in(c, sum, 0);
    if (mean->op != CANON_MEAN)
        return false;
    const canon_node *square = in(c, mean, 0);
    if (square->op != CANON_SQUARE)
        return false;
    const canon_node *centre = in(c, square, 0);
    return centre->op == CANON_CENTRE && centre->inputs[0] == x;
}

static int norm_of(canon *c, int x, double eps)
{
    canon_node norm = canon_unary(c, CANON_NORM, x);
    norm.out = (int)norm.extent.of[AXIS_C];
    norm.eps = eps;
    return canon_make(c, &norm);
}

/* centre / sqrt(variance + eps), or centre * rsqrt(variance + eps). */
static int written_out_norm(canon *c, const canon_node *n)
{
    const canon_op root = n->op == CANON_DIV ? CANON_SQRT : CANON_RSQRT;
    for (int slot = 0; slot < (n->op == CANON_DIV ? 1 : 2); slot++) {
        const canon_node *centre = in(c, n, slot), *below = in(c, n, 1 - slot);
        double eps;
        if (centre->op == CANON_CENTRE && below->op == root && is_variance_and_eps(c, below->inputs[0], centre->inputs[0], &eps))
            return norm_of(c, centre->inputs[0], eps);
    }
    return -1;
}

/* ONNX Runtime's SimplifiedLayerNormalization behind a Sub of the mean. */
static int rms_of_a_centre(canon *c, const canon_node *n)
{
    const canon_node *centre = in(c, n, 0);
    if (centre->op != CANON_CENTRE)
        return -1;
    canon_node norm = *n;
    norm.op = CANON_NORM;
    norm.inputs[0] = centre->inputs[0];
    return canon_make(c, &norm);
}

/* --------------------------------------------------------------------------------------- GELU */

/* (s x) y = s (x y). */
static int factor_out_of_a_product(canon *c, const canon_node *n)
{
    for (int slot = 0; slot < 2; slot++) {
        const canon_node *scaled = in(c, n, slot);
        if (!is_scale(scaled))
            continue;
        const double by = scaled->mul[0];
        canon_node product = *n;
        product.inputs[slot] = scaled->inputs[0];
        return canon_scale(c, canon_make(c, &product), by, 0);
    }
    return -1;
}

/* 1 / sqrt(2) in float32, or as float16 and bfloat16 files round it or the root that they divide by. */
static bool is_root_half(double x)
{
    return fabs(x - 0.70710678118654752) <= 1e-6 || fabs(x - 0.70703125) <= 1e-7 || fabs(x - 1 / 1.4140625) <= 1e-7;
}

/* x (erf(x / sqrt 2) m + m) = 2 m gelu(x). */
static int written_out_gelu(canon *c, const canon_node *n)
{
    for (int slot = 0; slot < 2; slot++) {
        const canon_node *shifted = in(c, n, 1 - slot);
        if (shifted->op != CANON_AFFINE || shifted->count != 1 || fabs(shifted->mul[0] - shifted->add[0]) > 1e-6 * fabs(shifted->mul[0]))
            continue;
        const canon_node *erf = in(c, shifted, 0);
        if (erf->op != CANON_ERF)
            continue;
        const canon_node *scaled = in(c, erf, 0);
        if (!is_scale(scaled) || scaled->inputs[0] != n->inputs[slot] || !is_root_half(scaled->mul[0]))
            continue;
        const double by = 2 * shifted->mul[0];
        const canon_node gelu = canon_unary(c, CANON_GELU, n->inputs[slot]);
        return canon_scale(c, canon_make(c, &gelu), by, 0);
    }
    return -1;
}

/* ------------------------------------------------------------------------------ rows and columns */

static int resize_to_the_same_size(canon *c, const canon_node *n)
{
    const canon_node *from = in(c, n, 0);
    return from->extent.of[AXIS_H] == n->extent.of[AXIS_H] && from->extent.of[AXIS_W] == n->extent.of[AXIS_W] ? n->inputs[0] : -1;
}

static int crop_of_a_crop(canon *c, const canon_node *n)
{
    const canon_node inner = *in(c, n, 0);
    if (inner.op != CANON_CROP)
        return -1;
    canon_node crop = *n;
    crop.inputs[0] = inner.inputs[0];
    crop.at[0] += inner.at[0];
    crop.at[1] += inner.at[1];
    return canon_make(c, &crop);
}

static int crop_of_everything(canon *c, const canon_node *n)
{
    return resize_to_the_same_size(c, n);
}

/* A convolution's padding as a node of its own. */
static int padding_before_a_convolution(canon *c, const canon_node *n)
{
    const canon_node *pad = in(c, n, 0);
    if (pad->op != CANON_PAD || n->pad)
        return -1;
    const extents *before = &in(c, pad, 0)->extent;
    const int64_t by = pad->at[0];
    if (pad->at[1] != by || pad->extent.of[AXIS_H] != before->of[AXIS_H] + 2 * by || pad->extent.of[AXIS_W] != before->of[AXIS_W] + 2 * by)
        return -1;
    canon_node conv = *n;
    conv.inputs[0] = pad->inputs[0];
    conv.pad = (int)by;
    return canon_make(c, &conv);
}

/* ------------------------------------------------------------------------------------- the table */

static const struct rule {
    canon_op op;
    int (*apply)(canon *c, const canon_node *node);
} rules[] = {
    {CANON_AFFINE, affine_that_does_nothing},
    {CANON_AFFINE, affine_of_affine},
    {CANON_AFFINE, affine_behind_a_map},
    {CANON_AFFINE, affine_behind_a_norm},
    {CANON_SUB, difference_from_the_mean},
    {CANON_MUL, product_with_itself},
    {CANON_MUL, written_out_norm},
    {CANON_DIV, written_out_norm},
    {CANON_RMS, rms_of_a_centre},
    {CANON_MUL, factor_out_of_a_product},
    {CANON_MUL, written_out_gelu},
    {CANON_RESIZE, resize_to_the_same_size},
    {CANON_CROP, crop_of_everything},
    {CANON_CROP, crop_of_a_crop},
    {CANON_PAD, crop_of_everything},
    {CANON_CONV, padding_before_a_convolution},
};

int canon_apply_rules(canon *c, const canon_node *node)
{
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        const int instead = rules[i].op == node->op ? rules[i].apply(c, node) : -1;
        if (instead >= 0 || c->no_memory)
            return instead;
    }
    return -1;
}
