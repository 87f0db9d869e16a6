/* layout_head: steps of the head and of what a run hands out.  Part of laying a plan out (plan.c). */
#include "backend/cuda/layout.h"

/* The fused head's arguments, or why not: a head with an inner map, sizes and types that the kernel does not take. */
static bool fused_head(const layout *l, pixels_args *all)
{
    const packed *w = l->weights;
    const plan *p = l->p;
    *all = (pixels_args){.features = l->stage_out[0],
                         .weight = w->level[0].at,
                         .bias = w->bias,
                         .classifier = w->classifier.at,
                         .class_bias = w->classifier_bias,
                         .logits = (float *)l->logits,
                         .images = p->key.n,
                         .k = w->stages[0].width,
                         .ldw = w->level[0].ld,
                         .ldc = w->classifier.ld,
                         .width = w->head_width,
                         .class_ld = w->class_ld,
                         .split = w->split,
                         .a_scale = w->level[0].in_scale,
                         .own_scale = w->level[0].out_scale,
                         .level_scale = 1 / w->level_scale,
                         .merged_scale = w->classifier.in_scale,
                         .logit_scale = w->classifier.out_scale,
                         .wide = l->maker->wide};
    for (int i = 0; i < STAGES; i++) {
        all->h[i] = p->shape.stage[i].h;
        all->w[i] = p->shape.stage[i].w;
        all->level[i] = l->level[i];
    }
    return l->maker->fused && !w->inner_width && (w->split ? pixels_split_fits(all) : pixels_fits(all, l->type, l->maker->shared));
}

void layout_level_place(layout *l, int i)
{
    const packed *w = l->weights;
    const size_t rows = (size_t)l->p->key.n * (size_t)l->p->shape.stage[i].h * (size_t)l->p->shape.stage[i].w;
    l->level[i] = layout_take_rows(l, rows, w->head_width);
    l->level_inner[i] = w->inner_width ? layout_take_rows(l, rows, w->inner_width) : NULL;
}

void layout_level(layout *l, int i, bool aside)
{
    const packed *w = l->weights;
    const stage_shape grid = l->p->shape.stage[i];
    const int rows = l->p->key.n * grid.h * grid.w;
    const void *from = l->stage_out[i];
    int width = w->stages[i].width;
    step *s;
    if (w->inner_width) {
        s = layout_add(l, STEP_GEMM, OP_LEVEL, i, -1, 0);
        s->aside = aside;
        s->args.gemm = layout_linear(from, width, w->inner[i], rows, w->inner_bias[i], l->level_inner[i], w->inner_width);
        s->args.gemm.relu = true;
        layout_finish_gemm(l, s);
        from = l->level_inner[i];
        width = w->inner_width;
    }
    s = layout_add(l, STEP_GEMM, OP_LEVEL, i, -1, 1);
    s->aside = aside;
    s->args.gemm = layout_linear(from, width, w->level[i], rows, NULL, l->level[i], w->head_width);
    s->leaves[0] = layout_leaves(s->first, l->level[i], l->type, grid, l->net->head.width, w->head_width);
    pixels_args all;
    if (w->split && fused_head(l, &all)) { /* which reads it split, as attention does keys */
        gemm_args *g = &s->args.gemm;
        g->end = GEMM_KEYS;
        g->width = w->head_width;
        g->keys = rows;
        g->key_scale = s->leaves[0].split_scale = w->level_scale;
    }
    layout_finish_gemm(l, s);
}

void layout_head(layout *l)
{
    const network *net = l->net;
    const packed *w = l->weights;
    const plan *p = l->p;
    const stage_shape first = p->shape.stage[0];
    const int rows0 = p->key.n * first.h * first.w;
    step *s;
    float *logits = layout_take(l, (size_t)rows0 * (size_t)w->class_ld * sizeof(float));
    l->logits = logits;
    pixels_args all;
    const operation classified = {.kind = OP_CLASSIFY, .stage = -1, .block = -1};
    if (fused_head(l, &all)) {
        s = layout_add(l, STEP_PIXELS, OP_LEVEL, 0, -1, 3);
        s->name = "level, merge, classify";
        s->args.pixels = all;
        s->leaves[0] = layout_leaves(classified, logits, NUMERIC_F32, first, net->classes, w->class_ld);
        return;
    }
    layout_level_place(l, 0);
    layout_level(l, 0, false);
    void *merged = layout_take_rows(l, (size_t)rows0, w->head_width);
    s = layout_add(l, STEP_MERGE, OP_MERGE, -1, -1, 1);
    s->name = "merge";
    s->args.merge = (merge_args){.bias = w->bias, .out = merged, .images = p->key.n, .ld = w->head_width};
    for (int i = 0; i < STAGES; i++) {
        s->args.merge.level[i] = l->level[i];
        s->args.merge.h[i] = p->shape.stage[i].h;
        s->args.merge.w[i] = p->shape.stage[i].w;
    }
    s->leaves[0] = layout_leaves(s->first, merged, l->type, first, net->head.width, w->head_width);
    s = layout_add(l, STEP_GEMM, OP_CLASSIFY, -1, -1, 1);
    s->args.gemm = layout_linear(merged, w->head_width, w->classifier, rows0, w->classifier_bias, logits, w->class_ld);
    s->args.gemm.end = GEMM_FLOAT;
    layout_finish_gemm(l, s);
    s->leaves[0] = layout_leaves(classified, logits, NUMERIC_F32, first, net->classes, w->class_ld);
}

void layout_ending(layout *l)
{
    plan *p = l->p;
    const plan_key *key = &p->key;
    const stage_shape first = p->shape.stage[0];
    const int classes = l->net->classes;
    if (key->logits) {
        p->planes = layout_take(l, (size_t)key->n * (size_t)classes * (size_t)first.h * (size_t)first.w * sizeof(float));
        step *s = layout_add(l, STEP_PLANES, OP_CLASSIFY, -1, -1, 0);
        s->name = "planes";
        s->args.planes = (planes_args){.logits = l->logits,
                                       .out = p->planes,
                                       .images = key->n,
                                       .classes = classes,
                                       .ld = l->weights->class_ld,
                                       .pixels = first.h * first.w};
    }
    if (key->labels || key->confidence) {
        const size_t pixels = (size_t)key->n * (size_t)key->label_h * (size_t)key->label_w;
        p->labels = key->labels ? layout_take(l, pixels * (size_t)key->label_bytes) : NULL;
        p->confidence = key->confidence ? layout_take(l, pixels) : NULL;
        const bool twice = key->via_input && (key->label_h != key->h || key->label_w != key->w);
        step *s = layout_add(l, STEP_LABEL, OP_LABEL, -1, -1, 1);
        s->name = "label";
        s->args.label = (label_args){.logits = l->logits,
                                     .images = key->n,
                                     .classes = classes,
                                     .ld = l->weights->class_ld,
                                     .h = first.h,
                                     .w = first.w,
                                     .mid_h = twice ? key->h : 0,
                                     .mid_w = twice ? key->w : 0,
                                     .out_h = key->label_h,
                                     .out_w = key->label_w,
                                     .labels = p->labels,
                                     .label_bytes = key->label_bytes,
                                     .confidence = p->confidence};
    }
}
