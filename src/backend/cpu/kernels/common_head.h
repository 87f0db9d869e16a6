/* common_head: the merge of the levels and the labels, for any vector of vector_<level>.h. */
#ifndef SEGRT_COMMON_HEAD_H
#define SEGRT_COMMON_HEAD_H

#include "backend/cpu/kernels/common_rows.h"

/* Rows first (they are short), each column with its difference to the next beside it; then columns. */
static void merge(const merge_level levels[3], int width, const float *bias, float *line, float *out)
{
    const float *lines[3];
    for (int l = 0; l < 3; l++) {
        const merge_level *at = &levels[l];
        const vf t = v_set(at->weight);
        lines[l] = line;
        for (int v = 0; v < FLOATS; v += VL) {
            float *to = line + at->from * 2 * FLOATS + v;
            vf here = v_zero();
            for (int i = at->from; i < at->to; i++, to += 2 * FLOATS) {
                const vf top = v_load(at->top + i * FLOATS + v), next = v_fma(t, v_sub(v_load(at->bottom + i * FLOATS + v), top), top);
                if (i > at->from)
                    v_store(to - FLOATS, v_sub(next, here));
                v_store(to, next);
                here = next;
            }
            v_store(to - FLOATS, v_zero()); /* the last has no neighbour, or none that is asked for */
        }
        line += at->w * 2 * FLOATS;
    }
    const int32_t *const left[3] = {levels[0].left, levels[1].left, levels[2].left};
    const float *const across[3] = {levels[0].across, levels[1].across, levels[2].across};
    for (int v = 0; v < FLOATS; v += VL) {
        const vf constant = bias ? v_load(bias + v) : v_zero();
        for (int x = 0; x < width; x++) {
            const float *a = lines[0] + left[0][x] * 2 * FLOATS + v, *b = lines[1] + left[1][x] * 2 * FLOATS + v,
                        *c = lines[2] + left[2][x] * 2 * FLOATS + v;
            const vf first = v_fma(v_set(across[0][x]), v_load(a + FLOATS), v_add(v_load(a), constant));
            const vf second = v_fma(v_set(across[1][x]), v_load(b + FLOATS), v_load(b));
            v_store(out + x * FLOATS + v, v_add(v_fma(v_set(across[2][x]), v_load(c + FLOATS), v_load(c)), v_add(first, second)));
        }
    }
}

enum { FEW = 8 }; /* candidates in a cell up to which single numbers are cheaper than vectors of classes */

static void put_label(const label_args *a, int y, int x, int label)
{
    const ptrdiff_t at = y * a->stride + x;
    if (a->label_bytes == 1)
        ((uint8_t *)a->labels)[at] = (uint8_t)label;
    else
        ((uint16_t *)a->labels)[at] = (uint16_t)label;
}

/* Output columns [x0, x1) of all rows of the call: one label. */
static void fill_labels(const label_args *a, int x0, int x1, int label)
{
    const uint32_t four = (uint32_t)label * 0x01010101u;
    for (int y = a->y0; y < a->y1; y++) {
        int x = x0;
        for (; a->label_bytes == 1 && x + 4 <= x1; x += 4)
            memcpy((uint8_t *)a->labels + y * a->stride + x, &four, sizeof four);
        for (; x < x1; x++)
            put_label(a, y, x, label);
    }
}

/* All classes of one pixel: the winner (lowest index where several are equal), and its probability where `confidence`. */
static int label_of_pixel(const label_args *a, const float *wy, const float *wx, ptrdiff_t at, uint8_t *confidence)
{
    float *values = a->lines;
    vf high = v_set(-INFINITY);
    for (int c = 0; c < a->classes; c += VL) {
        vf sum = v_zero();
        for (int r = 0; r < a->vertical->taps; r++) {
            vf line = v_zero();
            for (int t = 0; t < a->horizontal->taps; t++)
                line = v_fma(v_set(wx[t]), v_load(a->rows[r] + at + t * a->pitch + c), line);
            sum = v_fma(v_set(wy[r]), line, sum);
        }
        v_store(values + c, sum);
        high = v_max(high, sum);
    }
    const float highest = v_highest(high);
    if (confidence) {
        vf total = v_zero();
        for (int c = 0; c < a->classes; c += VL)
            total = v_add(total, v_exp2(v_mul(v_sub(v_load(values + c), v_set(highest)), v_set(1.44269504f))));
        *confidence = (uint8_t)(255.0f / v_sum(total) + 0.5f);
    }
    int label = 0;
    while (label + 1 < a->classes && values[label] != highest)
        label++;
    return label;
}

