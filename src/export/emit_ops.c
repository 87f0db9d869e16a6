/* emit_ops: single operations in the form that the chosen operator set has for them. */
#include "export/emitter.h"

enum { OPSET_LAYER_NORM = 17, OPSET_GELU = 20, OPSET_NO_EMPTY_ROI = 13 };

const char *emit_linear(emitter *e, const char *name, const char *x, const model_linear *linear)
{
    builder *b = &e->b;
    const char *weight = builder_transposed(b, builder_name(b, "%s.weight", name), linear->weight, linear->out, linear->in);
    if (!linear->bias)
        return builder_node(b, "MatMul", name, INPUTS(x, weight));
    const char *product = builder_node(b, "MatMul", builder_name(b, "%s.product", name), INPUTS(x, weight));
    const char *bias = builder_weights(b, builder_name(b, "%s.bias", name), linear->bias, 1, (const int64_t[]){linear->out});
    return builder_node(b, "Add", name, INPUTS(product, bias));
}

const char *emit_conv(emitter *e, const char *name, const char *x, const model_conv *conv, int groups)
{
    builder *b = &e->b;
    const int64_t k = conv->kernel, pad = conv->pad, stride = conv->stride;
    const char *weight =
        builder_weights(b, builder_name(b, "%s.weight", name), conv->weight, 4, (const int64_t[]){conv->out, conv->in / groups, k, k});
    const char *bias =
        conv->bias ? builder_weights(b, builder_name(b, "%s.bias", name), conv->bias, 1, (const int64_t[]){conv->out}) : NULL;
    builder_begin(b, "Conv", name, INPUTS(x, weight, bias));
    builder_ints(b, "dilations", 2, (const int64_t[]){1, 1});
    builder_int(b, "group", groups);
    builder_ints(b, "kernel_shape", 2, (const int64_t[]){k, k});
    builder_ints(b, "pads", 4, (const int64_t[]){pad, pad, pad, pad});
    builder_ints(b, "strides", 2, (const int64_t[]){stride, stride});
    return builder_end(b);
}

const char *emit_pointwise(emitter *e, const char *name, const char *x, const model_linear *linear)
{
    const model_conv conv = {.weight = linear->weight, .bias = linear->bias, .out = linear->out, .in = linear->in, .kernel = 1, .stride = 1};
    return emit_conv(e, name, x, &conv, 1);
}

/* Layer normalisation in single steps, in float32 whatever the graph's type: squares of activations and an
 * eps of 1e-6 do not fit float16. */
static const char *written_out_norm(emitter *e, const char *name, const char *x, const model_norm *norm)
{
    builder *b = &e->b;
    const bool half = b->float_type == BUILDER_FLOAT16;
    const int64_t last = -1;
    b->float_type = BUILDER_FLOAT; /* constants below stand beside float32 values */
    if (half) {
        builder_begin(b, "Cast", builder_name(b, "%s.float32", name), INPUTS(x));
        builder_int(b, "to", BUILDER_FLOAT);
        x = builder_end(b);
    }
    builder_begin(b, "ReduceMean", builder_name(b, "%s.mean", name), INPUTS(x));
    builder_ints(b, "axes", 1, &last);
    builder_int(b, "keepdims", 1);
    const char *mean = builder_end(b);
    const char *centred = builder_node(b, "Sub", builder_name(b, "%s.centred", name), INPUTS(x, mean));
    const char *squared = builder_node(b, "Pow", builder_name(b, "%s.squared", name), INPUTS(centred, builder_scalar(b, "norm.two", 2)));
    builder_begin(b, "ReduceMean", builder_name(b, "%s.variance", name), INPUTS(squared));
    builder_ints(b, "axes", 1, &last);
    builder_int(b, "keepdims", 1);
    const char *variance = builder_end(b);
    const char *eps = builder_scalar(b, builder_name(b, "norm.eps.%.3g", norm->eps), norm->eps);
    const char *sum = builder_node(b, "Add", builder_name(b, "%s.variance.eps", name), INPUTS(variance, eps));
    const char *deviation = builder_node(b, "Sqrt", builder_name(b, "%s.deviation", name), INPUTS(sum));
    const char *last_name = norm->gamma || norm->beta || half ? builder_name(b, "%s.normalised", name) : name;
    const char *y = builder_node(b, "Div", last_name, INPUTS(centred, deviation));
    if (norm->gamma) {
        const char *gamma = builder_weights(b, builder_name(b, "%s.weight", name), norm->gamma, 1, (const int64_t[]){norm->width});
        y = builder_node(b, "Mul", norm->beta || half ? builder_name(b, "%s.scaled", name) : name, INPUTS(y, gamma));
    }
    if (norm->beta) {
        const char *beta = builder_weights(b, builder_name(b, "%s.bias", name), norm->beta, 1, (const int64_t[]){norm->width});
        y = builder_node(b, "Add", half ? builder_name(b, "%s.shifted", name) : name, INPUTS(y, beta));
    }
    if (half) {
        builder_begin(b, "Cast", name, INPUTS(y));
        builder_int(b, "to", BUILDER_FLOAT16);
        y = builder_end(b);
        b->float_type = BUILDER_FLOAT16;
    }
    return y;
}

