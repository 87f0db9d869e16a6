/* difference: see difference.h. */
#include "difference.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "report.h"

bool difference_open(difference *d, int classes)
{
    segrt_error error = {0};
    *d = (difference){0};
    if (compare_open(&d->numbers, &error) || compare_open(&d->indices, &error) || confusion_open(&d->classes, classes, &error)) {
        report_error(NULL, &error);
        difference_close(d);
        return false;
    }
    return true;
}

void difference_close(difference *d)
{
    compare_close(d->numbers);
    compare_close(d->indices);
    confusion_close(&d->classes);
    *d = (difference){0};
}

void difference_numbers(difference *d, const float *a, const float *b, size_t count)
{
    compare_add(d->numbers, a, b, count);
    d->numbers_seen += count;
}

void difference_labels(difference *d, const uint16_t *a, const uint16_t *b, size_t pixels)
{
    enum { PIECE = 1024 };
    for (size_t at = 0; at < pixels; at += PIECE) {
        float x[PIECE], y[PIECE];
        const size_t n = pixels - at < PIECE ? pixels - at : PIECE;
        for (size_t i = 0; i < n; i++) {
            x[i] = a[at + i];
            y[i] = b[at + i];
            d->equal += a[at + i] == b[at + i];
        }
        compare_add(d->indices, x, y, n);
    }
    confusion_add(&d->classes, (label_map){b, 2}, (label_map){a, 2}, pixels, CONFUSION_IGNORE_NONE, false);
    d->pixels += pixels;
}

double difference_relative(const difference *d) { return d->numbers_seen ? compare_read(d->numbers).relative : 0; }

double difference_disagreement(const difference *d) { return d->pixels ? 1 - (double)d->equal / (double)d->pixels : 0; }

void difference_print(const difference *d)
{
    const compare_result n = compare_read(d->numbers), i = compare_read(d->indices);
    if (d->numbers_seen) {
        printf("numbers       %" PRIu64 ": difference max %.3g  mean %.3g  median %.3g  p99 %.3g; relative (norm) %.3g\n", n.count, n.max, n.mean, n.median,
               n.p99, n.relative);
        if (n.not_finite)
            printf("              %" PRIu64 " differ in a number that is not finite\n", n.not_finite);
    }
    if (d->pixels) {
        printf("labels        %" PRIu64 " pixels: %.4f %% equal, %" PRIu64 " differ; mIoU between the two %.3f %%\n", d->pixels,
               100.0 * (double)d->equal / (double)d->pixels, d->pixels - d->equal, 100 * confusion_read(&d->classes).miou);
        printf("class indices difference max %.0f  mean %.3g  median %.0f\n", i.max, i.mean, i.median);
    }
}

static json_t *result_json(const compare_result *r)
{
    return json_pack("{s:I, s:I, s:f, s:f, s:f, s:f, s:f}", "count", (json_int_t)r->count, "not_finite", (json_int_t)r->not_finite, "max", r->max, "mean",
                     r->mean, "median", r->median, "p99", r->p99, "relative", isfinite(r->relative) ? r->relative : -1.0);
}

json_t *difference_json(const difference *d)
{
    const compare_result n = compare_read(d->numbers), i = compare_read(d->indices);
    const double miou = confusion_read(&d->classes).miou;
    json_t *all = json_object();
    if (d->numbers_seen)
        json_object_set_new(all, "numbers", result_json(&n));
    if (d->pixels) {
        json_object_set_new(all, "labels",
                            json_pack("{s:I, s:I, s:f, s:o}", "pixels", (json_int_t)d->pixels, "equal", (json_int_t)d->equal, "agreement",
                                      (double)d->equal / (double)d->pixels, "miou", isnan(miou) ? json_null() : json_real(miou)));
        json_object_set_new(all, "class_indices", result_json(&i));
    }
    return all;
}
