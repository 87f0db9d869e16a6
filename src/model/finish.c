/* finish: the last step of every loader: does each shape fit its neighbour, which variant is it, how many parameters.
 * Model layer. */
#include "model/model.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { SMALLEST_SIDE_CAP = 1 << 16 };

typedef struct checker {
    segrt_error *error;
    segrt_status status;
    char where[64]; /* "stage 2, block 17" */
    uint64_t parameters;
} checker;

static void locate(checker *c, const char *format, ...) ERROR_FORMAT(2, 3);
static void locate(checker *c, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(c->where, sizeof c->where, format, arguments);
    va_end(arguments);
}

static void check_linear(checker *c, const char *what, const model_linear *l, int out, int in)
{
    if (c->status)
        return;
    if (!l->weight || l->out != out || l->in != in)
        c->status = fail_with(c->error, SEGRT_NOT_SEGFORMER, "%s: %s is [%d, %d]; its neighbours need [%d, %d]", c->where, what, l->out,
                              l->in, out, in);
    c->parameters += (uint64_t)l->out * (uint64_t)l->in + (l->bias ? (uint64_t)l->out : 0);
}

static void check_conv(checker *c, const char *what, const model_conv *v, int out, int in, bool depthwise)
{
    if (c->status)
        return;
    if (!v->weight || v->out != out || v->in != in || v->kernel < 1 || v->stride < 1 || v->pad < 0)
        c->status =
            fail_with(c->error, SEGRT_NOT_SEGFORMER, "%s: %s is [%d, %d, %d, %d] with stride %d; its neighbours need [%d, %d, any, any]",
                      c->where, what, v->out, v->in, v->kernel, v->kernel, v->stride, out, in);
    c->parameters +=
        (uint64_t)v->out * (uint64_t)(depthwise ? 1 : v->in) * (uint64_t)v->kernel * (uint64_t)v->kernel + (v->bias ? (uint64_t)v->out : 0);
}

static void check_norm(checker *c, const char *what, int width, double eps, const float *gamma, const float *beta, int wanted)
{
    if (c->status)
        return;
    if (width != wanted || !(eps > 0))
        c->status = fail_with(c->error, SEGRT_NOT_SEGFORMER, "%s: %s has %d channels and eps %g; its neighbours have %d", c->where, what,
                              width, eps, wanted);
    c->parameters += (gamma ? (uint64_t)width : 0) + (beta ? (uint64_t)width : 0);
}

static void check_layer_norm(checker *c, const char *what, const model_norm *n, int width)
{
    check_norm(c, what, n->width, n->eps, n->gamma, n->beta, width);
}

static void check_batch_norm(checker *c, const char *what, const model_batch_norm *n, int width)
{
    if (n->width)
        check_norm(c, what, n->width, n->eps, n->gamma, n->beta, width);
}

static void check_block(checker *c, const model_stage *s, const model_block *b)
{
    const int width = s->width;
    check_layer_norm(c, "the first norm", &b->norm1, width);
    check_linear(c, "the query", &b->query, width, width);
    check_linear(c, "the key", &b->key, width, width);
    check_linear(c, "the value", &b->value, width, width);
    if (s->reduction > 1 || b->reduce.out) {
        check_conv(c, "the reduction", &b->reduce, width, width, false);
        check_layer_norm(c, "the reduction's norm", &b->reduce_norm, width);
        if (!c->status && (b->reduce.kernel != s->reduction || b->reduce.stride != s->reduction || b->reduce.pad))
            c->status = fail_with(c->error, SEGRT_NOT_SEGFORMER, "%s: the reduction's kernel is %d, its stride %d; the stage reduces by %d",
                                  c->where, b->reduce.kernel, b->reduce.stride, s->reduction);
    }
    check_linear(c, "the projection", &b->project, width, width);
    check_layer_norm(c, "the second norm", &b->norm2, width);
    check_linear(c, "fc1", &b->fc1, b->fc1.out, width);
    check_conv(c, "the depthwise convolution", &b->depthwise, b->fc1.out, b->fc1.out, true);
    check_linear(c, "fc2", &b->fc2, width, b->fc1.out);
    if (!c->status && (b->depthwise.kernel != 3 || b->depthwise.stride != 1 || b->depthwise.pad != 1))
        c->status =
            fail_with(c->error, SEGRT_NOT_SEGFORMER, "%s: the depthwise convolution is not 3x3 with stride 1 and padding 1", c->where);
    if (!c->status && !(b->scale > 0))
        c->status = fail_with(c->error, SEGRT_NOT_SEGFORMER, "%s: the scores' scale is %g", c->where, b->scale);
}

