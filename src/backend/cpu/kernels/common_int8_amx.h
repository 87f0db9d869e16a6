/* common_int8_amx: products of signed bytes on AMX tiles (TDPBSSD): two by two tiles while k runs 64 at a time, then the sums
 * through a buffer in L1 to the common store.  Packed panel: [k / 4][PANEL][4], a tile 1 KiB. */
#ifndef SEGRT_COMMON_INT8_AMX_H
#define SEGRT_COMMON_INT8_AMX_H

#include "backend/cpu/kernels/int8.h"

#include "backend/cpu/kernels/amx_tiles.h"

typedef int8_t quantum;
enum { K_UNIT = 64, TILE = 16 };

#include "backend/cpu/kernels/common_int8.h"

#ifdef __AMX_TILE__
#define tile_multiply_bytes(c, a, b) _tile_dpbssd(c, a, b)
#else
#define tile_multiply_bytes(c, a, b) emulated_multiply_bytes(&tiles, c, a, b)
static inline void emulated_multiply_bytes(emulated_tiles *tiles, int c, int a, int b)
{
    for (int r = 0; r < tiles->shape.rows[c]; r++)
        for (int four = 0; four < tiles->shape.bytes[a] / 4; four++)
            for (int column = 0; column < tiles->shape.bytes[c] / 4; column++) {
                int32_t sum;
                memcpy(&sum, &tiles->data[c][r][column * 4], sizeof sum);
                for (int i = 0; i < 4; i++)
                    sum += (int8_t)tiles->data[a][r][four * 4 + i] * (int8_t)tiles->data[b][four][column * 4 + i];
                memcpy(&tiles->data[c][r][column * 4], &sum, sizeof sum);
            }
}
#endif

static size_t panel_bytes(int k) { return (size_t)round_to_unit(k) * PANEL; }

static void pack(void *b, const float *src, const float *inverse, int n, int k)
{
    for (int j = 0; j < n; j++) {
        quantum *to = (quantum *)b + (size_t)(j / PANEL) * panel_bytes(k) + j % PANEL * 4;
        for (int i = 0; i < k; i++)
            to[i / 4 * (4 * PANEL) + i % 4] = quantised(src[(size_t)j * (size_t)k + (size_t)i] * inverse[j]);
    }
}

static tile_shape shape_of(int upper, int lower)
{
    tile_shape s = {.palette = 1};
    for (int t = 0; t < 8; t++) {
        s.bytes[t] = LINE;
        s.rows[t] = (uint8_t)(t == 0 || t == 1 || t == 4 ? upper : t == 2 || t == 3 || t == 5 ? lower : TILE);
    }
    return s;
}

/* Rows [i, i + 2 TILE) and panels p, p + 1, or those that are there, into sums [2 TILE][2 PANEL]. */
static inline __attribute__((always_inline)) void amx_tiles(const int8_args *q, int i, int p, const bool two_rows, const bool two_panels, int32_t *sums)
{
    TILES;
#ifndef __AMX_TILE__
    tiles.shape = shape_of(q->m - i < TILE ? q->m - i : TILE, two_rows ? (q->m - i - TILE < TILE ? q->m - i - TILE : TILE) : TILE);
#endif
    tile_zero(0);
    if (two_panels)
        tile_zero(1);
    if (two_rows)
        tile_zero(2);
    if (two_rows && two_panels)
        tile_zero(3);
    const quantum *a = (const quantum *)q->a + i * q->a_row;
    const char *b = (const char *)q->b + (size_t)p * q->b_panel;
    for (int k = 0; k < q->k; k += K_UNIT, a += K_UNIT, b += K_UNIT * PANEL) {
        tile_load(4, a, q->a_row);
        tile_load(6, b, LINE);
        tile_multiply_bytes(0, 4, 6);
        if (two_panels) {
            tile_load(7, b + q->b_panel, LINE);
            tile_multiply_bytes(1, 4, 7);
        }
        if (two_rows) {
            tile_load(5, a + TILE * q->a_row, q->a_row);
            tile_multiply_bytes(2, 5, 6);
            if (two_panels)
                tile_multiply_bytes(3, 5, 7);
        }
    }
    const ptrdiff_t bytes = 2 * PANEL * sizeof *sums;
    tile_store(0, sums, bytes);
    if (two_panels)
        tile_store(1, sums + PANEL, bytes);
    if (two_rows)
        tile_store(2, sums + TILE * 2 * PANEL, bytes);
    if (two_rows && two_panels)
        tile_store(3, sums + TILE * 2 * PANEL + PANEL, bytes);
}

static inline __attribute__((always_inline)) void store_rows(const int8_args *q, const gemm_args *g, int i, int p, const int rows, const int panels,
                                                             const int32_t *sums)
{
    vf result[4][2 * PANEL_VECTORS];
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int v = 0; v < panels * PANEL_VECTORS; v++)
            result[r][v] = v_mul(vi_float(vi_load(sums + r * 2 * PANEL + v * VL)), v_load(q->scale + p * PANEL + v * VL));
    store_tile(g, i, p * PANEL, rows, panels * PANEL_VECTORS, result);
}

static void store_block(const int8_args *q, const gemm_args *g, int i, int p, bool two_panels, const int32_t *sums)
{
    const int rows = q->m - i < 2 * TILE ? q->m - i : 2 * TILE;
    int r = 0;
    for (; r + 4 <= rows; r += 4)
        if (two_panels)
            store_rows(q, g, i + r, p, 4, 2, sums + r * 2 * PANEL);
        else
            store_rows(q, g, i + r, p, 4, 1, sums + r * 2 * PANEL);
    for (; r < rows; r++)
        if (two_panels)
            store_rows(q, g, i + r, p, 1, 2, sums + r * 2 * PANEL);
        else
            store_rows(q, g, i + r, p, 1, 1, sums + r * 2 * PANEL);
}

static void gemm(const int8_args *q)
{
    const gemm_args g = store_args(q);
    const int panels = (q->n + PANEL - 1) / PANEL;
    _Alignas(LINE) int32_t sums[2 * TILE * 2 * PANEL];
    for (int i0 = 0; i0 < q->m;) { /* full rows first, then the rest under a configuration of its own */
        const int left = q->m - i0, full = left / (2 * TILE) * (2 * TILE), rows = full ? full : left;
        const tile_shape shape = full ? shape_of(TILE, TILE) : shape_of(left < TILE ? left : TILE, left > TILE ? left - TILE : TILE);
#ifdef __AMX_TILE__
        tiles_configure(&shape);
#else
        (void)shape;
#endif
        for (int p = 0; p < panels; p += 2)
            for (int i = i0; i < i0 + rows; i += 2 * TILE) {
                const bool two_rows = q->m - i > TILE, two_panels = panels - p > 1;
                if (two_rows && two_panels)
                    amx_tiles(q, i, p, true, true, sums);
                else if (two_rows)
                    amx_tiles(q, i, p, true, false, sums);
                else if (two_panels)
                    amx_tiles(q, i, p, false, true, sums);
                else
                    amx_tiles(q, i, p, false, false, sums);
                store_block(q, &g, i, p, two_panels, sums);
            }
        i0 += rows;
    }
#ifdef __AMX_TILE__
    tiles_release();
#endif
}

#endif
