/* model_support: see model_support.h. */
#include "model_support.h"

#include <math.h>

double random_uniform(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u); /* splitmix64 */
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

double random_normal(uint64_t *state)
{
    const double radius = sqrt(-2 * log(1 - random_uniform(state)));
    return radius * cos(6.283185307179586 * random_uniform(state));
}

void random_fill(uint64_t *state, float *to, size_t count)
{
    for (size_t i = 0; i < count; i++)
        to[i] = (float)random_normal(state);
}

typedef struct maker {
    segrt_model *model;
    random_model as;
    uint64_t state;
    bool failed;
} maker;

static float *numbers(maker *m, size_t count, double mean, double deviation)
{
    float *to = arena_get(&m->model->memory, count, sizeof *to);
    if (!to)
        m->failed = true;
    for (size_t i = 0; to && i < count; i++)
        to[i] = (float)(mean + deviation * random_normal(&m->state));
    return to;
}

/* A size that keeps activations near one, times a factor per output where channels are to differ. */
static float *map(maker *m, int out, int in)
{
    float *to = numbers(m, (size_t)out * (size_t)in, 0, 1.3 / sqrt(in));
    for (int o = 0; m->as.badly_scaled && to && o < out; o++) {
        const double factor = exp(random_normal(&m->state));
        for (int i = 0; i < in; i++)
            to[(size_t)o * (size_t)in + (size_t)i] *= (float)factor;
    }
    return to;
}

static float *bias(maker *m, int out)
{
    return m->as.no_biases ? NULL : numbers(m, (size_t)out, 0, m->as.badly_scaled ? 2 : 0.2);
}

static model_linear linear(maker *m, int out, int in)
{
    return (model_linear){.weight = map(m, out, in), .bias = bias(m, out), .out = out, .in = in};
}

static model_conv conv(maker *m, int out, int in, int kernel, int stride, int pad)
{
    return (model_conv){.weight = map(m, out, in * kernel * kernel),
                        .bias = bias(m, out),
                        .out = out,
                        .in = in,
                        .kernel = kernel,
                        .stride = stride,
                        .pad = pad};
}

static model_norm norm(maker *m, int width, double eps)
{
    model_norm made = {.eps = eps, .width = width};
    if (!m->as.no_affine) {
        made.gamma = numbers(m, (size_t)width, 1, m->as.badly_scaled ? 1.5 : 0.2);
        made.beta = numbers(m, (size_t)width, 0, m->as.badly_scaled ? 3 : 0.2);
    }
    return made;
}

static model_batch_norm batch_norm(maker *m, int width)
{
    if (m->as.no_batch_norm)
        return (model_batch_norm){0};
    float *variance = numbers(m, (size_t)width, 1, 0.2);
    for (int c = 0; variance && c < width; c++)
        variance[c] = fabsf(variance[c]) + 0.1f;
    return (model_batch_norm){.gamma = numbers(m, (size_t)width, 1, 0.2),
                              .beta = numbers(m, (size_t)width, 0, 0.2),
                              .mean = numbers(m, (size_t)width, 0, 0.3),
                              .variance = variance,
                              .eps = 1e-5,
                              .width = width};
}

static void make_block(maker *m, const model_stage *stage, model_block *b)
{
    const int c = stage->width, hidden = c * m->as.ratio, r = stage->reduction;
    *b = (model_block){.norm1 = norm(m, c, 1e-6), .query = linear(m, c, c), .key = linear(m, c, c), .value = linear(m, c, c)};
    if (r > 1) {
        b->reduce = conv(m, c, c, r, r, 0);
        if (!m->as.no_reduce_norm)
            b->reduce_norm = norm(m, c, 1e-5);
    }
    b->scale = m->as.scale / sqrt((double)c / stage->heads);
    b->project = linear(m, c, c);
    b->norm2 = norm(m, c, 1e-6);
    b->fc1 = linear(m, hidden, c);
    b->depthwise =
        (model_conv){.weight = map(m, hidden, 9), .bias = bias(m, hidden), .out = hidden, .in = hidden, .kernel = 3, .stride = 1, .pad = 1};
    b->fc2 = linear(m, c, hidden);
}

