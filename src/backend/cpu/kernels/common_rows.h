/* common_rows: norms, conversions: whatever works on one row of floats at a time, for any vector of
 * vector_<level>.h. */
#ifndef SEGRT_COMMON_ROWS_H
#define SEGRT_COMMON_ROWS_H

#include <math.h>

#include "backend/cpu/kernels/common_exp.h"

static inline vf part(const float *p, int count) { return count >= VL ? v_load(p) : v_load_part(p, count); }
static inline void put(float *p, vf x, int count)
{
    if (count >= VL)
        v_store(p, x);
    else
        v_store_part(p, x, count);
}

static inline float sum_of_squares(const float *x, int n)
{
    vf s = v_zero();
    for (int j = 0; j < n; j += VL) {
        const vf v = part(x + j, n - j);
        s = v_fma(v, v, s);
    }
    return v_sum(s);
}

static inline float rstd_of(const float *x, int n, float eps) { return 1.0f / sqrtf(sum_of_squares(x, n) / (float)n + eps); }

static void rstd(const float *x, ptrdiff_t x_row, int m, int n, float eps, float *out)
{
    for (int i = 0; i < m; i++)
        out[i] = rstd_of(x + i * x_row, n, eps);
}

static void operands(const float *x, ptrdiff_t x_row, int m, int n, const float *row_scale, void *out, ptrdiff_t out_row)
{
    const int padded = (n + LANES - 1) / LANES * LANES, unit = K_UNIT, end = (n + unit - 1) / unit * unit;
    for (int i = 0; i < m; i++) {
        operand *to = (operand *)out + i * out_row;
        const vf scale = v_set(row_scale ? row_scale[i] : 1.0f);
        for (int j = 0; j < padded && j < end; j += VL) {
            const vf v = j < n ? v_mul(part(x + i * x_row + j, n - j), scale) : v_zero();
            o_store_part(to + j, v, end - j < VL ? end - j : VL);
        }
    }
}

static void patch_norm(float *x, int n, const float *bias, const float *gamma, const float *beta, float eps)
{
    vf s = v_zero();
    for (int j = 0; j < n; j += VL) {
        const vf v = v_add(part(x + j, n - j), part(bias + j, n - j));
        put(x + j, v, n - j);
        s = v_fma(v, v, s);
    }
    const vf scale = v_set(1.0f / sqrtf(v_sum(s) / (float)n + eps));
    s = v_zero();
    for (int j = 0; j < n; j += VL) {
        const vf v = v_fma(v_mul(part(x + j, n - j), scale), part(gamma + j, n - j), part(beta + j, n - j));
        put(x + j, v, n - j);
        s = v_add(s, v);
    }
    const vf mean = v_set(v_sum(s) / (float)n);
    for (int j = 0; j < n; j += VL)
        put(x + j, v_sub(part(x + j, n - j), mean), n - j);
}

static void stage_norm(const float *x, ptrdiff_t x_row, int m, int n, const float *offset, float eps, float *f, ptrdiff_t f_row)
{
    for (int i = 0; i < m; i++) {
        const vf scale = v_set(rstd_of(x + i * x_row, n, eps));
        for (int j = 0; j < n; j += VL)
            put(f + i * f_row + j, v_sub(v_mul(part(x + i * x_row + j, n - j), scale), part(offset + j, n - j)), n - j);
    }
}

/* sum [m] of the lanes that a product's exp_sums, or tiles of weights, left. */
static void sum_lanes(const float *lanes, int m, float *sum)
{
    for (int i = 0; i < m; i++) {
        vf all = v_load(lanes + i * FLOATS);
        for (int j = VL; j < FLOATS; j += VL)
            all = v_add(all, v_load(lanes + i * FLOATS + j));
        sum[i] = v_sum(all);
    }
}

static float largest_square(const void *x, ptrdiff_t x_row, int m, int n)
{
    float largest = 0;
    for (int i = 0; i < m; i++) {
        const operand *row = (const operand *)x + i * x_row;
        vf s = v_zero();
        int j = 0;
        for (; j + VL <= n; j += VL)
            s = v_fma(o_load(row + j), o_load(row + j), s);
        float square = v_sum(s);
        for (; j < n; j++)
            square += o_float(row[j]) * o_float(row[j]);
        largest = square > largest ? square : largest;
    }
    return largest;
}

static void scale_rows(float *x, ptrdiff_t x_row, int m, int n, const float *scale)
{
    for (int i = 0; i < m; i++) {
        const vf factor = v_set(scale[i]);
        for (int j = 0; j < n; j += VL)
            put(x + i * x_row + j, v_mul(part(x + i * x_row + j, n - j), factor), n - j);
    }
}

static void attend_out(const float *x, ptrdiff_t x_row, const float *sum, int m, int n, const float *bias, float *out, ptrdiff_t out_row)
{
    for (int i = 0; i < m; i++) {
        const vf scale = v_set(1.0f / sum[i]);
        for (int j = 0; j < n; j += VL) {
            const vf older = v_add(part(out + i * out_row + j, n - j), part(bias + j, n - j));
            put(out + i * out_row + j, v_fma(part(x + i * x_row + j, n - j), scale, older), n - j);
        }
    }
}

#endif
