/* emit_encoder: patch embeddings and blocks as ONNX nodes.
 *
 * The mix-FFN runs on images: its two linear maps are 1x1 convolutions, so that only the narrow ends are
 * transposed, a dynamic file needs no shape of the hidden width, and ONNX Runtime and OpenVINO fuse the
 * biases (measured: bench/export_side_by_side.py). */
#include "export/emitter.h"

/* Tokens [n][t][c] to heads [n][heads][t][c / heads], or with keys' order [n][heads][c / heads][t]. */
static const char *split_heads(emitter *e, const char *name, const char *tokens, const model_stage *stage, bool keys)
{
    builder *b = &e->b;
    const int64_t heads = stage->heads, width = stage->width / stage->heads;
    const char *shape = builder_integers(b, builder_name(b, "shape.heads.%d.%d", (int)heads, (int)width), 4, (const int64_t[]){0, 0, heads, width});
    const char *parts = builder_node(b, "Reshape", builder_name(b, "%s.parts", name), INPUTS(tokens, shape));
    static const int64_t plain[] = {0, 2, 1, 3}, transposed[] = {0, 2, 3, 1};
    return emit_transpose(e, builder_name(b, "%s.heads", name), parts, 4, keys ? transposed : plain);
}

static const char *emit_attention(emitter *e, const char *prefix, const char *x, int s, const model_block *block)
{
    builder *b = &e->b;
    const model_stage *stage = &e->model->stages[s];
    const char *reduced = x;
    if (block->reduce.out) {
        const char *name = builder_name(b, "%s.reduce", prefix);
        const char *image = emit_image(e, builder_name(b, "%s.image", name), x, s);
        const char *conv = emit_conv(e, name, image, &block->reduce, 1);
        reduced = emit_tokens(e, builder_name(b, "%s.tokens", name), conv, stage->width);
        if (block->reduce_norm.width)
            reduced = emit_norm(e, builder_name(b, "%s.norm", name), reduced, &block->reduce_norm);
    }
    const char *query_name = builder_name(b, "%s.query", prefix), *key_name = builder_name(b, "%s.key", prefix);
    const char *value_name = builder_name(b, "%s.value", prefix), *scores_name = builder_name(b, "%s.scores", prefix);
    const char *query = split_heads(e, query_name, emit_linear(e, query_name, x, &block->query), stage, false);
    const char *key = split_heads(e, key_name, emit_linear(e, key_name, reduced, &block->key), stage, true);
    const char *value = split_heads(e, value_name, emit_linear(e, value_name, reduced, &block->value), stage, false);

    const char *scores;
    if (block->scale == 1) {
        scores = builder_node(b, "MatMul", scores_name, INPUTS(query, key));
    } else {
        const char *products = builder_node(b, "MatMul", builder_name(b, "%s.products", scores_name), INPUTS(query, key));
        const char *scale = builder_scalar(b, builder_name(b, "%s.scale", scores_name), block->scale);
        scores = builder_node(b, "Mul", scores_name, INPUTS(products, scale));
    }
    builder_begin(b, "Softmax", builder_name(b, "%s.probabilities", prefix), INPUTS(scores));
    builder_int(b, "axis", -1 + (b->opset < 13 ? 4 : 0)); /* before 13 it flattens what stands behind the axis: the last is the same */
    const char *probabilities = builder_end(b);
    const char *context = builder_node(b, "MatMul", builder_name(b, "%s.context", prefix), INPUTS(probabilities, value));
    context = emit_transpose(e, builder_name(b, "%s.context.tokens", prefix), context, 4, (const int64_t[]){0, 2, 1, 3});
    const char *shape = builder_integers(b, builder_name(b, "shape.tokens.%d", stage->width), 3, (const int64_t[]){0, 0, stage->width});
    context = builder_node(b, "Reshape", builder_name(b, "%s.context.joined", prefix), INPUTS(context, shape));
    return emit_linear(e, builder_name(b, "%s.output", prefix), context, &block->project);
}

static const char *emit_feed_forward(emitter *e, const char *prefix, const char *x, int s, const model_block *block)
{
    builder *b = &e->b;
    const char *y = emit_image(e, builder_name(b, "%s.image", prefix), x, s);
    y = emit_pointwise(e, builder_name(b, "%s.fc1", prefix), y, &block->fc1);
    y = emit_conv(e, builder_name(b, "%s.depthwise", prefix), y, &block->depthwise, block->depthwise.out);
    y = emit_gelu(e, builder_name(b, "%s.gelu", prefix), y);
    y = emit_pointwise(e, builder_name(b, "%s.fc2", prefix), y, &block->fc2);
    return emit_tokens(e, builder_name(b, "%s.tokens", prefix), y, e->model->stages[s].width);
}

