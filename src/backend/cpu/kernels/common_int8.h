/* common_int8: quantising, and how sums of integers become results, for any vector of vector_<level>.h.  The including file has
 * defined `quantum`, the integers' type, K_UNIT and the vectors of 32-bit integers (vi) that it uses. */
#ifndef SEGRT_COMMON_INT8_H
#define SEGRT_COMMON_INT8_H

#include "backend/cpu/kernels/common_store.h"
#include "backend/cpu/kernels/int8.h"

static inline int round_to_unit(int k) { return (k + K_UNIT - 1) / K_UNIT * K_UNIT; }

/* Nearest integer, ties to even, within 127; 127 for a NaN.  Adding 1.5 * 2^23 leaves the integer in the lowest bits. */
static inline quantum quantised(float x)
{
    int32_t bits;
    x = x < 127.0f ? x : 127.0f;
    x = x > -127.0f ? x : -127.0f;
    x += 12582912.0f;
    memcpy(&bits, &x, sizeof bits);
    return (quantum)(bits - 0x4b400000);
}

static void quantise(const float *x, ptrdiff_t x_row, int m, int n, const float *row_scale, float inverse, void *out, ptrdiff_t out_row)
{
    const int end = round_to_unit(n);
    for (int i = 0; i < m; i++) {
        const float *from = x + i * x_row, scale = row_scale ? row_scale[i] * inverse : inverse;
        quantum *restrict to = (quantum *)out + i * out_row;
        for (int j = 0; j < n; j++)
            to[j] = quantised(from[j] * scale);
        for (int j = n; j < end; j++)
            to[j] = 0;
    }
}

static void quantise_blocked(const void *x, ptrdiff_t x_panel, int m, int n, float inverse, void *out, ptrdiff_t out_row)
{
    const int end = round_to_unit(n);
    for (int j0 = 0; j0 < end; j0 += LANES) {
        const operand *from = (const operand *)x + j0 / LANES * x_panel;
        quantum *restrict to = (quantum *)out + j0;
        if (n - j0 >= LANES) {
            for (int i = 0; i < m; i++, from += LANES, to += out_row)
                for (int j = 0; j < LANES; j++)
                    to[j] = quantised(o_float(from[j]) * inverse);
            continue;
        }
        const int room = end - j0 < LANES ? end - j0 : LANES;
        for (int i = 0; i < m; i++, from += LANES, to += out_row)
            for (int j = 0; j < room; j++)
                to[j] = j0 + j < n ? quantised(o_float(from[j]) * inverse) : (quantum)0;
    }
}

static inline gemm_args store_args(const int8_args *q)
{
    return (gemm_args){.m = q->m, .n = q->n, .k = q->k, .c = q->c, .c_row = q->c_row, .c_panel = q->c_panel, .narrow = q->narrow, .add = q->add,
                       .add_row = q->add_row, .add_panel = q->add_panel, .bias = q->bias};
}

#define INT8_TABLE(text, cpu_level, base_table)                                                                                                       \
    {                                                                                                                                      \
        .name = text, .level = cpu_level, .base = base_table, .element_bytes = sizeof(quantum), .k_unit = K_UNIT, .panel_bytes = panel_bytes, .pack = pack,    \
        .gemm = gemm, .quantise = quantise, .quantise_blocked = quantise_blocked,                                                          \
    }

#endif
