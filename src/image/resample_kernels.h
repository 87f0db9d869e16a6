/* resample_kernels: the four inner loops of the resampler, and what each may be replaced with.  Image
 * layer, private to resample.c and the kernels.
 *
 * All variants give the same bytes; tests/image/test_resample.c holds every row to the portable one. */
#ifndef SEGRT_IMAGE_RESAMPLE_KERNELS_H
#define SEGRT_IMAGE_RESAMPLE_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PILLOW_BITS = 22,       /* Resample.c: PRECISION_BITS = 32 - 8 - 2 */
    OPENCV_BITS = 11,       /* INTER_RESIZE_COEF_BITS */
    OPENCV_KEPT = 4,        /* fractional bits that its vertical pass drops before it multiplies */
    RESAMPLE_SLACK = 32,    /* bytes that a kernel may read past a row it is given, within one picture's buffer */
};

/* Where one output sample comes from: `count` input samples from `start`, weights in `weight`, all by output
 * position.  Weights of position i: weight + i * taps. */
typedef struct resample_axis {
    int from, to;
    int taps;           /* room for weights a position */
    int32_t *start;     /* [to] */
    int32_t *count;     /* [to] */
    int32_t *weight;    /* [to][taps]; Pillow: times 2^22; OpenCV: two taps, times 2^11 */
} resample_axis;

typedef struct resample_kernels {
    const char *name;
    bool (*runs_here)(void);
    /* One row: from [axis->from][3], `readable` bytes of it and behind it may be read; to [axis->to][3]. */
    void (*pillow_row)(const resample_axis *axis, const uint8_t *from, size_t readable, uint8_t *to);
    /* One row out of `count` rows `stride` bytes apart: bytes [0, bytes). */
    void (*pillow_column)(const uint8_t *from, size_t stride, int count, const int32_t *weight, size_t bytes, uint8_t *to);
    /* to [axis->to][3]: the sum, with OPENCV_BITS - OPENCV_KEPT fractional bits. */
    void (*opencv_row)(const resample_axis *axis, const uint8_t *from, int16_t *to);
    void (*opencv_column)(const int16_t *above, const int16_t *below, int weight_above, int weight_below, size_t count, uint8_t *to);
} resample_kernels;

/* The portable row first, then faster ones; *count of them. */
const resample_kernels *resample_kernels_all(size_t *count);

#endif
