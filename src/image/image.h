/* image: pixels in memory: views of every format to packed RGB, and the size that a preprocessing
 * makes of a picture.  Image layer. */
#ifndef SEGRT_IMAGE_H
#define SEGRT_IMAGE_H

#include "base/error.h"
#include "base/pool.h"

/* Checks a caller's view: sizes in 1..65535, planes present, strides wide enough.  Errors: ARGUMENT. */
segrt_status image_check(const segrt_image *image, segrt_error *error);

/* Rows [begin, end) of a view as packed RGB, [end - begin][width][3]. */
void image_to_rgb(const segrt_image *image, int begin, int end, uint8_t *rgb);

/* The network's input size for a picture of w x h. */
void image_input_size(const segrt_preprocessing *p, int w, int h, int *input_w, int *input_h);

/* Classes in colour over a picture: rgb [h][w][3] becomes (1 - alpha) rgb + alpha colour, alpha in 0..256. */
void image_overlay(uint8_t *rgb, const uint8_t *labels, size_t pixels, const uint8_t (*palette)[3], int classes, int alpha);

/* Tiles of a sliding window along one side: mmseg's rule: ceil((side - window) / stride) + 1 of them (at least 1), the last ones
 * moved back to end at the side.  Writes at most `room` starts, returns the count. */
int image_window_starts(int side, int window, int stride, int *starts, int room);

#endif
