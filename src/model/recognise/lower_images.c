/* lower_images: operators on [n][c][h][w]. */
#include "model/recognise/lower.h"

#include <string.h>

/* The view of an image with these extents. */
static view image_view(const extents *e)
{
    static const axis order[] = {AXIS_N, AXIS_C, AXIS_H, AXIS_W};
    return view_of(e, 4, order);
}

/* Every one of `count` integers is `value`; true where the attribute is left out and `otherwise`. */
static bool all_ints(const onnx_node *node, const char *name, size_t count, int64_t *value, int64_t otherwise)
{
    const int64_t *ints;
    const size_t found = onnx_attribute_ints(node, name, &ints);
    *value = found ? ints[0] : otherwise;
    for (size_t i = 0; i < found; i++)
        if (ints[i] != *value)
            return false;
    return found == 0 || found == count;
}

static const char *with_bias(canon *c, const onnx_node *node, canon_value *y)
{
    const onnx_tensor *bias = canon_constant(c, onnx_input(node, 2));
    if (onnx_input(node, 2) < 0)
        return NULL;
    canon_node n = *canon_at(c, y->node);
    if (!bias || bias->count != (size_t)n.out)
        return "has a bias that is no constant of a number a channel";
    n.bias = canon_floats(c, bias);
    y->node = canon_make(c, &n);
    return n.bias ? NULL : "(no memory)";
}

static const char *convolution(canon *c, const onnx_node *node, canon_value *out)
{
    const canon_value *x = lower_operand(c, node, 0);
    const onnx_tensor *w = canon_constant(c, onnx_input(node, 1));
    int64_t stride, pad, dilation;
    if (!x || !w || w->shape.rank < 3 || w->shape.rank != x->view.rank)
        return "convolves something else than activations with a constant";
    const size_t sides = (size_t)w->shape.rank - 2;
    const extents *e = &canon_at(c, x->node)->extent;
    const int64_t groups = onnx_attribute_int(node, "group", 1), kernel = w->shape.dims[2], outputs = w->shape.dims[0];
    for (size_t i = 1; i < sides; i++)
        if (w->shape.dims[2 + i] != kernel)
            return "has a kernel that is not square";
    if (!all_ints(node, "strides", sides, &stride, 1) || !all_ints(node, "pads", 2 * sides, &pad, 0) ||
        !all_ints(node, "dilations", sides, &dilation, 1))
        return "has other strides, padding or dilation in rows than in columns";
    const char *automatic = onnx_attribute_text(node, "auto_pad", "NOTSET");
    if (dilation != 1 || (strcmp(automatic, "NOTSET") != 0 && strcmp(automatic, "VALID") != 0))
        return "is dilated, or pads by itself";
    if (strcmp(automatic, "VALID") == 0)
        pad = 0;
    if (groups < 1 || e->of[AXIS_C] != w->shape.dims[1] * groups || (groups != 1 && (groups != outputs || w->shape.dims[1] != 1)))
        return "has groups, or weights of another width than its input";
    if (outputs > LOWER_WIDEST || e->of[AXIS_C] > LOWER_WIDEST || kernel > 64)
        return "has more channels, or a larger kernel, than a SegFormer has";
    if (kernel == 1 && stride == 1 && pad == 0 && groups == 1) {
        const char *why = lower_linear(c, x, 1, canon_floats(c, w), outputs, w->shape.dims[1], out);
        return why ? why : with_bias(c, node, out);
    }
    if (!view_is_image(&x->view, e))
        return "convolves something else than an image";
    const onnx_shape *shape = lower_shape(c, node, 0);
    if (shape->rank != 4 || kernel > 64 || stride < 1 || stride > 64 || pad < 0 || pad > 64 || outputs > INT32_MAX)
        return "has a kernel, stride or padding that no SegFormer has";
    canon_node n = canon_unary(c, CANON_CONV, x->node);
    n.out = (int)outputs;
    n.in = (int)e->of[AXIS_C];
    n.kernel = (int)kernel;
    n.stride = (int)stride;
    n.pad = (int)pad;
    n.groups = (int)groups;
    n.weight = canon_floats(c, w);
    n.extent.of[AXIS_C] = outputs;
    n.extent.of[AXIS_H] = shape->dims[2];
    n.extent.of[AXIS_W] = shape->dims[3];
    if (!n.weight)
        return "(no memory)";
    *out = (canon_value){.node = canon_make(c, &n), .view = image_view(&n.extent)};
    return with_bias(c, node, out);
}

