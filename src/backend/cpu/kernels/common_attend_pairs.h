/* common_attend_pairs: softmax of scores times values for one head of a block of tokens, from products of pairs of bfloat16
 * (VDPBF16PS).  As common_attend.h, but with weights by common_weights.h, in its order of keys. */
#ifndef SEGRT_COMMON_ATTEND_PAIRS_H
#define SEGRT_COMMON_ATTEND_PAIRS_H

#include "backend/cpu/kernels/common_keys.h"
#include "backend/cpu/kernels/common_rows.h"
#include "backend/cpu/kernels/common_weights.h"

enum { ATTEND_ROWS = 48, KEY_TILE = 256 }; /* whole tiles of 12 rows */

typedef struct attend_space {
    float scores[ATTEND_ROWS * KEY_TILE]; /* where maxima are needed */
    operand weights[ATTEND_ROWS * KEY_TILE];
    float maximum[ATTEND_ROWS], shrink[ATTEND_ROWS];
    float lanes[ATTEND_ROWS * FLOATS]; /* sums of weights before they are added up */
} attend_space;

static inline int whole_groups(int keys)
{
    return (keys + PAIR_GROUP - 1) / PAIR_GROUP * PAIR_GROUP;
}

static size_t attend_bytes(int d)
{
    (void)d;
    return sizeof(attend_space);
}
static size_t value_bytes(int keys)
{
    return panel_bytes(whole_groups(keys));
}

static void pack_values(void *b, size_t b_panel, const float *src, ptrdiff_t src_row, int n, int k0, int k1)
{
    pack_pairs_of_rows(b, b_panel, src, src_row, n, k0, k1);
}

static void weigh_large(const attend_args *a, attend_space *space, int j0, int n)
{
    const int width = (a->d + PANEL - 1) / PANEL * PANEL;
    raise_maxima(space->scores, KEY_TILE, a->m, n, NULL, NULL, j0 == 0, space->maximum, space->shrink);
    if (j0) {
        scale_rows(a->sums, width, a->m, width, space->shrink);
        scale_rows(space->lanes, FLOATS, a->m, FLOATS, space->shrink);
    }
    for (int j = 0; j < n; j += PAIR_GROUP)
        make_weights(&(weights_args){.scores = space->scores + j,
                                     .s_row = KEY_TILE,
                                     .rows = a->m,
                                     .there = n - j < PAIR_GROUP ? n - j : PAIR_GROUP,
                                     .maximum = space->maximum,
                                     .to = space->weights + j,
                                     .to_row = KEY_TILE,
                                     .lanes = space->lanes});
}

static void attend(const attend_args *a)
{
    attend_space *space = a->scratch;
    const int width = (a->d + PANEL - 1) / PANEL * PANEL;
    memset(space->lanes, 0, sizeof space->lanes);
    for (int j0 = 0; j0 < a->keys; j0 += KEY_TILE) {
        const int n = a->keys - j0 < KEY_TILE ? a->keys - j0 : KEY_TILE;
        gemm_args scores = {.m = a->m,
                            .n = n,
                            .k = a->d,
                            .a = a->q,
                            .a_row = a->q_row,
                            .a_panel = LANES,
                            .b = (const char *)a->k + (size_t)(j0 / PANEL) * key_bytes(a->d),
                            .b_panel = key_bytes(a->d),
                            .c = space->scores,
                            .c_row = KEY_TILE,
                            .c_panel = FLOATS,
                            .row_scale = a->row_scale,
                            .bias = a->shift ? a->shift + j0 : NULL};
        if (a->small) {
            scores.c = space->weights;
            scores.exp_sums = space->lanes;
        }
        gemm(&scores);
        if (!a->small)
            weigh_large(a, space, j0, n);
        gemm(&(gemm_args){.m = a->m,
                          .n = a->d,
                          .k = whole_groups(n),
                          .a = space->weights,
                          .a_row = KEY_TILE,
                          .a_panel = LANES,
                          .b = (const char *)a->v + value_bytes(j0),
                          .b_panel = value_bytes(a->keys),
                          .c = a->sums,
                          .c_row = width,
                          .c_panel = FLOATS,
                          .add = j0 ? a->sums : NULL,
                          .add_row = width,
                          .add_panel = FLOATS});
    }
    sum_lanes(space->lanes, a->m, a->sum);
}

#endif
