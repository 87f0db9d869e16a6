/* published: the model as it was published, in double, operation by operation as PyTorch computes it:
 * what the folded network is proven against.  It shares nothing with the folded path but the sums.  See
 * reference.h. */
#include <math.h>
#include <string.h>

#include "backend/reference/loops.h"

/* One picture on its way: buffers of the operation at hand come from `memory`. */
typedef struct published {
    const segrt_model *model;
    arena memory, block;
    segrt_error *error;
} published;

static double *room(published *p, arena *from, size_t count)
{
    double *memory = arena_get(from, count, sizeof *memory);
    if (!memory)
        fail_memory(p->error, count * sizeof *memory, "the published forward");
    return memory;
}

/* y [rows][out] = x W^T + b. */
static void linear(const model_linear *l, const double *x, size_t rows, double *y)
{
    const weights w = {.f32 = l->weight};
    for (size_t r = 0; r < rows; r++)
        for (size_t o = 0; o < (size_t)l->out; o++)
            y[r * (size_t)l->out + o] =
                dot(x + r * (size_t)l->in, w, o * (size_t)l->in, (size_t)l->in) + (l->bias ? (double)l->bias[o] : 0);
}

static void layer_norm(const model_norm *norm, const double *x, size_t rows, double *y)
{
    const size_t c = (size_t)norm->width;
    for (size_t r = 0; r < rows; r++, x += c, y += c) {
        double mean = 0, variance = 0;
        for (size_t i = 0; i < c; i++)
            mean += x[i];
        mean /= (double)c;
        for (size_t i = 0; i < c; i++)
            variance += (x[i] - mean) * (x[i] - mean);
        variance /= (double)c;
        for (size_t i = 0; i < c; i++)
            y[i] = (x[i] - mean) / sqrt(variance + norm->eps) * (norm->gamma ? (double)norm->gamma[i] : 1) +
                   (norm->beta ? (double)norm->beta[i] : 0);
    }
}

/* In place over [rows][width]; ReLU behind it. */
static void batch_norm_relu(const model_batch_norm *norm, double *x, size_t rows, size_t width)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < width; i++) {
            double *v = &x[r * width + i];
            if (norm->width) {
                *v = (*v - (double)norm->mean[i]) / sqrt((double)norm->variance[i] + norm->eps);
                *v = *v * (norm->gamma ? (double)norm->gamma[i] : 1) + (norm->beta ? (double)norm->beta[i] : 0);
            }
            *v = *v < 0 ? 0 : *v;
        }
}

/* Channels last: x [h * w][in] -> y [to_h * to_w][out]; `depth` input channels an output, 1 for a depthwise one. */
static void convolution(const model_conv *v, const double *x, int h, int w, int depth, double *y)
{
    const int to_h = (h + 2 * v->pad - v->kernel) / v->stride + 1, to_w = (w + 2 * v->pad - v->kernel) / v->stride + 1, k = v->kernel;
    for (int oy = 0; oy < to_h; oy++)
        for (int ox = 0; ox < to_w; ox++)
            for (int o = 0; o < v->out; o++) {
                double sum = v->bias ? (double)v->bias[o] : 0;
                for (int t = 0; t < k * k; t++) {
                    const int iy = oy * v->stride - v->pad + t / k, ix = ox * v->stride - v->pad + t % k;
                    if (iy < 0 || iy >= h || ix < 0 || ix >= w)
                        continue;
                    const double *pixel = x + ((size_t)iy * (size_t)w + (size_t)ix) * (size_t)v->in + (depth == 1 ? o : 0);
                    for (int i = 0; i < depth; i++)
                        sum += pixel[i] * (double)v->weight[((size_t)o * (size_t)depth + (size_t)i) * (size_t)(k * k) + (size_t)t];
                }
                y[((size_t)oy * (size_t)to_w + (size_t)ox) * (size_t)v->out + (size_t)o] = sum;
            }
}