static void check_head(checker *c, const segrt_model *m)
{
    const model_head *h = &m->head;
    const int width = m->decoder_width, level_width = h->level[0].out; /* the same in all published models */
    unsigned seen = 0;
    locate(c, "decode head");
    for (int i = 0; i < STAGES; i++) {
        check_linear(c, "a level", &h->level[i], level_width, m->stages[i].width);
        if (h->kind == HEAD_CONV)
            check_batch_norm(c, "a level's norm", &h->level_norm[i], level_width);
        seen |= 1u << (h->fuse_order[i] & 31);
    }
    if (!c->status && seen != (1u << STAGES) - 1)
        c->status = fail_with(c->error, SEGRT_NOT_SEGFORMER, "the fusion does not take each level once");
    check_linear(c, "the fusion", &h->fuse, width, STAGES * level_width);
    check_batch_norm(c, "the fusion's norm", &h->fuse_norm, width);
    check_linear(c, "the classifier", &h->classifier, m->class_count, width);
    if (!c->status && (m->class_count < 1 || m->class_count > UINT16_MAX))
        c->status = fail_with(c->error, SEGRT_NOT_SEGFORMER, "%d classes; 1 to %d can be labels", m->class_count, UINT16_MAX);
}

/* The published sizes; b1 and up share the widths. */
static const char *variant_of(const segrt_model *m)
{
    static const struct {
        const char *name;
        int width[STAGES], depth[STAGES];
    } rows[] = {
        {"b0", {32, 64, 160, 256}, {2, 2, 2, 2}},   {"b1", {64, 128, 320, 512}, {2, 2, 2, 2}},  {"b2", {64, 128, 320, 512}, {3, 4, 6, 3}},
        {"b3", {64, 128, 320, 512}, {3, 4, 18, 3}}, {"b4", {64, 128, 320, 512}, {3, 8, 27, 3}}, {"b5", {64, 128, 320, 512}, {3, 6, 40, 3}},
    };
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        bool same = true;
        for (int i = 0; i < STAGES; i++)
            same = same && m->stages[i].width == rows[r].width[i] && m->stages[i].depth == rows[r].depth[i];
        if (same)
            return rows[r].name;
    }
    return "custom";
}

static bool side_fits(const segrt_model *m, int side)
{
    for (int i = 0; i < STAGES; i++) {
        const model_conv *patch = &m->stages[i].patch;
        const int padded = side + 2 * patch->pad - patch->kernel;
        side = padded < 0 ? 0 : padded / patch->stride + 1;
        if (side / m->stages[i].reduction < 1)
            return false;
    }
    return true;
}

int model_smallest_side(const segrt_model *m)
{
    int side = 1;
    while (side < SMALLEST_SIDE_CAP && !side_fits(m, side))
        side++;
    return side;
}

segrt_status model_finish(segrt_model *m, segrt_error *error)
{
    checker c = {.error = error};
    for (int i = 0; i < STAGES; i++) {
        const model_stage *s = &m->stages[i];
        locate(&c, "stage %d", i);
        if (s->width < 1 || s->depth < 1 || s->heads < 1 || s->reduction < 1)
            return fail_with(error, SEGRT_NOT_SEGFORMER, "stage %d has %d channels, %d blocks, %d heads and a reduction of %d", i, s->width,
                             s->depth, s->heads, s->reduction);
        if (s->width % s->heads)
            return fail_with(error, SEGRT_NOT_SEGFORMER, "stage %d: %d channels cannot be shared by %d heads; give the numbers of heads", i,
                             s->width, s->heads);
        check_conv(&c, "the patch embedding", &s->patch, s->width, i ? m->stages[i - 1].width : 3, false);
        check_layer_norm(&c, "the patch embedding's norm", &s->patch_norm, s->width);
        check_layer_norm(&c, "the stage's norm", &s->norm, s->width);
        for (int j = 0; j < s->depth && !c.status; j++) {
            locate(&c, "stage %d, block %d", i, j);
            check_block(&c, s, &s->blocks[j]);
        }
    }
    if (m->head.kind != HEAD_NONE)
        check_head(&c, m);
    m->variant = variant_of(m);
    m->parameters = c.parameters;
    return c.status;
}
