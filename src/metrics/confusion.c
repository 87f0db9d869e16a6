/* confusion: see confusion.h. */
#include "metrics/confusion.h"

#include <math.h>

#include "base/memory.h"

segrt_status confusion_open(confusion *out, int classes, segrt_error *error)
{
    *out = (confusion){.classes = classes};
    if (classes < 1 || classes > 65535)
        return fail_with(error, SEGRT_ARGUMENT, "a confusion matrix of %d classes", classes);
    const size_t count = (size_t)classes * ((size_t)classes + 1);
    out->counts = memory_get_cleared(count, sizeof *out->counts);
    return out->counts ? SEGRT_OK : fail_memory(error, count * sizeof *out->counts, "a confusion matrix");
}

void confusion_close(confusion *c)
{
    memory_free(c->counts);
    *c = (confusion){0};
}

static int label_at(label_map map, size_t i)
{
    return map.bytes == 2 ? ((const uint16_t *)map.labels)[i] : ((const uint8_t *)map.labels)[i];
}

static uint64_t *cell(const confusion *c, int truth, int prediction)
{
    return &c->counts[(size_t)truth * ((size_t)c->classes + 1) + (size_t)prediction];
}

void confusion_add(confusion *c, label_map truth, label_map prediction, size_t pixels, int ignore, bool reduce)
{
    for (size_t i = 0; i < pixels; i++) {
        const int raw = label_at(truth, i), label = raw - reduce, predicted = label_at(prediction, i);
        if (raw == ignore || label < 0)
            c->ignored++;
        else if (label >= c->classes)
            c->unknown++;
        else
            ++*cell(c, label, predicted < c->classes ? predicted : c->classes);
    }
}

void confusion_merge(confusion *c, const confusion *other)
{
    for (size_t i = 0; i < (size_t)c->classes * ((size_t)c->classes + 1); i++)
        c->counts[i] += other->counts[i];
    c->ignored += other->ignored;
    c->unknown += other->unknown;
}

static uint64_t truths(const confusion *c, int label)
{
    uint64_t sum = 0;
    for (int i = 0; i <= c->classes; i++)
        sum += *cell(c, label, i);
    return sum;
}

static uint64_t predictions(const confusion *c, int label)
{
    uint64_t sum = 0;
    for (int i = 0; i < c->classes; i++)
        sum += *cell(c, i, label);
    return sum;
}

double confusion_iou(const confusion *c, int label)
{
    const uint64_t found = *cell(c, label, label), all = truths(c, label) + predictions(c, label) - found;
    return all ? (double)found / (double)all : NAN;
}

double confusion_accuracy(const confusion *c, int label)
{
    const uint64_t all = truths(c, label);
    return all ? (double)*cell(c, label, label) / (double)all : NAN;
}

confusion_scores confusion_read(const confusion *c)
{
    confusion_scores scores = {0};
    uint64_t found = 0, with_iou = 0, with_accuracy = 0;
    for (int i = 0; i < c->classes; i++) {
        const double iou = confusion_iou(c, i), accuracy = confusion_accuracy(c, i);
        found += *cell(c, i, i);
        scores.pixels += truths(c, i);
        if (!isnan(iou)) {
            scores.miou += iou;
            with_iou++;
        }
        if (!isnan(accuracy)) {
            scores.macc += accuracy;
            with_accuracy++;
        }
    }
    scores.miou = with_iou ? scores.miou / (double)with_iou : NAN;
    scores.macc = with_accuracy ? scores.macc / (double)with_accuracy : NAN;
    scores.aacc = scores.pixels ? (double)found / (double)scores.pixels : NAN;
    return scores;
}
