/* export_fold: the exact algebra of the folded form, from the model's float32 numbers in double, rounded
 * once.  It goes less far than the network's own fold (src/network): a LayerNormalization node subtracts
 * means anyway, and one head's folds were within the noise in the runtimes that these files are for. */
#include <math.h>

#include "export/emitter.h"

/* A matrix and a bias in double while they are folded. */
typedef struct wide {
    double *weight, *bias; /* [out][in], [out] */
    size_t out, in;
} wide;

static segrt_status wide_of(arena *scratch, const float *weight, const float *bias, size_t out, size_t in, wide *w, segrt_error *error)
{
    *w = (wide){.weight = arena_get(scratch, out * in, sizeof(double)), .bias = arena_get(scratch, out, sizeof(double)), .out = out, .in = in};
    if (!w->weight || !w->bias)
        return fail_memory(error, out * (in + 1) * sizeof(double), "folded weights");
    for (size_t i = 0; i < out * in; i++)
        w->weight[i] = (double)weight[i];
    for (size_t i = 0; bias && i < out; i++)
        w->bias[i] = (double)bias[i];
    return SEGRT_OK;
}

/* The affine of what is read, x' = gamma x + beta, into its reader; `taps` inputs share a channel's. */
static void take_affine(wide *w, const float *gamma, const float *beta, size_t taps)
{
    for (size_t o = 0; o < w->out; o++)
        for (size_t i = 0; i < w->in; i++) {
            w->bias[o] += beta ? w->weight[o * w->in + i] * (double)beta[i / taps] : 0;
            w->weight[o * w->in + i] *= gamma ? (double)gamma[i / taps] : 1;
        }
}

static void scale_rows(wide *w, size_t row, double by)
{
    for (size_t i = 0; i < w->in; i++)
        w->weight[row * w->in + i] *= by;
    w->bias[row] *= by;
}

/* Only norms read the residual stream, and a norm drops the mean over channels: what a map adds to the stream loses
 * its mean.  Variances that a runtime takes as mean(x^2) - mean(x)^2 then lose no digits. */
static void centre_outputs(wide *w)
{
    double mean = 0;
    for (size_t o = 0; o < w->out; o++)
        mean += w->bias[o] / (double)w->out;
    for (size_t o = 0; o < w->out; o++)
        w->bias[o] -= mean;
    for (size_t i = 0; i < w->in; i++) {
        mean = 0;
        for (size_t o = 0; o < w->out; o++)
            mean += w->weight[o * w->in + i] / (double)w->out;
        for (size_t o = 0; o < w->out; o++)
            w->weight[o * w->in + i] -= mean;
    }
}

/* The batch norm behind a map into the map. */
static void take_batch_norm(wide *w, const model_batch_norm *norm)
{
    for (size_t o = 0; norm->width && o < w->out; o++) {
        const double scale = (norm->gamma ? (double)norm->gamma[o] : 1) / sqrt((double)norm->variance[o] + norm->eps);
        scale_rows(w, o, scale);
        w->bias[o] += (norm->beta ? (double)norm->beta[o] : 0) - scale * (double)norm->mean[o];
    }
}

static segrt_status rounded(arena *memory, const double *from, size_t count, const float **to, segrt_error *error)
{
    float *out = arena_get(memory, count, sizeof *out);
    if (!out)
        return fail_memory(error, count * sizeof *out, "folded weights");
    for (size_t i = 0; i < count; i++)
        out[i] = (float)from[i];
    *to = out;
    return SEGRT_OK;
}

/* Rounds `w`; `bias` NULL: it has none. */
static segrt_status keep(arena *memory, const wide *w, const float **weight, const float **bias, segrt_error *error)
{
    const segrt_status status = rounded(memory, w->weight, w->out * w->in, weight, error);
    return status != SEGRT_OK || !bias ? status : rounded(memory, w->bias, w->out, bias, error);
}

static segrt_status fold_linear(arena *memory, arena *scratch, model_linear *linear, const model_norm *norm, double scale, segrt_error *error)
{
    wide w;
    segrt_status status = wide_of(scratch, linear->weight, linear->bias, (size_t)linear->out, (size_t)linear->in, &w, error);
    if (status != SEGRT_OK)
        return status;
    take_affine(&w, norm->gamma, norm->beta, 1);
    for (size_t o = 0; o < w.out; o++)
        scale_rows(&w, o, scale);
    return keep(memory, &w, &linear->weight, &linear->bias, error);
}

