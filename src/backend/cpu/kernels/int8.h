/* int8: products of 8-bit integers with exact 32-bit sums, for the steps that quantise (../step_int8.c).  A table stands beside a
 * table of kernels.h, its base, which does everything else of the session.
 *
 * A number x is scale * q, q an integer from -127 to 127, rounded to nearest, ties to even.  Integers are stored in element_bytes:
 * one where the instruction set multiplies bytes, else two.  The left side is row-major; weights are packed in panels of PANEL
 * columns, zero beyond n and beyond k. */
#ifndef SEGRT_CPU_INT8_H
#define SEGRT_CPU_INT8_H

#include "backend/cpu/kernels/kernels.h"

/* c = add + scale * (a b) + bias, add and bias optional. */
typedef struct int8_args {
    int m, n, k; /* k at most INT8_LONGEST */
    const void *a; /* [m][a_row] integers, zero from k to k rounded up to k_unit */
    ptrdiff_t a_row; /* elements, a multiple of k_unit */
    const void *b;
    size_t b_panel;
    const float *scale; /* [n rounded up to PANEL]: of the left side times the column's */
    void *c; /* [m][n]: operands of the base where `narrow`, else floats, as in gemm_args */
    ptrdiff_t c_row, c_panel;
    bool narrow;
    const float *add; /* or NULL */
    ptrdiff_t add_row, add_panel;
    const float *bias; /* [n rounded up to PANEL] or NULL */
} int8_args;

enum { INT8_LONGEST = 1 << 17 }; /* 127 * 127 * 2^17 < 2^31 */

typedef struct int8_kernels {
    const char *name;
    cpu_level level; /* at least the base's */
    const cpu_kernels *base;
    int element_bytes, k_unit;

    size_t (*panel_bytes)(int k);
    /* Columns [0, n): src [n][k] times inverse [n], rounded; `b` begins as zeros. */
    void (*pack)(void *b, const float *src, const float *inverse, int n, int k);
    void (*gemm)(const int8_args *args);
    /* Integers [m][out_row] of row-major floats [m][x_row] times row_scale (NULL: 1) times inverse; zero up to n rounded up to k_unit. */
    void (*quantise)(const float *x, ptrdiff_t x_row, int m, int n, const float *row_scale, float inverse, void *out, ptrdiff_t out_row);
    /* The same of blocked operands of the base, x_panel elements from a column group to the next. */
    void (*quantise_blocked)(const void *x, ptrdiff_t x_panel, int m, int n, float inverse, void *out, ptrdiff_t out_row);
} int8_kernels;

/* Best first. */
extern const int8_kernels *const int8_kernel_tables[];
extern const size_t int8_kernel_table_count;

extern const int8_kernels int8_kernels_portable, int8_kernels_avx2, int8_kernels_avxvnni, int8_kernels_avx512, int8_kernels_avx512vnni;
extern const int8_kernels int8_kernels_avx512bf16, int8_kernels_amx, int8_kernels_neon, int8_kernels_neondot, int8_kernels_neonbf16;

#endif
