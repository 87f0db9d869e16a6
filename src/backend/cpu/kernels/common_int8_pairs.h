/* common_int8_pairs: products of 8-bit integers that are stored in 16 bits: pairs along k are multiplied and added exactly, by one
 * instruction where there is one (vpmaddwd), into a tile of 32-bit sums in registers.  The including file has defined vi_zero and
 * vi_multiply_add beside what common_int8.h wants.  Packed panel: [k / 2][PANEL][2]. */
#ifndef SEGRT_COMMON_INT8_PAIRS_H
#define SEGRT_COMMON_INT8_PAIRS_H

typedef int16_t quantum;
enum { K_UNIT = 2 };

#include "backend/cpu/kernels/common_int8.h"

static size_t panel_bytes(int k) { return (size_t)round_to_unit(k) * PANEL * sizeof(quantum); }

static void pack(void *b, const float *src, const float *inverse, int n, int k)
{
    for (int j = 0; j < n; j++) {
        quantum *to = (quantum *)((char *)b + (size_t)(j / PANEL) * panel_bytes(k)) + j % PANEL * 2;
        for (int i = 0; i < k; i++)
            to[i / 2 * (2 * PANEL) + i % 2] = quantised(src[(size_t)j * (size_t)k + (size_t)i] * inverse[j]);
    }
}

static inline __attribute__((always_inline)) void tile(const int8_args *q, const gemm_args *g, int i, int p, const int rows, const int panels)
{
    const int vectors = panels * PANEL_VECTORS;
    vi sum[TILE_ROWS][2 * PANEL_VECTORS];
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++)
            sum[r][v] = vi_zero();
    const quantum *a = (const quantum *)q->a + i * q->a_row;
    const quantum *b = (const quantum *)((const char *)q->b + (size_t)p * q->b_panel);
    const ptrdiff_t next_panel = (ptrdiff_t)(q->b_panel / sizeof(quantum));
    for (int k = 0; k < q->k; k += 2, a += 2, b += 2 * PANEL)
#pragma GCC unroll 16
        for (int r = 0; r < rows; r++) {
            int32_t pair;
            memcpy(&pair, a + r * q->a_row, sizeof pair);
#pragma GCC unroll 8
            for (int v = 0; v < vectors; v++)
                sum[r][v] = vi_multiply_add(sum[r][v], pair, b + v / PANEL_VECTORS * next_panel + v % PANEL_VECTORS * 2 * VL);
        }
    vf result[TILE_ROWS][2 * PANEL_VECTORS];
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++)
            result[r][v] = v_mul(vi_float(sum[r][v]), v_load(q->scale + p * PANEL + v * VL));
    store_tile(g, i, p * PANEL, rows, vectors, result);
}

static void gemm(const int8_args *q)
{
    const gemm_args g = store_args(q);
    const int panels = (q->n + PANEL - 1) / PANEL;
    for (int p = 0; p < panels;) {
        const bool all = panels - p >= TILE_PANELS;
        int i = 0;
        for (; i + TILE_ROWS <= q->m; i += TILE_ROWS)
            if (all)
                tile(q, &g, i, p, TILE_ROWS, TILE_PANELS);
            else
                tile(q, &g, i, p, TILE_ROWS, 1);
        for (; i < q->m; i++)
            if (all)
                tile(q, &g, i, p, 1, TILE_PANELS);
            else
                tile(q, &g, i, p, 1, 1);
        p += all ? TILE_PANELS : 1;
    }
}

#endif
