/* depthwise: the 3x3 convolution of the Mix-FFN, a channel at a time, zero-padded, and GELU; see
 * reference.h. */
#include "backend/reference/loops.h"

typedef struct depthwise {
    const network_block *block;
    const double *z; /* [n][h * w][hidden] */
    double *g;
    grid at;
} depthwise;

static void depthwise_rows(const void *job, int worker, size_t begin, size_t end)
{
    (void)worker;
    const depthwise *d = job;
    const size_t hidden = (size_t)d->block->hidden, w = (size_t)d->at.w, pixels = (size_t)d->at.h * w;
    for (size_t r = begin; r < end; r++) {
        const size_t picture = r / pixels * pixels;
        const int y = (int)(r % pixels / w), x = (int)(r % w);
        double *g = d->g + r * hidden;
        for (size_t i = 0; i < hidden; i++)
            g[i] = weight_at(d->block->depthwise_bias, i);
        for (int t = 0; t < 9; t++) {
            const int ty = y + t / 3 - 1, tx = x + t % 3 - 1;
            if (ty < 0 || ty >= d->at.h || tx < 0 || tx >= d->at.w)
                continue;
            const double *z = d->z + (picture + (size_t)ty * w + (size_t)tx) * hidden;
            for (size_t i = 0; i < hidden; i++)
                g[i] += z[i] * weight_at(d->block->depthwise, (size_t)t * hidden + i);
        }
        for (size_t i = 0; i < hidden; i++)
            g[i] = gelu(g[i]);
    }
}

void reference_depthwise(const network_block *b, const double *z, grid at, double *g, segrt_pool *pool)
{
    const depthwise job = {.block = b, .z = z, .g = g, .at = at};
    for_rows(pool, grid_rows(at), depthwise_rows, &job);
}
