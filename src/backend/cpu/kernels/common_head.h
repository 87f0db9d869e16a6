/* common_head: the merge of the levels and the labels, for any vector of vector_<level>.h. */
#ifndef SEGRT_COMMON_HEAD_H
#define SEGRT_COMMON_HEAD_H

#include "backend/cpu/kernels/common_rows.h"

/* Rows first (they are short), then columns. */
static void merge(const merge_level levels[3], int width, const float *bias, float *line, float *out)
{
    const float *lines[3];
    for (int l = 0; l < 3; l++) {
        const vf t = v_set(levels[l].weight);
        lines[l] = line;
        for (int i = levels[l].from * FLOATS; i < levels[l].to * FLOATS; i += VL) {
            const vf top = v_load(levels[l].top + i);
            v_store(line + i, v_fma(t, v_sub(v_load(levels[l].bottom + i), top), top));
        }
        line += levels[l].w * FLOATS;
    }
    for (int x = 0; x < width; x++)
        for (int v = 0; v < FLOATS; v += VL) {
            vf sum = bias ? v_load(bias + v) : v_zero();
            for (int l = 0; l < 3; l++) {
                const int left = levels[l].left[x], right = left + 1 < levels[l].w ? left + 1 : left;
                const vf a = v_load(lines[l] + left * FLOATS + v), b = v_load(lines[l] + right * FLOATS + v);
                sum = v_add(sum, v_fma(v_set(levels[l].across[x]), v_sub(b, a), a));
            }
            v_store(out + x * FLOATS + v, sum);
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

static inline float label_value(const label_args *a, const float *wy, const float *wx, ptrdiff_t at)
{
    float sum = 0;
    for (int r = 0; r < a->vertical->taps; r++) {
        float line = 0;
        for (int c = 0; c < a->horizontal->taps; c++)
            line += wx[c] * a->rows[r][at + c * a->pitch];
        sum += wy[r] * line;
    }
    return sum;
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
    vf best = v_set(-INFINITY), top = best;
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
        top = v_max(top, high);
    }
    const float sure = v_highest(best), reach = fmaxf(fabsf(sure), fabsf(v_highest(top)));
    const vf least = v_set(sure - 2e-6f * reach);
    int count = 0;
    for (int c = 0; c < a->classes; c += VL)
        for (unsigned able = v_at_least(v_load(largest + c), least); able; able &= able - 1) {
            if (count == FEW)
                return FEW + 1;
            candidates[count++] = c + __builtin_ctz(able);
        }
    return count;
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
        for (int y = a->y0; y < a->y1; y++) {
            const float *wy = down->weight + (ptrdiff_t)y * LABEL_TAPS;
            for (int x = x0; x < x1; x++) {
                const float *wx = across->weight + (ptrdiff_t)x * LABEL_TAPS;
                int winner = candidates[0];
                if (count > FEW) {
                    winner = label_of_pixel(a, wy, wx, at, a->confidence ? a->confidence + (ptrdiff_t)y * across->count + x : NULL);
                } else if (count > 1) {
                    float highest = label_value(a, wy, wx, at + winner);
                    for (int i = 1; i < count; i++) {
                        const float value = label_value(a, wy, wx, at + candidates[i]);
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
