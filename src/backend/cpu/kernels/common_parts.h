/* common_parts: packed weights for float32 products on bfloat16 tiles.  A number is the sum of two parts, side by side in an
 * operand of the left side; the right side has, for 16 rows of k, a tile of upper parts and a tile of lower parts, each part
 * twice: a tile product then is (upper + lower) * part, and two make the whole product.
 *
 * Packed panel: [k rounded up to 16 / 16][2][16 rows][PANEL][2 halves]. */
#ifndef SEGRT_COMMON_PARTS_H
#define SEGRT_COMMON_PARTS_H

#include "backend/cpu/kernels/common_operand.h"

enum { PART_TILES = 2, PART_WORDS = K_UNIT * PANEL }; /* 32-bit words of a tile */

static size_t panel_bytes(int k) { return (size_t)(k + K_UNIT - 1) / K_UNIT * PART_TILES * PART_WORDS * sizeof(uint32_t); }

static inline uint32_t *parts_at(void *panel, int k) { return (uint32_t *)panel + (k / K_UNIT * PART_TILES * PART_WORDS + k % K_UNIT * PANEL); }

static inline void put_parts(uint32_t *to, float x)
{
    const operand both = o_of(x), upper = both & 0xffff0000u, lower = both & 0xffff;
    to[0] = upper | upper >> 16;
    to[PART_WORDS] = lower | lower << 16;
}

static float packed_at(const void *panel, int k, int column)
{
    const uint32_t *at = (const uint32_t *)panel + (k / K_UNIT * PART_TILES * PART_WORDS + k % K_UNIT * PANEL + column);
    return o_float((at[0] & 0xffff0000u) | (at[PART_WORDS] & 0xffff));
}

static void pack_rows(void *b, const float *src, ptrdiff_t src_row, int n, int k)
{
    const size_t bytes = panel_bytes(k);
    for (int j0 = 0; j0 < n; j0 += PANEL) {
        char *to = (char *)b + (size_t)(j0 / PANEL) * bytes;
        if (n - j0 < PANEL || k % K_UNIT)
            memset(to, 0, bytes);
        for (int j = 0; j < PANEL && j0 + j < n; j++)
            for (int i = 0; i < k; i++)
                put_parts(parts_at(to, i) + j, src[(j0 + j) * src_row + i]);
    }
}

static void pack_columns(void *b, size_t b_panel, const float *src, ptrdiff_t src_row, int n, int k0, int k1)
{
    const int end = (k1 + K_UNIT - 1) / K_UNIT * K_UNIT;
    for (int j0 = 0; j0 < n; j0 += PANEL)
        for (int i = k0; i < end; i++) {
            const float *from = src + (i - k0) * src_row + j0;
            uint32_t *to = parts_at((char *)b + (size_t)(j0 / PANEL) * b_panel, i);
            const int count = i >= k1 ? 0 : n - j0 < PANEL ? n - j0 : PANEL;
            for (int j = 0; j < count; j++)
                put_parts(to + j, from[j]);
            for (int j = count; j < PANEL; j++)
                put_parts(to + j, 0);
        }
}

#endif
