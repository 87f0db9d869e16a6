/* layout_stage: steps of a stage: patch embedding, attention and Mix-FFN of a block.  Part of laying a plan out (plan.c). */
#include "backend/cuda/layout.h"

static stage_shape key_grid(stage_shape at)
{
    return (stage_shape){.h = at.key_h, .w = at.key_w};
}

/* Who reads x next: the norm before the block's other half, the next block, or the stage's end. */
typedef struct next_norm {
    double eps;
    const float *offset;
    void *out;
    bool ends_stage;
} next_norm;

static next_norm after_block(const layout *l, int i, int block)
{
    const network_stage *stage = &l->net->stages[i];
    if (block + 1 < stage->depth)
        return (next_norm){.eps = stage->blocks[block + 1].eps1, .out = l->normed};
    return (next_norm){.eps = stage->eps, .offset = l->weights->stages[i].offset, .out = (void *)l->stage_out[i], .ends_stage = true};
}

static void residual_rows(layout *l, gemm_args *g, int i, next_norm next)
{
    g->end = GEMM_ROWS;
    g->rows = ROW_RESIDUAL;
    g->x = l->x;
    g->out = next.out;
    g->offset = next.offset;
    g->eps_out = (float)next.eps;
    g->true_width = l->net->stages[i].width;
    g->inverse_width = 1.0f / (float)g->true_width;
}

/* ------------------------------------------------------------------------------------ patch, blocks */

static void *table(layout *l, size_t bytes, char **host)
{
    void *at = l->tables ? l->tables + l->tables_at : NULL;
    *host = l->tables_host ? l->tables_host + l->tables_at : NULL;
    l->tables_at += (bytes + 255) / 256 * 256;
    return at;
}

/* Taps that lie inside the picture for each output coordinate, numbered as they first occur. */
static int border_cases(const network_patch *patch, int in, int out, uint8_t *of, int (*ranges)[2])
{
    int cases = 0;
    for (int o = 0; o < out; o++) {
        const int corner = o * patch->stride - patch->pad, low = corner < 0 ? -corner : 0,
                  high = in - corner < patch->kernel ? in - corner : patch->kernel;
        int c = 0;
        while (c < cases && (ranges[c][0] != low || ranges[c][1] != high))
            c++;
        if (c == cases) {
            ranges[c][0] = low;
            ranges[c][1] = high;
            cases++;
        }
        if (of)
            of[o] = (uint8_t)c;
    }
    return cases;
}

enum { MOST_CASES = 64 };

static void patch_bias(layout *l, gemm_args *g, int i, int in_h, int in_w)
{
    const network_patch *patch = &l->net->stages[i].patch;
    int by_row[MOST_CASES][2], by_column[MOST_CASES][2];
    char *host_y, *host_x, *host_bias;
    g->case_y = table(l, (size_t)g->out_h, &host_y);
    g->case_x = table(l, (size_t)g->out_w, &host_x);
    const int rows = border_cases(patch, in_h, g->out_h, (uint8_t *)host_y, by_row),
              columns = border_cases(patch, in_w, g->out_w, (uint8_t *)host_x, by_column);
    g->cases_x = columns;
    g->bias = table(l, (size_t)rows * (size_t)columns * (size_t)g->n * sizeof(float), &host_bias);
    float *to = (float *)(void *)host_bias;
    for (int r = 0; to && r < rows; r++)
        for (int c = 0; c < columns; c++, to += g->n)
            for (int o = 0; o < patch->out; o++) {
                double sum = weight_at(patch->bias, (size_t)o);
                for (int ky = by_row[r][0]; ky < by_row[r][1]; ky++)
                    for (int kx = by_column[c][0]; kx < by_column[c][1]; kx++)
                        sum += weight_at(patch->tap_bias, (size_t)(ky * patch->kernel + kx) * (size_t)patch->out + (size_t)o);
                to[o] = (float)sum;
            }
}

/* The picture as the matrix of the first patch convolution. */
static const void *layout_gather(layout *l, int rows, int width, const network_patch *patch)
{
    const plan *p = l->p;
    const stage_shape out = p->shape.stage[0];
    void *gathered = layout_take_rows(l, (size_t)rows, width);
    step *s = layout_add(l, STEP_GATHER, OP_PATCH, 0, -1, 0);
    s->name = "gather";
    s->args.gather = (gather_args){.pixels = p->key.pixels ? p->input : NULL,
                                   .input = p->key.pixels ? NULL : p->input,
                                   .out = gathered,
                                   .images = p->key.n,
                                   .h = p->key.h,
                                   .w = p->key.w,
                                   .out_h = out.h,
                                   .out_w = out.w,
                                   .kernel = patch->kernel,
                                   .stride = patch->stride,
                                   .pad = patch->pad,
                                   .ldo = width,
                                   .pitch = width / patch->kernel};
    for (int c = 0; c < 3; c++) {
        s->args.gather.mean[c] = (float)l->net->mean[c];
        s->args.gather.deviation[c] = (float)l->net->deviation[c];
    }
    return gathered;
}

