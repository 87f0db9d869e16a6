/* common_attend_amx: softmax of scores times values for one head of a block of tokens, on bfloat16 tiles.  Scores of 32 tokens
 * and 32 keys go from tiles to a buffer in L1 and become weights while the tiles work on the next ones; the weights of a tile of
 * keys then are the left side of the product with the values.  Tiles stay full: rows that do not exist are computed too.
 *
 * Floats are the sum of two bfloat16 parts, upper and lower, side by side a group of 32 at a time; a product of groups is three
 * products of tiles, for that of both lower parts is below what the parts leave out.
 *
 * Packed keys: panels of 16 keys, [d / 32][PARTS][16 pairs][16 keys][2]; packed values: panels of 16 columns, [ceil(keys / 32)]
 * [PARTS][16 pairs][16 columns][2].  Pairs of floats' d, and of all keys, are as common_weights.h makes them; pairs of bfloat16's
 * d are neighbours, for the queries are read as they lie. */
#ifndef SEGRT_COMMON_ATTEND_AMX_H
#define SEGRT_COMMON_ATTEND_AMX_H

#ifdef OPERAND_BF16
#include "backend/cpu/kernels/common_gemm_amx.h"
#else
#include "backend/cpu/kernels/common_gemm.h"
#endif
#include "backend/cpu/kernels/amx_tiles.h"
#include "backend/cpu/kernels/common_rows.h"
#include "backend/cpu/kernels/common_weights.h"

enum {
    ATTEND_TILE = 16,
    ATTEND_UNIT = 2 * ATTEND_TILE,    /* rows and columns of a block of sums */
    ATTEND_ROWS = 2 * ATTEND_UNIT,    /* keys and values come from L2 once for all of them */
    KEY_TILE = 128,                   /* with 64 rows of weights and the keys' tiles in L1 */
    GROUP_WORDS = PARTS * PAIR_GROUP, /* of a row */
    WEIGHT_ROW = KEY_TILE * PARTS,
};

typedef struct attend_space {
    float blocks[2][ATTEND_UNIT * PAIR_GROUP]; /* scores under way */
    float scores[ATTEND_ROWS * KEY_TILE];      /* those of a whole tile of keys, where maxima are needed */
    uint16_t weights[ATTEND_ROWS * WEIGHT_ROW];
    float maximum[ATTEND_ROWS], shrink[ATTEND_ROWS];
    float lanes[ATTEND_ROWS * FLOATS]; /* sums of weights before they are added up */
    uint16_t queries[];                /* of floats: [ATTEND_ROWS][d * PARTS] */
} attend_space;

static size_t attend_bytes(int d)
{
    return sizeof(attend_space) + (PARTS > 1 ? (size_t)ATTEND_ROWS * (size_t)d * PARTS * sizeof(uint16_t) : 0);
}

static size_t value_bytes(int keys)
{
    return (size_t)(keys + PAIR_GROUP - 1) / PAIR_GROUP * GROUP_BYTES;
}

static void pack_values(void *b, size_t b_panel, const float *src, ptrdiff_t src_row, int n, int k0, int k1)
{
    pack_pairs_of_rows(b, b_panel, src, src_row, n, k0, k1);
}

#ifdef OPERAND_BF16

static size_t key_bytes(int d)
{
    return panel_bytes(d);
}
static void pack_keys(void *b, const float *src, ptrdiff_t src_row, int n, int d)
{
    pack_rows(b, src, src_row, n, d);
}
static float key_at(const void *panel, int i, int column)
{
    return packed_at(panel, i, column);
}

static const uint16_t *queries_of(const attend_args *a, ptrdiff_t *row)
{
    *row = a->q_row;
    return a->q;
}

#else

static size_t key_bytes(int d)
{
    return (size_t)(d / PAIR_GROUP) * GROUP_BYTES;
}

static float key_at(const void *panel, int i, int column)
{
    const char *group = (const char *)panel + i / PAIR_GROUP * GROUP_BYTES;
    float sum = 0;
    for (int part = 0; part < PARTS; part++) {
        uint16_t word;
        memcpy(&word, group + (part * ATTEND_TILE + i % PANEL) * LINE + column * 4 + i % PAIR_GROUP / PANEL * 2, sizeof word);
        const uint32_t bits = (uint32_t)word << 16;
        float number;
        memcpy(&number, &bits, sizeof number);
        sum += number;
    }
    return sum;
}

