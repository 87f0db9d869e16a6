/* op: one operator at work: its operands, and the row that describes it.  Formats layer, under the fold and
 * the interpreter.
 *
 * Every operator is one row of a table (operators.c): which inputs it takes, what shape it makes of them
 * (`infer`, also where only some dimensions are known), and how it is computed (`run`, where all are). */
#ifndef SEGRT_FORMATS_ONNX_OP_H
#define SEGRT_FORMATS_ONNX_OP_H

#include "base/memory.h"
#include "base/pool.h"
#include "formats/onnx/graph.h"

/* Memory of a tensor at run time, shared by the values that are views of it. */
typedef struct op_buffer op_buffer;

/* Bytes held by all buffers of an interpreter (or a fold). */
typedef struct op_memory {
    size_t held, peak, limit;
    uint64_t work, work_limit; /* multiply-adds and elements; stops files that would compute for days */
} op_memory;

typedef struct operand {
    onnx_type type;   /* as the graph has it: what Cast and Shape see */
    onnx_shape shape;
    size_t count;     /* elements, where the shape is known */
    float *f;         /* elements of a float type; NULL: not known (or not of a float type) */
    int64_t *i;       /* of an integer type or bool; one that is OP_UNKNOWN is not known (only in a fold) */
    op_buffer *buffer; /* what f or i points into; NULL: borrowed */
} operand;

/* A number that no exporter writes: INT64_MIN and INT64_MAX themselves mean the ends of a Slice. */
#define OP_UNKNOWN (INT64_MIN + 0x5eed5eed)

enum { OP_OUTPUTS = 128, OP_INPUTS = 1024, OP_NEWEST_OPSET = 28 };

typedef struct op {
    const onnx_graph *graph;
    const onnx_node *node;
    int32_t in_count, out_count;
    operand *in[OP_INPUTS]; /* NULL: left out */
    operand *out[OP_OUTPUTS];
    bool wanted[OP_OUTPUTS]; /* outputs that nobody reads get a shape, but no elements */
    segrt_pool *pool;
    op_memory *memory;
    segrt_error *error;
} op;

typedef segrt_status op_fn(op *o);

typedef struct op_row {
    const char *domain, *name;
    int32_t min, max;   /* operator set versions in which this row holds; 0: any */
    const char *inputs; /* a letter an input: f float, i integer or bool, x any, t any but all t alike; after ? optional; * repeats the letter before */
    op_fn *infer;       /* sets type and shape of every output */
    op_fn *run;         /* fills the outputs, which are allocated; NULL: the output is a view of input 0 */
    bool fold;          /* cheap: computed at once where all inputs are constants */
    bool moves;         /* only moves elements: computed in a fold where some integers are not known */
} op_row;

/* The row of a node; NULL and an error that names the node and why. */
const op_row *op_find(const onnx_graph *graph, const onnx_node *node, segrt_error *error);

/* Checks the inputs' number and kinds against the row, then infers.  Unknown inputs are fine. */
segrt_status op_prepare(const op_row *row, op *o);

/* Allocates the outputs and runs; all shapes and inputs are known.  Frees what it allocated on failure. */
segrt_status op_execute(const op_row *row, op *o);

/* "Conv '/encoder/…': " and the rest. */
segrt_status op_fail(op *o, segrt_status status, const char *format, ...) ERROR_FORMAT(3, 4);

/* Counts work against the limit. */
segrt_status op_work(op *o, uint64_t amount);

/* Elements of a tensor: count * (f or i), counted. */
segrt_status op_allocate(op *o, operand *t);
/* Memory for the duration of a run, not cleared; NULL and an error.  Given back by op_scratch_free. */
float *op_scratch(op *o, size_t floats);
void op_scratch_free(op *o, float *memory);
/* Elements of a constant: borrowed where they lie aligned and need no conversion, else converted. */
segrt_status op_constant(op *o, const onnx_tensor *from, operand *to);
/* Makes `to` a view of `from` (shape and type of `to` stay). */
void operand_share(operand *to, const operand *from);
void operand_drop(op_memory *memory, operand *t);

/* --- what operators share ------------------------------------------------------------------------ */

