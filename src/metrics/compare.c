/* compare: see compare.h.  Quantiles come from a histogram over the leading bits of a float32: a bucket
 * for each exponent and ten bits of mantissa. */
#include "metrics/compare.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"

enum { MANTISSA_BITS = 10, DROPPED_BITS = 23 - MANTISSA_BITS, BUCKETS = 1 << (8 + MANTISSA_BITS) };

struct compare {
    uint64_t count, not_finite;
    double max, sum, difference, norm; /* difference, norm: sums of squares */
    uint64_t bucket[BUCKETS];
};

segrt_status compare_open(compare **out, segrt_error *error)
{
    *out = memory_get_cleared(1, sizeof **out);
    return *out ? SEGRT_OK : fail_memory(error, sizeof **out, "a comparison");
}

void compare_close(compare *c)
{
    memory_free(c);
}

static size_t bucket_of(double error)
{
    const float narrow = error > 3.4e38 ? 3.4e38f : (float)error;
    uint32_t bits;
    memcpy(&bits, &narrow, sizeof bits);
    return bits >> DROPPED_BITS;
}

/* The smallest number that falls into a bucket. */
static double bucket_floor(size_t bucket)
{
    const uint32_t bits = (uint32_t)bucket << DROPPED_BITS;
    float narrow;
    memcpy(&narrow, &bits, sizeof narrow);
    return (double)narrow;
}

void compare_add(compare *c, const float *a, const float *b, size_t count)
{
    c->count += count;
    for (size_t i = 0; i < count; i++) {
        const double x = (double)a[i], y = (double)b[i];
        if (!isfinite(x) || !isfinite(y)) {
            c->not_finite += !(x == y || (isnan(x) && isnan(y)));
            continue;
        }
        const double error = fabs(x - y);
        c->max = fmax(c->max, error);
        c->sum += error;
        c->difference += error * error;
        c->norm += y * y;
        c->bucket[bucket_of(error)]++;
    }
}

/* The value below which at least `share` of `total` errors are. */
static double quantile(const compare *c, uint64_t total, double share)
{
    const uint64_t wanted = (uint64_t)ceil(share * (double)total);
    uint64_t seen = 0;
    for (size_t i = 0; i < BUCKETS; i++) {
        seen += c->bucket[i];
        if (seen >= wanted && seen)
            return bucket_floor(i);
    }
    return 0;
}

compare_result compare_read(const compare *c)
{
    compare_result result = {.count = c->count, .not_finite = c->not_finite, .max = c->max};
    uint64_t finite = 0;
    for (size_t i = 0; i < BUCKETS; i++)
        finite += c->bucket[i];
    if (finite) {
        result.mean = c->sum / (double)finite;
        result.median = quantile(c, finite, 0.5);
        result.p99 = quantile(c, finite, 0.99);
    }
    if (c->difference > 0)
        result.relative = c->norm > 0 ? sqrt(c->difference / c->norm) : INFINITY;
    return result;
}