/* q [tokens][c], k and v [keys][c] -> a [tokens][c]; scores [keys]. */
static void attend(const model_stage *stage, double scale, const double *q, const double *k, const double *v, size_t tokens, size_t keys,
                   double *a, double *scores)
{
    const size_t c = (size_t)stage->width, d = c / (size_t)stage->heads;
    for (size_t t = 0; t < tokens; t++)
        for (size_t at = 0; at < c; at += d) {
            double largest = -INFINITY, sum = 0;
            for (size_t j = 0; j < keys; j++) {
                scores[j] = scale * dot(q + t * c + at, (weights){.f64 = k}, j * c + at, d);
                largest = fmax(largest, scores[j]);
            }
            for (size_t j = 0; j < keys; j++)
                sum += scores[j] = exp(scores[j] - largest);
            for (size_t i = 0; i < d; i++) {
                a[t * c + at + i] = 0;
                for (size_t j = 0; j < keys; j++)
                    a[t * c + at + i] += scores[j] / sum * v[j * c + at + i];
            }
        }
}

static bool attention(published *p, const model_stage *stage, const model_block *b, double *x, int h, int w)
{
    const size_t c = (size_t)stage->width, tokens = (size_t)h * (size_t)w;
    const size_t keys = (size_t)(h / stage->reduction) * (size_t)(w / stage->reduction);
    double *y = room(p, &p->block, tokens * c), *q = room(p, &p->block, tokens * c), *k = room(p, &p->block, keys * c),
           *v = room(p, &p->block, keys * c);
    double *reduced = room(p, &p->block, keys * c), *scores = room(p, &p->block, keys), *a = room(p, &p->block, tokens * c);
    if (!y || !q || !k || !v || !reduced || !scores || !a)
        return false;
    layer_norm(&b->norm1, x, tokens, y);
    linear(&b->query, y, tokens, q);
    const double *from = y;
    if (stage->reduction > 1) {
        convolution(&b->reduce, y, h, w, stage->width, reduced);
        if (b->reduce_norm.width)
            layer_norm(&b->reduce_norm, reduced, keys, reduced);
        from = reduced;
    }
    linear(&b->key, from, keys, k);
    linear(&b->value, from, keys, v);
    attend(stage, b->scale, q, k, v, tokens, keys, a, scores);
    linear(&b->project, a, tokens, y);
    for (size_t i = 0; i < tokens * c; i++)
        x[i] += y[i];
    return true;
}

static bool feed_forward(published *p, const model_block *b, double *x, int h, int w)
{
    const size_t c = (size_t)b->fc1.in, hidden = (size_t)b->fc1.out, tokens = (size_t)h * (size_t)w;
    double *y = room(p, &p->block, tokens * c), *z = room(p, &p->block, tokens * hidden), *g = room(p, &p->block, tokens * hidden);
    if (!y || !z || !g)
        return false;
    layer_norm(&b->norm2, x, tokens, y);
    linear(&b->fc1, y, tokens, z);
    convolution(&b->depthwise, z, h, w, 1, g);
    for (size_t i = 0; i < tokens * hidden; i++)
        g[i] = gelu(g[i]);
    linear(&b->fc2, g, tokens, y);
    for (size_t i = 0; i < tokens * c; i++)
        x[i] += y[i];
    return true;
}

/* x [from h * w][in] -> the stage's output, from p->memory; NULL without memory. */
static double *run_stage(published *p, const model_stage *stage, const double *from, int from_h, int from_w, int h, int w)
{
    const size_t tokens = (size_t)h * (size_t)w;
    double *x = room(p, &p->memory, tokens * (size_t)stage->width);
    bool going = x != NULL;
    if (going) {
        convolution(&stage->patch, from, from_h, from_w, stage->patch.in, x);
        layer_norm(&stage->patch_norm, x, tokens, x);
    }
    for (int i = 0; going && i < stage->depth; i++) {
        going = attention(p, stage, &stage->blocks[i], x, h, w) && feed_forward(p, &stage->blocks[i], x, h, w);
        arena_free(&p->block);
    }
    if (going)
        layer_norm(&stage->norm, x, tokens, x);
    return going ? x : NULL;
}

