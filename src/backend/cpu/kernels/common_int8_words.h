/* common_int8_words: products of 8-bit integers where the left side is read by words of 32 bits: two integers that are stored in 16
 * (vpmaddwd, smull), or four bytes (vpdpbusd, sdot), multiplied with as many of each column and added exactly to a tile of 32-bit
 * sums in registers.  Packed panel: [k / WORD][PANEL][WORD], WORD numbers a word.
 *
 * vpdpbusd multiplies unsigned bytes by signed ones: weights are stored plus WEIGHT_OFFSET, and sums begin with what that adds, taken
 * off: the sum of the row's integers times the offset.
 *
 * The including file has defined quantum, WEIGHT_OFFSET, vi_set, vi_load and vi_multiply_add(sum, words, weights), and with an offset
 * vi_add_bytes(sum, bytes), beside what common_int8.h wants. */
#ifndef SEGRT_COMMON_INT8_WORDS_H
#define SEGRT_COMMON_INT8_WORDS_H

enum { WORD = sizeof(int32_t) / sizeof(quantum), K_UNIT = WORD };

#include "backend/cpu/kernels/common_int8.h"

enum { ROWS = 8 * TILE_ROWS }; /* of a block whose beginnings are known */

static size_t panel_bytes(int k) { return (size_t)round_to_unit(k) * PANEL * sizeof(quantum); }

static void pack(void *b, const float *src, const float *inverse, int n, int k)
{
    for (int j = 0; j < n; j++) {
        quantum *to = (quantum *)((char *)b + (size_t)(j / PANEL) * panel_bytes(k)) + j % PANEL * WORD;
        for (int i = 0; i < k; i++)
            to[i / WORD * (WORD * PANEL) + i % WORD] = (quantum)(quantised(src[(size_t)j * (size_t)k + (size_t)i] * inverse[j]) + WEIGHT_OFFSET);
    }
}

/* What the sums of a row begin with. */
static int32_t beginning(const quantum *a, int k)
{
#if WEIGHT_OFFSET
    vi sums = vi_set(0);
    int32_t lanes[VL], all = 0;
    int i = 0;
    for (; i + VL * WORD <= k; i += VL * WORD)
        sums = vi_add_bytes(sums, a + i);
    for (; i < k; i++)
        all += a[i];
    memcpy(lanes, &sums, sizeof lanes);
    for (int lane = 0; lane < VL; lane++)
        all += lanes[lane];
    return -WEIGHT_OFFSET * all;
#else
    (void)a, (void)k;
    return 0;
#endif
}

static inline __attribute__((always_inline)) void tile(const int8_args *q, const gemm_args *g, int i, int p, const int rows, const int panels, const int32_t *begin)
{
    const int vectors = panels * PANEL_VECTORS;
    vi sum[TILE_ROWS][2 * PANEL_VECTORS];
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++)
            sum[r][v] = vi_set(begin[r]);
    const quantum *a = (const quantum *)q->a + i * q->a_row;
    const quantum *b = (const quantum *)((const char *)q->b + (size_t)p * q->b_panel);
    const ptrdiff_t row = q->a_row, next_panel = (ptrdiff_t)(q->b_panel / sizeof(quantum));
    for (int k = 0; k < q->k; k += WORD, a += WORD, b += WORD * PANEL) {
        vi weight[2 * PANEL_VECTORS];
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++)
            weight[v] = vi_load(b + v / PANEL_VECTORS * next_panel + v % PANEL_VECTORS * WORD * VL);
#pragma GCC unroll 16
        for (int r = 0; r < rows; r++) {
            int32_t word;
            memcpy(&word, a + r * row, sizeof word);
            const vi x = vi_set(word);
#pragma GCC unroll 8
            for (int v = 0; v < vectors; v++)
                sum[r][v] = vi_multiply_add(sum[r][v], x, weight[v]);
        }
    }
    vf result[TILE_ROWS][2 * PANEL_VECTORS];
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++)
            result[r][v] = v_mul(vi_float(sum[r][v]), v_load(q->scale + p * PANEL + v * VL));
    store_tile(g, i, p * PANEL, rows, vectors, result);
}

/* Rows [i0, i0 + rows) of `count` panels from p. */
static inline __attribute__((always_inline)) void block(const int8_args *q, const gemm_args *g, int i0, int rows, int p, const int count, const int32_t *begin)
{
    enum { FEW = TILE_ROWS > 4 ? 4 : 1 };
    int r = 0;
    for (; r + TILE_ROWS <= rows; r += TILE_ROWS)
        tile(q, g, i0 + r, p, TILE_ROWS, count, begin + r);
    for (; r + FEW <= rows; r += FEW)
        tile(q, g, i0 + r, p, FEW, count, begin + r);
    for (; r < rows; r++)
        tile(q, g, i0 + r, p, 1, count, begin + r);
}

static void gemm(const int8_args *q)
{
    const gemm_args g = store_args(q);
    const int panels = (q->n + PANEL - 1) / PANEL;
    for (int i0 = 0; i0 < q->m; i0 += ROWS) {
        const int rows = q->m - i0 < ROWS ? q->m - i0 : ROWS;
        int32_t begin[ROWS];
        for (int r = 0; r < rows; r++)
            begin[r] = beginning((const quantum *)q->a + (i0 + r) * q->a_row, q->k);
        for (int p = 0; p < panels;) {
            const bool all = panels - p >= TILE_PANELS;
            if (all)
                block(q, &g, i0, rows, p, TILE_PANELS, begin);
            else
                block(q, &g, i0, rows, p, 1, begin);
            p += all ? TILE_PANELS : 1;
        }
    }
}

#endif
