/* yuv: see yuv.h. */
#include "image/yuv.h"

#include <stddef.h>

#include "base/cpu.h"

static uint8_t clamp_byte(int v)
{
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

void yuv_row_portable(const uint8_t *y, const uint8_t *u, const uint8_t *v, int step, int width, uint8_t *rgb)
{
    int red = 0, green = 0, blue = 0;
    for (int x = 0; x < width; x++) {
        if (x % 2 == 0) {
            const int cu = u[(size_t)(x / 2) * (size_t)step] - 128, cv = v[(size_t)(x / 2) * (size_t)step] - 128;
            red = YUV_RV * cv + YUV_HALF;
            green = YUV_GV * cv + YUV_GU * cu + YUV_HALF;
            blue = YUV_BU * cu + YUV_HALF;
        }
        const int luma = (y[x] < 16 ? 0 : y[x] - 16) * YUV_Y;
        rgb[3 * (size_t)x] = clamp_byte((luma + red) >> YUV_BITS);
        rgb[3 * (size_t)x + 1] = clamp_byte((luma + green) >> YUV_BITS);
        rgb[3 * (size_t)x + 2] = clamp_byte((luma + blue) >> YUV_BITS);
    }
}

yuv_row_fn *yuv_row_best(void)
{
#if defined(__x86_64__)
    if (cpu_levels() & 1u << CPU_AVX2)
        return yuv_row_avx2;
#endif
    return yuv_row_portable;
}