static void pack_keys(void *b, const float *src, ptrdiff_t src_row, int n, int d)
{
    for (int j0 = 0; j0 < n; j0 += PANEL)
        for (int g = 0; g < d; g += PAIR_GROUP) {
            char *to = (char *)b + (size_t)(j0 / PANEL) * key_bytes(d) + (size_t)(g / PAIR_GROUP) * GROUP_BYTES;
            for (int j = 0; j < PANEL; j++) {
                uint16_t words[GROUP_WORDS] = {0};
                if (j0 + j < n)
                    put_pairs_of_floats(src + (j0 + j) * src_row + g, src + (j0 + j) * src_row + g + PANEL, words, PAIR_GROUP);
                for (int line = 0; line < PARTS * ATTEND_TILE; line++)
                    memcpy(to + line * LINE + j * 4, words + 2 * line, 4);
            }
        }
}

/* Queries as parts. */
static const uint16_t *queries_of(const attend_args *a, ptrdiff_t *row)
{
    attend_space *space = a->scratch;
    *row = a->d * PARTS;
    for (int i = 0; i < a->m; i++)
        for (int g = 0; g < a->d; g += PAIR_GROUP) {
            const float *from = (const float *)a->q + i * a->q_row + g;
            put_pairs_of_floats(from, from + PANEL, space->queries + i * *row + g * PARTS, PAIR_GROUP);
        }
    return space->queries;
}

#endif

/* Two tiles of rows by one or two of columns, `groups` groups of a row. */
typedef struct attend_product {
    const uint16_t *a; /* [32][a_row], words */
    ptrdiff_t a_row;
    const char *b;
    size_t b_panel;
    int groups;
    bool add; /* to what is there */
    float *to;
    ptrdiff_t to_row;
} attend_product;

#define LOAD_A(part)                                                                                                                       \
    do {                                                                                                                                   \
        tile_load(4, a + (part)*PAIR_GROUP, a_bytes);                                                                                      \
        tile_load(5, a + (part)*PAIR_GROUP + ATTEND_TILE * p->a_row, a_bytes);                                                             \
    } while (0)
#define MULTIPLY(part)                                                                                                                     \
    do {                                                                                                                                   \
        tile_load(6, b + (part)*ATTEND_TILE * LINE, LINE);                                                                                 \
        tile_multiply(0, 4, 6);                                                                                                            \
        tile_multiply(2, 5, 6);                                                                                                            \
        if (two) {                                                                                                                         \
            tile_load(7, b + p->b_panel + (part)*ATTEND_TILE * LINE, LINE);                                                                \
            tile_multiply(1, 4, 7);                                                                                                        \
            tile_multiply(3, 5, 7);                                                                                                        \
        }                                                                                                                                  \
    } while (0)

static inline __attribute__((always_inline)) void multiply_groups(const attend_product *p, const bool two)
{
    const ptrdiff_t a_bytes = p->a_row * (ptrdiff_t)sizeof(uint16_t), to_bytes = p->to_row * (ptrdiff_t)sizeof(float);
    float *const lower = p->to + ATTEND_TILE * p->to_row;
    TILES(ATTEND_TILE);
    if (p->add) {
        tile_load(0, p->to, to_bytes);
        tile_load(2, lower, to_bytes);
        if (two) {
            tile_load(1, p->to + PANEL, to_bytes);
            tile_load(3, lower + PANEL, to_bytes);
        }
    } else {
        tile_zero(0);
        tile_zero(2);
        if (two) {
            tile_zero(1);
            tile_zero(3);
        }
    }
    const uint16_t *a = p->a;
    const char *b = p->b;
    for (int g = 0; g < p->groups; g++, a += GROUP_WORDS, b += GROUP_BYTES) {
        LOAD_A(0);
        if (PARTS > 1)
            MULTIPLY(1);
        MULTIPLY(0);
        if (PARTS > 1) {
            LOAD_A(1);
            MULTIPLY(0);
        }
    }
    tile_store(0, p->to, to_bytes);
    tile_store(2, lower, to_bytes);
    if (two) {
        tile_store(1, p->to + PANEL, to_bytes);
        tile_store(3, lower + PANEL, to_bytes);
    }
}

#undef LOAD_A
#undef MULTIPLY

#ifndef OPERAND_BF16
static void tile_begin(void)
{
    tiles_configure(ATTEND_TILE);
}
static void tile_end(void)
{
    tiles_release();
}
#endif

static inline void multiply_panels(const attend_product *p, int columns)
{
    if (columns > PANEL)
        multiply_groups(p, true);
    else
        multiply_groups(p, false);
}

/* The call's head, and its queries as tiles read them. */
typedef struct attend_head {
    const attend_args *a;
    attend_space *space;
    const uint16_t *q;
    ptrdiff_t q_row;
    size_t key_panel, value_panel;
    int width;
} attend_head;

/* Scores of rows [i, i + 32) and keys [j, j + 32). */
static inline void score_block(const attend_head *h, int i, int j, float *to, ptrdiff_t to_row)
{
    multiply_panels(&(attend_product){.a = h->q + i * h->q_row,
                                      .a_row = h->q_row,
                                      .b = (const char *)h->a->k + (size_t)(j / PANEL) * h->key_panel,
                                      .b_panel = h->key_panel,
                                      .groups = h->a->d / PAIR_GROUP,
                                      .to = to,
                                      .to_row = to_row},
                    h->a->keys - j);
}

