/* compare: how far two arrays of numbers are apart, piece by piece, so that they need not be in memory
 * as a whole.  Metrics layer. */
#ifndef SEGRT_METRICS_COMPARE_H
#define SEGRT_METRICS_COMPARE_H

#include "base/error.h"

typedef struct compare compare;

typedef struct compare_result {
    uint64_t count;      /* pairs seen */
    uint64_t not_finite; /* of them, those that differ in a number that is not finite; left out of the rest */
    double max, mean;    /* of |a - b| */
    double median, p99;  /* of |a - b|: exact for whole numbers up to 2048, else up to 0.1 % too small */
    double relative;     /* ||a - b|| / ||b||; 0 where both are zero, infinite where b alone is */
} compare_result;

segrt_status compare_open(compare **out, segrt_error *error);
void compare_close(compare *c);

/* a against b, the one that is held to be right. */
void compare_add(compare *c, const float *a, const float *b, size_t count);

/* Of everything added so far; all zero where nothing was. */
compare_result compare_read(const compare *c);

#endif
