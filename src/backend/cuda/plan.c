/* plan: see plan.h.  One function per part of the network appends its steps; buffers come from a bump allocator over
 * the workspace that starts again with every stage. */
#include "backend/cuda/plan.h"

#include <string.h>

typedef struct layout {
    plan *p;
    const plan_maker *maker;
    const network *net;
    const packed *weights;
    numeric type;
    char *workspace; /* NULL while measuring */
    size_t at, largest;
    char *tables; /* device */
    char *tables_host;
    size_t tables_at;
    bool failed; /* the list of steps could not grow */
    step lost;   /* what is written then */
    /* of the stage at hand */
    float *x;
    void *normed;
    const void *stage_out[STAGES]; /* f */
    const float *logits;
} layout;

static void *take(layout *l, size_t bytes)
{
    void *at = l->workspace ? l->workspace + l->at : NULL;
    l->at += (bytes + 255) / 256 * 256;
    l->largest = l->at > l->largest ? l->at : l->largest;
    return at;
}

static void *take_rows(layout *l, size_t rows, int width)
{
    return take(l, rows * (size_t)width * type_bytes(l->type));
}

static step *add(layout *l, step_kind kind, operation_kind first, int stage, int block, int count)
{
    plan *p = l->p;
    if (p->count == p->room) {
        const int room = p->room ? p->room * 2 : 64;
        step *grown = memory_get_array((size_t)room, sizeof *grown);
        if (!grown) {
            l->failed = true;
            return &l->lost;
        }
        if (p->count)
            memcpy(grown, p->steps, (size_t)p->count * sizeof *grown);
        memory_free(p->steps);
        p->steps = grown;
        p->room = room;
    }
    step *s = &p->steps[p->count++];
    memset(s, 0, sizeof *s);
    s->kind = kind;
    s->first = (operation){.kind = first, .stage = (int8_t)stage, .block = (int16_t)block};
    s->count = count;
    for (int i = 0; i < count; i++) { /* covered operations follow each other in the same block, then stage */
        operation op = s->first;
        op.kind = first + (operation_kind)i;
        s->macs += operation_macs(l->net, &p->shape, op);
    }
    return s;
}

static seen leaves(operation op, const void *at, numeric type, stage_shape where, int channels, int ld)
{
    return (seen){
        .op = op, .at = at, .type = type, .h = where.h, .w = where.w, .channels = channels, .ld = ld, .group = channels, .pitch = channels};
}

static stage_shape key_grid(stage_shape at)
{
    return (stage_shape){.h = at.key_h, .w = at.key_w};
}

static gemm_args linear(const void *a, int lda, matrix w, int rows, const float *bias, void *out, int ldo)
{
    return (gemm_args){.a = a, .w = w.at, .bias = bias, .out = out, .m = rows, .n = w.n, .k = w.k, .lda = lda, .ldw = w.ld, .ldo = ldo};
}

/* Chooses the tile and gives the sums that blocks share a place until the next step. */
static void finish_gemm(layout *l, step *s)
{
    gemm_args *g = &s->args.gemm;
    const size_t mark = l->at;
    g->partial = take(l, gemm_choose(g, l->type, l->maker->processors, l->maker->clusters, l->maker->wide) * sizeof(float));
    g->counters = l->maker->counters;
    l->at = mark;
    s->name = gemm_name(g);
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

static void add_patch(layout *l, int i)
{
    const network_stage *stage = &l->net->stages[i];
    const network_patch *patch = &stage->patch;
    const packed_stage *at = &l->weights->stages[i];
    plan *p = l->p;
    const stage_shape out = p->shape.stage[i];
    const int in_h = i ? p->shape.stage[i - 1].h : p->key.h, in_w = i ? p->shape.stage[i - 1].w : p->key.w, rows = p->key.n * out.h * out.w;
    const size_t mark = l->at;
    const void *a = i ? l->stage_out[i - 1] : NULL;
    int lda = i ? l->weights->stages[i - 1].width : 0;
    if (i == 0) {
        lda = at->patch.k;
        void *gathered = take_rows(l, (size_t)rows, lda);
        step *s = add(l, STEP_GATHER, OP_PATCH, i, -1, 0);
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
                                       .ldo = lda,
                                       .pitch = lda / patch->kernel};
        for (int c = 0; c < 3; c++) {
            s->args.gather.mean[c] = (float)l->net->mean[c];
            s->args.gather.deviation[c] = (float)l->net->deviation[c];
        }
        a = gathered;
    }
    step *s = add(l, STEP_GEMM, OP_PATCH, i, -1, 1);
    gemm_args *g = &s->args.gemm;
    *g = linear(a, lda, at->patch, rows, NULL, NULL, at->width);
    g->out_h = out.h;
    g->out_w = out.w;
    if (i)
        g->kernel = patch->kernel, g->stride = patch->stride, g->pad = patch->pad, g->in_h = in_h, g->in_w = in_w, g->channels = lda;
    const next_norm next = after_block(l, i, -1);
    residual_rows(l, g, i, next);
    g->rows = ROW_PATCH;
    g->gamma = at->gamma;
    g->beta = at->beta;
    g->eps = (float)patch->eps;
    patch_bias(l, g, i, in_h, in_w);
    finish_gemm(l, s);
    s->leaves[0] = leaves(s->first, l->x, NUMERIC_F32, out, stage->width, at->width);
    l->at = mark;
}