void layout_patch(layout *l, int i)
{
    const network_stage *stage = &l->net->stages[i];
    const network_patch *patch = &stage->patch;
    const packed_stage *at = &l->weights->stages[i];
    plan *p = l->p;
    const stage_shape out = p->shape.stage[i];
    const int in_h = i ? p->shape.stage[i - 1].h : p->key.h, in_w = i ? p->shape.stage[i - 1].w : p->key.w, rows = p->key.n * out.h * out.w;
    const size_t mark = l->at;
    const void *a = i ? l->stage_out[i - 1] : p->input;
    const int lda = i ? l->weights->stages[i - 1].width : at->patch.k;
    gemm_args made = layout_linear(a, lda, at->patch, rows, NULL, NULL, at->width);
    made.out_h = out.h;
    made.out_w = out.w;
    gemm_args gathered = made; /* by the kernel itself */
    gathered.kernel = patch->kernel, gathered.stride = patch->stride, gathered.pad = patch->pad;
    gathered.in_h = in_h, gathered.in_w = in_w;
    gathered.channels = i ? lda : 3;
    gathered.pitch = i ? 0 : lda / patch->kernel;
    if (i || (p->key.pixels && l->maker->fused && gemm_takes_picture(&gathered, l->type, l->maker->wide)))
        made = gathered;
    else
        made.a = layout_gather(l, rows, lda, patch);
    step *s = layout_add(l, STEP_GEMM, OP_PATCH, i, -1, 1);
    gemm_args *g = &s->args.gemm;
    *g = made;
    const next_norm next = after_block(l, i, -1);
    residual_rows(l, g, i, next);
    g->rows = ROW_PATCH;
    g->gamma = at->gamma;
    g->beta = at->beta;
    g->eps = (float)patch->eps;
    patch_bias(l, g, i, in_h, in_w);
    layout_finish_gemm(l, s);
    s->leaves[0] = layout_leaves(s->first, l->x, NUMERIC_F32, out, stage->width, at->width);
    l->at = mark;
}