/* Classes that can win somewhere in the cell at quarter column x: whose largest corner is not below the smallest corner of
 * another.  Interpolation is a mean of the corners, so nobody else gets there; the margin is for its rounding. */
static int label_candidates(const label_args *a, ptrdiff_t at, int candidates[FEW])
{
    float *largest = a->lines;
    vf best = v_set(-INFINITY);
    for (int c = 0; c < a->classes; c += VL) {
        vf low = v_load(a->rows[0] + at + c), high = low;
        for (int r = 0; r < a->vertical->taps; r++)
            for (int t = 0; t < a->horizontal->taps; t++) {
                const vf corner = v_load(a->rows[r] + at + t * a->pitch + c);
                low = v_min(low, corner);
                high = v_max(high, corner);
            }
        v_store(largest + c, high);
        best = v_max(best, low);
    }
    const float sure = v_highest(best);
    const vf least = v_set(sure - 2e-6f * fabsf(sure)), margin = v_set(2e-6f);
    int count = 0;
    for (int c = 0; c < a->classes; c += VL) {
        const vf high = v_load(largest + c), size = v_max(high, v_sub(v_zero(), high));
        for (unsigned able = v_at_least(v_fma(margin, size, high), least); able; able &= able - 1) {
            if (count == FEW)
                return FEW + 1;
            candidates[count++] = c + __builtin_ctz(able);
        }
    }
    return count;
}

/* The candidates' values at quarter columns first to first + taps, interpolated along y. */
static inline void label_columns(const label_args *a, const float *wy, ptrdiff_t at, const int *candidates, int count,
                                 float columns[FEW][LABEL_TAPS])
{
    for (int i = 0; i < count; i++)
        for (int c = 0; c < a->horizontal->taps; c++) {
            float sum = 0;
            for (int r = 0; r < a->vertical->taps; r++)
                sum += wy[r] * a->rows[r][at + c * a->pitch + candidates[i]];
            columns[i][c] = sum;
        }
}

static inline float label_value(const label_args *a, const float *wx, const float columns[LABEL_TAPS])
{
    float sum = 0;
    for (int c = 0; c < a->horizontal->taps; c++)
        sum += wx[c] * columns[c];
    return sum;
}

static void label(const label_args *a)
{
    const label_axis *across = a->horizontal, *down = a->vertical;
    for (int x0 = 0, x1; x0 < across->count; x0 = x1) {
        for (x1 = x0 + 1; x1 < across->count && across->first[x1] == across->first[x0]; x1++)
            ;
        const ptrdiff_t at = (ptrdiff_t)across->first[x0] * a->pitch;
        int candidates[FEW] = {0};
        const int count = a->confidence ? FEW + 1 : label_candidates(a, at, candidates);
        if (count <= 1) {
            fill_labels(a, x0, x1, candidates[0]);
            continue;
        }
        for (int y = a->y0; y < a->y1; y++) {
            const float *wy = down->weight + (ptrdiff_t)y * LABEL_TAPS;
            float columns[FEW][LABEL_TAPS];
            if (count <= FEW)
                label_columns(a, wy, at, candidates, count, columns);
            for (int x = x0; x < x1; x++) {
                const float *wx = across->weight + (ptrdiff_t)x * LABEL_TAPS;
                int winner = candidates[0];
                if (count > FEW) {
                    winner = label_of_pixel(a, wy, wx, at, a->confidence ? a->confidence + (ptrdiff_t)y * across->count + x : NULL);
                } else {
                    float highest = label_value(a, wx, columns[0]);
                    for (int i = 1; i < count; i++) {
                        const float value = label_value(a, wx, columns[i]);
                        if (value > highest)
                            highest = value, winner = candidates[i];
                    }
                }
                if (a->labels)
                    put_label(a, y, x, winner);
            }
        }
    }
}

#endif