/* ONNX Runtime's Conv with the activation behind it. */
static const char *fused_convolution(canon *c, const onnx_node *node, canon_value *out)
{
    const char *activation = onnx_attribute_text(node, "activation", "");
    const char *why = onnx_input(node, 3) >= 0 ? "adds another tensor to a convolution" : convolution(c, node, out);
    if (why || strcmp(activation, "") == 0)
        return why;
    if (strcmp(activation, "Relu") != 0)
        return "has another activation than Relu";
    const canon_node n = canon_unary(c, CANON_RELU, out->node);
    out->node = canon_make(c, &n);
    return NULL;
}

static const char *batch_norm(canon *c, const onnx_node *node, canon_value *out)
{
    const canon_value *x = lower_operand(c, node, 0);
    const float *vectors[4];
    if (!x || x->view.rank < 2 || !view_is_axis(&x->view, &canon_at(c, x->node)->extent, 1, AXIS_C))
        return "normalises something else than the channels of an image";
    canon_node n = canon_unary(c, CANON_BATCH_NORM, x->node);
    n.out = (int)n.extent.of[AXIS_C];
    for (int i = 0; i < 4; i++) {
        const onnx_tensor *t = canon_constant(c, onnx_input(node, i + 1));
        if (!t || t->count != (size_t)n.out)
            return "lacks stored statistics";
        vectors[i] = canon_floats(c, t);
        if (!vectors[i])
            return "(no memory)";
    }
    if (onnx_attribute_int(node, "training_mode", 0))
        return "normalises by the batch at hand (training mode)";
    n.weight = vectors[0];
    n.bias = vectors[1];
    n.mean = vectors[2];
    n.variance = vectors[3];
    n.eps = lower_eps((double)onnx_attribute_float(node, "epsilon", 1e-5f));
    *out = (canon_value){.node = canon_make(c, &n), .view = x->view};
    return NULL;
}

/* With scales, the coordinates are computed from them: they must be the ratio of the sizes. */
static bool scales_fit(const canon *c, const onnx_node *node, int slot, const extents *from, const int64_t *to)
{
    const onnx_tensor *t = canon_constant(c, onnx_input(node, slot));
    float scales[VIEW_RANK];
    if (!t || t->count == 0)
        return true;
    if (t->count != 4 && t->count != 2)
        return false;
    onnx_tensor_floats(t, scales);
    const float *hw = scales + t->count - 2;
    return (double)hw[0] * (double)from->of[AXIS_H] == (double)to[0] && (double)hw[1] * (double)from->of[AXIS_W] == (double)to[1];
}

/* Upsample, and Resize before operator set 11, which has no attribute for it. */
static const char *const counts_from_the_corner =
    "is of an old operator set, which counts from the corner (asymmetric), not from pixel centres: export with operator set 11 or later";