static void make_stage(maker *m, int i)
{
    static const int kernel[STAGES] = {7, 3, 3, 3}, stride[STAGES] = {4, 2, 2, 2};
    model_stage *stage = &m->model->stages[i];
    *stage = (model_stage){.width = m->as.width[i], .depth = m->as.depth[i], .heads = m->as.heads[i], .reduction = m->as.reduction[i]};
    stage->patch = conv(m, stage->width, i ? m->as.width[i - 1] : 3, kernel[i], stride[i], kernel[i] / 2);
    stage->patch_norm = norm(m, stage->width, 1e-5);
    stage->blocks = arena_get(&m->model->memory, (size_t)stage->depth, sizeof *stage->blocks);
    if (!stage->blocks)
        m->failed = true;
    for (int b = 0; stage->blocks && b < stage->depth; b++)
        make_block(m, stage, &stage->blocks[b]);
    stage->norm = norm(m, stage->width, 1e-6);
}

static void make_head(maker *m)
{
    model_head *head = &m->model->head;
    const int width = m->as.decoder_width, inner = m->as.level_width;
    head->kind = m->as.head;
    for (int i = 0; i < STAGES; i++) {
        head->level[i] = linear(m, inner, m->as.width[i]);
        if (head->kind == HEAD_CONV) {
            head->level[i].bias = NULL;
            head->level_norm[i] = batch_norm(m, inner);
        }
        head->fuse_order[i] = m->as.fuse_first_to_last ? i : STAGES - 1 - i;
    }
    head->fuse = linear(m, width, inner * STAGES);
    if (!m->as.fuse_bias)
        head->fuse.bias = NULL;
    head->fuse_norm = batch_norm(m, width);
    head->classifier = linear(m, m->as.classes, width);
}

static int or (int value, int otherwise)
{
    return value ? value : otherwise;
}

segrt_model *random_model_open(const random_model *wanted)
{
    static const int width[STAGES] = {8, 16, 40, 64}, depth[STAGES] = {2, 1, 2, 1}, heads[STAGES] = {1, 2, 5, 8},
                     reduction[STAGES] = {8, 4, 2, 1};
    static const double mean[3] = {123.675, 116.28, 103.53}, deviation[3] = {58.395, 57.12, 57.375};
    maker m = {.model = memory_get_cleared(1, sizeof *m.model), .as = *wanted, .state = wanted->seed};
    if (!m.model)
        return NULL;
    for (int i = 0; i < STAGES; i++) {
        m.as.width[i] = or (m.as.width[i], width[i]);
        m.as.depth[i] = or (m.as.depth[i], depth[i]);
        m.as.heads[i] = or (m.as.heads[i], heads[i]);
        m.as.reduction[i] = or (m.as.reduction[i], reduction[i]);
    }
    m.as.ratio = or (m.as.ratio, 4);
    m.as.decoder_width = or (m.as.decoder_width, 32);
    m.as.level_width = or (m.as.level_width, m.as.decoder_width);
    m.as.classes = or (m.as.classes, 7);
    m.as.scale = m.as.scale != 0 ? m.as.scale : 1;
    if (m.as.head == HEAD_NONE)
        m.as.head = HEAD_MLP;
    for (int i = 0; i < STAGES; i++)
        make_stage(&m, i);
    if (!m.as.backbone) {
        make_head(&m);
        m.model->decoder_width = m.as.decoder_width;
        m.model->class_count = m.as.classes;
    }
    for (int c = 0; c < 3; c++) {
        m.model->preprocessing.mean[c] = (float)mean[c];
        m.model->preprocessing.deviation[c] = (float)deviation[c];
    }
    m.model->preprocessing.size = sizeof m.model->preprocessing;
    m.model->preprocessing.resize = SEGRT_RESIZE_NONE;
    m.model->preprocessing.resample = SEGRT_RESAMPLE_PILLOW_BILINEAR;
    m.model->path = "";
    m.model->family = "hf";
    m.model->variant = "custom";
    if (m.failed) {
        random_model_close(m.model);
        return NULL;
    }
    return m.model;
}

void random_model_close(segrt_model *model)
{
    if (!model)
        return;
    arena_free(&model->memory);
    memory_free(model);
}
