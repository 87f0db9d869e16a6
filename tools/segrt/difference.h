/* difference: what sets two results apart, gathered over any number of them: numbers and labels.  The program. */
#ifndef SEGRT_PROGRAM_DIFFERENCE_H
#define SEGRT_PROGRAM_DIFFERENCE_H

#include <jansson.h>

#include "metrics/compare.h"
#include "metrics/confusion.h"

typedef struct difference {
    compare *numbers;     /* of logits or tensors */
    compare *indices;     /* of class indices, as numbers */
    confusion classes;    /* B's labels by A's */
    uint64_t numbers_seen, pixels, equal;
} difference;

/* classes: labels lie below it.  Result false: reported. */
bool difference_open(difference *d, int classes);
void difference_close(difference *d);

/* a against b, which is held to be right. */
void difference_numbers(difference *d, const float *a, const float *b, size_t count);
void difference_labels(difference *d, const uint16_t *a, const uint16_t *b, size_t pixels);

/* Largest relative error of numbers, and the share of labels that differ. */
double difference_relative(const difference *d);
double difference_disagreement(const difference *d);

void difference_print(const difference *d);
json_t *difference_json(const difference *d);

#endif
