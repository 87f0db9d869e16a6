/* centring: see centring.h. */
#include "network/centring.h"

#include <stddef.h>

enum { BOXES = 24 };

static uint32_t scrambled(uint32_t x)
{
    x ^= x >> 16;
    x *= 0x7feb352du;
    x ^= x >> 15;
    x *= 0x846ca68bu;
    return x ^ (x >> 16);
}

static uint8_t clamped(int value)
{
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

void centring_picture(uint8_t *rgb, int h, int w)
{
    static const int top[2][3] = {{110, 160, 220}, {90, 85, 80}}, bottom[2][3] = {{200, 215, 235}, {130, 120, 105}}; /* sky, ground */
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            const int ground = 2 * y >= h, along = 2 * y - ground * h; /* 0 at the top of either half, h at its end */
            const int noise = (int)(scrambled((uint32_t)y * 65537u + (uint32_t)x) % 25) - 12;
            for (int c = 0; c < 3; c++)
                rgb[((size_t)y * (size_t)w + (size_t)x) * 3 + (size_t)c] =
                    clamped(top[ground][c] + (bottom[ground][c] - top[ground][c]) * along / h + noise);
        }
    for (uint32_t box = 0; box < BOXES; box++) {
        const uint32_t a = scrambled(box * 3 + 1), b = scrambled(box * 3 + 2), colour = scrambled(box * 3 + 3);
        const int left = (int)(a % (uint32_t)w), upper = (int)((a >> 12) % (uint32_t)h);
        const int right = left + w / 16 + (int)(b % 64) * w / 256, lower = upper + h / 16 + (int)((b >> 8) % 64) * h / 256;
        for (int y = upper; y < lower && y < h; y++)
            for (int x = left; x < right && x < w; x++)
                for (int c = 0; c < 3; c++) {
                    uint8_t *pixel = &rgb[((size_t)y * (size_t)w + (size_t)x) * 3 + (size_t)c];
                    *pixel = clamped((int)(colour >> (8 * c) & 255) + (*pixel >> 3) - 16);
                }
    }
}
