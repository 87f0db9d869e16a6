/* common_singles: packed weights for the instructions that multiply one number a lane: a panel is [k][PANEL]. */
#ifndef SEGRT_COMMON_SINGLES_H
#define SEGRT_COMMON_SINGLES_H

#include "backend/cpu/kernels/common_operand.h"

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

#endif