static void add_attention(layout *l, int i, int b)
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
        void *reduced = take_rows(l, (size_t)key_rows, at->width);
        s = add(l, STEP_GEMM, OP_REDUCE, i, b, 1);
        g = &s->args.gemm;
        *g = linear(l->normed, at->width, w->reduce, key_rows, w->reduce_bias, reduced, at->width);
        g->kernel = g->stride = stage->reduction;
        g->in_h = grid.h, g->in_w = grid.w, g->out_h = grid.key_h, g->out_w = grid.key_w, g->channels = at->width;
        g->end = GEMM_ROWS;
        g->rows = ROW_REDUCE;
        g->eps = (float)block->reduce_eps;
        g->plain = block->reduce_plain;
        g->inverse_width = 1.0f / (float)stage->width;
        finish_gemm(l, s);
        s->leaves[0] = leaves(s->first, reduced, l->type, key_at, stage->width, at->width);
        y = reduced;
    }
    void *k = take_rows(l, (size_t)key_rows, at->inner), *v = take_rows(l, (size_t)p->key.n * (size_t)at->inner, pitch);
    float *key_bias = one ? take(l, (size_t)p->key.n * (size_t)pitch * sizeof(float)) : NULL;
    s = add(l, STEP_GEMM, OP_KEYS, i, b, 1);
    g = &s->args.gemm;
    *g = linear(y, at->width, w->keys_values, key_rows, NULL, k, at->inner);
    g->end = GEMM_KEYS;
    g->values = v;
    g->key_bias = key_bias;
    g->width = at->inner;
    g->keys = keys;
    g->key_pitch = pitch;
    finish_gemm(l, s);
    s->leaves[0] = leaves(s->first, k, l->type, key_at, stage->width, at->inner);
    s->leaves[0].group = head;
    s->leaves[0].pitch = one ? head : at->head;
    s->leaves[0].positions = !one && l->maker->fused && type_bytes(l->type) == 4;

    const void *q = l->normed;
    const bool inside = !one && l->maker->fused; /* queries are made by the attention kernel */
    if (!one && !inside) {
        void *made = take_rows(l, (size_t)rows, at->inner);
        s = add(l, STEP_GEMM, OP_QUERY, i, b, 1);
        s->args.gemm = linear(l->normed, at->width, w->query, rows, w->query_bias, made, at->inner);
        finish_gemm(l, s);
        s->leaves[0] = leaves(s->first, made, l->type, grid, stage->width, at->inner);
        s->leaves[0].group = head;
        s->leaves[0].pitch = at->head;
        q = made;
    }
    void *heads = one ? l->normed : take_rows(l, (size_t)rows, at->inner);
    s = inside ? add(l, STEP_ATTEND, OP_QUERY, i, b, 2) : add(l, STEP_ATTEND, OP_ATTEND, i, b, 1);
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
    if (inside) {
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
    s->leaves[0] = one ? leaves(attended, l->x, NUMERIC_F32, grid, stage->width, at->width)
                       : leaves(attended, heads, l->type, grid, stage->width, at->inner);
    if (!one) {
        s->leaves[0].group = head;
        s->leaves[0].pitch = at->head;
        s = add(l, STEP_GEMM, OP_PROJECT, i, b, 1);
        g = &s->args.gemm;
        *g = linear(heads, at->inner, w->project, rows, w->out_bias, NULL, at->width);
        residual_rows(l, g, i, (next_norm){.eps = block->eps2, .out = l->normed});
        finish_gemm(l, s);
        s->leaves[0] = leaves(s->first, l->x, NUMERIC_F32, grid, stage->width, at->width);
    }
    l->at = mark;
}

