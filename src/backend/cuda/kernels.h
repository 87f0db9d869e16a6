/* kernels: the launchers of the CUDA backend, seen from C.  Every kernel reads and writes device memory
 * that the plan (plan.c) laid out; nothing here allocates or synchronises.
 *
 * Activations are [n][tokens][width], rows of `ld` elements; widths are padded to WIDTH_PAD with zeros.
 * "T" is the storage type of the numeric mode: half, bfloat16, or float. */
#ifndef SEGRT_CUDA_KERNELS_H
#define SEGRT_CUDA_KERNELS_H

#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How products are made.  F32: each operand as the sum of two tf32 numbers, three products. */
typedef enum numeric { NUMERIC_F16, NUMERIC_BF16, NUMERIC_TF32, NUMERIC_F32, NUMERICS } numeric;

enum {
    WIDTH_PAD = 16,       /* channels of every activation are padded to a multiple */
    KEY_PAD = 64,         /* columns of the transposed values */
    LARGEST_WIDTH = 1024, /* of a row that is normalised */
    LARGEST_HEAD = 128,
    LARGEST_KERNEL = 31, /* of a patch convolution */
};

typedef struct launch {
    cudaStream_t stream;
    bool overlap; /* start before the kernel before has ended (programmatic dependent launch; compute capability 9.0 on) */
} launch;

/* ------------------------------------------------------------------------------------------ gemm */

typedef enum gemm_end {
    GEMM_STORE, /* out = T(a w^T + bias), optionally ReLU */
    GEMM_FLOAT, /* out = float(a w^T + bias) */
    GEMM_KEYS,  /* columns [0, width): keys [m][width]; [width, 2 width): values, transposed; column 2 width: key_bias */
    GEMM_ROWS,  /* whole rows are finished by whoever completes them last: see row_kind */
} gemm_end;

typedef enum row_kind {
    ROW_RESIDUAL, /* x += v + bias;  out = x * rstd(x) - offset */
    ROW_PATCH,    /* v = RMS(v + bias of the border case) * gamma + beta, minus its mean: x;  out = x * rstd(x) */
    ROW_REDUCE,   /* out = RMS(v + bias), or v + bias where `plain` */
} row_kind;

typedef struct gemm_args {
    const void *a;      /* T [m][lda], or the picture that is gathered from */
    const void *w;      /* T [n][ldw], ldw a multiple of 128 bytes, zero behind k */
    const float *bias;  /* [n] or NULL; ROW_PATCH: [cases][n] */
    void *out;          /* T (GEMM_FLOAT: float) [m][ldo] */
    float *partial;     /* [splits][m][n] where rows are not finished at once */
    unsigned *counters; /* [m tiles], zero before and after */
    int m, n, k, lda, ldw, ldo;
    int tile, splits; /* chosen by gemm_choose, and: */
    bool together;    /* the blocks that share rows are a cluster */
    bool wide;        /* products of four warps (wgmma) */
    int stages;       /* slices in the ring that the copy engine fills; 0: threads copy */
    /* gathered convolution: k = (ky * kernel + kx) * channels + channel */
    int kernel, stride, pad, in_h, in_w, out_h, out_w, channels; /* kernel 0: a is a plain matrix */
    gemm_end end;
    bool relu;
    /* GEMM_KEYS */
    void *values;    /* T [images][width][key_pitch] */
    float *key_bias; /* [images][key_pitch] or NULL */
    int width, keys, key_pitch;
    /* GEMM_ROWS; n is the row's padded width */
    row_kind rows;
    float *x;                           /* [m][ldo] */
    const float *gamma, *beta, *offset; /* [n]; offset may be NULL */
    const uint8_t *case_y, *case_x;     /* [out_h], [out_w]: border cases of ROW_PATCH */
    int cases_x;
    float eps, eps_out, inverse_width;
    int true_width;
    bool plain;
    int pitch; /* not 0: a is the picture's bytes [images][in_h][in_w][3], k = ky * pitch + kx * 3 + colour (see gather_args) */
    /* operands as sums of two halves (gemm_split.cuh): a times a_scale fits them, results come back by out_scale; GEMM_KEYS: keys and
     * values are stored times theirs */
    bool split;
    float a_scale, out_scale, key_scale, value_scale;
} gemm_args;

