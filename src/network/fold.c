/* fold: the walk over the model's parts; see fold.h, and network.h for what comes out. */
#include "network/fold.h"

static segrt_status fold_stage(fold *f)
{
    const model_stage *from = &f->model->stages[f->stage];
    network_stage *to = &f->net->stages[f->stage];
    to->width = from->width;
    to->heads = from->heads;
    to->reduction = from->reduction;
    to->depth = from->depth;
    to->eps = from->norm.eps;
    to->blocks = arena_get(&f->net->memory, (size_t)from->depth, sizeof *to->blocks);
    if (!to->blocks)
        return fail_memory(f->error, (size_t)from->depth * sizeof *to->blocks, "the network's blocks");

    segrt_status status = fold_patch(f);
    fold_release(f);
    for (f->block = 0; !status && f->block < from->depth; f->block++) {
        status = fold_attention(f, &from->blocks[f->block], &to->blocks[f->block]);
        fold_release(f);
        if (!status)
            status = fold_feed_forward(f, &from->blocks[f->block], &to->blocks[f->block]);
        fold_release(f);
    }
    f->block = -1;
    if (status)
        return status;
    const double *zeros = fold_scratch(f, (size_t)to->width);
    return zeros ? fold_keep(f, &to->offset, zeros, (size_t)to->width, "offset") : SEGRT_NO_MEMORY;
}

segrt_status network_fold(network **out, const segrt_model *model, network_width width, segrt_error *error)
{
    *out = NULL;
    segrt_status status = SEGRT_OK;
    network *net = memory_get_cleared(1, sizeof *net);
    if (!net)
        return fail_memory(error, sizeof *net, "the network");
    fold f = {.net = net, .model = model, .width = width, .error = error, .block = -1};

    for (int c = 0; c < 3; c++) {
        net->mean[c] = (double)model->preprocessing.mean[c];
        net->deviation[c] = (double)model->preprocessing.deviation[c];
        if (!(net->deviation[c] > 0)) {
            status =
                fail_with(error, SEGRT_MALFORMED, "preprocessing: the deviation of channel %d is %g, not positive", c, net->deviation[c]);
            goto fail;
        }
    }
    for (f.stage = 0; f.stage < STAGES; f.stage++) {
        status = fold_stage(&f);
        fold_release(&f);
        if (status)
            goto fail;
    }
    f.stage = -1;
    status = fold_head(&f);
    if (status)
        goto fail;
    fold_release(&f);
    *out = net;
    return SEGRT_OK;

fail:
    fold_release(&f);
    network_close(net);
    return status;
}

void network_close(network *net)
{
    if (!net)
        return;
    arena_free(&net->memory);
    memory_free(net);
}
