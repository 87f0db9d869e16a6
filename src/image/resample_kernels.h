/* resample_kernels: the four inner loops of the resampler, and what each may be replaced with.  Image
 * layer, private to resample.c and the kernels.
 *
 * All variants give the same bytes; tests/image/test_resample.c holds each to the portable one. */
#ifndef SEGRT_IMAGE_RESAMPLE_KERNELS_H
#define SEGRT_IMAGE_RESAMPLE_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PILLOW_BITS = 22, /* Resample.c: PRECISION_BITS = 32 - 8 - 2 */
    OPENCV_BITS = 11, /* INTER_RESIZE_COEF_BITS */
    OPENCV_KEPT = 4,  /* fractional bits that its vertical pass drops before it multiplies */
    SPLIT_BITS = 12,  /* a Pillow weight is high << 12 | low */
    SPLIT_MASK = (1 << SPLIT_BITS) - 1,
};

/* Where each output sample comes from: `count` input samples from `start`. */
typedef struct resample_axis {
    int from, to;
    int taps;        /* room for weights a position */
    int32_t *start;  /* [to] */
    int32_t *count;  /* [to] */
    int32_t *weight; /* [to][taps]; Pillow: times 2^22; OpenCV: two taps, times 2^11 */
    int16_t *split;  /* weights of 16 bits, for vectors: Pillow: [to][ceil(taps / 4)] of 4 highs, 4 lows; OpenCV: [to][2] */
} resample_axis;

/* Rows: `from` [axis->from][3], of which and behind which `readable` bytes may be read. */
typedef struct resample_kernels {
    const char *name;
    void (*pillow_row)(const resample_axis *axis, const uint8_t *from, size_t readable, uint8_t *to);
    /* One row out of `count` rows `stride` bytes apart: bytes [0, bytes). */
    void (*pillow_column)(const uint8_t *from, size_t stride, int count, const int32_t *weight, size_t bytes, uint8_t *to);
    /* to [axis->to][3]: the sums, with OPENCV_BITS - OPENCV_KEPT fractional bits. */
    void (*opencv_row)(const resample_axis *axis, const uint8_t *from, size_t readable, int16_t *to);
    void (*opencv_column)(const int16_t *above, const int16_t *below, int weight_above, int weight_below, size_t count, uint8_t *to);
} resample_kernels;

extern const resample_kernels resample_kernels_portable, resample_kernels_avx2;

/* The fastest that this machine runs. */
const resample_kernels *resample_kernels_best(void);

/* The portable loops, for what a vector leaves over: pixels [begin, end) of a row, and columns. */
void resample_pillow_pixels(const resample_axis *axis, const uint8_t *from, int begin, int end, uint8_t *to);
void resample_pillow_column(const uint8_t *from, size_t stride, int count, const int32_t *weight, size_t bytes, uint8_t *to);
void resample_opencv_pixels(const resample_axis *axis, const uint8_t *from, int begin, int end, int16_t *to);
void resample_opencv_column(const int16_t *above, const int16_t *below, int weight_above, int weight_below, size_t count, uint8_t *to);

#endif
