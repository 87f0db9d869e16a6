/* merge: the end of a stage, and the sum of the upsampled levels; see reference.h. */
#include "backend/reference/loops.h"

typedef struct stage_norm {
    const network_stage *stage;
    const double *x;
    double *f;
} stage_norm;

static void stage_norm_rows(const void *job, int worker, size_t begin, size_t end)
{
    (void)worker;
    const stage_norm *s = job;
    const size_t c = (size_t)s->stage->width;
    for (size_t r = begin; r < end; r++) {
        const double factor = rstd(s->x + r * c, s->stage->width, s->stage->eps);
        for (size_t i = 0; i < c; i++)
            s->f[r * c + i] = s->x[r * c + i] * factor - weight_at(s->stage->offset, i);
    }
}

void reference_stage_norm(const network_stage *stage, const double *x, size_t rows, double *f, segrt_pool *pool)
{
    const stage_norm job = {.stage = stage, .x = x, .f = f};
    for_rows(pool, rows, stage_norm_rows, &job);
}

typedef struct merge {
    const network_head *head;
    double *const *level;
    const grid *at;
} merge;

static void merge_rows(const void *job, int worker, size_t begin, size_t end)
{
    (void)worker;
    const merge *m = job;
    const size_t width = (size_t)m->head->width, w = (size_t)m->at[0].w, pixels = (size_t)m->at[0].h * w;
    for (size_t r = begin; r < end; r++) {
        double *sum = m->level[0] + r * width;
        for (int i = 1; i < STAGES; i++) {
            const grid at = m->at[i];
            const tap y = bilinear_tap((int)(r % pixels / w), at.h, m->at[0].h), x = bilinear_tap((int)(r % w), at.w, m->at[0].w);
            const double *picture = m->level[i] + r / pixels * (size_t)at.h * (size_t)at.w * width;
            const double *top = picture + (size_t)y.i0 * (size_t)at.w * width, *bottom = picture + (size_t)y.i1 * (size_t)at.w * width;
            const size_t left = (size_t)x.i0 * width, right = (size_t)x.i1 * width;
            for (size_t c = 0; c < width; c++)
                sum[c] += (1 - y.t) * ((1 - x.t) * top[left + c] + x.t * top[right + c]) +
                          y.t * ((1 - x.t) * bottom[left + c] + x.t * bottom[right + c]);
        }
        for (size_t c = 0; c < width; c++) {
            sum[c] += weight_at(m->head->bias, c);
            if (sum[c] < 0)
                sum[c] = 0;
        }
    }
}

void reference_merge(const network_head *head, double *const level[STAGES], const grid at[STAGES], segrt_pool *pool)
{
    const merge job = {.head = head, .level = level, .at = at};
    for_rows(pool, grid_rows(at[0]), merge_rows, &job);
}
