/* lower: what the tables of lowering functions share.  Private to the recogniser; canon.h tells what comes out.
 *
 * A lowering function makes the canonical value of a node's outputs, or returns why it cannot: the node then
 * stands as CANON_OTHER, and the walk says so if it gets there. */
#ifndef SEGRT_MODEL_RECOGNISE_LOWER_H
#define SEGRT_MODEL_RECOGNISE_LOWER_H

#include "model/recognise/canon.h"

enum { LOWER_OUTPUTS = 16, LOWER_WIDEST = 1 << 16 /* channels: four times what a model may have */ };

typedef const char *lower_fn(canon *c, const onnx_node *node, canon_value *out);

typedef struct lowering {
    const char *domain, *op;
    lower_fn *lower;
} lowering;

/* One table a file; each ends with a row of NULLs. */
extern const lowering lower_layout[], lower_arithmetic[], lower_products[], lower_images[], lower_fused[];

/* The value that an input is; NULL for constants and inputs left out. */
const canon_value *lower_operand(const canon *c, const onnx_node *node, int slot);

/* Shape of an output. */
const onnx_shape *lower_shape(const canon *c, const onnx_node *node, int slot);

/* Axis attribute of a tensor of this rank; -1 where it is outside. */
int lower_axis(int64_t wanted, int rank);

/* A part [begin, begin + count) of a dimension. */
const char *lower_select(canon *c, canon_value *value, int dim, int64_t begin, int64_t count);

/* x mul + add with a constant that broadcasts to `x`: which of the two it is, says `op` (Add, Sub, Mul, Div; `first`: the constant
 * is the left operand). */
const char *lower_with_constant(canon *c, const canon_value *x, const onnx_tensor *constant, char op, bool first, canon_value *out);

/* a op b, both values. */
const char *lower_binary(canon *c, canon_op op, const canon_value *a, const canon_value *b, canon_value *out);

/* A linear map over dimension `dim`, which must show the channels.  weight [out][in]. */
const char *lower_linear(canon *c, const canon_value *x, int dim, const float *weight, int64_t out, int64_t in, canon_value *y);

/* q k^T or probabilities v. */
const char *lower_product(canon *c, const canon_value *a, const canon_value *b, canon_value *out);

/* A norm's gamma or beta, [width]; *ok false where the constant is none. */
const float *lower_vector(canon *c, const onnx_node *node, int slot, int64_t width, bool *ok);

/* 9.99999975e-06 as it was meant. */
double lower_eps(double stored);

/* softmax(scale q k^T) v on [n][tokens][width] values with `heads` heads; *out is [n][tokens][width] too. */
const char *lower_attention(canon *c, const canon_value *q, const canon_value *k, const canon_value *v, int64_t heads, double scale, canon_value *out);

#endif
