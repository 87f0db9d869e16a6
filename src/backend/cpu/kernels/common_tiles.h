/* common_tiles: how a product on tiles walks its rows and columns, whatever numbers its tiles hold.
 *
 * A block is up to four tiles of sums, so that four multiplications are under way at once (one takes three times as long as the
 * next has to wait): two by two; of 16 rows that remain one by four; of a panel that remains four by one.  Four panels' weights
 * stay in a core's caches while all rows pass.
 *
 * Sums go to a buffer in L1, from where the including file's finish_rows takes them on: there are two buffers, and a block is
 * finished after the next one's multiplications were issued, so that vectors and tiles work at the same time.  Where nothing is
 * to be done but an addition, sums begin with the addend and are stored where they belong.
 *
 * Tiles are configured as full ones, once for many products (begin and end of kernels.h).  Only rows that do not fill a tile need a
 * configuration of their own for a while, at the end of a product.
 *
 * The including file defines TILE_MULTIPLY(c, a, b), tile_ending and finish_rows(ending, i, p, rows, panels, sums, row): rows [i, i + rows) of panels [p, p + panels) from sums, `row` bytes a row,
 * to where they belong; 1 or 4 rows and 1 or 2 panels, constants. */
#ifndef SEGRT_COMMON_TILES_H
#define SEGRT_COMMON_TILES_H

#include "backend/cpu/kernels/amx_tiles.h"
#include "backend/cpu/kernels/kernels.h"

enum { TILE = 16, TILE_BYTES = TILE * LINE, MOST_TILES = 4 };

typedef struct tile_product {
    int m, panels, lines;     /* rows, column panels, lines of k */
    const char *a;            /* line l of row i at i * a_row + l * a_panel, bytes */
    ptrdiff_t a_row, a_panel;
    const char *b;            /* packed */
    size_t b_panel;
    char *c;                  /* where the sums belong, or NULL: they are finished from a buffer */
    ptrdiff_t c_row, c_panel; /* bytes */
    const char *add;          /* with c: what they begin with, or NULL */
    ptrdiff_t add_row, add_panel;
    const tile_ending *ending;
} tile_product;

typedef struct tile_walk {
    const tile_product *t;
    int i, p, rows, panels; /* the block that waits to be finished; rows 0: none */
    int turn;
    _Alignas(LINE) char sums[2][MOST_TILES * TILE_BYTES];
} tile_walk;

/* Sums of a block and where they go. */
typedef struct tile_sums {
    char *to;
    ptrdiff_t row, panel;
    const char *add;
} tile_sums;

#define BEGIN_SUM(tile, down, across)                                                                                                      \
    do {                                                                                                                                   \
        if (s.add)                                                                                                                         \
            tile_load(tile, s.add + (down) * (TILE * t->add_row) + (across) * t->add_panel, t->add_row);                                   \
        else                                                                                                                               \
            tile_zero(tile);                                                                                                               \
    } while (0)
#define STORE_SUM(tile, down, across) tile_store(tile, s.to + (down) * (TILE * s.row) + (across) * s.panel, s.row)
#define LOAD_A(tile, down) tile_load(tile, a + (down) * (TILE * t->a_row), t->a_row)
#define LOAD_B(tile, across) tile_load(tile, b + (size_t)(across) * t->b_panel, LINE)
#define EACH_LINE for (int l = 0; l < t->lines; l++, a += t->a_panel, b += TILE_BYTES)

/* Two tiles of rows by two panels. */
static inline void tile_square(const tile_product *t, const char *a, const char *b, tile_sums s)
{
    TILES(TILE);
    BEGIN_SUM(0, 0, 0);
    BEGIN_SUM(1, 0, 1);
    BEGIN_SUM(2, 1, 0);
    BEGIN_SUM(3, 1, 1);
    EACH_LINE
    {
        LOAD_A(4, 0);
        LOAD_A(5, 1);
        LOAD_B(6, 0);
        TILE_MULTIPLY(0, 4, 6);
        TILE_MULTIPLY(2, 5, 6);
        LOAD_B(7, 1);
        TILE_MULTIPLY(1, 4, 7);
        TILE_MULTIPLY(3, 5, 7);
    }
    STORE_SUM(0, 0, 0);
    STORE_SUM(1, 0, 1);
    STORE_SUM(2, 1, 0);
    STORE_SUM(3, 1, 1);
}

/* One tile of `rows` rows by up to four panels. */
static inline __attribute__((always_inline)) void tile_row(const tile_product *t, const char *a, const char *b, tile_sums s, int rows, const int panels)
{
    TILES(rows);
    BEGIN_SUM(0, 0, 0);
    if (panels > 1)
        BEGIN_SUM(1, 0, 1);
    if (panels > 2)
        BEGIN_SUM(2, 0, 2);
    if (panels > 3)
        BEGIN_SUM(3, 0, 3);
    EACH_LINE
    {
        LOAD_A(4, 0);
        LOAD_B(6, 0);
        TILE_MULTIPLY(0, 4, 6);
        if (panels > 1) {
            LOAD_B(7, 1);
            TILE_MULTIPLY(1, 4, 7);
        }
        if (panels > 2) {
            LOAD_B(6, 2);
            TILE_MULTIPLY(2, 4, 6);
        }
        if (panels > 3) {
            LOAD_B(7, 3);
            TILE_MULTIPLY(3, 4, 7);
        }
    }
    STORE_SUM(0, 0, 0);
    if (panels > 1)
        STORE_SUM(1, 0, 1);
    if (panels > 2)
        STORE_SUM(2, 0, 2);
    if (panels > 3)
        STORE_SUM(3, 0, 3);
}