void layout_attention(layout *l, int i, int b)
{
    const network_stage *stage = &l->net->stages[i];
    const network_block *block = &stage->blocks[b];
    const packed_stage *at = &l->weights->stages[i];
    const packed_block *w = &at->blocks[b];
    const plan *p = l->p;
    const stage_shape grid = p->shape.stage[i], key_at = key_grid(grid);
    const bool one = stage->heads == 1;
    const int tokens = grid.h * grid.w, keys = key_at.h * key_at.w, rows = p->key.n * tokens, key_rows = p->key.n * keys,
              pitch = padded(keys, KEY_PAD);
    const size_t mark = l->at;
    const int head = one ? stage->width : stage->width / stage->heads;
    const void *y = l->normed;
    step *s;
    gemm_args *g;
    if (stage->reduction > 1) {
        void *reduced = layout_take_rows(l, (size_t)key_rows, at->width);
        s = layout_add(l, STEP_GEMM, OP_REDUCE, i, b, 1);
        g = &s->args.gemm;
        *g = layout_linear(l->normed, at->width, w->reduce, key_rows, w->reduce_bias, reduced, at->width);
        g->kernel = g->stride = stage->reduction;
        g->in_h = grid.h, g->in_w = grid.w, g->out_h = grid.key_h, g->out_w = grid.key_w, g->channels = at->width;
        g->end = GEMM_ROWS;
        g->rows = ROW_REDUCE;
        g->eps = (float)block->reduce_eps;
        g->plain = block->reduce_plain;
        g->inverse_width = 1.0f / (float)stage->width;
        layout_finish_gemm(l, s);
        s->leaves[0] = layout_leaves(s->first, reduced, l->type, key_at, stage->width, at->width);
        y = reduced;
    }
    void *k = layout_take_rows(l, (size_t)key_rows, at->inner), *v = layout_take_rows(l, (size_t)p->key.n * (size_t)at->inner, pitch);
    float *key_bias = one ? layout_take(l, (size_t)p->key.n * (size_t)pitch * sizeof(float)) : NULL;
    s = layout_add(l, STEP_GEMM, OP_KEYS, i, b, 1);
    g = &s->args.gemm;
    *g = layout_linear(y, at->width, w->keys_values, key_rows, NULL, k, at->inner);
    g->end = GEMM_KEYS;
    g->values = v;
    g->key_bias = key_bias;
    g->width = at->inner;
    g->keys = keys;
    g->key_pitch = pitch;
    g->key_scale = w->key_scale;
    g->value_scale = w->value_scale;
    layout_finish_gemm(l, s);
    s->leaves[0] = layout_leaves(s->first, k, l->type, key_at, stage->width, at->inner);
    s->leaves[0].group = head;
    s->leaves[0].pitch = one ? head : at->head;
    s->leaves[0].positions = !one && l->maker->fused && type_bytes(l->type) == 4 && !g->split;
    s->leaves[0].split_scale = g->split ? g->key_scale : 0;

    const void *q = l->normed;
    const bool inside = !one && l->maker->fused; /* queries are made by the attention kernel */
    if (!one && !inside) {
        void *made = layout_take_rows(l, (size_t)rows, at->inner);
        s = layout_add(l, STEP_GEMM, OP_QUERY, i, b, 1);
        s->args.gemm = layout_linear(l->normed, at->width, w->query, rows, w->query_bias, made, at->inner);
        layout_finish_gemm(l, s);
        s->leaves[0] = layout_leaves(s->first, made, l->type, grid, stage->width, at->inner);
        s->leaves[0].group = head;
        s->leaves[0].pitch = at->head;
        q = made;
    }
    void *heads = one ? l->normed : layout_take_rows(l, (size_t)rows, at->inner);
    s = inside ? layout_add(l, STEP_ATTEND, OP_QUERY, i, b, 2) : layout_add(l, STEP_ATTEND, OP_ATTEND, i, b, 1);
    s->name = one ? "attend, residual" : inside ? "query, attend" : "attend";
    attend_args *a = &s->args.attend;
    *a = (attend_args){.q = q,
                       .keys = k,
                       .values = v,
                       .key_bias = key_bias,
                       .out = heads,
                       .images = p->key.n,
                       .tokens = tokens,
                       .nkeys = keys,
                       .key_pitch = pitch,
                       .heads = stage->heads,
                       .head = at->head,
                       .ldq = inside || one ? at->width : at->inner,
                       .ldk = at->inner,
                       .ldo = at->inner,
                       .k = inside ? at->width
                            : one  ? at->width
                                   : at->head,
                       .eps = (float)block->eps2,
                       .inverse_width = 1.0f / (float)stage->width};
    if (l->weights->split) {
        a->split = true;
        a->q_scale = w->query_scale;
        a->score_scale = 1 / (w->query_scale * w->key_scale);
        a->value_scale = w->value_scale;
    }
    if (inside) {
        a->a_scale = w->query.in_scale;
        a->query_scale = w->query.out_scale;
        a->weight = w->query.at;
        a->ldw = w->query.ld;
        a->q_bias = w->query_bias;
    }
    if (one) {
        a->x = l->x;
        a->out_bias = w->out_bias;
    }
    attend_choose(a, l->type, l->maker->processors, l->maker->wide);
    const operation attended = {.kind = OP_ATTEND, .stage = (int8_t)i, .block = (int16_t)b};
    s->leaves[0] = one ? layout_leaves(attended, l->x, NUMERIC_F32, grid, stage->width, at->width)
                       : layout_leaves(attended, heads, l->type, grid, stage->width, at->inner);
    if (!one) {
        s->leaves[0].group = head;
        s->leaves[0].pitch = at->head;
        s = layout_add(l, STEP_GEMM, OP_PROJECT, i, b, 1);
        g = &s->args.gemm;
        *g = layout_linear(heads, at->inner, w->project, rows, w->out_bias, NULL, at->width);
        residual_rows(l, g, i, (next_norm){.eps = block->eps2, .out = l->normed});
        layout_finish_gemm(l, s);
        s->leaves[0] = layout_leaves(s->first, l->x, NUMERIC_F32, grid, stage->width, at->width);
    }
    l->at = mark;
}

/* What the fused kernel needs to know of a stage to say whether it takes it. */
static ffn_args ffn_shape(const layout *l, int i)
{
    const stage_shape grid = l->p->shape.stage[i];
    return (ffn_args){.images = l->p->key.n,
                      .h = grid.h,
                      .w = grid.w,
                      .width = l->weights->stages[i].width,
                      .wide = l->maker->wide,
                      .processors = l->maker->processors};
}

bool layout_ffn_whole(const layout *l, int i)
{
    const ffn_args shape = ffn_shape(l, i);
    return l->maker->fused && l->maker->wide && ffn_fits(&shape, l->type);
}

