/* logits: see logits.h. */
#include "logits.h"

#include <stdlib.h>

#include "report.h"

/* Between which two of `from` places place `at` of `to` lies, and how far from the first. */
typedef struct between {
    int first, second;
    float share;
} between;

static between place(int at, int from, int to, bool align)
{
    const float exact =
        align ? (to > 1 ? (float)at * (float)(from - 1) / (float)(to - 1) : 0) : ((float)at + 0.5f) * (float)from / (float)to - 0.5f;
    const float inside = exact > 0 ? exact : 0;
    const int first = (int)inside < from - 1 ? (int)inside : from - 1;
    return (between){first, first + 1 < from ? first + 1 : first, inside - (float)first};
}

static float mixed(const float *plane, int width, between y, between x)
{
    const float *above = plane + (size_t)y.first * (size_t)width, *below = plane + (size_t)y.second * (size_t)width;
    return (1 - y.share) * ((1 - x.share) * above[x.first] + x.share * above[x.second]) +
           y.share * ((1 - x.share) * below[x.first] + x.share * below[x.second]);
}

void logits_resize(float *to, const float *from, int planes, int from_h, int from_w, int h, int w, bool align)
{
    for (int p = 0; p < planes; p++, from += (size_t)from_h * (size_t)from_w)
        for (int y = 0; y < h; y++)
            for (int x = 0; x < w; x++)
                *to++ = mixed(from, from_w, place(y, from_h, h, align), place(x, from_w, w, align));
}

uint16_t *logits_argmax(const float *logits, int n, int classes, int from_h, int from_w, int h, int w, bool align)
{
    uint16_t *labels = malloc((size_t)n * (size_t)h * (size_t)w * sizeof *labels), *to = labels;
    const size_t plane = (size_t)from_h * (size_t)from_w;
    for (int i = 0; labels && i < n; i++, logits += (size_t)classes * plane)
        for (int y = 0; y < h; y++)
            for (int x = 0; x < w; x++) {
                const between row = place(y, from_h, h, align), column = place(x, from_w, w, align);
                float best = -3e38f;
                uint16_t winner = 0;
                for (int k = 0; k < classes; k++) {
                    const float value = mixed(logits + (size_t)k * plane, from_w, row, column);
                    if (value > best) {
                        best = value;
                        winner = (uint16_t)k;
                    }
                }
                *to++ = winner;
            }
    if (!labels)
        report("out of memory for labels of %dx%d", w, h);
    return labels;
}