/* The head: levels, upsampling, concat, fusion, classifier -> logits [classes][h * w] of the first stage's size. */
static bool run_head(published *p, double *const stage[STAGES], const stage_shape at[STAGES], double *logits)
{
    const model_head *head = &p->model->head;
    const size_t inner = (size_t)head->fuse.in / STAGES, pixels = (size_t)at[0].h * (size_t)at[0].w;
    double *level[STAGES], *joined = room(p, &p->memory, (size_t)head->fuse.in), *fused = room(p, &p->memory, (size_t)head->fuse.out);
    double *classes = room(p, &p->memory, (size_t)head->classifier.out);
    for (int i = 0; i < STAGES; i++) {
        const size_t tokens = (size_t)at[i].h * (size_t)at[i].w;
        level[i] = room(p, &p->memory, tokens * inner);
        if (!level[i] || !joined || !fused || !classes)
            return false;
        linear(&head->level[i], stage[i], tokens, level[i]);
        if (head->kind == HEAD_CONV)
            batch_norm_relu(&head->level_norm[i], level[i], tokens, inner);
    }
    for (size_t r = 0; r < pixels; r++) {
        for (int quarter = 0; quarter < STAGES; quarter++) {
            const int i = head->fuse_order[quarter];
            const tap y = bilinear_tap((int)(r / (size_t)at[0].w), at[i].h, at[0].h),
                      x = bilinear_tap((int)(r % (size_t)at[0].w), at[i].w, at[0].w);
            for (size_t c = 0; c < inner; c++) {
                const double *v = level[i] + c;
                const size_t w = (size_t)at[i].w, top = (size_t)y.i0 * w, bottom = (size_t)y.i1 * w, left = (size_t)x.i0,
                             right = (size_t)x.i1;
                joined[(size_t)quarter * inner + c] = (1 - y.t) * ((1 - x.t) * v[(top + left) * inner] + x.t * v[(top + right) * inner]) +
                                                      y.t * ((1 - x.t) * v[(bottom + left) * inner] + x.t * v[(bottom + right) * inner]);
            }
        }
        linear(&head->fuse, joined, 1, fused);
        batch_norm_relu(&head->fuse_norm, fused, 1, (size_t)head->fuse.out);
        linear(&head->classifier, fused, 1, classes);
        for (size_t c = 0; c < (size_t)head->classifier.out; c++)
            logits[c * pixels + r] = classes[c];
    }
    return true;
}

static bool run_picture(published *p, const float *input, int h, int w, const stage_shape at[STAGES], double *logits,
                        double *const out[STAGES])
{
    const size_t pixels = (size_t)h * (size_t)w;
    double *first = room(p, &p->memory, pixels * 3), *stage[STAGES];
    for (size_t i = 0; first && i < pixels * 3; i++)
        first[i % pixels * 3 + i / pixels] = (double)input[i];
    const double *from = first;
    for (int i = 0; i < STAGES; i++) {
        stage[i] = from ? run_stage(p, &p->model->stages[i], from, i ? at[i - 1].h : h, i ? at[i - 1].w : w, at[i].h, at[i].w) : NULL;
        from = stage[i];
        if (from && out[i])
            memcpy(out[i], from, (size_t)at[i].h * (size_t)at[i].w * (size_t)p->model->stages[i].width * sizeof *from);
    }
    return from && (!logits || run_head(p, stage, at, logits));
}

segrt_status reference_published(const segrt_model *model, const float *input, int n, int h, int w, double *logits,
                                 double *const stages[STAGES], segrt_error *error)
{
    stage_shape at[STAGES];
    for (int i = 0, side_h = h, side_w = w; i < STAGES; i++) {
        const model_conv *patch = &model->stages[i].patch;
        side_h = (side_h + 2 * patch->pad - patch->kernel) / patch->stride + 1;
        side_w = (side_w + 2 * patch->pad - patch->kernel) / patch->stride + 1;
        if (side_h < model->stages[i].reduction || side_w < model->stages[i].reduction)
            return fail_with(error, SEGRT_SHAPE, "an input of %d rows and %d columns leaves stage %d no key", h, w, i);
        at[i] = (stage_shape){.h = side_h, .w = side_w};
    }
    published p = {.model = model, .error = error};
    bool going = true;
    const size_t quarter = (size_t)at[0].h * (size_t)at[0].w, classes = (size_t)model->head.classifier.out;
    for (size_t i = 0; going && i < (size_t)n; i++) {
        double *out[STAGES] = {0};
        for (int s = 0; stages && s < STAGES; s++)
            if (stages[s])
                out[s] = stages[s] + i * (size_t)at[s].h * (size_t)at[s].w * (size_t)model->stages[s].width;
        going = run_picture(&p, input + i * 3 * (size_t)h * (size_t)w, h, w, at, logits ? logits + i * quarter * classes : NULL, out);
        arena_free(&p.memory);
        arena_free(&p.block);
    }
    return going ? SEGRT_OK : SEGRT_NO_MEMORY;
}