static segrt_status fold_reduction(arena *memory, arena *scratch, model_conv *conv, const model_norm *norm, segrt_error *error)
{
    const size_t taps = (size_t)conv->kernel * (size_t)conv->kernel;
    wide w;
    const segrt_status status = wide_of(scratch, conv->weight, conv->bias, (size_t)conv->out, (size_t)conv->in * taps, &w, error);
    if (status != SEGRT_OK)
        return status;
    take_affine(&w, norm->gamma, norm->beta, taps); /* no padding: every tap is always inside */
    return keep(memory, &w, &conv->weight, &conv->bias, error);
}

static segrt_status fold_centred(arena *memory, arena *scratch, model_linear *linear, segrt_error *error)
{
    wide w;
    const segrt_status status = wide_of(scratch, linear->weight, linear->bias, (size_t)linear->out, (size_t)linear->in, &w, error);
    if (status != SEGRT_OK)
        return status;
    centre_outputs(&w);
    return keep(memory, &w, &linear->weight, linear->bias ? &linear->bias : NULL, error);
}

/* softmax rows sum to one, so a value bias goes through to the output; a key bias adds the same to every
 * score of a query, so it goes. */
static segrt_status fold_keys_and_values(arena *memory, arena *scratch, model_block *block, const model_norm *norm, segrt_error *error)
{
    model_linear *const value = &block->value, *const project = &block->project;
    wide v, p;
    segrt_status status = fold_linear(memory, scratch, &block->key, norm, 1, error);
    block->key.bias = NULL;
    if (status == SEGRT_OK)
        status = wide_of(scratch, value->weight, value->bias, (size_t)value->out, (size_t)value->in, &v, error);
    if (status == SEGRT_OK)
        status = wide_of(scratch, project->weight, project->bias, (size_t)project->out, (size_t)project->in, &p, error);
    if (status != SEGRT_OK)
        return status;
    take_affine(&v, norm->gamma, norm->beta, 1);
    for (size_t o = 0; o < p.out; o++)
        for (size_t i = 0; i < p.in; i++)
            p.bias[o] += p.weight[o * p.in + i] * v.bias[i];
    centre_outputs(&p);
    value->bias = NULL;
    status = keep(memory, &v, &value->weight, NULL, error);
    return status != SEGRT_OK ? status : keep(memory, &p, &project->weight, &project->bias, error);
}

segrt_status export_fold_block(arena *memory, const model_block *from, model_block *to, segrt_error *error)
{
    arena scratch = {0};
    *to = *from;
    const bool reduced_norm = from->reduce.out && from->reduce_norm.width;
    const model_norm plain = {0};
    segrt_status status = fold_linear(memory, &scratch, &to->query, &from->norm1, from->scale, error);
    to->scale = 1;
    if (status == SEGRT_OK && from->reduce.out)
        status = fold_reduction(memory, &scratch, &to->reduce, &from->norm1, error);
    if (status == SEGRT_OK) /* what keys and values read: the reduction's norm, the bare reduction, or norm1 */
        status = fold_keys_and_values(memory, &scratch, to, reduced_norm ? &from->reduce_norm : from->reduce.out ? &plain : &from->norm1, error);
    if (status == SEGRT_OK)
        status = fold_linear(memory, &scratch, &to->fc1, &from->norm2, 1, error);
    if (status == SEGRT_OK)
        status = fold_centred(memory, &scratch, &to->fc2, error);
    model_norm *const norms[] = {&to->norm1, &to->norm2, &to->reduce_norm};
    for (size_t i = 0; i < sizeof norms / sizeof *norms; i++)
        norms[i]->gamma = norms[i]->beta = NULL;
    arena_free(&scratch);
    return status;
}

segrt_status export_fold_batch_norm(arena *memory, const model_linear *from, const model_batch_norm *norm, model_linear *to, segrt_error *error)
{
    *to = *from;
    if (!norm->width)
        return SEGRT_OK;
    arena scratch = {0};
    wide w;
    segrt_status status = wide_of(&scratch, from->weight, from->bias, (size_t)from->out, (size_t)from->in, &w, error);
    if (status == SEGRT_OK) {
        take_batch_norm(&w, norm);
        status = keep(memory, &w, &to->weight, &to->bias, error);
    }
    arena_free(&scratch);
    return status;
}

