/* common_gemm_amx: products of bfloat16 tiles: two by two tiles of 16 rows and columns while k runs a line of operands at a time
 * (for operands of two parts, common_parts.h, by two tiles of the right side), then the sums
 * through a buffer in L1 to the common store.  Rows that do not fill a tile get tiles of their own shape: the tile
 * configuration is loaded where it changes, a few times a product, and left released. */
#ifndef SEGRT_COMMON_GEMM_AMX_H
#define SEGRT_COMMON_GEMM_AMX_H

#include "backend/cpu/kernels/amx_tiles.h"
#if defined(OPERAND_PARTS)
#include "backend/cpu/kernels/common_parts.h"
#else
#include "backend/cpu/kernels/common_pairs.h"
enum { PART_TILES = 1 };
#endif
#include "backend/cpu/kernels/common_store.h"

enum { TILE = 16, TILE_K = LANES };

static tile_shape shape_of(int upper, int lower)
{
    tile_shape s = {.palette = 1};
    for (int t = 0; t < 8; t++) {
        s.bytes[t] = LINE;
        s.rows[t] = (uint8_t)(t == 0 || t == 1 || t == 4 ? upper : t == 2 || t == 3 || t == 5 ? lower : TILE);
    }
    return s;
}

/* Sums of rows [i, i + upper + lower) and panels p, p + 1 of g; four tiles, or those that are there, into sums [32][32], or
 * straight into c where nothing is to be done on the way. */
static inline __attribute__((always_inline)) void amx_tiles(const gemm_args *g, int i, int p, const bool two_rows, const bool two_panels, float *to,
                                                            ptrdiff_t to_row, ptrdiff_t to_panel)
{
    TILES;
#ifndef __AMX_TILE__
    tiles.shape = shape_of(g->m - i < TILE ? g->m - i : TILE, two_rows ? (g->m - i - TILE < TILE ? g->m - i - TILE : TILE) : TILE);
#endif
    tile_zero(0);
    if (two_panels)
        tile_zero(1);
    if (two_rows)
        tile_zero(2);
    if (two_rows && two_panels)
        tile_zero(3);
    const operand *a = (const operand *)g->a + i * g->a_row;
    const char *b = (const char *)g->b + (size_t)p * g->b_panel;
    const ptrdiff_t a_bytes = g->a_row * (ptrdiff_t)sizeof(operand), lower = TILE * g->a_row;
    for (int k = 0; k < g->k; k += TILE_K, a += g->a_panel, b += PART_TILES * TILE * LINE) {
        tile_load(4, a, a_bytes);
        for (int part = 0; part < PART_TILES; part++) {
            tile_load(6, b + part * TILE * LINE, LINE);
            tile_multiply(0, 4, 6);
            if (two_panels) {
                tile_load(7, b + g->b_panel + part * TILE * LINE, LINE);
                tile_multiply(1, 4, 7);
            }
            if (two_rows) {
                if (part == 0)
                    tile_load(5, a + lower, a_bytes);
                tile_multiply(2, 5, 6);
                if (two_panels)
                    tile_multiply(3, 5, 7);
            }
        }
    }
    const ptrdiff_t bytes = to_row * (ptrdiff_t)sizeof(float);
    tile_store(0, to, bytes);
    if (two_panels)
        tile_store(1, to + to_panel, bytes);
    if (two_rows)
        tile_store(2, to + TILE * to_row, bytes);
    if (two_rows && two_panels)
        tile_store(3, to + TILE * to_row + to_panel, bytes);
}

static inline void amx_block(const gemm_args *g, int i, int p, int panels, float *to, ptrdiff_t to_row, ptrdiff_t to_panel)
{
    const bool two_rows = g->m - i > TILE, two_panels = panels - p > 1;
    if (two_rows && two_panels)
        amx_tiles(g, i, p, true, true, to, to_row, to_panel);
    else if (two_rows)
        amx_tiles(g, i, p, true, false, to, to_row, to_panel);
    else if (two_panels)
        amx_tiles(g, i, p, false, true, to, to_row, to_panel);
    else
        amx_tiles(g, i, p, false, false, to, to_row, to_panel);
}

static void store_block(const gemm_args *g, int i, int p, const float *sums)
{
    const int rows = g->m - i < 2 * TILE ? g->m - i : 2 * TILE;
    vf sum[4][2 * PANEL_VECTORS];
    for (int r = 0; r < rows;) {
        const int group = rows - r >= 4 ? 4 : 1;
        for (int part = 0; part < group; part++)
            for (int v = 0; v < 2 * PANEL_VECTORS; v++)
                sum[part][v] = v_load(sums + (r + part) * 2 * PANEL + v * VL);
        if (group == 4)
            store_tile(g, i + r, p * PANEL, 4, 2 * PANEL_VECTORS, sum);
        else
            store_tile(g, i + r, p * PANEL, 1, 2 * PANEL_VECTORS, sum);
        r += group;
    }
}

static void gemm(const gemm_args *g)
{
    const int panels = (g->n + PANEL - 1) / PANEL;
    const bool plain = !g->narrow && !g->row_scale && !g->bias && !g->add && !g->relu && g->n % PANEL == 0;
    _Alignas(LINE) float sums[2 * TILE * 2 * PANEL];
    /* Full rows first, then the rest under a configuration of its own. */
    for (int i0 = 0; i0 < g->m;) {
        const int left = g->m - i0, full = left / (2 * TILE) * (2 * TILE), rows = full ? full : left;
        const tile_shape shape = full ? shape_of(TILE, TILE) : shape_of(left < TILE ? left : TILE, left > TILE ? left - TILE : TILE);
#ifdef __AMX_TILE__
        tiles_configure(&shape);
#else
        (void)shape;
#endif
        for (int p = 0; p < panels; p += 2)
            for (int i = i0; i < i0 + rows; i += 2 * TILE) {
                if (plain) {
                    amx_block(g, i, p, panels, (float *)g->c + p * g->c_panel + i * g->c_row, g->c_row, g->c_panel);
                } else {
                    amx_block(g, i, p, panels, sums, 2 * PANEL, PANEL);
                    store_block(g, i, p, sums);
                }
            }
        i0 += rows;
    }
#ifdef __AMX_TILE__
    tiles_release();
#endif
}

#endif
