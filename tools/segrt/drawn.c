/* drawn: see drawn.h. */
#include "drawn.h"

#include <math.h>
#include <stdlib.h>

#include "report.h"

const char *const drawn_name[DRAWN_KINDS] = {[DRAWN_NOISE] = "noise", [DRAWN_SHAPES] = "drawn shapes"};

bool drawn_room(drawn *d, segrt_shape shape)
{
    free(d->data);
    *d = (drawn){
        .data = malloc((size_t)shape.n * (size_t)shape.h * (size_t)shape.w * 3 * sizeof(float)), .n = shape.n, .h = shape.h, .w = shape.w};
    if (!d->data)
        report("out of memory for an input of %dx%dx%d", shape.n, shape.h, shape.w);
    return d->data != NULL;
}

void drawn_fill(drawn *d, drawn_kind kind)
{
    uint64_t state = 0x9E3779B97F4A7C15u;
    float *to = d->data;
    for (int plane = 0; plane < 3 * d->n; plane++)
        for (int y = 0; y < d->h; y++)
            for (int x = 0; x < d->w; x++) {
                const int c = plane % 3, shift = 11 * (plane / 3);
                float sum = 0;
                for (int k = 0; k < 4 && kind == DRAWN_NOISE; k++) { /* four uniform numbers are normal enough */
                    state = state * 6364136223846793005u + 1442695040888963407u;
                    sum += (float)(state >> 40) * (1.0f / 16777216) - 0.5f;
                }
                *to++ = kind == DRAWN_NOISE ? sum * 1.7f
                                            : sinf(0.05f * (float)(x + shift + 7 * c)) + cosf(0.031f * (float)(y * (c + 1))) +
                                                  (((x + shift) / 40 + y / 25) % 2 ? 0.6f : -0.4f);
            }
}