/* A level's input affine with the offset taken out first: x = gamma (y + offset) + beta, y what is read. */
static void take_offset(wide *w, const model_norm *norm, weights offset)
{
    for (size_t o = 0; o < w->out; o++)
        for (size_t i = 0; i < w->in; i++) {
            const double gamma = norm->gamma ? (double)norm->gamma[i] : 1, beta = norm->beta ? (double)norm->beta[i] : 0;
            w->bias[o] += w->weight[o * w->in + i] * (beta + gamma * weight_at(offset, i));
            w->weight[o * w->in + i] *= gamma;
        }
}

/* product [a.out][b.in] += a b; bias [a.out] += a's map of b's bias. */
static void multiply(const wide *a, const wide *b, wide *product)
{
    for (size_t o = 0; o < a->out; o++)
        for (size_t k = 0; k < a->in; k++) {
            const double by = a->weight[o * a->in + k];
            product->bias[o] += by * b->bias[k];
            for (size_t i = 0; i < b->in; i++)
                product->weight[o * b->in + i] += by * b->weight[k * b->in + i];
        }
}

segrt_status export_fold_levels(arena *memory, const segrt_model *model, const weights *offset, model_linear inner[STAGES],
                                model_linear level[STAGES], segrt_error *error)
{
    const model_head *head = &model->head;
    arena scratch = {0}, part = {0};
    wide fuse;
    segrt_status status =
        wide_of(&scratch, head->fuse.weight, head->fuse.bias, (size_t)head->fuse.out, (size_t)head->fuse.in, &fuse, error);
    double *total = arena_get(&scratch, (size_t)head->fuse.out, sizeof *total);
    if (status == SEGRT_OK && !total)
        status = fail_memory(error, (size_t)head->fuse.out * sizeof *total, "folded weights");
    if (status == SEGRT_OK) {
        take_batch_norm(&fuse, &head->fuse_norm);
        for (size_t o = 0; o < fuse.out; o++)
            total[o] = fuse.bias[o];
    }
    for (int quarter = 0; status == SEGRT_OK && quarter < STAGES; quarter++) {
        const int s = head->fuse_order[quarter];
        const model_linear *from = &head->level[s];
        const size_t width = fuse.in / STAGES;
        wide map, slice = {.out = fuse.out, .in = width}, product = {.out = fuse.out, .in = (size_t)from->in};
        status = wide_of(&part, from->weight, from->bias, width, (size_t)from->in, &map, error);
        slice.weight = arena_get(&part, slice.out * slice.in, sizeof(double));
        product.weight = arena_get(&part, product.out * product.in, sizeof(double));
        product.bias = arena_get(&part, product.out, sizeof(double));
        if (status == SEGRT_OK && (!slice.weight || !product.weight || !product.bias))
            status = fail_memory(error, slice.out * slice.in * sizeof(double), "folded weights");
        if (status == SEGRT_OK) {
            for (size_t o = 0; o < slice.out; o++)
                for (size_t i = 0; i < width; i++)
                    slice.weight[o * width + i] = fuse.weight[o * fuse.in + (size_t)quarter * width + i];
            if (head->kind == HEAD_CONV)
                take_batch_norm(&map, &head->level_norm[s]);
            if (offset)
                take_offset(&map, &model->stages[s].norm, offset[s]);
            if (head->kind == HEAD_CONV) { /* the ReLU between holds the two maps apart */
                inner[s] = (model_linear){.out = (int)map.out, .in = (int)map.in};
                level[s] = (model_linear){.out = (int)slice.out, .in = (int)slice.in};
                status = keep(memory, &map, &inner[s].weight, &inner[s].bias, error);
                if (status == SEGRT_OK)
                    status = keep(memory, &slice, &level[s].weight, NULL, error);
            } else {
                multiply(&slice, &map, &product);
                level[s] = (model_linear){.out = (int)product.out, .in = (int)product.in};
                for (size_t o = 0; o < product.out; o++)
                    total[o] += product.bias[o];
                status = keep(memory, &product, &level[s].weight, NULL, error);
            }
        }
        arena_free(&part);
    }
    if (status == SEGRT_OK)
        status = rounded(memory, total, fuse.out, &level[0].bias, error);
    arena_free(&scratch);
    return status;
}
