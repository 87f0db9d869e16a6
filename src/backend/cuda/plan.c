/* plan: see plan.h.  The parts of the network append their steps (layout.h). */
#include "backend/cuda/layout.h"

static void lay_out(layout *l)
{
    plan *p = l->p;
    p->count = 0;
    l->at = l->largest = l->tables_at = 0;
    p->input = layout_take(l, (size_t)p->key.n * (size_t)p->key.h * (size_t)p->key.w * 3 * (p->key.pixels ? 1 : sizeof(float)));
    for (int i = 0; i < STAGES; i++)
        l->stage_out[i] =
            layout_take_rows(l, (size_t)p->key.n * (size_t)p->shape.stage[i].h * (size_t)p->shape.stage[i].w, l->weights->stages[i].width);
    if (l->net->classes)
        for (int i = 1; i < STAGES; i++)
            layout_level_place(l, i);
    const size_t mark = l->at;
    for (int i = 0; i < STAGES; i++) {
        const size_t rows = (size_t)p->key.n * (size_t)p->shape.stage[i].h * (size_t)p->shape.stage[i].w;
        l->at = mark;
        l->x = layout_take(l, rows * (size_t)l->weights->stages[i].width * sizeof(float));
        l->normed = layout_take_rows(l, rows, l->weights->stages[i].width);
        l->normed_next = layout_ffn_whole(l, i) ? layout_take_rows(l, rows, l->weights->stages[i].width) : NULL;
        layout_patch(l, i);
        for (int b = 0; b < l->net->stages[i].depth; b++) {
            layout_attention(l, i, b);
            layout_ffn(l, i, b);
        }
        if (l->net->classes && i > 0)
            layout_level(l, i, i + 1 < STAGES);
    }
    l->at = mark;
    if (l->net->classes) {
        layout_head(l);
        layout_ending(l);
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
        return s->args.ffn.split ? ffn_split_launch(&s->args.ffn, type, how) : ffn_launch(&s->args.ffn, type, how);
    case STEP_MERGE:
        return merge_launch(&s->args.merge, type, how);
    case STEP_PIXELS:
        return s->args.pixels.split ? pixels_split_launch(&s->args.pixels, type, how) : pixels_launch(&s->args.pixels, type, how);
    case STEP_LABEL:
        return label_launch(&s->args.label, how);
    case STEP_PLANES:
        return planes_launch(&s->args.planes, how);
    }
    return cudaErrorInvalidValue;
}