static const char *resize(canon *c, const onnx_node *node, canon_value *out)
{
    enum { OPSET_COORDINATES = 11 };
    if (node->opset < OPSET_COORDINATES)
        return counts_from_the_corner;
    const canon_value *x = lower_operand(c, node, 0);
    const onnx_shape *shape = lower_shape(c, node, 0);
    if (!x || !view_is_image(&x->view, &canon_at(c, x->node)->extent) || shape->rank != 4)
        return "resizes something else than an image";
    const extents *e = &canon_at(c, x->node)->extent;
    const char *mode = onnx_attribute_text(node, "mode", "nearest"),
               *how = onnx_attribute_text(node, "coordinate_transformation_mode", "half_pixel");
    const bool aligned = strcmp(how, "align_corners") == 0;
    if (strcmp(mode, "linear") != 0)
        return strcmp(mode, "cubic") == 0 ? "resizes by mode cubic, not linear" : "resizes by mode nearest, not linear";
    if (!aligned && strcmp(how, "half_pixel") != 0 && strcmp(how, "pytorch_half_pixel") != 0)
        return "resizes with another coordinate_transformation_mode than half_pixel";
    if (onnx_attribute_int(node, "antialias", 0) ||
        strcmp(onnx_attribute_text(node, "keep_aspect_ratio_policy", "stretch"), "stretch") != 0)
        return "resizes with antialiasing or a kept aspect ratio";
    if (shape->dims[0] != e->of[AXIS_N] || shape->dims[1] != e->of[AXIS_C])
        return "resizes the channels";
    if (!scales_fit(c, node, 2, e, shape->dims + 2))
        return "resizes by a factor that is not the ratio of the sizes";
    canon_node n = canon_unary(c, CANON_RESIZE, x->node);
    n.extent.of[AXIS_H] = shape->dims[2];
    n.extent.of[AXIS_W] = shape->dims[3];
    n.align_corners = aligned;
    *out = (canon_value){.node = canon_make(c, &n), .view = image_view(&n.extent)};
    return NULL;
}

static const char *upsample(canon *c, const onnx_node *node, canon_value *out)
{
    (void)c, (void)node, (void)out;
    return counts_from_the_corner;
}

static const char *pad(canon *c, const onnx_node *node, canon_value *out)
{
    const canon_value *x = lower_operand(c, node, 0);
    int64_t given[2 * VIEW_RANK], axes[VIEW_RANK], before[4] = {0}, after[4] = {0};
    double filling = 0;
    if (!x || !view_is_image(&x->view, &canon_at(c, x->node)->extent))
        return "pads something else than an image";
    int32_t count = onnx_constant_ints(c->graph, onnx_input(node, 1), given, 2 * VIEW_RANK);
    int32_t listed = onnx_input(node, 3) >= 0 ? onnx_constant_ints(c->graph, onnx_input(node, 3), axes, VIEW_RANK) : 4;
    if (onnx_input(node, 2) >= 0 && !onnx_constant_number(c->graph, onnx_input(node, 2), &filling))
        return "pads with something that is not known";
    if (strcmp(onnx_attribute_text(node, "mode", "constant"), "constant") != 0 || filling != 0)
        return "pads with something else than zeros";
    if (listed < 0 || listed > 4 || count != 2 * listed)
        return "pads by widths that are not known";
    for (int i = 0; i < listed; i++) {
        const int dim = onnx_input(node, 3) >= 0 ? lower_axis(axes[i], 4) : i;
        if (dim < 0 || given[i] < 0 || given[i + listed] < 0)
            return "pads by negative widths";
        before[dim] = given[i];
        after[dim] = given[i + listed];
    }
    if (before[0] || before[1] || after[0] || after[1])
        return "pads the channels";
    canon_node n = canon_unary(c, CANON_PAD, x->node);
    n.extent.of[AXIS_H] += before[2] + after[2];
    n.extent.of[AXIS_W] += before[3] + after[3];
    n.at[0] = before[2];
    n.at[1] = before[3];
    *out = (canon_value){.node = canon_make(c, &n), .view = image_view(&n.extent)};
    return NULL;
}

const lowering lower_images[] = {
    {"", "Conv", convolution},
    {"com.microsoft", "FusedConv", fused_convolution},
    {"", "BatchNormalization", batch_norm},
    {"", "Resize", resize},
    {"", "Upsample", upsample},
    {"", "Pad", pad},
    {NULL, NULL, NULL},
};
