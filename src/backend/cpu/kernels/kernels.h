/* kernels: what the steps of the CPU backend are made of: one table of functions for each instruction
 * set and number type.  Steps (../step_*.c) are written once over such a table; tests/kernels walks all
 * tables that the machine can run and holds every function to plain loops in double.
 *
 * Operands: what a product reads: float, or bfloat16 (with float accumulation), `operand_bytes` each.
 * Activations between products are operands too; sums, scores, the residual stream and statistics are
 * float.
 *
 * Layouts.  A matrix [m][n] is stored in column groups of 64 bytes (L = 64 / element bytes columns, a
 * cache line): element (i, j) is at (j / L) * panel + i * row + j % L.  Row-major is panel = L, row = the
 * width; "blocked" is row = L, panel = m * L, so that a line of one group follows the line of the next
 * row: what the depthwise convolution and AMX tiles like to read.
 *
 * Packed weights of a product C = A B: column panels of PANEL, [ceil(n / PANEL)][panel_bytes(k)], inside a
 * panel in whatever order the instruction wants, zero beyond n and beyond k. */
#ifndef SEGRT_CPU_KERNELS_H
#define SEGRT_CPU_KERNELS_H

#include "base/cpu.h"

enum {
    PANEL = 16,
    LINE = 64,      /* bytes of a column group */
    FLOATS = 16,    /* floats of a column group */
    LABEL_TAPS = 3,    /* of a composed resize, along one axis */
    SMALL_SCORE = 100, /* 2^x neither overflows nor vanishes, not even summed up */
};

/* c = relu?(add + row_scale * (a b) + bias), every part optional. */
typedef struct gemm_args {
    int m, n, k;
    const void *a; /* [m][k] operands; finite up to k rounded to k_unit */
    ptrdiff_t a_row, a_panel;
    const void *b;   /* packed [k][n] */
    size_t b_panel;  /* bytes from one panel to the next: panel_bytes of the whole k, where this k is a part */
    void *c;         /* [m][n]; operands where `narrow`, else float.  Row-major: nothing beyond n is written */
    ptrdiff_t c_row, c_panel;
    bool narrow, relu;
    const float *add; /* [m][n], or NULL; may be c itself */
    ptrdiff_t add_row, add_panel;
    const float *row_scale; /* [m] or NULL */
    const float *bias;      /* [n rounded up to PANEL] or NULL */
    float *exp_sums;        /* or [m][FLOATS]: for `attend` within its table: c, row-major operands, becomes 2^ of all that, and the rows' sums of
                               what is stored are added here, spread over lanes; the results must be within 2^+-126 */
} gemm_args;

/* One head of a block of tokens: sums [m][d rounded up to PANEL] of values under the weights 2^score, which themselves sum to
 * `sum`; score = row_scale * (q k) + shift, both optional, less the row's maximum unless `small`. */
typedef struct attend_args {
    int m, keys, d;            /* m <= attend_rows */
    const void *q;             /* [attend_rows][d] operands, row-major */
    ptrdiff_t q_row;
    const void *k, *v;         /* packed by pack_keys and pack_values */
    const float *row_scale;    /* [m] or NULL */
    const float *shift;        /* [keys rounded up to PANEL] or NULL */
    bool small;                /* scores are within +-SMALL_SCORE: no maximum is needed */
    float *sums, *sum;         /* [attend_rows][d rounded up to PANEL], [m] */
    void *scratch;             /* [attend_bytes(d)], on a line */
} attend_args;

/* One level of the head below the first, as one quarter row needs it. */
typedef struct merge_level {
    const float *top, *bottom; /* rows [w][FLOATS] of one column group */
    float weight;              /* of `bottom` */
    int w, from, to;           /* columns; those that are read, from <= column < to */
    const int32_t *left;       /* [width]: column left of a quarter column; its right neighbour is next, or the same at the edge */
    const float *across;       /* [width]: weight of the right one */
} merge_level;

/* How output rows or columns read the quarter grid: value = sum over taps of weight * quarter[first + tap]. */
typedef struct label_axis {
    const int32_t *first;  /* [count]; first + LABEL_TAPS - 1 may pass the end: those weights are zero */
    const float *weight;   /* [count][LABEL_TAPS] */
    int count, taps;       /* taps: 2, or 3 */
} label_axis;

typedef struct label_args {
    const float *rows[LABEL_TAPS]; /* quarter rows [w][pitch] of logits, one pixel's classes side by side; padded with -inf */
    int w, classes, pitch;
    int y0, y1;                    /* output rows of this call: those with the same first quarter row */
    const label_axis *vertical, *horizontal;
    float *lines;                  /* scratch [2 * w * pitch + pitch] */
    void *labels;                  /* first pixel of output row 0, or NULL */
    int label_bytes;
    ptrdiff_t stride;
    uint8_t *confidence;           /* the same, or NULL; rows follow each other */
} label_args;

