/* amx_tiles: the tile instructions that the AMX kernels use, or the same in plain C where the compiler's target has none, so
 * that the kernels' logic is tested on any machine.  Source: Intel SDM vol. 2, TDPBF16PS, TDPBSSD, TILELOADD, LDTILECFG.
 *
 * Numbers of tiles are constants: 0-3 sums, 4-5 rows of a, 6-7 columns of b; 0-5 have as many rows as was configured, 6-7 sixteen.
 * All are 64 bytes wide. */
#ifndef SEGRT_AMX_TILES_H
#define SEGRT_AMX_TILES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __AMX_TILE__

#include <immintrin.h>

typedef struct tile_shape {
    uint8_t palette, start, reserved[14];
    uint16_t bytes[16]; /* of a row */
    uint8_t rows[16];
} tile_shape;

static inline void tiles_configure(int rows)
{
    tile_shape s = {.palette = 1};
    for (int t = 0; t < 8; t++) {
        s.bytes[t] = 64;
        s.rows[t] = (uint8_t)(t < 6 ? rows : 16);
    }
    __asm__ volatile("" : : "r"(&s) : "memory"); /* gcc takes the instruction for one that reads 8 bytes and would leave the rest away */
    _tile_loadconfig(&s);
}
static inline void tiles_release(void) { _tile_release(); }

/* Between stores and the loading of tiles from there: gcc does not know that tile_load reads memory. */
static inline void tiles_follow_stores(void) { __asm__ volatile("" : : : "memory"); }

#define TILES(rows) (void)(rows) /* those of the processor, as configured */
#define tile_zero(t) _tile_zero(t)
#define tile_load(t, p, stride) _tile_loadd(t, p, stride)
#define tile_store(t, p, stride) _tile_stored(t, p, stride)
#define tile_multiply(c, a, b) _tile_dpbf16ps(c, a, b)
#define tile_multiply_bytes(c, a, b) _tile_dpbssd(c, a, b)

#else

typedef struct emulated_tiles {
    int rows;
    uint8_t data[8][16][64];
} emulated_tiles;

static inline void tiles_configure(int rows) { (void)rows; }
static inline void tiles_release(void) {}
static inline void tiles_follow_stores(void) {}

#define TILES(count) emulated_tiles tiles = {.rows = count}
#define tile_zero(t) memset(tiles.data[t], 0, sizeof tiles.data[t])
#define tile_load(t, p, stride) emulated_load(&tiles, t, p, stride)
#define tile_store(t, p, stride) emulated_store(&tiles, t, p, stride)
#define tile_multiply(c, a, b) emulated_multiply(&tiles, c, a, b)
#define tile_multiply_bytes(c, a, b) emulated_multiply_bytes(&tiles, c, a, b)

static inline int emulated_rows(const emulated_tiles *tiles, int t) { return t < 6 ? tiles->rows : 16; }

static inline void emulated_load(emulated_tiles *tiles, int t, const void *p, ptrdiff_t stride)
{
    for (int r = 0; r < emulated_rows(tiles, t); r++)
        memcpy(tiles->data[t][r], (const char *)p + r * stride, sizeof tiles->data[t][r]);
}

static inline void emulated_store(const emulated_tiles *tiles, int t, void *p, ptrdiff_t stride)
{
    for (int r = 0; r < emulated_rows(tiles, t); r++)
        memcpy((char *)p + r * stride, tiles->data[t][r], sizeof tiles->data[t][r]);
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
    for (int r = 0; r < tiles->rows; r++)
        for (int pair = 0; pair < 16; pair++)
            for (int column = 0; column < 16; column++) {
                float sum;
                memcpy(&sum, &tiles->data[c][r][column * 4], sizeof sum);
                for (int half = 0; half < 2; half++)
                    sum += emulated_float(&tiles->data[a][r][pair * 4 + half * 2]) * emulated_float(&tiles->data[b][pair][column * 4 + half * 2]);
                memcpy(&tiles->data[c][r][column * 4], &sum, sizeof sum);
            }
}

static inline void emulated_multiply_bytes(emulated_tiles *tiles, int c, int a, int b)
{
    for (int r = 0; r < tiles->rows; r++)
        for (int four = 0; four < 16; four++)
            for (int column = 0; column < 16; column++) {
                int32_t sum;
                memcpy(&sum, &tiles->data[c][r][column * 4], sizeof sum);
                for (int i = 0; i < 4; i++)
                    sum += (int8_t)tiles->data[a][r][four * 4 + i] * (int8_t)tiles->data[b][four][column * 4 + i];
                memcpy(&tiles->data[c][r][column * 4], &sum, sizeof sum);
            }
}

#endif

#endif
