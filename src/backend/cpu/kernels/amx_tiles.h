/* amx_tiles: the tile instructions that the AMX kernels use, or the same in plain C where the compiler's target has none, so
 * that the kernels' logic is tested on any machine.  Source: Intel SDM vol. 2, TDPBF16PS, TILELOADD, LDTILECFG.
 *
 * Numbers of tiles are constants: 0-3 sums, 4-5 rows of a, 6-7 columns of b. */
#ifndef SEGRT_AMX_TILES_H
#define SEGRT_AMX_TILES_H

#include <stdint.h>
#include <string.h>

typedef struct tile_shape {
    uint8_t palette, start, reserved[14];
    uint16_t bytes[16]; /* of a row */
    uint8_t rows[16];
} tile_shape;

#ifdef __AMX_TILE__

#include <immintrin.h>

#define TILES
#define tiles_configure(shape) _tile_loadconfig(shape)
#define tiles_release() _tile_release()
#define tile_zero(t) _tile_zero(t)
#define tile_load(t, p, stride) _tile_loadd(t, p, stride)
#define tile_store(t, p, stride) _tile_stored(t, p, stride)
#define tile_multiply(c, a, b) _tile_dpbf16ps(c, a, b)

#else

typedef struct emulated_tiles {
    tile_shape shape;
    uint8_t data[8][16][64];
} emulated_tiles;

#define TILES emulated_tiles tiles
#define tiles_configure(from) memcpy(&tiles.shape, from, sizeof tiles.shape)
#define tiles_release() (void)0
#define tile_zero(t) memset(tiles.data[t], 0, sizeof tiles.data[t])
#define tile_load(t, p, stride) emulated_load(&tiles, t, p, stride)
#define tile_store(t, p, stride) emulated_store(&tiles, t, p, stride)
#define tile_multiply(c, a, b) emulated_multiply(&tiles, c, a, b)

static inline void emulated_load(emulated_tiles *tiles, int t, const void *p, ptrdiff_t stride)
{
    memset(tiles->data[t], 0, sizeof tiles->data[t]);
    for (int r = 0; r < tiles->shape.rows[t]; r++)
        memcpy(tiles->data[t][r], (const char *)p + r * stride, tiles->shape.bytes[t]);
}

static inline void emulated_store(const emulated_tiles *tiles, int t, void *p, ptrdiff_t stride)
{
    for (int r = 0; r < tiles->shape.rows[t]; r++)
        memcpy((char *)p + r * stride, tiles->data[t][r], tiles->shape.bytes[t]);
}

static inline float emulated_float(const uint8_t *p)
{
    uint16_t narrow;
    memcpy(&narrow, p, sizeof narrow);
    const uint32_t bits = (uint32_t)narrow << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static inline void emulated_multiply(emulated_tiles *tiles, int c, int a, int b)
{
    for (int r = 0; r < tiles->shape.rows[c]; r++)
        for (int pair = 0; pair < tiles->shape.bytes[a] / 4; pair++)
            for (int column = 0; column < tiles->shape.bytes[c] / 4; column++) {
                float sum;
                memcpy(&sum, &tiles->data[c][r][column * 4], sizeof sum);
                for (int half = 0; half < 2; half++)
                    sum += emulated_float(&tiles->data[a][r][pair * 4 + half * 2]) * emulated_float(&tiles->data[b][pair][column * 4 + half * 2]);
                memcpy(&tiles->data[c][r][column * 4], &sum, sizeof sum);
            }
}

#endif

#endif
