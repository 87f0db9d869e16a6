/* common_gemm: products with packed weights, for any vector of vector_<level>.h.
 *
 * Packed panel: [k][PANEL], or pairs of k where the level multiplies these and adds both (GEMM_PAIRS: VDPBF16PS, BFDOT);
 * STEP numbers of k are done at once.  A tile of TILE_ROWS rows and TILE_PANELS panels lives in registers while k runs; a panel's
 * part of at most K_BLOCK steps stays in L1 while all rows of `a` pass by.  Every sum runs over k in order, whatever the
 * tile, so a row's result does not depend on where it stands. */
#ifndef SEGRT_COMMON_GEMM_H
#define SEGRT_COMMON_GEMM_H

#ifdef GEMM_PAIRS
#include "backend/cpu/kernels/common_pairs.h"
#else
#include "backend/cpu/kernels/common_singles.h"
#endif
#include "backend/cpu/kernels/common_store.h"

enum { K_BLOCK = 320 }; /* steps of k: 320 * 64 bytes = 20 KiB of a 32 KiB L1; 6 rows of `a` take 8 */

#ifdef GEMM_PAIRS
enum { STEP = 2 };
typedef v_pairs step_factor;
static inline step_factor factor_load(const operand *p) { return v_load_pairs(p); }
static inline step_factor factor_set(const operand *p) { return v_set_pairs(p); }
static inline vf multiply_add(step_factor a, step_factor b, vf sum) { return v_dot_pairs(a, b, sum); }
#else
enum { STEP = 1 };
typedef vf step_factor;
static inline step_factor factor_load(const operand *p) { return o_load(p); }
static inline step_factor factor_set(const operand *p) { return v_set(o_float(*p)); }
static inline vf multiply_add(step_factor a, step_factor b, vf sum) { return v_fma(a, b, sum); }
#endif

static inline __attribute__((always_inline)) void gemm_tile(const gemm_args *g, int i0, int p0, const int rows, const int panels)
{
    const int vectors = panels * PANEL_VECTORS;
    vf sum[TILE_ROWS][2 * PANEL_VECTORS];
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            sum[r][v] = v_zero();
    const operand *a = (const operand *)g->a + i0 * g->a_row;
    const operand *b = (const operand *)((const char *)g->b + (size_t)p0 * g->b_panel);
    const ptrdiff_t row = g->a_row, next_panel = (ptrdiff_t)(g->b_panel / sizeof(operand));
    for (int k = 0; k < g->k; k += LANES, a += g->a_panel) {
        const int count = g->k - k < LANES ? g->k - k : LANES;
        for (int kk = 0; kk < count; kk += STEP, b += STEP * PANEL) {
            step_factor weight[TILE_PANELS * PANEL_VECTORS];
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++)
                weight[v] = factor_load(b + v / PANEL_VECTORS * next_panel + v % PANEL_VECTORS * STEP * VL);
#pragma GCC unroll 16
            for (int r = 0; r < rows; r++) {
                const step_factor x = factor_set(a + r * row + kk);
#pragma GCC unroll 4
                for (int v = 0; v < vectors; v++)
                    sum[r][v] = multiply_add(x, weight[v], sum[r][v]);
            }
        }
    }
    store_tile(g, i0, p0 * PANEL, rows, vectors, sum);
}

/* All rows of `panels` panels: whole tiles, then smaller ones for the rest. */
static inline __attribute__((always_inline)) void gemm_rows(const gemm_args *g, int p, const int panels)
{
    int i = 0;
#define ROWS(count)                                                                                                                        \
    for (; count <= TILE_ROWS && i + count <= g->m; i += count)                                                                            \
    gemm_tile(g, i, p, count <= TILE_ROWS ? count : 1, panels)
    ROWS(TILE_ROWS);
    ROWS(8);
    ROWS(4);
    ROWS(2);
    ROWS(1);
#undef ROWS
}

static void gemm(const gemm_args *g)
{
    const int panels = (g->n + PANEL - 1) / PANEL;
    /* A narrow c, or weights, cannot hold partial sums. */
    const bool whole = g->k <= K_BLOCK * STEP || g->exp_sums || (g->narrow && sizeof(operand) < sizeof(float));
    const int blocks = whole ? 1 : (g->k + K_BLOCK * STEP - 1) / (K_BLOCK * STEP);
    const int block = ((g->k + blocks - 1) / blocks + LANES - 1) / LANES * LANES;
    for (int k0 = 0; k0 < g->k; k0 += block) {
        gemm_args part = *g; /* rows [k0, k0 + block) of b, on what the rows before gave */
        part.k = g->k - k0 > block ? block : g->k - k0;
        part.a = (const operand *)g->a + k0 / LANES * g->a_panel;
        part.b = (const operand *)g->b + (size_t)k0 * PANEL;
        part.relu = g->relu && k0 + block >= g->k;
        if (k0 > 0) {
            part.add = g->c, part.add_row = g->c_row, part.add_panel = g->c_panel;
            part.bias = NULL;
        }
        for (int p = 0; p < panels; p += TILE_PANELS)
            if (panels - p >= TILE_PANELS)
                gemm_rows(&part, p, TILE_PANELS);
            else
                gemm_rows(&part, p, 1);
    }
}

#endif