typedef struct cpu_kernels {
    const char *name;          /* type, tile, level: "f32_6x16_avx2" */
    cpu_level level;
    segrt_precision precision;
    bool parts;                /* float32 whose attention multiplies sums of two bfloat16 numbers, 2^-17 of a factor */
    int operand_bytes;
    int k_unit;                /* operands are read up to k rounded up to this */
    int depthwise_bytes;       /* of one column group's weights */
    int head_unit;             /* widths of heads are multiples */
    int attend_rows;           /* tokens of a call of `attend` */

    /* Around all products of a thread's piece of work, where they are not NULL: tiles are configured and released.  Tables of one
     * session, and one of int8.h, share what these do: those of one of them serve for all. */
    void (*begin)(void);
    void (*end)(void);

    /* Bytes of one packed panel of k rows. */
    size_t (*panel_bytes)(int k);
    /* Element (k, column) of a packed panel: for observers. */
    float (*packed_at)(const void *panel, int k, int column);
    /* Packs columns [0, n) whose column j is src[j * src_row + 0..k): weights [out][in], or keys. */
    void (*pack_rows)(void *b, const float *src, ptrdiff_t src_row, int n, int k);
    /* Packs rows [k0, k1) of all panels of a [k][n] matrix; src is row k0, [k1 - k0][src_row].  k0 is a multiple of k_unit; where
     * k1 is not, zero rows fill up. */
    void (*pack_columns)(void *b, size_t b_panel, const float *src, ptrdiff_t src_row, int n, int k0, int k1);
    void (*gemm)(const gemm_args *args); /* tolerance: 2e-6 * sqrt(k) of |a| |b|, for float */

    /* out [m] = 1 / sqrt(mean(x^2) + eps) over n columns of row-major x. */
    void (*rstd)(const float *x, ptrdiff_t x_row, int m, int n, float eps, float *out);
    /* Operands [m][n] from floats, scaled by row where row_scale is set; zero up to n rounded up to k_unit. */
    void (*operands)(const float *x, ptrdiff_t x_row, int m, int n, const float *row_scale, void *out, ptrdiff_t out_row);
    /* In place, rows of the patch convolution: y + bias -> * rstd -> * gamma + beta -> minus the mean over n. */
    void (*patch_norm)(float *x, int n, const float *bias, const float *gamma, const float *beta, float eps);
    /* f = x * rstd - offset, row-major floats. */
    void (*stage_norm)(const float *x, ptrdiff_t x_row, int m, int n, const float *offset, float eps, float *f, ptrdiff_t f_row);

    /* Attention of one head.  Bytes of a packed panel of PANEL keys of d, and of PANEL columns of the values of all keys. */
    size_t (*key_bytes)(int d);
    size_t (*value_bytes)(int keys);
    /* Element i of a packed panel's key: for observers. */
    float (*key_at)(const void *panel, int i, int key);
    /* As pack_rows and pack_columns, but in the order that `attend` reads; k0 is a multiple of 32. */
    void (*pack_keys)(void *b, const float *src, ptrdiff_t src_row, int n, int d);
    void (*pack_values)(void *b, size_t b_panel, const float *src, ptrdiff_t src_row, int n, int k0, int k1);
    size_t (*attend_bytes)(int d); /* of scratch */
    void (*attend)(const attend_args *args);
    /* Largest sum of squares of a row of operands [m][n], row-major. */
    float (*largest_square)(const void *x, ptrdiff_t x_row, int m, int n);
    /* x [m][n] *= scale by row. */
    void (*scale_rows)(float *x, ptrdiff_t x_row, int m, int n, const float *scale);
    /* out = add + x / sum by row + bias (row-major floats; out may be add). */
    void (*attend_out)(const float *x, ptrdiff_t x_row, const float *sum, int m, int n, const float *bias, float *out, ptrdiff_t out_row);

    /* One image row of `w` pixels of one column group: gelu(bias + 3x3 depthwise), zero padding; rows[i] NULL is outside.
     * weights: of the column group, packed. */
    void (*depthwise)(const void *const rows[3], int w, const void *weights, void *out);
    /* Packs a column group's weights [10][L], nine taps, then the bias, into depthwise_bytes, a multiple of a line. */
    void (*pack_depthwise)(void *to, const float *weights);

    /* One column group of one quarter row: out [width][FLOATS] = sum of the levels upsampled, + bias [FLOATS] where set.
     * line: scratch, two vectors of FLOATS for each column of the levels. */
    void (*merge)(const merge_level levels[3], int width, const float *bias, float *line, float *out);
    /* Labels of output rows [y0, y1). */
    void (*label)(const label_args *args);
} cpu_kernels;

static inline void kernels_begin(const cpu_kernels *k)
{
    if (k->begin)
        k->begin();
}
static inline void kernels_end(const cpu_kernels *k)
{
    if (k->end)
        k->end();
}

/* All tables, best first within a precision; those of levels that the compiler's target lacks are left out. */
extern const cpu_kernels *const cpu_kernel_tables[];
extern const size_t cpu_kernel_table_count;

#endif