/* [width] ones, shared by all norms without gamma. */
static const char *ones(emitter *e, int width)
{
    float *data = arena_get(&e->folded, (size_t)width, sizeof *data);
    if (!data)
        fail_memory(&e->b.failure, (size_t)width * sizeof *data, "a norm's weights");
    for (int i = 0; data && i < width; i++)
        data[i] = 1.0f;
    return builder_weights(&e->b, builder_name(&e->b, "norm.ones.%d", width), data, 1, (const int64_t[]){width});
}

const char *emit_norm(emitter *e, const char *name, const char *x, const model_norm *norm)
{
    builder *b = &e->b;
    if (b->opset < OPSET_LAYER_NORM)
        return written_out_norm(e, name, x, norm);
    const int64_t width = norm->width;
    const char *gamma = norm->gamma ? builder_weights(b, builder_name(b, "%s.weight", name), norm->gamma, 1, &width) : ones(e, norm->width);
    const char *beta = norm->beta ? builder_weights(b, builder_name(b, "%s.bias", name), norm->beta, 1, &width) : NULL;
    builder_begin(b, "LayerNormalization", name, INPUTS(x, gamma, beta));
    builder_int(b, "axis", -1);
    builder_float_attribute(b, "epsilon", (float)norm->eps);
    return builder_end(b);
}

const char *emit_gelu(emitter *e, const char *name, const char *x)
{
    builder *b = &e->b;
    if (b->opset >= OPSET_GELU) {
        builder_begin(b, "Gelu", name, INPUTS(x));
        builder_text(b, "approximate", "none");
        return builder_end(b);
    }
    const char *scaled = builder_node(b, "Div", builder_name(b, "%s.scaled", name),
                                      INPUTS(x, builder_scalar(b, "gelu.root2", 1.41421356237309504880)));
    const char *erf = builder_node(b, "Erf", builder_name(b, "%s.erf", name), INPUTS(scaled));
    const char *shifted = builder_node(b, "Add", builder_name(b, "%s.shifted", name), INPUTS(erf, builder_scalar(b, "gelu.one", 1)));
    const char *product = builder_node(b, "Mul", builder_name(b, "%s.product", name), INPUTS(x, shifted));
    return builder_node(b, "Mul", name, INPUTS(product, builder_scalar(b, "gelu.half", 0.5)));
}

const char *emit_transpose(emitter *e, const char *name, const char *x, int rank, const int64_t *order)
{
    builder_begin(&e->b, "Transpose", name, INPUTS(x));
    builder_ints(&e->b, "perm", rank, order);
    return builder_end(&e->b);
}

const char *emit_tokens(emitter *e, const char *name, const char *image, int channels)
{
    builder *b = &e->b;
    const char *shape = builder_integers(b, builder_name(b, "shape.flat.%d", channels), 3, (const int64_t[]){0, channels, -1});
    const char *flat = builder_node(b, "Reshape", builder_name(b, "%s.flat", name), INPUTS(image, shape));
    return emit_transpose(e, name, flat, 3, (const int64_t[]){0, 2, 1});
}

const char *emit_image(emitter *e, const char *name, const char *tokens, int stage)
{
    const char *rows = emit_transpose(e, builder_name(&e->b, "%s.channels", name), tokens, 3, (const int64_t[]){0, 2, 1});
    return builder_node(&e->b, "Reshape", name, INPUTS(rows, e->image_shape[stage]));
}

const char *emit_resize(emitter *e, const char *name, const char *image, const char *sizes)
{
    builder *b = &e->b;
    const char *left_out = b->opset < OPSET_NO_EMPTY_ROI ? builder_float32(b, "resize.unused", 0, NULL) : "";
    builder_begin(b, "Resize", name, INPUTS(image, left_out, left_out, sizes));
    builder_text(b, "coordinate_transformation_mode", "half_pixel");
    builder_text(b, "mode", "linear");
    return builder_end(b);
}

/* Two elements of an int64 [4]. */
static const char *half_of_shape(emitter *e, const char *name, const char *shape, int64_t begin)
{
    builder *b = &e->b;
    const char *from = builder_integers(b, builder_name(b, "shape.index.%d", (int)begin), 1, &begin);
    const char *to = builder_integers(b, builder_name(b, "shape.index.%d", (int)begin + 2), 1, &(const int64_t){begin + 2});
    return builder_node(b, "Slice", name, INPUTS(shape, from, to, builder_integers(b, "shape.index.0", 1, &(const int64_t){0})));
}

const char *emit_sizes(emitter *e, const char *name, const char *like, const char *size)
{
    builder *b = &e->b;
    const char *outer = builder_node(b, "Shape", builder_name(b, "%s.outer.shape", name), INPUTS(like));
    const char *inner = builder_node(b, "Shape", builder_name(b, "%s.inner.shape", name), INPUTS(size));
    outer = half_of_shape(e, builder_name(b, "%s.outer", name), outer, 0);
    inner = half_of_shape(e, builder_name(b, "%s.inner", name), inner, 2);
    builder_begin(b, "Concat", name, INPUTS(outer, inner));
    builder_int(b, "axis", 0);
    return builder_end(b);
}
