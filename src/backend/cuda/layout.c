/* layout: what all parts of a plan are made with; see layout.h. */
#include "backend/cuda/layout.h"

#include <string.h>

void *layout_take(layout *l, size_t bytes)
{
    void *at = l->workspace ? l->workspace + l->at : NULL;
    l->at += (bytes + 255) / 256 * 256;
    l->largest = l->at > l->largest ? l->at : l->largest;
    return at;
}

void *layout_take_rows(layout *l, size_t rows, int width)
{
    return layout_take(l, rows * (size_t)width * type_bytes(l->type));
}

step *layout_add(layout *l, step_kind kind, operation_kind first, int stage, int block, int count)
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

seen layout_leaves(operation op, const void *at, numeric type, stage_shape where, int channels, int ld)
{
    return (seen){
        .op = op, .at = at, .type = type, .h = where.h, .w = where.w, .channels = channels, .ld = ld, .group = channels, .pitch = channels};
}

gemm_args layout_linear(const void *a, int lda, matrix w, int rows, const float *bias, void *out, int ldo)
{
    return (gemm_args){.a = a,
                       .w = w.at,
                       .bias = bias,
                       .out = out,
                       .m = rows,
                       .n = w.n,
                       .k = w.k,
                       .lda = lda,
                       .ldw = w.ld,
                       .ldo = ldo,
                       .split = w.in_scale > 0,
                       .a_scale = w.in_scale,
                       .out_scale = w.out_scale};
}

void layout_finish_gemm(layout *l, step *s)
{
    gemm_args *g = &s->args.gemm;
    const size_t mark = l->at;
    g->partial = layout_take(l, gemm_choose(g, l->type, l->maker->processors, l->maker->clusters, l->maker->wide) * sizeof(float));
    g->counters = l->maker->counters;
    l->at = mark;
    s->name = gemm_name(g);
}
