/* common_gemm: products with packed weights, for any vector of vector_<level>.h.
 *
 * Packed panel: [k][PANEL].  A tile of TILE_ROWS rows and TILE_PANELS panels lives in registers while k runs; a panel's
 * part of at most K_BLOCK rows stays in L1 while all rows of `a` pass by.  Every sum runs over k in order, whatever the
 * tile, so a row's result does not depend on where it stands. */
#ifndef SEGRT_COMMON_GEMM_H
#define SEGRT_COMMON_GEMM_H

#include "backend/cpu/kernels/common_operand.h"

enum {
    K_BLOCK = 320, /* 320 rows * 64 bytes = 20 KiB of a 32 KiB L1; 6 rows of `a` take 8 */
    PANEL_VECTORS = PANEL / VL,
};

static size_t panel_bytes(int k) { return (size_t)k * PANEL * sizeof(operand); }

static float packed_at(const void *panel, int k, int column) { return o_float(((const operand *)panel)[k * PANEL + column]); }

static void pack_rows(void *b, const float *src, ptrdiff_t src_row, int n, int k)
{
    operand *to = b;
    for (int j0 = 0; j0 < n; j0 += PANEL, to += (size_t)k * PANEL)
        for (int j = 0; j < PANEL; j++)
            for (int i = 0; i < k; i++)
                to[(size_t)i * PANEL + j] = j0 + j < n ? o_of(src[(j0 + j) * src_row + i]) : o_of(0);
}

static void pack_columns(void *b, size_t b_panel, const float *src, ptrdiff_t src_row, int n, int k0, int k1)
{
    for (int j0 = 0; j0 < n; j0 += PANEL) {
        operand *to = (operand *)((char *)b + (size_t)(j0 / PANEL) * b_panel) + (size_t)k0 * PANEL;
        const int count = n - j0 < PANEL ? n - j0 : PANEL;
        for (int i = 0; i < k1 - k0; i++, to += PANEL) {
            const float *from = src + i * src_row + j0;
            for (int j = 0; j < count; j++)
                to[j] = o_of(from[j]);
            for (int j = count; j < PANEL; j++)
                to[j] = o_of(0);
        }
    }
}

/* Where a product's partial sums start from and end in, for one of its k blocks. */
typedef struct gemm_block {
    const gemm_args *g;
    int k0, k1;
    const float *add;
    ptrdiff_t add_row, add_panel;
    const float *bias;
    bool relu;
} gemm_block;

static inline __attribute__((always_inline)) void gemm_store(const gemm_block *s, int i, int j, int columns, vf x)
{
    const gemm_args *g = s->g;
    if (columns <= 0)
        return;
    if (g->row_scale)
        x = v_mul(x, v_set(g->row_scale[i]));
    if (s->bias)
        x = v_add(x, v_load(s->bias + j));
    if (s->add) {
        const float *add = s->add + j / FLOATS * s->add_panel + i * s->add_row + j % FLOATS;
        x = v_add(x, columns >= VL ? v_load(add) : v_load_part(add, columns));
    }
    if (s->relu)
        x = v_max(x, v_zero());
    if (g->narrow) {
        operand *c = (operand *)g->c + j / LANES * g->c_panel + i * g->c_row + j % LANES;
        if (columns >= VL)
            o_store(c, x);
        else
            o_store_part(c, x, columns);
    } else {
        float *c = (float *)g->c + j / FLOATS * g->c_panel + i * g->c_row + j % FLOATS;
        if (columns >= VL)
            v_store(c, x);
        else
            v_store_part(c, x, columns);
    }
}

static inline __attribute__((always_inline)) void gemm_tile(const gemm_block *s, int i0, int p0, const int rows, const int panels)
{
    const gemm_args *g = s->g;
    const int vectors = panels * PANEL_VECTORS;
    vf sum[TILE_ROWS][TILE_PANELS * PANEL_VECTORS];
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            sum[r][v] = v_zero();
    const operand *a = (const operand *)g->a + i0 * g->a_row + s->k0 / LANES * g->a_panel;
    const operand *b = (const operand *)((const char *)g->b + (size_t)p0 * g->b_panel) + (size_t)s->k0 * PANEL;
    const ptrdiff_t row = g->a_row, next_panel = (ptrdiff_t)(g->b_panel / sizeof(operand));
    for (int k = s->k0; k < s->k1; k += LANES, a += g->a_panel) {
        const int count = s->k1 - k < LANES ? s->k1 - k : LANES;
        for (int kk = 0; kk < count; kk++, b += PANEL) {
            vf weight[TILE_PANELS * PANEL_VECTORS];
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++)
                weight[v] = o_load(b + v / PANEL_VECTORS * next_panel + v % PANEL_VECTORS * VL);
#pragma GCC unroll 16
            for (int r = 0; r < rows; r++) {
                const vf x = v_set(o_float(a[r * row + kk]));
#pragma GCC unroll 4
                for (int v = 0; v < vectors; v++)
                    sum[r][v] = v_fma(x, weight[v], sum[r][v]);
            }
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            gemm_store(s, i0 + r, p0 * PANEL + v * VL, g->n - p0 * PANEL - v * VL, sum[r][v]);
}

static inline __attribute__((always_inline)) void gemm_rows(const gemm_block *s, int i0, int p0, int rows, const int panels)
{
#define ROWS(count)                                                                                                                        \
    case count:                                                                                                                            \
        if (count <= TILE_ROWS)                                                                                                            \
            gemm_tile(s, i0, p0, count <= TILE_ROWS ? count : 1, panels);                                                                  \
        break;
    switch (rows) {
        ROWS(1)
        ROWS(2)
        ROWS(3)
        ROWS(4)
        ROWS(5)
        ROWS(6)
        ROWS(7)
        ROWS(8)
        ROWS(9)
        ROWS(10)
        ROWS(11)
        ROWS(12)
    default:
        break;
    }
#undef ROWS
}

static void gemm(const gemm_args *g)
{
    const int panels = (g->n + PANEL - 1) / PANEL;
    const bool whole = g->k <= K_BLOCK || (g->narrow && sizeof(operand) < sizeof(float)); /* a narrow c cannot hold partial sums */
    const int blocks = whole ? 1 : (g->k + K_BLOCK - 1) / K_BLOCK;
    const int block = ((g->k + blocks - 1) / blocks + LANES - 1) / LANES * LANES;
    for (int k0 = 0; k0 < g->k; k0 += block) {
        gemm_block s = {.g = g, .k0 = k0, .k1 = g->k - k0 > block ? k0 + block : g->k, .relu = g->relu && k0 + block >= g->k};
        if (k0 == 0) {
            s.add = g->add, s.add_row = g->add_row, s.add_panel = g->add_panel, s.bias = g->bias;
        } else {
            s.add = g->c, s.add_row = g->c_row, s.add_panel = g->c_panel;
        }
        for (int p = 0; p < panels; p += TILE_PANELS)
            for (int i = 0; i < g->m; i += TILE_ROWS) {
                const int rows = g->m - i < TILE_ROWS ? g->m - i : TILE_ROWS;
                if (panels - p >= TILE_PANELS)
                    gemm_rows(&s, i, p, rows, TILE_PANELS);
                else
                    gemm_rows(&s, i, p, rows, 1);
            }
    }
}

#endif
