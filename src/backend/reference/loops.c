/* loops: see loops.h. */
#include "backend/reference/loops.h"

#include <math.h>

enum { LANES = 8, PIECE = 16 };

/* One body for both widths of weights. */
#define DOT(type)                                                                                                                          \
    static double dot_##type(const double *x, const type *w, size_t count)                                                                 \
    {                                                                                                                                      \
        double lane[LANES] = {0}, rest = 0;                                                                                                \
        size_t i = 0;                                                                                                                      \
        for (; i + LANES <= count; i += LANES)                                                                                             \
            for (size_t j = 0; j < LANES; j++)                                                                                             \
                lane[j] += x[i + j] * (double)w[i + j];                                                                                    \
        for (; i < count; i++)                                                                                                             \
            rest += x[i] * (double)w[i];                                                                                                   \
        return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7])) + rest;                           \
    }
DOT(float)
DOT(double)

double dot(const double *x, weights w, size_t at, size_t count)
{
    return w.f32 ? dot_float(x, w.f32 + at, count) : dot_double(x, w.f64 + at, count);
}

double rstd(const double *x, int c, double eps)
{
    return 1 / sqrt(dot_double(x, x, (size_t)c) / c + eps);
}

double gelu(double x)
{
    return 0.5 * x * erfc(-x * 0.70710678118654752440);
}

typedef struct rows_job {
    rows_fn *run;
    const void *job;
    size_t rows, piece;
} rows_job;

static void run_piece(void *context, int worker, int piece)
{
    const rows_job *all = context;
    const size_t begin = (size_t)piece * all->piece, rest = all->rows - begin;
    all->run(all->job, worker, begin, begin + (rest < all->piece ? rest : all->piece));
}

void for_rows(segrt_pool *pool, size_t rows, rows_fn *run, const void *job)
{
    rows_job all = {.run = run, .job = job, .rows = rows, .piece = PIECE};
    while (rows / all.piece > 1u << 20) /* the pool counts pieces in an int */
        all.piece *= 2;
    pool_run(pool, (int)((rows + all.piece - 1) / all.piece), run_piece, &all);
}

tap bilinear_tap(int at, int from, int to)
{
    const double source = (at + 0.5) * from / to - 0.5, clamped = source < 0 ? 0 : source;
    const int i0 = (int)clamped;
    return (tap){.i0 = i0, .i1 = i0 + 1 < from ? i0 + 1 : i0, .t = clamped - i0};
}
