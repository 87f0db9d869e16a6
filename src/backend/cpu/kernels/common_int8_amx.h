/* common_int8_amx: products of signed bytes on AMX tiles (TDPBSSD): common_tiles.h's walk, and what becomes of the sums.  Packed
 * panel: [k / 4][PANEL][4], a tile 1 KiB. */
#ifndef SEGRT_COMMON_INT8_AMX_H
#define SEGRT_COMMON_INT8_AMX_H

#include <stdint.h>

typedef int8_t quantum;
enum { K_UNIT = 64 };

#include "backend/cpu/kernels/common_int8.h"

typedef struct tile_ending {
    const int8_args *q;
    gemm_args g;
} tile_ending;
static size_t panel_bytes(int k) { return (size_t)round_to_unit(k) * PANEL; }

static void pack(void *b, const float *src, const float *inverse, int n, int k)
{
    for (int j = 0; j < n; j++) {
        quantum *to = (quantum *)b + (size_t)(j / PANEL) * panel_bytes(k) + j % PANEL * 4;
        for (int i = 0; i < k; i++)
            to[i / 4 * (4 * PANEL) + i % 4] = quantised(src[(size_t)j * (size_t)k + (size_t)i] * inverse[j]);
    }
}

static inline __attribute__((always_inline)) void finish_rows(const tile_ending *e, int i, int p, const int rows, const int panels, const char *sums,
                                                              ptrdiff_t row)
{
    vf result[4][2 * PANEL_VECTORS];
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int v = 0; v < panels * PANEL_VECTORS; v++)
            result[r][v] = v_mul(vi_float(vi_load((const int32_t *)(sums + r * row) + v * VL)), v_load(e->q->scale + p * PANEL + v * VL));
    store_tile(&e->g, i, p * PANEL, rows, panels * PANEL_VECTORS, result);
}

#define TILE_MULTIPLY(c, a, b) tile_multiply_bytes(c, a, b)
#include "backend/cpu/kernels/common_tiles.h"

static void gemm(const int8_args *q)
{
    tile_multiply_all(&(tile_product){.m = q->m, .panels = (q->n + PANEL - 1) / PANEL, .lines = round_to_unit(q->k) / K_UNIT, .a = q->a, .a_row = q->a_row,
                                      .a_panel = K_UNIT, .b = q->b, .b_panel = q->b_panel, .ending = &(tile_ending){.q = q, .g = store_args(q)}});
}

#endif