/* Up to four tiles of rows by one panel. */
static inline __attribute__((always_inline)) void tile_column(const tile_product *t, const char *a, const char *b, tile_sums s, const int down)
{
    TILES(TILE);
    BEGIN_SUM(0, 0, 0);
    if (down > 1)
        BEGIN_SUM(1, 1, 0);
    if (down > 2)
        BEGIN_SUM(2, 2, 0);
    if (down > 3)
        BEGIN_SUM(3, 3, 0);
    EACH_LINE
    {
        LOAD_B(6, 0);
        LOAD_A(4, 0);
        TILE_MULTIPLY(0, 4, 6);
        if (down > 1) {
            LOAD_A(5, 1);
            TILE_MULTIPLY(1, 5, 6);
        }
        if (down > 2) {
            LOAD_A(4, 2);
            TILE_MULTIPLY(2, 4, 6);
        }
        if (down > 3) {
            LOAD_A(5, 3);
            TILE_MULTIPLY(3, 5, 6);
        }
    }
    STORE_SUM(0, 0, 0);
    if (down > 1)
        STORE_SUM(1, 1, 0);
    if (down > 2)
        STORE_SUM(2, 2, 0);
    if (down > 3)
        STORE_SUM(3, 3, 0);
}
#undef BEGIN_SUM
#undef STORE_SUM
#undef LOAD_A
#undef LOAD_B
#undef EACH_LINE

static void tile_multiply_block(const tile_product *t, int i, int p, int rows, int panels, tile_sums s)
{
    const char *a = t->a + i * t->a_row, *b = t->b + (size_t)p * t->b_panel;
    if (rows == 2 * TILE && panels == 2)
        tile_square(t, a, b, s);
    else if (panels == 4)
        tile_row(t, a, b, s, rows, 4);
    else if (panels == 3)
        tile_row(t, a, b, s, rows, 3);
    else if (panels == 2)
        tile_row(t, a, b, s, rows, 2);
    else if (rows == 4 * TILE)
        tile_column(t, a, b, s, 4);
    else if (rows == 3 * TILE)
        tile_column(t, a, b, s, 3);
    else if (rows == 2 * TILE)
        tile_column(t, a, b, s, 2);
    else
        tile_row(t, a, b, s, rows, 1);
}

/* Finishes the block that waits. */
static void tile_flush(tile_walk *w)
{
    const ptrdiff_t row = w->panels * LINE;
    for (int from = 0; w->rows && from < w->panels; from += 2) {
        const bool two = w->panels - from > 1;
        const char *sums = w->sums[1 - w->turn] + from * LINE;
        int r = 0;
        for (; r + 4 <= w->rows; r += 4)
            if (two)
                finish_rows(w->t->ending, w->i + r, w->p + from, 4, 2, sums + r * row, row);
            else
                finish_rows(w->t->ending, w->i + r, w->p + from, 4, 1, sums + r * row, row);
        for (; r < w->rows; r++)
            if (two)
                finish_rows(w->t->ending, w->i + r, w->p + from, 1, 2, sums + r * row, row);
            else
                finish_rows(w->t->ending, w->i + r, w->p + from, 1, 1, sums + r * row, row);
    }
    w->rows = 0;
}

static void tile_block(tile_walk *w, int i, int p, int rows, int panels)
{
    const tile_product *t = w->t;
    if (t->c) {
        const char *add = t->add ? t->add + i * t->add_row + p * t->add_panel : NULL;
        tile_multiply_block(t, i, p, rows, panels,
                            (tile_sums){.to = t->c + i * t->c_row + p * t->c_panel, .row = t->c_row, .panel = t->c_panel, .add = add});
        return;
    }
    tile_multiply_block(t, i, p, rows, panels, (tile_sums){.to = w->sums[w->turn], .row = panels * LINE, .panel = LINE});
    tile_flush(w);
    w->i = i, w->p = p, w->rows = rows, w->panels = panels;
    w->turn = 1 - w->turn;
}

static void tile_multiply_all(const tile_product *t)
{
    tile_walk w; /* its sums need no beginning */
    w.t = t, w.rows = 0, w.turn = 0;
    const int full = t->m / TILE * TILE, squares = full / (2 * TILE) * (2 * TILE);
    for (int p0 = 0; p0 < t->panels; p0 += MOST_TILES) {
        const int end = t->panels - p0 < MOST_TILES ? t->panels : p0 + MOST_TILES;
        int p = p0;
        for (; p + 2 <= end; p += 2)
            for (int i = 0; i < squares; i += 2 * TILE)
                tile_block(&w, i, p, 2 * TILE, 2);
        for (int i = 0; p < end && i < squares; i += MOST_TILES * TILE)
            tile_block(&w, i, p, squares - i < MOST_TILES * TILE ? squares - i : MOST_TILES * TILE, 1);
        if (squares < full)
            tile_block(&w, squares, p0, TILE, end - p0);
    }
    if (full < t->m) {
        const int rows = t->m - full;
        tiles_configure(rows);
        for (int p = 0; p < t->panels; p += MOST_TILES)
            tile_block(&w, full, p, rows, t->panels - p < MOST_TILES ? t->panels - p : MOST_TILES);
        tiles_configure(TILE);
    }
    tile_flush(&w);
}

#endif
