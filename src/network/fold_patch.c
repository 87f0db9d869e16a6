/* fold_patch: the convolution into a stage takes in what its input lacks: pixels are not normalised,
 * the stage before has neither affine nor offset.  A constant passes a zero-padded convolution only
 * through the taps inside the picture, so it becomes a bias a tap.  See fold.h. */
#include "network/fold.h"

segrt_status fold_patch(fold *f)
{
    const model_stage *from = &f->model->stages[f->stage];
    const model_conv *conv = &from->patch;
    network_patch *to = &f->net->stages[f->stage].patch;
    if (conv->kernel < 1 || conv->stride < 1 || conv->pad < 0 || conv->pad >= conv->kernel)
        return fail_with(f->error, SEGRT_UNSUPPORTED, "stage %d: a patch convolution with kernel %d, stride %d and padding %d", f->stage,
                         conv->kernel, conv->stride, conv->pad);
    *to = (network_patch){
        .in = conv->in, .out = conv->out, .kernel = conv->kernel, .stride = conv->stride, .pad = conv->pad, .eps = from->patch_norm.eps};
    const size_t in = (size_t)conv->in, out = (size_t)conv->out, taps = (size_t)conv->kernel * (size_t)conv->kernel;

    /* the input as its reader must see it: stored * scale + shift */
    const model_norm *before = f->stage ? &f->model->stages[f->stage - 1].norm : NULL;
    double *scale = fold_wide(f, before ? before->gamma : NULL, in, 1), *shift = fold_wide(f, before ? before->beta : NULL, in, 0);
    double *weight = fold_wide_conv(f, conv), *tap_bias = fold_scratch(f, taps * out);
    double *bias = fold_wide(f, conv->bias, out, 0);
    double *gamma = fold_wide(f, from->patch_norm.gamma, out, 1), *beta = fold_wide(f, from->patch_norm.beta, out, 0);
    if (!scale || !shift || !weight || !tap_bias || !bias || !gamma || !beta)
        return SEGRT_NO_MEMORY;
    for (size_t c = 0; !before && c < in; c++) {
        scale[c] = 1 / f->net->deviation[c];
        shift[c] = -f->net->mean[c] / f->net->deviation[c];
    }

    centre_rows(weight, out, taps * in);
    centre_rows(bias, out, 1);
    for (size_t o = 0; o < out; o++)
        for (size_t t = 0; t < taps; t++)
            add_product(&tap_bias[t * out + o], &weight[(o * taps + t) * in], shift, 1, in);
    scale_columns(weight, out * taps, in, scale);

    segrt_status status = fold_keep(f, &to->weight, weight, out * taps * in, "patch weight");
    if (!status)
        status = fold_keep(f, &to->tap_bias, tap_bias, taps * out, "patch tap bias");
    if (!status)
        status = fold_keep(f, &to->bias, bias, out, "patch bias");
    if (!status)
        status = fold_keep(f, &to->gamma, gamma, out, "patch norm gamma");
    return status ? status : fold_keep(f, &to->beta, beta, out, "patch norm beta");
}
