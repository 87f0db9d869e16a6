/* common_gemm_split: float32 products on bfloat16 tiles.  Each number is the sum of PARTS bfloat16 numbers (8 bits of its
 * significand each); products of parts that matter at float32's precision are added in float by the tiles: of three parts
 * six, the largest left out being 2^-24 of the result; of two parts three, leaving 2^-16.
 *
 * Packed panel: [k rounded up to 32 / 32][PARTS][16][64 bytes], pairs of k side by side.  Rows of `a` are split 32 at a time into
 * tiles in L1 and L2. */
#ifndef SEGRT_COMMON_GEMM_SPLIT_H
#define SEGRT_COMMON_GEMM_SPLIT_H

#include "backend/cpu/kernels/amx_tiles.h"
#include "backend/cpu/kernels/common_store.h"

enum { TILE = 16, TILE_K = 32, TILE_BYTES = TILE * LINE, SPLIT_K = 512 };

static size_t panel_bytes(int k) { return (size_t)(k + TILE_K - 1) / TILE_K * PARTS * TILE_BYTES; }

static inline float narrowed(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000u;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline uint16_t upper_half(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)(bits >> 16);
}

static inline void put_parts(void *panel, int k, int column, float x)
{
    uint16_t *to = (uint16_t *)((char *)panel + (size_t)(k / TILE_K) * PARTS * TILE_BYTES) + (k % TILE_K / 2) * 2 * PANEL + column * 2 + k % 2;
    for (int p = 0; p < PARTS; p++, to += TILE_BYTES / 2) {
        const float part = narrowed(x);
        *to = upper_half(part);
        x -= part;
    }
}

static float packed_at(const void *panel, int k, int column)
{
    const uint16_t *from = (const uint16_t *)((const char *)panel + (size_t)(k / TILE_K) * PARTS * TILE_BYTES) + (k % TILE_K / 2) * 2 * PANEL + column * 2 + k % 2;
    float sum = 0;
    for (int p = PARTS - 1; p >= 0; p--) {
        const uint32_t bits = (uint32_t)from[p * (TILE_BYTES / 2)] << 16;
        float part;
        memcpy(&part, &bits, sizeof part);
        sum += part;
    }
    return sum;
}

static void pack_rows(void *b, const float *src, ptrdiff_t src_row, int n, int k)
{
    const size_t bytes = panel_bytes(k);
    for (int j0 = 0; j0 < n; j0 += PANEL) {
        char *to = (char *)b + (size_t)(j0 / PANEL) * bytes;
        if (n - j0 < PANEL || k % TILE_K)
            memset(to, 0, bytes);
        for (int j = 0; j < PANEL && j0 + j < n; j++)
            for (int i = 0; i < k; i++)
                put_parts(to, i, j, src[(j0 + j) * src_row + i]);
    }
}

static void pack_columns(void *b, size_t b_panel, const float *src, ptrdiff_t src_row, int n, int k0, int k1)
{
    const int end = (k1 + TILE_K - 1) / TILE_K * TILE_K;
    for (int j0 = 0; j0 < n; j0 += PANEL)
        for (int i = k0; i < end; i++)
            for (int j = 0; j < PANEL; j++)
                put_parts((char *)b + (size_t)(j0 / PANEL) * b_panel, i, j, i < k1 && j0 + j < n ? src[(i - k0) * src_row + j0 + j] : 0);
}

/* Rows of g from i, `rows` of them, columns [k0, k1) of k: [k / 32][PARTS][2 * TILE rows][32], zero beyond k1. */
static void split_rows(const gemm_args *g, int i, int rows, int k0, int k1, uint16_t *to)
{
    const size_t part_step = 2 * TILE * TILE_K;
    for (int k = k0; k < k1; k += VL) {
        const float *from = (const float *)g->a + k / LANES * g->a_panel + i * g->a_row + k % LANES;
        const int there = k1 - k, step = k - k0;
        uint16_t *line = to + (size_t)(step / TILE_K) * PARTS * part_step + step % TILE_K;
        for (int r = 0; r < rows; r++, from += g->a_row, line += TILE_K) {
            vf x = there >= VL ? v_load(from) : v_load_part(from, there);
            uint16_t *part = line;
            for (int p = 0; p < PARTS; p++, part += part_step) {
                const vf narrow = v_round_bf16(x);
                v_store_bf16(part, narrow);
                x = v_sub(x, narrow);
            }
        }
    }
    for (int step = (k1 - k0 + VL - 1) / VL * VL; step % TILE_K; step += VL)
        for (int p = 0; p < PARTS; p++)
            for (int r = 0; r < rows; r++)
                v_store_bf16(to + ((size_t)(step / TILE_K) * PARTS + (size_t)p) * part_step + (size_t)(r * TILE_K + step % TILE_K), v_zero());
}

static tile_shape shape_of(int upper, int lower)
{
    tile_shape s = {.palette = 1};
    for (int t = 0; t < 8; t++) {
        s.bytes[t] = LINE;
        s.rows[t] = (uint8_t)(t == 0 || t == 1 || t == 4 ? upper : t == 2 || t == 3 || t == 5 ? lower : TILE);
    }
    return s;
}