/* Sets tile, splits, together, wide and stages for a device of `processors` multiprocessors; returns the floats that `partial` needs. */
size_t gemm_choose(gemm_args *args, numeric type, int processors, bool clusters, bool wide);
/* Whether the first patch convolution can be made from the picture's bytes: args as for a product of gathered rows, and pitch. */
bool gemm_takes_picture(const gemm_args *args, numeric type, bool wide);
/* Whether the rows of a tile of a gathered product are boxes of the tensor that the copy engine takes, `elements` neighbours at a time. */
bool gemm_boxes(const gemm_args *args, int bm, int elements);
cudaError_t gemm_launch(const gemm_args *args, numeric type, const launch *how);
cudaError_t gemm_launch_f16(const gemm_args *args, const launch *how);
cudaError_t gemm_launch_bf16(const gemm_args *args, const launch *how);
cudaError_t gemm_launch_tf32(const gemm_args *args, const launch *how);
cudaError_t gemm_launch_f32(const gemm_args *args, const launch *how);
const char *gemm_name(const gemm_args *args);

/* ---------------------------------------------------------------------------------------- attend */

typedef struct attend_args {
    const void *q;         /* T [images * tokens][ldq]: queries, or (weight set) the rows that they are made of */
    const void *weight;    /* T [heads * head][ldw] or NULL */
    const float *q_bias;   /* [heads * head], with weight */
    const void *keys;      /* T [images * keys][ldk] */
    const void *values;    /* T [images][ldk][key_pitch] */
    const float *key_bias; /* [images][key_pitch] or NULL */
    void *out;             /* T [images * tokens][ldo]: the heads' results; or with x: x * rstd */
    float *x;              /* [images * tokens][ldo]: x += result + out_bias (one head only), or NULL */
    const float *out_bias; /* [ldo], with x */
    int images, tokens, nkeys, key_pitch, heads, head; /* head: 32, 64 or 128, padded */
    int ldq, ldk, ldo, ldw, k;                         /* k: columns of q that are used (with weight: its inner width) */
    int rows;                                          /* of a tile: 64 or 128, chosen by attend_choose, and: */
    bool wide;                                         /* products of four warps (wgmma) */
    int row_groups, key_groups;                        /* wide: of four warps, see attend_wide.cuh */
    float eps, inverse_width;
    /* operands as sums of two halves (attend_split.cuh): rows times a_scale make queries by query_scale back; queries times q_scale,
     * scores back by score_scale; values are times value_scale */
    bool split;
    float a_scale, query_scale, q_scale, score_scale, value_scale;
} attend_args;

void attend_choose(attend_args *args, numeric type, int processors, bool wide);
cudaError_t attend_launch(const attend_args *args, numeric type, const launch *how);
cudaError_t attend_launch_f16(const attend_args *args, const launch *how);
cudaError_t attend_launch_bf16(const attend_args *args, const launch *how);
cudaError_t attend_launch_tf32(const attend_args *args, const launch *how);
cudaError_t attend_launch_f32(const attend_args *args, const launch *how);

/* ------------------------------------------------------------------------------------- depthwise */

typedef struct depthwise_args {
    const void *in;      /* T [images][h][w][width]; with `first` [images][h][w][inner], and what is convolved is first in + first_bias */
    void *out;           /* T, the same shape */
    const float *weight; /* [9][width] */
    const float *bias;   /* [width] */
    const void *first;   /* T [width][ld_first] or NULL */
    const float *first_bias; /* [width] */
    int images, h, w, width, inner, ld_first;
    bool wide;      /* tensor cores and copy engine (9.0) in 16 bits */
    int processors; /* of the device */
} depthwise_args;

/* Whether the kernel makes the first map too: `wide` and `inner` say so. */
bool depthwise_takes_first(const depthwise_args *args, numeric type);
cudaError_t depthwise_launch(const depthwise_args *args, numeric type, const launch *how);

/* --------------------------------------------------------------------------------------- Mix-FFN */

/* x += weight gelu(depthwise z + tap_bias) + bias;  out = x * rstd(x) - offset;  wide: z = first rows + first_bias */
typedef struct ffn_args {
    const void *z;              /* T [images][h][w][hidden], where not wide */
    const void *rows;           /* T [images][h][w][width], wide: not `out`, because blocks read what is around their tokens */
    const void *first;          /* T [hidden][ld_first], wide */
    const float *first_bias;    /* [hidden], wide */
    const float *taps;          /* [9][hidden] */
    const float *tap_bias;      /* [hidden] */
    const void *weight;         /* T [width][ldw] */
    const float *bias, *offset; /* [width]; offset may be NULL */
    float *x;                   /* [images][h][w][width] */
    void *out;                  /* T, the same shape */
    int images, h, w, hidden, width, ld_first, ldw;
    float eps, inverse_width;
    bool wide;      /* products of four warps (wgmma), and the first map within */
    int processors; /* of the device */
    bool split;     /* operands as sums of two halves (ffn_split.cu): what is multiplied times a_scale, results back by out_scale */
    float a_scale, out_scale;
} ffn_args;

