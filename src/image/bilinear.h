/* bilinear: where PyTorch's bilinear interpolation (align_corners = false) takes its values from, along
 * one side, in float32 as PyTorch computes it.  Image layer. */
#ifndef SEGRT_IMAGE_BILINEAR_H
#define SEGRT_IMAGE_BILINEAR_H

#include <stdint.h>

typedef struct bilinear_tap {
    int32_t first, second; /* in [0, from) */
    float second_weight;   /* the first's is 1 - this */
} bilinear_tap;

/* taps [to]. */
static inline void bilinear_taps(int from, int to, bilinear_tap *taps)
{
    const float scale = (float)from / (float)to;
    for (int i = 0; i < to; i++) {
        float at = scale * ((float)i + 0.5f) - 0.5f;
        at = at < 0 ? 0 : at;
        const int32_t first = (int32_t)at < from - 1 ? (int32_t)at : from - 1;
        const float weight = at - (float)first;
        taps[i] = (bilinear_tap){.first = first, .second = first + (first < from - 1), .second_weight = weight > 1 ? 1 : weight};
    }
}

#endif