operand *op_in(const op *o, int32_t slot); /* NULL beyond the last too */
bool shape_known(const onnx_shape *shape);
/* The product of the dimensions; false where it (times 8 bytes) leaves size_t. */
bool shape_count(const onnx_shape *shape, size_t *count);
size_t shape_span(const onnx_shape *shape, int32_t from, int32_t to); /* product of known dims [from, to) */
void shape_strides(const onnx_shape *shape, size_t strides[ONNX_MAX_RANK]);
/* Sets the output's type and shape. */
void op_output(op *o, int32_t slot, onnx_type type, const onnx_shape *shape);
/* All outputs of this type, of unknown shape. */
segrt_status op_output_unknown(op *o, onnx_type type);
/* An axis in [-rank, rank) to [0, rank). */
segrt_status op_axis(op *o, int64_t given, int32_t rank, int32_t *axis);
/* Both shapes broadcast together (NumPy's rule). */
segrt_status op_broadcast(op *o, const onnx_shape *a, const onnx_shape *b, onnx_shape *out);
/* Small integers from an input (if it is there) or else an attribute: their number, -1 where they are not
 * known, 0 with *given false where there are none.  Elements may be OP_UNKNOWN in a fold. */
enum { OP_LIST = 64 };
segrt_status op_list(op *o, int32_t slot, const char *attribute, int64_t out[OP_LIST], int32_t *count, bool *given);
segrt_status op_axes(op *o, int32_t slot, const char *attribute, int32_t rank, bool mask[ONNX_MAX_RANK], bool *given, bool *known);

/* Walks a result of shape `out` over inputs that broadcast into it: calls `row` for runs of elements that are
 * consecutive in the result and have step 0 or 1 in each input. */
enum { WALK_INPUTS = 3 };
typedef void walk_fn(void *context, size_t count, size_t to, const size_t from[WALK_INPUTS], const size_t step[WALK_INPUTS]);
void op_walk(const onnx_shape *out, int32_t inputs, const onnx_shape *const shapes[WALK_INPUTS], walk_fn *row, void *context);

/* c[m][n] (leading dimension ldc) = a b + (keep ? c : 0), float32 sums; element (i, k) of a at i * a_row + k * a_column, of
 * b likewise. */
typedef struct gemm {
    size_t m, n, k;
    const float *a, *b;
    float *c;
    size_t a_row, a_column, b_row, b_column, ldc;
    bool keep;
} gemm;
segrt_status op_gemm(op *o, const gemm *g);
/* `count` products, spread over the pool; `at` fills the i-th. */
typedef void gemm_at_fn(const void *context, size_t i, gemm *g);
segrt_status op_gemm_batch(op *o, size_t count, gemm_at_fn *at, const void *context);

/* Rows of the table, by file. */
op_fn op_infer_same, op_infer_unary, op_infer_binary, op_infer_compare, op_run_unary, op_run_binary, op_run_compare, op_infer_variadic, op_run_variadic,
    op_infer_where, op_run_where, op_infer_cast, op_run_cast, op_infer_cast_like, op_infer_clip, op_run_clip;
op_fn op_infer_shape, op_run_shape, op_infer_size, op_run_size, op_infer_reshape, op_infer_flatten, op_infer_squeeze, op_infer_unsqueeze,
    op_infer_transpose, op_run_transpose, op_infer_concat, op_run_concat, op_infer_slice, op_run_slice, op_infer_gather, op_run_gather,
    op_infer_expand, op_run_expand, op_infer_tile, op_run_tile, op_infer_split, op_run_split, op_infer_pad, op_run_pad,
    op_infer_constant_of_shape, op_run_constant_of_shape, op_infer_range, op_run_range, op_infer_scatter_nd, op_run_scatter_nd;
op_fn op_infer_reduce, op_run_reduce, op_infer_softmax, op_run_softmax, op_infer_arg, op_run_arg;
op_fn op_infer_layer_norm, op_run_layer_norm, op_infer_skip_norm, op_run_skip_norm, op_run_batch_norm, op_infer_batch_norm;
op_fn op_infer_matmul, op_run_matmul, op_infer_gemm, op_run_gemm, op_infer_einsum, op_run_einsum;
op_fn op_infer_conv, op_run_conv, op_infer_resize, op_run_resize;
op_fn op_infer_attention, op_run_attention, op_infer_ms_attention, op_run_ms_attention, op_infer_mha, op_run_mha;
op_fn op_infer_dropout, op_run_gelu, op_run_bias_gelu;

#endif
