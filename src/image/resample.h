/* resample: 8-bit pictures resized exactly as Pillow and OpenCV do it.  Image layer. */
#ifndef SEGRT_IMAGE_RESAMPLE_H
#define SEGRT_IMAGE_RESAMPLE_H

#include "base/error.h"
#include "base/pool.h"

/* A prepared resize from one size to another: tables and row buffers, so that a steady run allocates
 * nothing.  `from`/`to` pictures are packed RGB, [h][w][3]. */
typedef struct resampler resampler;

/* method: not SEGRT_RESAMPLE_MODEL.  Pillow: Resample.c's two 8-bit passes with its fixed-point
 * coefficients, in the order of version 13; OpenCV: INTER_LINEAR's 11-bit coefficients; nearest: Pillow's. */
segrt_status resampler_open(resampler **out, segrt_resample method, int from_w, int from_h, int to_w, int to_h, segrt_error *error);
bool resampler_fits(const resampler *r, segrt_resample method, int from_w, int from_h, int to_w, int to_h);
void resampler_run(resampler *r, const uint8_t *from, uint8_t *to, segrt_pool *pool);
size_t resampler_memory(const resampler *r);
void resampler_close(resampler *r);

#endif
