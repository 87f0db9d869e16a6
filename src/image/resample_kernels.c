/* resample_kernels: see resample_kernels.h.  The portable loops; they define the result. */
#include "image/resample_kernels.h"

#include "base/cpu.h"

static uint8_t pillow_round(int32_t sum)
{
    const int32_t v = sum >> PILLOW_BITS;
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

void resample_pillow_pixels(const resample_axis *axis, const uint8_t *from, int begin, int end, uint8_t *to)
{
    for (int x = begin; x < end; x++) {
        const uint8_t *p = from + 3 * (size_t)axis->start[x];
        const int32_t *w = axis->weight + (size_t)x * (size_t)axis->taps;
        int32_t r = 1 << (PILLOW_BITS - 1), g = r, b = r;
        for (int i = 0; i < axis->count[x]; i++, p += 3) {
            r += p[0] * w[i];
            g += p[1] * w[i];
            b += p[2] * w[i];
        }
        to[3 * (size_t)x] = pillow_round(r);
        to[3 * (size_t)x + 1] = pillow_round(g);
        to[3 * (size_t)x + 2] = pillow_round(b);
    }
}

void resample_pillow_column(const uint8_t *from, size_t stride, int count, const int32_t *weight, size_t bytes, uint8_t *to)
{
    enum { BLOCK = 64 }; /* sums that stay in registers or the first cache */
    for (size_t at = 0; at < bytes; at += BLOCK) {
        const size_t n = bytes - at < BLOCK ? bytes - at : BLOCK;
        int32_t sum[BLOCK];
        for (size_t i = 0; i < n; i++)
            sum[i] = 1 << (PILLOW_BITS - 1);
        for (int k = 0; k < count; k++) {
            const uint8_t *row = from + (size_t)k * stride + at;
            const int32_t w = weight[k];
            for (size_t i = 0; i < n; i++)
                sum[i] += row[i] * w;
        }
        for (size_t i = 0; i < n; i++)
            to[at + i] = pillow_round(sum[i]);
    }
}

void resample_opencv_pixels(const resample_axis *axis, const uint8_t *from, int begin, int end, int16_t *to)
{
    for (int x = begin; x < end; x++) {
        const uint8_t *left = from + 3 * (size_t)axis->start[x], *right = left + 3 * (axis->count[x] - 1);
        const int32_t *w = axis->weight + 2 * (size_t)x;
        for (size_t c = 0; c < 3; c++)
            to[3 * (size_t)x + c] = (int16_t)((left[c] * w[0] + right[c] * w[1]) >> OPENCV_KEPT); /* at most 255 * 2^7 */
    }
}

void resample_opencv_column(const int16_t *above, const int16_t *below, int weight_above, int weight_below, size_t count, uint8_t *to)
{
    /* The products are shortened one by one, as OpenCV does it for its vectors' sake. */
    for (size_t i = 0; i < count; i++)
        to[i] = (uint8_t)(((above[i] * weight_above >> 16) + (below[i] * weight_below >> 16) + 2) >> 2);
}

static void pillow_row(const resample_axis *axis, const uint8_t *from, size_t readable, uint8_t *to)
{
    (void)readable;
    resample_pillow_pixels(axis, from, 0, axis->to, to);
}

static void opencv_row(const resample_axis *axis, const uint8_t *from, size_t readable, int16_t *to)
{
    (void)readable;
    resample_opencv_pixels(axis, from, 0, axis->to, to);
}

const resample_kernels resample_kernels_portable = {"portable", pillow_row, resample_pillow_column, opencv_row, resample_opencv_column};

const resample_kernels *resample_kernels_best(void)
{
#if defined(__x86_64__)
    if (cpu_levels() & 1u << CPU_AVX2)
        return &resample_kernels_avx2;
#endif
    return &resample_kernels_portable;
}
