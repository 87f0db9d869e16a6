/* loops: what the reference's operations share: sums over channels, rstd, and rows spread over threads.
 * Private to the reference backend. */
#ifndef SEGRT_BACKEND_REFERENCE_LOOPS_H
#define SEGRT_BACKEND_REFERENCE_LOOPS_H

#include "backend/reference/reference.h"

/* sum of x[i] w[at + i], i < count; eight partial sums, so that it is fast without reordering by the compiler. */
double dot(const double *x, weights w, size_t at, size_t count);

/* 1 / sqrt(mean(x^2) + eps) over `c` channels. */
double rstd(const double *x, int c, double eps);

/* x * Phi(x), without cancellation on the left. */
double gelu(double x);

/* Rows [begin, end) of a job, on one worker. */
typedef void rows_fn(const void *job, int worker, size_t begin, size_t end);

/* Every row of [0, rows), a few at a time. */
void for_rows(segrt_pool *pool, size_t rows, rows_fn *run, const void *job);

/* One output coordinate of a bilinear resize with align_corners = false: weight 1 - t at i0, t at i1. */
typedef struct tap {
    int i0, i1;
    double t;
} tap;

tap bilinear_tap(int at, int from, int to);

#endif
