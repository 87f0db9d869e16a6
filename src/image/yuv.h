/* yuv: rows of NV12 and I420 to RGB.  Image layer, private to image.c and the kernels. */
#ifndef SEGRT_IMAGE_YUV_H
#define SEGRT_IMAGE_YUV_H

#include <stdint.h>

/* BT.601, limited range, as OpenCV's cvtColor does it: 20 fractional bits, one chroma sample for each
 * 2x2 pixels. */
enum {
    YUV_BITS = 20,
    YUV_HALF = 1 << (YUV_BITS - 1),
    YUV_Y = 1220542,
    YUV_RV = 1673527,
    YUV_GV = -852492,
    YUV_GU = -409993,
    YUV_BU = 2116026
};

/* y [width], u and v [ceil(width / 2)] `step` bytes apart: 1, or 2 where they are interleaved; rgb [width][3]. */
typedef void yuv_row_fn(const uint8_t *y, const uint8_t *u, const uint8_t *v, int step, int width, uint8_t *rgb);

yuv_row_fn yuv_row_portable, yuv_row_avx2;

/* The fastest that this machine runs; all give the same bytes. */
yuv_row_fn *yuv_row_best(void);

#endif