/* What a half block adds to the residual stream.  In the folded form as Sum, which is Add by another name: ONNX Runtime joins
 * Add and the norm behind it to one node whose sums carry several times the rounding error (docs/export.md). */
static const char *emit_residual(emitter *e, const char *name, const char *stream, const char *added)
{
    return builder_node(&e->b, e->options.form == EXPORT_FOLDED ? "Sum" : "Add", name, INPUTS(stream, added));
}

static segrt_status emit_block(emitter *e, int s, int index, const char **x)
{
    builder *b = &e->b;
    model_block block = e->model->stages[s].blocks[index];
    if (e->options.form == EXPORT_FOLDED) {
        const segrt_status status = export_fold_block(&e->folded, &e->model->stages[s].blocks[index], &block, e->error);
        if (status != SEGRT_OK)
            return status;
    }
    const char *prefix = builder_name(b, "stage%d.block%d", s + 1, index);
    const char *y = emit_norm(e, builder_name(b, "%s.norm1", prefix), *x, &block.norm1);
    y = emit_attention(e, builder_name(b, "%s.attention", prefix), y, s, &block);
    *x = emit_residual(e, builder_name(b, "%s.attended", prefix), *x, y);
    y = emit_norm(e, builder_name(b, "%s.norm2", prefix), *x, &block.norm2);
    y = emit_feed_forward(e, builder_name(b, "%s.ffn", prefix), y, s, &block);
    *x = emit_residual(e, prefix, *x, y);
    return SEGRT_OK;
}

/* {n, width, h, w} of a stage: a constant, or what the patch convolution made. */
static const char *stage_image_shape(emitter *e, int s, const char *patches)
{
    builder *b = &e->b;
    const char *name = builder_name(b, "stage%d.shape", s + 1);
    if (e->any_size)
        return builder_node(b, "Shape", name, INPUTS(patches));
    const stage_shape *shape = &e->shape.stage[s];
    return builder_integers(b, name, 4, (const int64_t[]){0, e->model->stages[s].width, shape->h, shape->w});
}

/* The stage's output once more, centred and without affine: a norm whose beta is minus the offset. */
static const char *centred_feature(emitter *e, int s, const char *x)
{
    const model_stage *stage = &e->model->stages[s];
    float *beta = arena_get(&e->folded, (size_t)stage->width, sizeof *beta);
    if (!beta) {
        fail_memory(&e->b.failure, (size_t)stage->width * sizeof *beta, "a stage's offset");
        return "";
    }
    for (int i = 0; i < stage->width; i++)
        beta[i] = (float)-weight_at(e->centred->stages[s].offset, (size_t)i);
    const model_norm norm = {.beta = beta, .eps = stage->norm.eps, .width = stage->width};
    const char *name = builder_name(&e->b, "stage%d.centred", s + 1);
    return emit_image(e, builder_name(&e->b, "%s.image", name), emit_norm(e, name, x, &norm), s);
}

segrt_status emit_encoder(emitter *e)
{
    builder *b = &e->b;
    const char *image = e->input;
    for (int s = 0; s < STAGES; s++) {
        const model_stage *stage = &e->model->stages[s];
        const char *patches = emit_conv(e, builder_name(b, "stage%d.patch", s + 1), image, &stage->patch, 1);
        e->image_shape[s] = stage_image_shape(e, s, patches);
        const char *x = emit_tokens(e, builder_name(b, "stage%d.patch.tokens", s + 1), patches, stage->width);
        if (stage->patch_norm.width)
            x = emit_norm(e, builder_name(b, "stage%d.patch.norm", s + 1), x, &stage->patch_norm);
        for (int i = 0; i < stage->depth; i++) {
            const segrt_status status = emit_block(e, s, i, &x);
            if (status != SEGRT_OK)
                return status;
        }
        if (e->centred)
            e->head_feature[s] = centred_feature(e, s, x);
        if (!e->centred || s + 1 < STAGES) {
            const char *normed = emit_norm(e, builder_name(b, "stage%d.norm", s + 1), x, &stage->norm);
            e->feature[s] = image = emit_image(e, builder_name(b, "stage%d", s + 1), normed, s);
        }
        if (!e->centred)
            e->head_feature[s] = e->feature[s];
    }
    return SEGRT_OK;
}