/* Two by two tiles (or those that are there) of split rows `a` and panels at b, into sums [32][32]. */
static inline __attribute__((always_inline)) void split_tiles(const tile_shape *shape, const uint16_t *a, const char *b, size_t b_panel, int steps,
                                                              const bool two_rows, const bool two_panels, float *sums)
{
    TILES;
#ifdef __AMX_TILE__
    (void)shape;
#else
    tiles.shape = *shape;
#endif
    tile_zero(0);
    tile_zero(1);
    tile_zero(2);
    tile_zero(3);
    const char *rows = (const char *)a;
    for (int k = 0; k < steps; k++, rows += PARTS * 2 * TILE_BYTES, b += PARTS * TILE_BYTES)
        for (int pa = PARTS - 1; pa >= 0; pa--) { /* small products first */
            tile_load(4, rows + pa * 2 * TILE_BYTES, LINE);
            if (two_rows)
                tile_load(5, rows + pa * 2 * TILE_BYTES + TILE_BYTES, LINE);
            for (int pb = PARTS - 1 - pa; pb >= 0; pb--) {
                tile_load(6, b + pb * TILE_BYTES, LINE);
                tile_multiply(0, 4, 6);
                if (two_rows)
                    tile_multiply(2, 5, 6);
                if (two_panels) {
                    tile_load(7, b + b_panel + pb * TILE_BYTES, LINE);
                    tile_multiply(1, 4, 7);
                    if (two_rows)
                        tile_multiply(3, 5, 7);
                }
            }
        }
    tile_store(0, sums, 2 * LINE);
    if (two_panels)
        tile_store(1, sums + PANEL, 2 * LINE);
    if (two_rows)
        tile_store(2, sums + TILE * 2 * PANEL, 2 * LINE);
    if (two_rows && two_panels)
        tile_store(3, sums + TILE * 2 * PANEL + PANEL, 2 * LINE);
}

static void store_block(const gemm_args *g, int i, int p, const float *sums)
{
    const int rows = g->m - i < 2 * TILE ? g->m - i : 2 * TILE;
    vf sum[4][2 * PANEL_VECTORS];
    for (int r = 0; r < rows;) {
        const int group = rows - r >= 4 ? 4 : 1;
        for (int part = 0; part < group; part++)
            for (int v = 0; v < 2 * PANEL_VECTORS; v++)
                sum[part][v] = v_load(sums + (r + part) * 2 * PANEL + v * VL);
        if (group == 4)
            store_tile(g, i + r, p * PANEL, 4, 2 * PANEL_VECTORS, sum);
        else
            store_tile(g, i + r, p * PANEL, 1, 2 * PANEL_VECTORS, sum);
        r += group;
    }
}

static void gemm_rows(const gemm_args *g, const tile_shape *shape, int i, int k0, int k1)
{
    const int panels = (g->n + PANEL - 1) / PANEL, rows = g->m - i < 2 * TILE ? g->m - i : 2 * TILE, steps = (k1 - k0 + TILE_K - 1) / TILE_K;
    _Alignas(LINE) uint16_t split[SPLIT_K * PARTS * 2 * TILE];
    _Alignas(LINE) float sums[2 * TILE * 2 * PANEL];
    split_rows(g, i, rows, k0, k1, split);
    gemm_args part = *g;
    part.relu = g->relu && k1 == g->k;
    if (k1 < g->k)
        part.exp_sums = NULL;
    if (k0 > 0) {
        part.add = g->c, part.add_row = g->c_row, part.add_panel = g->c_panel;
        part.bias = NULL;
    }
    for (int p = 0; p < panels; p += 2) {
        const char *b = (const char *)g->b + (size_t)p * g->b_panel + panel_bytes(k0);
        const bool two_panels = panels - p > 1;
        if (rows > TILE && two_panels)
            split_tiles(shape, split, b, g->b_panel, steps, true, true, sums);
        else if (rows > TILE)
            split_tiles(shape, split, b, g->b_panel, steps, true, false, sums);
        else if (two_panels)
            split_tiles(shape, split, b, g->b_panel, steps, false, true, sums);
        else
            split_tiles(shape, split, b, g->b_panel, steps, false, false, sums);
        store_block(&part, i, p, sums);
    }
}

static void gemm(const gemm_args *g)
{
    const tile_shape full = shape_of(TILE, TILE);
    const int left = g->m % (2 * TILE), whole = g->m - left;
    const tile_shape rest = shape_of(left < TILE ? left : TILE, left > TILE ? left - TILE : TILE);
    for (int k0 = 0; k0 < g->k; k0 += SPLIT_K) {
        const int k1 = g->k - k0 > SPLIT_K ? k0 + SPLIT_K : g->k;
        if (whole) {
#ifdef __AMX_TILE__
            tiles_configure(&full);
#endif
            for (int i = 0; i < whole; i += 2 * TILE)
                gemm_rows(g, &full, i, k0, k1);
        }
        if (left) {
#ifdef __AMX_TILE__
            tiles_configure(&rest);
#endif
            gemm_rows(g, &rest, whole, k0, k1);
        }
    }
#ifdef __AMX_TILE__
    tiles_release();
#endif
}

#endif