static void add_ffn(layout *l, int i, int b)
{
    const network_stage *stage = &l->net->stages[i];
    const packed_stage *at = &l->weights->stages[i];
    const packed_block *w = &at->blocks[b];
    const plan *p = l->p;
    const stage_shape grid = p->shape.stage[i];
    const int rows = p->key.n * grid.h * grid.w, hidden = stage->blocks[b].hidden;
    const size_t mark = l->at;
    const next_norm next = after_block(l, i, b);
    void *z = take_rows(l, (size_t)rows, w->hidden);
    step *s = add(l, STEP_GEMM, OP_FC1, i, b, 1);
    s->args.gemm = linear(l->normed, at->width, w->fc1, rows, w->fc1_bias, z, w->hidden);
    finish_gemm(l, s);
    s->leaves[0] = leaves(s->first, z, l->type, grid, hidden, w->hidden);
    const ffn_args all = {.z = z,
                          .taps = w->depthwise,
                          .tap_bias = w->depthwise_bias,
                          .weight = w->fc2.at,
                          .bias = w->fc2_bias,
                          .offset = next.offset,
                          .x = l->x,
                          .out = next.out,
                          .images = p->key.n,
                          .h = grid.h,
                          .w = grid.w,
                          .hidden = w->hidden,
                          .width = at->width,
                          .ldw = w->fc2.ld,
                          .eps = (float)next.eps,
                          .inverse_width = 1.0f / (float)stage->width};
    if (l->maker->fused && ffn_fits(&all, l->type)) {
        s = add(l, STEP_FFN, OP_DEPTHWISE, i, b, next.ends_stage ? 3 : 2);
        s->name = "depthwise, gelu, fc2";
        s->args.ffn = all;
    } else {
        void *made = take_rows(l, (size_t)rows, w->hidden);
        s = add(l, STEP_DEPTHWISE, OP_DEPTHWISE, i, b, 1);
        s->name = "depthwise, gelu";
        s->args.depthwise = (depthwise_args){.in = z,
                                             .out = made,
                                             .weight = w->depthwise,
                                             .bias = w->depthwise_bias,
                                             .images = p->key.n,
                                             .h = grid.h,
                                             .w = grid.w,
                                             .width = w->hidden};
        s->leaves[0] = leaves(s->first, made, l->type, grid, hidden, w->hidden);
        s = add(l, STEP_GEMM, OP_FC2, i, b, next.ends_stage ? 2 : 1);
        s->args.gemm = linear(made, w->hidden, w->fc2, rows, w->fc2_bias, NULL, at->width);
        residual_rows(l, &s->args.gemm, i, next);
        finish_gemm(l, s);
    }
    s->leaves[0] =
        leaves((operation){.kind = OP_FC2, .stage = (int8_t)i, .block = (int16_t)b}, l->x, NUMERIC_F32, grid, stage->width, at->width);
    if (next.ends_stage)
        s->leaves[1] =
            leaves((operation){.kind = OP_STAGE_NORM, .stage = (int8_t)i, .block = -1}, next.out, l->type, grid, stage->width, at->width);
    l->at = mark;
}

/* -------------------------------------------------------------------------------------------- head */

