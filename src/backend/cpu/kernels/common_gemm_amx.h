/* common_gemm_amx: products of bfloat16 tiles: common_tiles.h's walk, and what becomes of the sums. */
#ifndef SEGRT_COMMON_GEMM_AMX_H
#define SEGRT_COMMON_GEMM_AMX_H

#include "backend/cpu/kernels/common_pairs.h"
#include "backend/cpu/kernels/common_store.h"

typedef gemm_args tile_ending;

static inline __attribute__((always_inline)) void finish_rows(const gemm_args *g, int i, int p, const int rows, const int panels, const char *sums,
                                                              ptrdiff_t row)
{
    vf sum[4][2 * PANEL_VECTORS];
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int v = 0; v < panels * PANEL_VECTORS; v++)
            sum[r][v] = v_load((const float *)(sums + r * row) + v * VL);
    store_tile(g, i, p * PANEL, rows, panels * PANEL_VECTORS, sum);
}

#define TILE_MULTIPLY(c, a, b) tile_multiply(c, a, b)
#include "backend/cpu/kernels/common_tiles.h"

static void tile_begin(void) { tiles_configure(TILE); }
static void tile_end(void) { tiles_release(); }

static void gemm(const gemm_args *g)
{
    const bool plain = !g->narrow && !g->row_scale && !g->bias && !g->relu && g->n % PANEL == 0;
    const ptrdiff_t element = sizeof(operand), number = sizeof(float);
    const int panels = (g->n + PANEL - 1) / PANEL;
    tile_multiply_all(&(tile_product){.m = g->m, .panels = panels, .lines = (g->k + LANES - 1) / LANES, .a = g->a, .a_row = g->a_row * element,
                                      .a_panel = g->a_panel * element, .b = g->b, .b_panel = g->b_panel, .c = plain ? g->c : NULL, .c_row = g->c_row * number,
                                      .c_panel = g->c_panel * number, .add = (const char *)g->add, .add_row = g->add_row * number,
                                      .add_panel = g->add_panel * number, .ending = g});
}

#endif
