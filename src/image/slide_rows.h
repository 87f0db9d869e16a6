/* slide_rows: the inner loops of labels and confidence over a row.  Image layer, private to slide.c. */
#ifndef SEGRT_IMAGE_SLIDE_ROWS_H
#define SEGRT_IMAGE_SLIDE_ROWS_H

#include <stddef.h>
#include <stdint.h>

/* All variants give the same numbers. */
typedef struct slide_rows {
    /* The winner so far at each of n pixels, against the logits of one more class; a tie keeps the earlier. */
    void (*keep_larger)(size_t n, int32_t class, const float *logit, float *best, int32_t *label);
    /* sum += exp(logit - best), where logit <= best; relative error below 1e-6. */
    void (*add_exp)(size_t n, const float *logit, const float *best, float *sum);
} slide_rows;

extern const slide_rows slide_rows_portable, slide_rows_avx2;

/* The fastest that this machine runs. */
const slide_rows *slide_rows_best(void);

/* exp(x) for x <= 0 as 2^n * 2^f, |f| <= 1/2, by this series of 2^f, from the highest power down. */
#define SLIDE_EXP_SERIES                                                                                                                   \
    {                                                                                                                                      \
        1.5403530e-4f, 1.3333558e-3f, 9.6181291e-3f, 5.5504109e-2f, 0.24022651f, 0.69314718f, 1.0f                                         \
    }
#define SLIDE_EXP_LEAST (-87.0f) /* below, 2^n leaves the normal numbers */
#define SLIDE_LOG2_E 1.44269504f

#endif