/* Weights of rows [i, i + 32) and keys [j0 + j, j0 + j + 32). */
static inline void weigh_block(const attend_head *h, int i, int j0, int j, const float *scores, ptrdiff_t s_row)
{
    const attend_args *a = h->a;
    attend_space *space = h->space;
    weights_args w = {.scores = scores,
                      .s_row = s_row,
                      .rows = a->m - i < ATTEND_UNIT ? a->m - i : ATTEND_UNIT,
                      .there = a->keys - j0 - j < PAIR_GROUP ? a->keys - j0 - j : PAIR_GROUP,
                      .to = space->weights + i * WEIGHT_ROW + j * PARTS,
                      .to_row = WEIGHT_ROW,
                      .lanes = space->lanes + i * FLOATS};
    if (a->small) {
        w.row_scale = a->row_scale ? a->row_scale + i : NULL;
        w.shift = a->shift ? a->shift + j0 + j : NULL;
    } else {
        w.maximum = space->maximum + i;
    }
    make_weights(&w);
}

static void weigh_small(const attend_head *h, int j0, int n)
{
    float(*blocks)[ATTEND_UNIT * PAIR_GROUP] = h->space->blocks;
    const int high = (h->a->m + ATTEND_UNIT - 1) / ATTEND_UNIT, count = (n + PAIR_GROUP - 1) / PAIR_GROUP * high;
    score_block(h, 0, j0, blocks[0], PAIR_GROUP);
    for (int b = 0; b < count; b++) {
        const int next = b + 1;
        if (next < count)
            score_block(h, next % high * ATTEND_UNIT, j0 + next / high * PAIR_GROUP, blocks[next % 2], PAIR_GROUP);
        weigh_block(h, b % high * ATTEND_UNIT, j0, b / high * PAIR_GROUP, blocks[b % 2], PAIR_GROUP);
    }
}

static void weigh_large(const attend_head *h, int j0, int n)
{
    const attend_args *a = h->a;
    attend_space *space = h->space;
    for (int i = 0; i < a->m; i += ATTEND_UNIT)
        for (int j = 0; j < n; j += PAIR_GROUP)
            score_block(h, i, j0 + j, space->scores + i * KEY_TILE + j, KEY_TILE);
    raise_maxima(space->scores, KEY_TILE, a->m, n, a->row_scale, a->shift ? a->shift + j0 : NULL, j0 == 0, space->maximum, space->shrink);
    if (j0) {
        scale_rows(a->sums, h->width, a->m, h->width, space->shrink);
        scale_rows(space->lanes, FLOATS, a->m, FLOATS, space->shrink);
    }
    for (int i = 0; i < a->m; i += ATTEND_UNIT)
        for (int j = 0; j < n; j += PAIR_GROUP)
            weigh_block(h, i, j0, j, space->scores + i * KEY_TILE + j, KEY_TILE);
}

/* Values under the weights of keys [j0, j0 + n). */
static void add_values(const attend_head *h, int j0, int n)
{
    for (int i = 0; i < h->a->m; i += ATTEND_UNIT)
        for (int c = 0; c < h->width; c += 2 * PANEL)
            multiply_panels(&(attend_product){.a = h->space->weights + i * WEIGHT_ROW,
                                              .a_row = WEIGHT_ROW,
                                              .b = (const char *)h->a->v + (size_t)(c / PANEL) * h->value_panel + value_bytes(j0),
                                              .b_panel = h->value_panel,
                                              .groups = (n + PAIR_GROUP - 1) / PAIR_GROUP,
                                              .add = j0 > 0,
                                              .to = h->a->sums + i * h->width + c,
                                              .to_row = h->width},
                            h->width - c);
}

static void attend(const attend_args *a)
{
    attend_head h = {.a = a,
                     .space = a->scratch,
                     .key_panel = key_bytes(a->d),
                     .value_panel = value_bytes(a->keys),
                     .width = (a->d + PANEL - 1) / PANEL * PANEL};
    h.q = queries_of(a, &h.q_row);
    tiles_follow_stores();
    memset(h.space->lanes, 0, sizeof h.space->lanes);
    for (int j0 = 0; j0 < a->keys; j0 += KEY_TILE) {
        const int n = a->keys - j0 < KEY_TILE ? a->keys - j0 : KEY_TILE;
        if (a->small)
            weigh_small(&h, j0, n);
        else
            weigh_large(&h, j0, n);
        tiles_follow_stores();
        add_values(&h, j0, n);
    }
    sum_lanes(h.space->lanes, a->m, a->sum);
}

#endif
