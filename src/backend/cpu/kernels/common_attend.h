/* common_attend: softmax of scores times values for one head of a block of tokens, from the level's products: the scores exist
 * for a tile of keys at a time. */
#ifndef SEGRT_COMMON_ATTEND_H
#define SEGRT_COMMON_ATTEND_H

#include "backend/cpu/kernels/common_keys.h"
#include "backend/cpu/kernels/common_rows.h"

enum { ATTEND_ROWS = 48, KEY_TILE = 256 }; /* whole tiles of 2, 6 and 12 rows; scores are 48 KB, keys of one head (d = 64) 64 */

typedef struct attend_space {
    float scores[ATTEND_ROWS * KEY_TILE];
#ifdef OPERAND_BF16
    operand weights[ATTEND_ROWS * KEY_TILE];
#endif
    float maximum[ATTEND_ROWS], shrink[ATTEND_ROWS];
    float lanes[ATTEND_ROWS * FLOATS]; /* sums of weights before they are added up */
} attend_space;

static size_t attend_bytes(int d)
{
    (void)d;
    return sizeof(attend_space);
}

/* Values are packed as any second factor, as keys are. */
static size_t value_bytes(int keys)
{
    return panel_bytes(keys);
}
static void pack_values(void *b, size_t b_panel, const float *src, ptrdiff_t src_row, int n, int k0, int k1)
{
    pack_columns(b, b_panel, src, src_row, n, k0, k1);
}

static operand *weights_of(attend_space *space)
{
#ifdef OPERAND_BF16
    return space->weights;
#else
    return space->scores;
#endif
}

/* One tile of a streaming softmax with base 2 over n columns of scores [m][s_row]: the rows' running maximum and sum, the
 * factor by which older sums must shrink, and the weights as operands (zero up to n rounded up to K_UNIT; may overwrite the
 * scores).  first: there is nothing older. */
static void softmax(const float *scores, ptrdiff_t s_row, int m, int n, bool first, float *maximum, float *sum, float *shrink,
                    void *weights, ptrdiff_t w_row)
{
    const int unit = K_UNIT, end = (n + unit - 1) / unit * unit;
    for (int i = 0; i < m; i++) {
        const float *s = scores + i * s_row;
        operand *w = (operand *)weights + i * w_row;
        float highest = first ? s[0] : maximum[i];
        vf high = v_set(highest), high2 = high;
        int j = 0;
        for (; j + 2 * VL <= n; j += 2 * VL) {
            high = v_max(high, v_load(s + j));
            high2 = v_max(high2, v_load(s + j + VL));
        }
        for (; j + VL <= n; j += VL)
            high = v_max(high, v_load(s + j));
        highest = v_highest(v_max(high, high2));
        for (; j < n; j++)
            highest = s[j] > highest ? s[j] : highest;
        const float older = first ? 0.0f : exp2f(maximum[i] - highest);
        maximum[i] = highest;
        const vf top = v_set(highest);
        vf total = v_zero();
        for (j = 0; j + VL <= n; j += VL) {
            const vf p = o_rounded(v_exp2(v_sub(v_load(s + j), top)));
            o_store(w + j, p);
            total = v_add(total, p);
        }
        float all = v_sum(total);
        if (j < n) {
            float rest[VL];
            v_store(rest, o_rounded(v_exp2(v_sub(v_load_part(s + j, n - j), top))));
            for (int r = 0; j < n; j++, r++) {
                w[j] = o_of(rest[r]);
                all += rest[r];
            }
        }
        for (; j < end; j++)
            w[j] = o_of(0);
        sum[i] = first ? all : sum[i] * older + all;
        shrink[i] = older;
    }
}

static void attend(const attend_args *a)
{
    attend_space *space = a->scratch;
    operand *weights = weights_of(space);
    const int width = (a->d + PANEL - 1) / PANEL * PANEL;
    const size_t key_panel = panel_bytes(a->d), value_panel = panel_bytes(a->keys);
    if (a->small)
        memset(space->lanes, 0, sizeof space->lanes);
    for (int j0 = 0; j0 < a->keys; j0 += KEY_TILE) {
        const int n = a->keys - j0 < KEY_TILE ? a->keys - j0 : KEY_TILE;
        gemm_args scores = {.m = a->m,
                            .n = n,
                            .k = a->d,
                            .a = a->q,
                            .a_row = a->q_row,
                            .a_panel = LANES,
                            .b = (const char *)a->k + (size_t)(j0 / PANEL) * key_panel,
                            .b_panel = key_panel,
                            .c = space->scores,
                            .c_row = KEY_TILE,
                            .c_panel = FLOATS,
                            .row_scale = a->row_scale,
                            .bias = a->shift ? a->shift + j0 : NULL};
        if (a->small) {
            scores.c = weights;
            scores.c_panel = LANES;
            scores.narrow = true;
            scores.exp_sums = space->lanes;
            gemm(&scores);
        } else {
            gemm(&scores);
            softmax(space->scores, KEY_TILE, a->m, n, j0 == 0, space->maximum, a->sum, space->shrink, weights, KEY_TILE);
            if (j0)
                scale_rows(a->sums, width, a->m, width, space->shrink);
        }
        gemm(&(gemm_args){.m = a->m,
                          .n = a->d,
                          .k = n,
                          .a = weights,
                          .a_row = KEY_TILE,
                          .a_panel = LANES,
                          .b = (const char *)a->v + panel_bytes(j0),
                          .b_panel = value_panel,
                          .c = a->sums,
                          .c_row = width,
                          .c_panel = FLOATS,
                          .add = j0 ? a->sums : NULL,
                          .add_row = width,
                          .add_panel = FLOATS});
    }
    if (a->small)
        sum_lanes(space->lanes, a->m, a->sum);
}

#endif
