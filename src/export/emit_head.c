/* emit_head: the decoder, as published or collapsed. */
#include "export/emitter.h"

/* A map's output at stage 1's size. */
static const char *to_stage_1(emitter *e, const char *name, const char *level, int s, const char *sizes)
{
    return s == 0 ? level : emit_resize(e, name, level, sizes);
}

/* {n, channels, h, w} of stage 1's level. */
static const char *level_sizes(emitter *e, const char *level, int channels)
{
    builder *b = &e->b;
    if (e->any_size || e->options.shape.n == 0) /* Resize takes no 0 for "as it is" */
        return builder_node(b, "Shape", "head.shape", INPUTS(level));
    return builder_integers(b, "head.shape", 4,
                            (const int64_t[]){e->options.shape.n, channels, e->shape.stage[0].h, e->shape.stage[0].w});
}

static segrt_status published_head(emitter *e, const char **out)
{
    builder *b = &e->b;
    const model_head *head = &e->model->head;
    const char *levels[STAGES], *sizes = "";
    for (int s = 0; s < STAGES; s++) {
        model_linear level = head->level[s];
        if (head->kind == HEAD_CONV) {
            const segrt_status status = export_fold_batch_norm(&e->folded, &head->level[s], &head->level_norm[s], &level, e->error);
            if (status != SEGRT_OK)
                return status;
        }
        const char *name = builder_name(b, "head.level%d", s + 1);
        levels[s] = emit_pointwise(e, name, e->head_feature[s], &level);
        if (head->kind == HEAD_CONV)
            levels[s] = builder_node(b, "Relu", builder_name(b, "%s.relu", name), INPUTS(levels[s]));
        if (s == 0)
            sizes = level_sizes(e, levels[0], level.out);
        levels[s] = to_stage_1(e, builder_name(b, "%s.resized", name), levels[s], s, sizes);
    }
    const int *order = head->fuse_order;
    builder_begin(b, "Concat", "head.concat", INPUTS(levels[order[0]], levels[order[1]], levels[order[2]], levels[order[3]]));
    builder_int(b, "axis", 1);
    const char *joined = builder_end(b);
    model_linear fuse;
    const segrt_status status = export_fold_batch_norm(&e->folded, &head->fuse, &head->fuse_norm, &fuse, e->error);
    *out = emit_pointwise(e, "head.fuse", joined, &fuse);
    return status;
}

static segrt_status collapsed_head(emitter *e, const char **out)
{
    builder *b = &e->b;
    weights offset[STAGES];
    for (int s = 0; e->centred && s < STAGES; s++)
        offset[s] = e->centred->stages[s].offset;
    model_linear inner[STAGES], level[STAGES];
    const segrt_status status = export_fold_levels(&e->folded, e->model, e->centred ? offset : NULL, inner, level, e->error);
    if (status != SEGRT_OK)
        return status;
    const char *sum = "", *sizes = "";
    for (int s = 0; s < STAGES; s++) {
        const char *name = builder_name(b, "head.level%d", s + 1), *x = e->head_feature[s];
        if (e->model->head.kind == HEAD_CONV) {
            x = emit_pointwise(e, builder_name(b, "%s.inner", name), x, &inner[s]);
            x = builder_node(b, "Relu", builder_name(b, "%s.inner.relu", name), INPUTS(x));
        }
        x = emit_pointwise(e, name, x, &level[s]);
        if (s == 0)
            sizes = level_sizes(e, x, level[0].out);
        x = to_stage_1(e, builder_name(b, "%s.resized", name), x, s, sizes);
        sum = s == 0 ? x : builder_node(b, "Add", builder_name(b, "head.sum%d", s + 1), INPUTS(sum, x));
    }
    *out = sum;
    return SEGRT_OK;
}

/* The result in float32 under the graph's output name. */
static const char *finished(emitter *e, const char *name, const char *x)
{
    builder_begin(&e->b, "Cast", name, INPUTS(x));
    builder_int(&e->b, "to", BUILDER_FLOAT);
    return builder_end(&e->b);
}

static void emit_labels(emitter *e, const char *logits)
{
    builder *b = &e->b;
    const segrt_shape *shape = &e->options.shape;
    const char *sizes = e->any_size || shape->n == 0
                            ? emit_sizes(e, "labels.shape", logits, "input")
                            : builder_integers(b, "labels.shape", 4, (const int64_t[]){shape->n, e->model->class_count, shape->h, shape->w});
    const char *full = emit_resize(e, "logits.resized", logits, sizes);
    builder_begin(b, "ArgMax", "labels", INPUTS(full));
    builder_int(b, "axis", 1);
    builder_int(b, "keepdims", 0);
    builder_end(b);
    builder_output(b, "labels", BUILDER_INT64, 3, (const int64_t[]){shape->n, shape->h, shape->w},
                   (const char *const[]){"batch", "height", "width"});
}

segrt_status emit_head(emitter *e)
{
    builder *b = &e->b;
    const char *sum = "";
    const segrt_status status = e->options.form == EXPORT_FOLDED ? collapsed_head(e, &sum) : published_head(e, &sum);
    if (status != SEGRT_OK)
        return status;
    const char *active = builder_node(b, "Relu", "head.relu", INPUTS(sum));
    const bool cast = e->options.output == EXPORT_LOGITS && b->float_type == BUILDER_FLOAT16;
    const char *name = e->options.output == EXPORT_LABELS || cast ? "head.classifier" : "logits";
    model_conv classifier = {.weight = e->model->head.classifier.weight, .bias = e->model->head.classifier.bias,
                             .out = e->model->head.classifier.out, .in = e->model->head.classifier.in, .kernel = 1, .stride = 1};
    const char *logits = emit_conv(e, name, active, &classifier, 1);
    if (e->options.output == EXPORT_LABELS) {
        emit_labels(e, logits);
        return SEGRT_OK;
    }
    if (cast)
        finished(e, "logits", logits);
    const int64_t h = e->any_size ? 0 : e->shape.stage[0].h, w = e->any_size ? 0 : e->shape.stage[0].w;
    builder_output(b, "logits", BUILDER_FLOAT, 4, (const int64_t[]){e->options.shape.n, e->model->class_count, h, w},
                   (const char *const[]){"batch", "", "height4", "width4"});
    return SEGRT_OK;
}
