/* traffic: see traffic.h.  Sizes are those of kernels.h, padding included. */
#include "backend/cuda/traffic.h"

#include "backend/cuda/packed.h"

static uint64_t product(int a, int b, int c)
{
    return (uint64_t)a * (uint64_t)b * (uint64_t)c;
}

static uint64_t gemm_bytes(const gemm_args *g, uint64_t each)
{
    const int images = g->kernel ? g->m / (g->out_h * g->out_w) : 1;
    const uint64_t read = g->kernel ? product(images, g->in_h, g->in_w) * (uint64_t)g->channels : product(g->m, g->k, 1);
    const uint64_t each_read = g->pitch ? 1 : each; /* the picture's bytes */
    const uint64_t rows = product(g->m, g->ldo, 1);
    uint64_t bytes = read * each_read + product(g->n, g->ldw, 1) * each;
    switch (g->end) {
    case GEMM_STORE:
        return bytes + rows * each;
    case GEMM_FLOAT:
        return bytes + rows * sizeof(float);
    case GEMM_KEYS:
        return bytes + product(g->m, g->width, 2) * each;
    case GEMM_ROWS:
        bytes += rows * each;
        return bytes + (g->rows == ROW_REDUCE ? 0 : g->rows == ROW_PATCH ? rows * sizeof(float) : 2 * rows * sizeof(float));
    }
    return bytes;
}

static uint64_t attend_bytes(const attend_args *a, uint64_t each)
{
    const uint64_t tokens = product(a->images, a->tokens, 1), keys = product(a->images, a->nkeys, a->heads) * (uint64_t)a->head;
    const uint64_t weight = a->weight ? product(a->heads, a->head, a->ldw) : 0;
    return (tokens * (uint64_t)(a->ldq + a->ldo) + 2 * keys + weight) * each + (a->x ? 2 * tokens * (uint64_t)a->ldo * sizeof(float) : 0);
}

static uint64_t ffn_bytes(const ffn_args *f, uint64_t each)
{
    const uint64_t tokens = product(f->images, f->h, f->w);
    return (tokens * (uint64_t)(f->hidden + f->width) + product(f->width, f->ldw, 1)) * each +
           (2 * tokens * (uint64_t)f->width + product(10, f->hidden, 1)) * sizeof(float);
}

static uint64_t pixels_bytes(const pixels_args *p, uint64_t each)
{
    const uint64_t tokens = product(p->images, p->h[0], p->w[0]);
    uint64_t read = tokens * (uint64_t)p->k + product(p->width, p->ldw, 1) + product(p->class_ld, p->ldc, 1);
    for (int i = 1; i < 4; i++)
        read += product(p->images, p->h[i], p->w[i]) * (uint64_t)p->width;
    return read * each + tokens * (uint64_t)p->class_ld * sizeof(float);
}

static uint64_t merge_bytes(const merge_args *m, uint64_t each)
{
    uint64_t tokens = product(m->images, m->h[0], m->w[0]);
    for (int i = 0; i < 4; i++)
        tokens += product(m->images, m->h[i], m->w[i]);
    return tokens * (uint64_t)m->ld * each;
}

uint64_t step_bytes(const step *s, numeric type)
{
    const uint64_t each = type_bytes(type);
    switch (s->kind) {
    case STEP_GATHER: {
        const gather_args *g = &s->args.gather;
        return 3 * product(g->images, g->h, g->w) * (g->pixels ? 1 : sizeof(float)) +
               product(g->images, g->out_h, g->out_w) * (uint64_t)g->ldo * each;
    }
    case STEP_GEMM:
        return gemm_bytes(&s->args.gemm, each);
    case STEP_ATTEND:
        return attend_bytes(&s->args.attend, each);
    case STEP_DEPTHWISE: {
        const depthwise_args *d = &s->args.depthwise;
        return 2 * product(d->images, d->h, d->w) * (uint64_t)d->width * each + product(10, d->width, sizeof(float));
    }
    case STEP_FFN:
        return ffn_bytes(&s->args.ffn, each);
    case STEP_MERGE:
        return merge_bytes(&s->args.merge, each);
    case STEP_PIXELS:
        return pixels_bytes(&s->args.pixels, each);
    case STEP_LABEL: {
        const label_args *l = &s->args.label;
        const uint64_t each_pixel = (l->labels ? (uint64_t)l->label_bytes : 0) + (l->confidence ? 1 : 0);
        return product(l->images, l->h, l->w) * (uint64_t)l->ld * sizeof(float) + product(l->images, l->out_h, l->out_w) * each_pixel;
    }
    case STEP_PLANES:
        return 2 * product(s->args.planes.images, s->args.planes.pixels, s->args.planes.classes) * sizeof(float);
    }
    return 0;
}