void layout_ffn(layout *l, int i, int b)
{
    const network_stage *stage = &l->net->stages[i];
    const packed_stage *at = &l->weights->stages[i];
    const packed_block *w = &at->blocks[b];
    const plan *p = l->p;
    const stage_shape grid = p->shape.stage[i];
    const int rows = p->key.n * grid.h * grid.w, hidden = stage->blocks[b].hidden;
    const size_t mark = l->at;
    const void *normed = l->normed;
    depthwise_args convolved = {.first_bias = w->fc1_bias,
                                .weight = w->depthwise,
                                .bias = w->depthwise_bias,
                                .images = p->key.n,
                                .h = grid.h,
                                .w = grid.w,
                                .width = w->hidden,
                                .inner = at->width,
                                .ld_first = w->fc1.ld,
                                .wide = l->maker->wide,
                                .processors = l->maker->processors};
    const bool whole = l->normed_next, together = !whole && l->maker->fused && depthwise_takes_first(&convolved, l->type);
    next_norm next = after_block(l, i, b);
    step *s;
    void *z = NULL;
    if (!whole && !together) {
        z = layout_take_rows(l, (size_t)rows, w->hidden);
        s = layout_add(l, STEP_GEMM, OP_FC1, i, b, 1);
        s->args.gemm = layout_linear(l->normed, at->width, w->fc1, rows, w->fc1_bias, z, w->hidden);
        layout_finish_gemm(l, s);
        s->leaves[0] = layout_leaves(s->first, z, l->type, grid, hidden, w->hidden);
    } else if (whole && next.out == l->normed) {
        next.out = l->normed_next;
        l->normed_next = l->normed;
        l->normed = next.out;
    }
    ffn_args all = ffn_shape(l, i);
    all.z = z;
    all.rows = normed;
    all.first = w->fc1.at;
    all.first_bias = w->fc1_bias;
    all.ld_first = w->fc1.ld;
    all.taps = w->depthwise;
    all.tap_bias = w->depthwise_bias;
    all.weight = w->fc2.at;
    all.bias = w->fc2_bias;
    all.offset = next.offset;
    all.x = l->x;
    all.out = next.out;
    all.hidden = w->hidden;
    all.ldw = w->fc2.ld;
    all.eps = (float)next.eps;
    all.inverse_width = 1.0f / (float)stage->width;
    all.split = l->weights->split;
    all.a_scale = w->fc2.in_scale;
    all.out_scale = w->fc2.out_scale;
    if (l->maker->fused && (all.split ? ffn_split_fits(&all) : ffn_fits(&all, l->type))) {
        const int ends = next.ends_stage ? 1 : 0;
        s = whole ? layout_add(l, STEP_FFN, OP_FC1, i, b, 3 + ends) : layout_add(l, STEP_FFN, OP_DEPTHWISE, i, b, 2 + ends);
        s->name = whole ? "Mix-FFN" : "depthwise, gelu, fc2";
        s->args.ffn = all;
    } else {
        void *made = layout_take_rows(l, (size_t)rows, w->hidden);
        convolved.in = together ? normed : z;
        convolved.first = together ? w->fc1.at : NULL;
        convolved.out = made;
        s = together ? layout_add(l, STEP_DEPTHWISE, OP_FC1, i, b, 2) : layout_add(l, STEP_DEPTHWISE, OP_DEPTHWISE, i, b, 1);
        s->name = together ? "fc1, depthwise, gelu" : "depthwise, gelu";
        s->args.depthwise = convolved;
        const operation made_by = {.kind = OP_DEPTHWISE, .stage = (int8_t)i, .block = (int16_t)b};
        s->leaves[0] = layout_leaves(made_by, made, l->type, grid, hidden, w->hidden);
        s = layout_add(l, STEP_GEMM, OP_FC2, i, b, next.ends_stage ? 2 : 1);
        s->args.gemm = layout_linear(made, w->hidden, w->fc2, rows, w->fc2_bias, NULL, at->width);
        residual_rows(l, &s->args.gemm, i, next);
        layout_finish_gemm(l, s);
    }
    s->leaves[0] = layout_leaves((operation){.kind = OP_FC2, .stage = (int8_t)i, .block = (int16_t)b}, l->x, NUMERIC_F32, grid,
                                 stage->width, at->width);
    if (next.ends_stage)
        s->leaves[1] = layout_leaves((operation){.kind = OP_STAGE_NORM, .stage = (int8_t)i, .block = -1}, next.out, l->type, grid,
                                     stage->width, at->width);
    l->at = mark;
}