static void add_head(layout *l)
{
    const network *net = l->net;
    const packed *w = l->weights;
    const plan *p = l->p;
    const stage_shape first = p->shape.stage[0];
    const int rows0 = p->key.n * first.h * first.w;
    void *level[STAGES];
    step *s;
    float *logits = take(l, (size_t)rows0 * (size_t)w->class_ld * sizeof(float));
    l->logits = logits;
    pixels_args all = {.features = l->stage_out[0],
                       .weight = w->level[0].at,
                       .bias = w->bias,
                       .classifier = w->classifier.at,
                       .class_bias = w->classifier_bias,
                       .logits = logits,
                       .images = p->key.n,
                       .k = w->stages[0].width,
                       .ldw = w->level[0].ld,
                       .ldc = w->classifier.ld,
                       .width = w->head_width,
                       .class_ld = w->class_ld};
    for (int i = 0; i < STAGES; i++) {
        all.h[i] = p->shape.stage[i].h;
        all.w[i] = p->shape.stage[i].w;
    }
    const bool together = l->maker->fused && !w->inner_width && pixels_fits(&all, l->type, l->maker->shared);
    for (int i = STAGES - 1; i >= (together ? 1 : 0); i--) {
        const stage_shape grid = p->shape.stage[i];
        const int rows = p->key.n * grid.h * grid.w;
        level[i] = take_rows(l, (size_t)rows, w->head_width);
        const size_t mark = l->at;
        const void *from = l->stage_out[i];
        int width = w->stages[i].width;
        if (w->inner_width) {
            void *inner = take_rows(l, (size_t)rows, w->inner_width);
            s = add(l, STEP_GEMM, OP_LEVEL, i, -1, 0);
            s->args.gemm = linear(from, width, w->inner[i], rows, w->inner_bias[i], inner, w->inner_width);
            s->args.gemm.relu = true;
            finish_gemm(l, s);
            from = inner;
            width = w->inner_width;
        }
        s = add(l, STEP_GEMM, OP_LEVEL, i, -1, 1);
        s->args.gemm = linear(from, width, w->level[i], rows, NULL, level[i], w->head_width);
        finish_gemm(l, s);
        s->leaves[0] = leaves(s->first, level[i], l->type, grid, net->head.width, w->head_width);
        l->at = mark;
    }
    const operation classified = {.kind = OP_CLASSIFY, .stage = -1, .block = -1};
    if (together) {
        s = add(l, STEP_PIXELS, OP_LEVEL, 0, -1, 3);
        s->name = "level, merge, classify";
        s->args.pixels = all;
        for (int i = 1; i < STAGES; i++)
            s->args.pixels.level[i] = level[i];
        s->leaves[0] = leaves(classified, logits, NUMERIC_F32, first, net->classes, w->class_ld);
        return;
    }
    void *merged = take_rows(l, (size_t)rows0, w->head_width);
    s = add(l, STEP_MERGE, OP_MERGE, -1, -1, 1);
    s->name = "merge";
    s->args.merge = (merge_args){.bias = w->bias, .out = merged, .images = p->key.n, .ld = w->head_width};
    for (int i = 0; i < STAGES; i++) {
        s->args.merge.level[i] = level[i];
        s->args.merge.h[i] = p->shape.stage[i].h;
        s->args.merge.w[i] = p->shape.stage[i].w;
    }
    s->leaves[0] = leaves(s->first, merged, l->type, first, net->head.width, w->head_width);
    s = add(l, STEP_GEMM, OP_CLASSIFY, -1, -1, 1);
    s->args.gemm = linear(merged, w->head_width, w->classifier, rows0, w->classifier_bias, logits, w->class_ld);
    s->args.gemm.end = GEMM_FLOAT;
    finish_gemm(l, s);
    s->leaves[0] = leaves(classified, logits, NUMERIC_F32, first, net->classes, w->class_ld);
}

