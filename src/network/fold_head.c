/* fold_head: a 1x1 convolution commutes with bilinear upsampling (whose weights sum to one), so each
 * level's way to the sum becomes one matrix at the level's own size.  mmsegmentation's head has a ReLU
 * between level and fusion: there it is two.  See fold.h. */
#include <math.h>

#include "network/fold.h"

/* Batch normalisation as y = x * scale + shift; identity where there is none. */
static segrt_status batch_norm(fold *f, const model_batch_norm *norm, size_t width, double **scale, double **shift)
{
    *scale = fold_wide(f, norm->gamma, width, 1);
    *shift = fold_wide(f, norm->beta, width, 0);
    if (!*scale || !*shift)
        return SEGRT_NO_MEMORY;
    for (size_t c = 0; norm->width && c < width; c++) {
        (*scale)[c] /= sqrt((double)norm->variance[c] + norm->eps);
        (*shift)[c] -= (*scale)[c] * (double)norm->mean[c];
    }
    return SEGRT_OK;
}

/* A level of mmsegmentation's head up to its ReLU, the stage norm's affine taken in. */
static segrt_status fold_inner(fold *f, int stage, const double *gamma, const double *beta)
{
    const model_linear *from = &f->model->head.level[stage];
    const size_t in = (size_t)from->in, out = (size_t)from->out;
    double *weight = fold_wide(f, from->weight, out * in, 0), *bias = fold_wide(f, from->bias, out, 0), *scale, *shift;
    if (!weight || !bias || batch_norm(f, &f->model->head.level_norm[stage], out, &scale, &shift))
        return SEGRT_NO_MEMORY;
    add_product(bias, weight, beta, out, in);
    scale_columns(weight, out, in, gamma);
    scale_rows(weight, out, in, scale);
    for (size_t o = 0; o < out; o++)
        bias[o] = bias[o] * scale[o] + shift[o];
    const segrt_status status = fold_keep(f, &f->net->head.inner[stage], weight, out * in, "level");
    return status ? status : fold_keep(f, &f->net->head.inner_bias[stage], bias, out, "level bias");
}

/* One level; adds what is constant in it to `bias` [decoder width]. */
static segrt_status fold_level(fold *f, int quarter, const double *scale, double *bias)
{
    const model_head *head = &f->model->head;
    const int stage = head->fuse_order[quarter];
    const model_norm *norm = &f->model->stages[stage].norm;
    const size_t width = (size_t)head->fuse.out, inner = (size_t)head->fuse.in / STAGES, in = (size_t)f->model->stages[stage].width;
    const double *gamma = fold_wide(f, norm->gamma, in, 1), *beta = fold_wide(f, norm->beta, in, 0);
    double *slice = fold_scratch(f, width * inner);
    if (!gamma || !beta || !slice)
        return SEGRT_NO_MEMORY;
    for (size_t o = 0; o < width; o++)
        for (size_t i = 0; i < inner; i++)
            slice[o * inner + i] = scale[o] * (double)head->fuse.weight[o * inner * STAGES + (size_t)quarter * inner + i];

    if (head->kind == HEAD_CONV) {
        const segrt_status status = fold_inner(f, stage, gamma, beta);
        return status ? status : fold_keep(f, &f->net->head.level[stage], slice, width * inner, "fusion");
    }
    double *level = fold_wide(f, head->level[stage].weight, inner * in, 0), *level_bias = fold_wide(f, head->level[stage].bias, inner, 0);
    double *joined = fold_scratch(f, width * in);
    if (!level || !level_bias || !joined)
        return SEGRT_NO_MEMORY;
    add_product(level_bias, level, beta, inner, in);
    add_product(bias, slice, level_bias, width, inner);
    add_matrix_product(joined, slice, level, width, inner, in);
    scale_columns(joined, width, in, gamma);
    return fold_keep(f, &f->net->head.level[stage], joined, width * in, "level");
}

segrt_status fold_head(fold *f)
{
    const model_head *from = &f->model->head;
    network_head *to = &f->net->head;
    to->kind = from->kind;
    if (from->kind == HEAD_NONE)
        return SEGRT_OK;
    const size_t width = (size_t)from->fuse.out, classes = (size_t)from->classifier.out;
    to->width = from->fuse.out;
    to->inner_width = from->kind == HEAD_CONV ? from->fuse.in / STAGES : 0;
    f->net->classes = from->classifier.out;

    double *scale, *bias;
    segrt_status status = batch_norm(f, &from->fuse_norm, width, &scale, &bias);
    if (status)
        return status;
    for (size_t o = 0; from->fuse.bias && o < width; o++)
        bias[o] += scale[o] * (double)from->fuse.bias[o];
    for (int quarter = 0; !status && quarter < STAGES; quarter++)
        status = fold_level(f, quarter, scale, bias);
    if (!status)
        status = fold_keep(f, &to->bias, bias, width, "head bias");

    const double *classifier = fold_wide(f, from->classifier.weight, classes * width, 0);
    const double *classifier_bias = fold_wide(f, from->classifier.bias, classes, 0);
    if (!status && (!classifier || !classifier_bias))
        status = SEGRT_NO_MEMORY;
    if (!status)
        status = fold_keep(f, &to->classifier, classifier, classes * width, "classifier");
    return status ? status : fold_keep(f, &to->classifier_bias, classifier_bias, classes, "classifier bias");
}
