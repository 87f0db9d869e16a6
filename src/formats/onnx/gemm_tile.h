/* gemm_tile: the innermost block of a matrix product, written once and compiled for each instruction set that
 * includes it (gemm_tile_portable.c, gemm_tile_avx2.c).  Formats layer, under the ONNX interpreter.
 *
 * `bits` is the vector width in bytes that the compiler splits into what the machine has. */
#ifndef SEGRT_FORMATS_ONNX_GEMM_TILE_H
#define SEGRT_FORMATS_ONNX_GEMM_TILE_H

#include <stddef.h>
#include <string.h>

/* c [rows][columns], rows `ldc` apart, += a b.  a: packed [k][tile rows], b: packed [k][tile columns]; only rows x
 * columns of the tile are written. */
typedef void gemm_tile_fn(size_t k, const float *restrict a, const float *restrict b, float *restrict c, size_t ldc, size_t rows, size_t columns);

typedef struct gemm_tile {
    size_t rows, columns; /* of a full tile */
    gemm_tile_fn *run;
} gemm_tile;

const gemm_tile *gemm_tile_portable(void);
const gemm_tile *gemm_tile_avx2(void);

#define GEMM_TILE(name, width, tile_rows)                                                                                                 \
    typedef float name##_lane __attribute__((vector_size(width)));                                                                        \
    enum { name##_lanes = (width) / 4, name##_columns = 2 * name##_lanes };                                                               \
    static void name##_run(size_t k, const float *restrict a, const float *restrict b, float *restrict c, size_t ldc, size_t rows,        \
                           size_t columns)                                                                                                \
    {                                                                                                                                     \
        name##_lane sum[tile_rows][2] = {{{0}}};                                                                                          \
        for (size_t n = 0; n < k; n++, a += tile_rows, b += name##_columns) {                                                             \
            name##_lane left, right;                                                                                                      \
            memcpy(&left, b, sizeof left);                                                                                                \
            memcpy(&right, b + name##_lanes, sizeof right);                                                                               \
            for (size_t r = 0; r < tile_rows; r++) {                                                                                      \
                sum[r][0] += left * a[r];                                                                                                 \
                sum[r][1] += right * a[r];                                                                                                \
            }                                                                                                                             \
        }                                                                                                                                 \
        for (size_t r = 0; r < rows; r++)                                                                                                 \
            for (size_t n = 0; n < columns; n++)                                                                                          \
                c[r * ldc + n] += sum[r][n / name##_lanes][n % name##_lanes];                                                             \
    }                                                                                                                                     \
    const gemm_tile *name(void)                                                                                                           \
    {                                                                                                                                     \
        static const gemm_tile tile = {tile_rows, name##_columns, name##_run};                                                            \
        return &tile;                                                                                                                     \
    }

#endif
