/* common_pairs: packed weights for the instructions that multiply pairs of bfloat16 (VDPBF16PS, TDPBF16PS): a panel is
 * [k rounded up to K_UNIT / 2][PANEL][2]. */
#ifndef SEGRT_COMMON_PAIRS_H
#define SEGRT_COMMON_PAIRS_H

#include "backend/cpu/kernels/common_operand.h"

static size_t panel_bytes(int k) { return (size_t)(k + K_UNIT - 1) / K_UNIT * K_UNIT * PANEL * sizeof(operand); }

static inline size_t pair_at(int k, int column) { return (size_t)(k / 2) * (2 * PANEL) + (size_t)column * 2 + (size_t)(k % 2); }

static float packed_at(const void *panel, int k, int column) { return o_float(((const operand *)panel)[pair_at(k, column)]); }

static void pack_rows(void *b, const float *src, ptrdiff_t src_row, int n, int k)
{
    const size_t bytes = panel_bytes(k);
    for (int j0 = 0; j0 < n; j0 += PANEL) {
        operand *to = (operand *)((char *)b + (size_t)(j0 / PANEL) * bytes);
        if (n - j0 < PANEL || k % K_UNIT)
            memset(to, 0, bytes);
        for (int j = 0; j < PANEL && j0 + j < n; j++) {
            const float *from = src + (j0 + j) * src_row;
            for (int i = 0; i < k; i++)
                to[pair_at(i, j)] = o_of(from[i]);
        }
    }
}

static void pack_columns(void *b, size_t b_panel, const float *src, ptrdiff_t src_row, int n, int k0, int k1)
{
    const int end = (k1 + K_UNIT - 1) / K_UNIT * K_UNIT;
    for (int j0 = 0; j0 < n; j0 += PANEL) {
        operand *to = (operand *)((char *)b + (size_t)(j0 / PANEL) * b_panel);
        for (int i = k0; i < end; i++) {
            const float *from = src + (i - k0) * src_row + j0;
            for (int j = 0; j < PANEL; j++)
                to[pair_at(i, j)] = i < k1 && j0 + j < n ? o_of(from[j]) : o_of(0);
        }
    }
}

#endif
