/* costs: see costs.h.  Counted are products of linear maps, convolutions and attention; not norms, interpolation and
 * additions, which are linear in the tokens. */
#include "costs.h"

/* The network as its authors describe it (Xie et al. 2021): every product at the place where it stands there. */
static void count_published(costs *c, const network *net, int decoder_width)
{
    const uint64_t n = (uint64_t)c->shape.n, e = (uint64_t)decoder_width;
    uint64_t *m = c->published;
    for (int s = 0; s < STAGES; s++) {
        const network_stage *stage = &net->stages[s];
        const stage_shape *at = &c->shape.stage[s];
        const uint64_t tokens = n * (uint64_t)at->h * (uint64_t)at->w, keys = (uint64_t)at->key_h * (uint64_t)at->key_w, all_keys = n * keys;
        const uint64_t width = (uint64_t)stage->width, r = (uint64_t)stage->reduction, k = (uint64_t)stage->patch.kernel;
        m[OP_PATCH] += tokens * width * (uint64_t)stage->patch.in * k * k;
        for (int b = 0; b < stage->depth; b++) {
            const uint64_t hidden = (uint64_t)stage->blocks[b].hidden;
            m[OP_REDUCE] += r > 1 ? all_keys * width * width * r * r : 0;
            m[OP_KEYS] += 2 * all_keys * width * width;
            m[OP_QUERY] += tokens * width * width;
            m[OP_ATTEND] += 2 * tokens * keys * width;
            m[OP_PROJECT] += tokens * width * width;
            m[OP_FC1] += tokens * width * hidden;
            m[OP_DEPTHWISE] += tokens * hidden * 9;
            m[OP_FC2] += tokens * width * hidden;
        }
        m[OP_LEVEL] += net->classes ? tokens * width * e : 0;
    }
    const uint64_t pixels = n * (uint64_t)c->shape.stage[0].h * (uint64_t)c->shape.stage[0].w;
    m[OP_MERGE] = net->classes ? pixels * STAGES * e * (uint64_t)net->head.width : 0;
    m[OP_CLASSIFY] = pixels * (uint64_t)net->head.width * (uint64_t)net->classes;
}

segrt_status costs_count(costs *c, const network *net, int decoder_width, segrt_shape size, segrt_error *error)
{
    arena memory = {0};
    operation *operations;
    size_t count = 0;
    *c = (costs){0};
    segrt_status status = network_shape_of(&c->shape, net, size.n, size.h, size.w, error);
    if (!status)
        status = network_operations(net, &memory, &operations, &count, error);
    for (size_t i = 0; i < count && !status; i++)
        c->folded[operations[i].kind] += operation_macs(net, &c->shape, operations[i]);
    arena_free(&memory);
    if (status)
        return status;
    count_published(c, net, decoder_width);
    for (int k = 0; k < OPERATION_KINDS; k++) {
        c->folded_total += c->folded[k];
        c->published_total += c->published[k];
    }
    return SEGRT_OK;
}
