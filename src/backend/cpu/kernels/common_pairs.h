/* common_pairs: packed weights for the instructions that multiply pairs of bfloat16 (VDPBF16PS, TDPBF16PS): a panel is
 * [k rounded up to K_UNIT / 2][PANEL][2].  K_UNIT is even. */
#ifndef SEGRT_COMMON_PAIRS_H
#define SEGRT_COMMON_PAIRS_H

#include "backend/cpu/kernels/common_operand.h"

static size_t panel_bytes(int k) { return (size_t)(k + K_UNIT - 1) / K_UNIT * K_UNIT * PANEL * sizeof(operand); }

static inline size_t pair_at(int k, int column) { return (size_t)(k / 2) * (2 * PANEL) + (size_t)column * 2 + (size_t)(k % 2); }

static float packed_at(const void *panel, int k, int column) { return o_float(((const operand *)panel)[pair_at(k, column)]); }

/* Two rows of a panel. */
static inline void put_pairs(operand *to, const operand *even, const operand *odd)
{
    for (int j = 0; j < PANEL; j++) {
        to[2 * j] = even[j];
        to[2 * j + 1] = odd[j];
    }
}

static inline void round_row(operand *to, const float *from, int count)
{
    for (int j = 0; j < PANEL; j += VL)
        o_store(to + j, j + VL <= count ? v_load(from + j) : j < count ? v_load_part(from + j, count - j) : v_zero());
}

/* A line of each column is rounded, then pairs change places. */
static void pack_rows(void *b, const float *src, ptrdiff_t src_row, int n, int k)
{
    const size_t bytes = panel_bytes(k);
    const int end = (k + K_UNIT - 1) / K_UNIT * K_UNIT;
    for (int j0 = 0; j0 < n; j0 += PANEL) {
        char *to = (char *)b + (size_t)(j0 / PANEL) * bytes;
        for (int k0 = 0; k0 < end; k0 += PANEL) {
            operand lines[PANEL][PANEL];
            for (int j = 0; j < PANEL; j++)
                round_row(lines[j], src + (j0 + j) * src_row + k0, j0 + j < n ? k - k0 : 0);
            for (int i = 0; i < PANEL && k0 + i < end; i += 2, to += 2 * PANEL * sizeof(operand))
                for (int j = 0; j < PANEL; j++)
                    memcpy(to + j * 2 * (int)sizeof(operand), &lines[j][i], 2 * sizeof(operand));
        }
    }
}

static void pack_columns(void *b, size_t b_panel, const float *src, ptrdiff_t src_row, int n, int k0, int k1)
{
    const int end = (k1 + K_UNIT - 1) / K_UNIT * K_UNIT;
    for (int j0 = 0; j0 < n; j0 += PANEL) {
        operand *to = (operand *)((char *)b + (size_t)(j0 / PANEL) * b_panel) + (size_t)k0 * PANEL;
        for (int i = k0; i < end; i += 2, to += 2 * PANEL) {
            const float *from = src + (i - k0) * src_row + j0;
            operand even[PANEL], odd[PANEL];
            round_row(even, from, i < k1 ? n - j0 : 0);
            round_row(odd, from + src_row, i + 1 < k1 ? n - j0 : 0);
            put_pairs(to, even, odd);
        }
    }
}

#endif
