/* confusion: how often pixels of one class were called another, and the scores of semantic segmentation
 * made of it (mmsegmentation's and Hugging Face's definitions).  Metrics layer.
 *
 * Between two predictions, the scores are agreement: accuracy is the share of equal labels. */
#ifndef SEGRT_METRICS_CONFUSION_H
#define SEGRT_METRICS_CONFUSION_H

#include "base/error.h"

enum { CONFUSION_IGNORE_NONE = -1 };

typedef struct confusion {
    int classes;
    uint64_t *counts; /* [classes][classes + 1]: truth by prediction; the last column: predictions outside the classes */
    uint64_t ignored; /* pixels whose truth is the ignored label */
    uint64_t unknown; /* pixels whose truth is neither that nor a class; left out too */
} confusion;

/* Labels of a picture: one or two bytes (native) each. */
typedef struct label_map {
    const void *labels;
    int bytes;
} label_map;

/* classes in 1..65535. */
segrt_status confusion_open(confusion *out, int classes, segrt_error *error);
void confusion_close(confusion *c);

/* ignore: a label of the truth, or CONFUSION_IGNORE_NONE.  reduce: the truth's labels count from 1 and 0 is
 * "no class" (ADE20K): they go down by one, 0 becomes the ignored label. */
void confusion_add(confusion *c, label_map truth, label_map prediction, size_t pixels, int ignore, bool reduce);

/* Adds another matrix of as many classes. */
void confusion_merge(confusion *c, const confusion *other);

/* Intersection over union, and the share of a class's pixels found; NaN where the class is nowhere. */
double confusion_iou(const confusion *c, int label);
double confusion_accuracy(const confusion *c, int label);

typedef struct confusion_scores {
    double miou, macc; /* means over the classes that are not NaN; NaN where there are none */
    double aacc;       /* share of all counted pixels found */
    uint64_t pixels;   /* counted */
} confusion_scores;

confusion_scores confusion_read(const confusion *c);

#endif