enum { FFN_WIDTH = 128 };

bool ffn_fits(const ffn_args *args, numeric type);
bool ffn_split_fits(const ffn_args *args);
cudaError_t ffn_split_launch(const ffn_args *args, numeric type, const launch *how);
cudaError_t ffn_launch(const ffn_args *args, numeric type, const launch *how);

/* ----------------------------------------------------------------------------------------- input */

/* Rows of the first patch convolution's matrix: T [images * out_h * out_w][ldo], column ky * pitch + kx * 3 + colour; pitch is
 * kernel * 3 rounded up to 8, zeros behind. */
typedef struct gather_args {
    const uint8_t *pixels; /* [images][h][w][3], or NULL and */
    const float *input;    /* [images][3][h][w], normalised */
    float mean[3], deviation[3];
    void *out;
    int images, h, w, out_h, out_w, kernel, stride, pad, ldo, pitch;
} gather_args;

cudaError_t gather_launch(const gather_args *args, numeric type, const launch *how);

/* ------------------------------------------------------------------------------------------ head */

/* out = ReLU(sum over levels of up(level) + bias), T [images * h[0] * w[0]][ld]. */
typedef struct merge_args {
    const void *level[4]; /* T [images * h * w][ld] */
    int h[4], w[4];
    const float *bias; /* [ld] */
    void *out;
    int images, ld;
} merge_args;

cudaError_t merge_launch(const merge_args *args, numeric type, const launch *how);

/* logits = classifier ReLU(weight features + sum over levels 1..3 of up(level) + bias) + class_bias */
typedef struct pixels_args {
    const void *features;    /* T [images * h[0] * w[0]][k] */
    const void *weight;      /* T [width][ldw] */
    const void *level[4];    /* T [images * h * w][width]; level[0] is made here */
    const float *bias;       /* [width] */
    const void *classifier;  /* T [class_ld][ldc] */
    const float *class_bias; /* [class_ld] */
    float *logits;           /* [images * h[0] * w[0]][class_ld] */
    int images, h[4], w[4], k, ldw, ldc, width, class_ld;
    bool wide; /* products of four warps (wgmma) */
    /* operands as sums of two halves (pixels_split.cu): features times a_scale make level 0 by own_scale back; levels come back by
     * level_scale; the merged ones times merged_scale make logits by logit_scale back */
    bool split;
    float a_scale, own_scale, level_scale, merged_scale, logit_scale;
} pixels_args;

enum {
    PIXELS_CLASSES = 160,
    PIXELS_NEAR_1 = 6 * 10,
    PIXELS_NEAR_2 = 4 * 6,
    PIXELS_NEAR_3 = 3 * 4, /* tokens of each smaller level that 8 x 16 tokens need */
    PIXELS_NEAR = PIXELS_NEAR_1 + PIXELS_NEAR_2 + PIXELS_NEAR_3,
};

/* Whether the kernel takes these widths and sizes, with `shared` bytes of shared memory for a block. */
bool pixels_fits(const pixels_args *args, numeric type, size_t shared);
bool pixels_split_fits(const pixels_args *args);
cudaError_t pixels_split_launch(const pixels_args *args, numeric type, const launch *how);
cudaError_t pixels_launch(const pixels_args *args, numeric type, const launch *how);

typedef struct label_args {
    const float *logits; /* [images][h][w][ld] */
    int images, classes, ld, h, w;
    int mid_h, mid_w; /* via_input: the input's size; else 0 */
    int out_h, out_w;
    void *labels; /* [images][out_h][out_w], or NULL */
    int label_bytes;
    uint8_t *confidence; /* or NULL */
} label_args;

cudaError_t label_launch(const label_args *args, const launch *how);

/* logits [images][h][w][ld] -> [images][classes][h][w] */
typedef struct planes_args {
    const float *logits;
    float *out;
    int images, classes, ld, pixels;
} planes_args;

cudaError_t planes_launch(const planes_args *args, const launch *how);

#ifdef __cplusplus
}
#endif
#endif
