/* image: pixels in memory: views of every format to packed RGB, and the size that a preprocessing
 * makes of a picture.  Image layer. */
#ifndef SEGRT_IMAGE_H
#define SEGRT_IMAGE_H

#include "base/error.h"
#include "base/pool.h"

/* Checks a caller's view: sizes in 1..65535, planes present, strides (of either sign) wide
 * enough.  Errors: ARGUMENT. */
segrt_status image_check(const segrt_image *image, segrt_error *error);

/* Rows [begin, end) of a view as packed RGB, [end - begin][width][3].  NV12 and I420: BT.601 limited range
 * with 20 fractional bits and without interpolation of chroma, bit-exact with OpenCV's cvtColor. */
void image_to_rgb(const segrt_image *image, int begin, int end, uint8_t *rgb);

/* The network's input size for a picture of w x h. */
void image_input_size(const segrt_preprocessing *p, int w, int h, int *input_w, int *input_h);

/* mmseg's chain resizes twice where a multiple is asked for: to this size first, then to the input size.
 * The two are equal for every other kind of resize. */
void image_fit_size(const segrt_preprocessing *p, int w, int h, int *fit_w, int *fit_h);

/* Classes in colour over a picture: rgb [h][w][3] becomes (1 - alpha) rgb + alpha colour, alpha in 0..256.
 * Labels that are no class leave the pixel as it is. */
void image_overlay(uint8_t *rgb, const uint8_t *labels, size_t pixels, const uint8_t (*palette)[3], int classes, int alpha);

/* Tiles of a sliding window along one side: mmseg's rule: ceil((side - window) / stride) + 1 of them (at least 1), the last ones
 * moved back to end at the side.  Writes at most `room` starts, returns the count. */
int image_window_starts(int side, int window, int stride, int *starts, int room);

#endif