static void add_ending(layout *l)
{
    plan *p = l->p;
    const plan_key *key = &p->key;
    const stage_shape first = p->shape.stage[0];
    const int classes = l->net->classes;
    if (key->logits) {
        p->planes = take(l, (size_t)key->n * (size_t)classes * (size_t)first.h * (size_t)first.w * sizeof(float));
        step *s = add(l, STEP_PLANES, OP_CLASSIFY, -1, -1, 0);
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
        p->labels = key->labels ? take(l, pixels * (size_t)key->label_bytes) : NULL;
        p->confidence = key->confidence ? take(l, pixels) : NULL;
        const bool twice = key->via_input && (key->label_h != key->h || key->label_w != key->w);
        step *s = add(l, STEP_LABEL, OP_LABEL, -1, -1, 1);
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

static void lay_out(layout *l)
{
    plan *p = l->p;
    p->count = 0;
    l->at = l->largest = l->tables_at = 0;
    p->input = take(l, (size_t)p->key.n * (size_t)p->key.h * (size_t)p->key.w * 3 * (p->key.pixels ? 1 : sizeof(float)));
    for (int i = 0; i < STAGES; i++)
        l->stage_out[i] =
            take_rows(l, (size_t)p->key.n * (size_t)p->shape.stage[i].h * (size_t)p->shape.stage[i].w, l->weights->stages[i].width);
    const size_t mark = l->at;
    for (int i = 0; i < STAGES; i++) {
        const size_t rows = (size_t)p->key.n * (size_t)p->shape.stage[i].h * (size_t)p->shape.stage[i].w;
        l->at = mark;
        l->x = take(l, rows * (size_t)l->weights->stages[i].width * sizeof(float));
        l->normed = take_rows(l, rows, l->weights->stages[i].width);
        add_patch(l, i);
        for (int b = 0; b < l->net->stages[i].depth; b++) {
            add_attention(l, i, b);
            add_ffn(l, i, b);
        }
    }
    l->at = mark;
    if (l->net->classes) {
        add_head(l);
        add_ending(l);
    }
    p->bytes = l->largest;
}

segrt_status plan_lay_out(plan *p, const plan_maker *maker, const plan_key *key, void *workspace, segrt_error *error)
{
    layout l = {.p = p, .maker = maker, .net = maker->net, .weights = maker->weights, .type = maker->weights->type, .workspace = workspace};
    p->key = *key;
    segrt_status status = network_shape_of(&p->shape, maker->net, key->n, key->h, key->w, error);
    if (status)
        return status;
    if (key->h > 32767 || key->w > 32767 || key->label_h > 32767 || key->label_w > 32767)
        return fail_with(error, SEGRT_SHAPE, "the CUDA backend takes sides up to 32767 pixels");
    if ((int64_t)key->n * p->shape.stage[0].h * p->shape.stage[0].w > (int64_t)PLAN_COUNTERS * 64)
        return fail_with(error, SEGRT_SHAPE, "the CUDA backend takes up to %d tokens at once", PLAN_COUNTERS * 64);
    lay_out(&l);
    if (!l.failed && workspace) {
        status = device_get(&p->tables, l.tables_at, "tables of a shape", error);
        if (status)
            return status;
        l.tables_host = memory_get_cleared(l.tables_at, 1);
        if (!l.tables_host)
            return fail_memory(error, l.tables_at, "tables of a shape");
        l.tables = p->tables;
        lay_out(&l);
        status = device_check(cudaMemcpy(p->tables, l.tables_host, l.tables_at, cudaMemcpyHostToDevice), "copying tables", error);
        memory_free(l.tables_host);
    }
    return l.failed ? fail_memory(error, sizeof(step) * 128, "the list of kernels") : status;
}

void plan_close(plan *p)
{
    if (p->graph)
        cudaGraphExecDestroy(p->graph);
    if (p->tables)
        cudaFree(p->tables);
    memory_free(p->steps);
    *p = (plan){0};
}

cudaError_t step_launch(const step *s, numeric type, const launch *how)
{
    switch (s->kind) {
    case STEP_GATHER:
        return gather_launch(&s->args.gather, type, how);
    case STEP_GEMM:
        return gemm_launch(&s->args.gemm, type, how);
    case STEP_ATTEND:
        return attend_launch(&s->args.attend, type, how);
    case STEP_DEPTHWISE:
        return depthwise_launch(&s->args.depthwise, type, how);
    case STEP_FFN:
        return ffn_launch(&s->args.ffn, type, how);
    case STEP_MERGE:
        return merge_launch(&s->args.merge, type, how);
    case STEP_PIXELS:
        return pixels_launch(&s->args.pixels, type, how);
    case STEP_LABEL:
        return label_launch(&s->args.label, how);
    case STEP_PLANES:
        return planes_launch(&s->args.planes, how);
    }
    return cudaErrorInvalidValue;
}
