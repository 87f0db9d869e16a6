/* interpret: runs an ONNX graph as it is, in float32.  Formats layer: the proof that an import is equal
 * needs an independent execution of the original file.  Correct before fast.
 *
 * float16, bfloat16 and double values are held and computed in float32, integers of every width in int64
 * (bool as 0 and 1).  Operators: docs/onnx.md. */
#ifndef SEGRT_FORMATS_ONNX_INTERPRET_H
#define SEGRT_FORMATS_ONNX_INTERPRET_H

#include "base/pool.h"
#include "formats/onnx/graph.h"

typedef struct onnx_interpreter onnx_interpreter;

/* An output of a run: exactly one of the pointers is set.  Lives until the next run or close. */
typedef struct onnx_output {
    onnx_shape shape;
    size_t count;
    const float *floats;  /* float types */
    const int64_t *ints;  /* integer types and bool */
} onnx_output;

/* What a run may cost; 0: the default. */
typedef struct onnx_run_limits {
    size_t memory; /* bytes of tensors held at once, constants that need conversion included; 8 GiB */
    uint64_t work; /* multiplications, and elements read and written; 2e13, which b5 at 4096 x 4096 takes half of */
} onnx_run_limits;

/* `graph` must outlive the interpreter and not be changed meanwhile; it may be folded or not.  `pool` and
 * `limits` may be NULL.
 * Errors: UNSUPPORTED (the first node whose operator is not known, or not in this opset or form), NO_MEMORY. */
segrt_status onnx_interpreter_open(onnx_interpreter **out, const onnx_graph *graph, segrt_pool *pool,
                                   const onnx_run_limits *limits, segrt_error *error);
void onnx_interpreter_close(onnx_interpreter *interpreter);

/* Runs the graph, which must have one input of a float type.  input [dims[0]]..[dims[rank - 1]], float32.
 * outputs: an array of the interpreter's, graph->output_count long.  Errors name the node: MALFORMED
 * (shapes that do not fit each other), SHAPE (the input's does not fit the file's), UNSUPPORTED, NO_MEMORY. */
segrt_status onnx_interpreter_run(onnx_interpreter *interpreter, const float *input, int32_t rank, const int64_t *dims,
                                  const onnx_output **outputs, segrt_error *error);

/* Most bytes of tensors that the last run held at once. */
size_t onnx_interpreter_peak(const onnx_interpreter *interpreter);

#endif
