/* builder: an ONNX graph while it is written: nodes as encoded bytes, weights as references that are
 * converted when the file is.  Export layer, between the emitters and the file.
 *
 * A value and the node that makes it share a name.  Names live in the builder's arena.  Failures (memory,
 * a weight beyond float16's range) are kept and reported by builder_write; the functions between return
 * "" then, and callers go on. */
#ifndef SEGRT_EXPORT_BUILDER_H
#define SEGRT_EXPORT_BUILDER_H

#include "base/error.h"
#include "base/memory.h"
#include "export/proto.h"

enum { BUILDER_FLOAT = 1, BUILDER_INT64 = 7, BUILDER_FLOAT16 = 10 }; /* TensorProto.DataType */

typedef struct builder_constant {
    const char *name;
    int type;               /* as it will stand in the file */
    int rank;
    int64_t dims[4];
    size_t count;
    const float *floats;    /* type FLOAT, FLOAT16 */
    const int64_t *ints;    /* type INT64 */
    int transposed;         /* floats are [dims[1]][dims[0]] in memory and stand transposed in the file */
    struct builder_constant *next;
} builder_constant;

typedef struct builder {
    arena memory;
    int opset;
    int float_type;         /* of weights: BUILDER_FLOAT or BUILDER_FLOAT16 */
    proto nodes, inputs, outputs, properties;
    proto node, attributes, scratch; /* the node at hand */
    const char *node_name;
    builder_constant *constants, *last;
    segrt_error failure;
} builder;

void builder_open(builder *b, int opset, int float_type);
void builder_close(builder *b);

/* A name in the builder's arena. */
const char *builder_name(builder *b, const char *format, ...) ERROR_FORMAT(2, 3);

/* A node: begin, attributes, end; `inputs` ends with NULL ("" leaves an optional input out). */
void builder_begin(builder *b, const char *op, const char *name, const char *const *inputs);
void builder_int(builder *b, const char *attribute, int64_t value);
void builder_ints(builder *b, const char *attribute, int count, const int64_t *values);
void builder_float_attribute(builder *b, const char *attribute, float value);
void builder_text(builder *b, const char *attribute, const char *value);
const char *builder_end(builder *b); /* the output's name, which is the node's */

/* A node without attributes. */
const char *builder_node(builder *b, const char *op, const char *name, const char *const *inputs);
#define INPUTS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* Constants.  Data is borrowed until builder_write, except a scalar's and integers', which are copied.  A
 * name that stands already is returned as it is: shared constants are asked for wherever they are needed. */
const char *builder_weights(builder *b, const char *name, const float *data, int rank, const int64_t *dims);
/* data [out][in], in the file [in][out]: a linear map for MatMul. */
const char *builder_transposed(builder *b, const char *name, const float *data, int out, int in);
const char *builder_scalar(builder *b, const char *name, double value);
const char *builder_float32(builder *b, const char *name, int count, const float *data); /* float32 whatever the graph's type; copied */
const char *builder_integers(builder *b, const char *name, int count, const int64_t *values);

/* Graph inputs and outputs; a symbol stands for a dimension that is 0. */
void builder_input(builder *b, const char *name, int type, int rank, const int64_t *dims, const char *const *symbols);
void builder_output(builder *b, const char *name, int type, int rank, const int64_t *dims, const char *const *symbols);

/* An entry of the model's metadata. */
void builder_property(builder *b, const char *key, const char *text);

/* Writes the model beside `path`, syncs it and renames it: `path` holds the whole file or what it held before. */
segrt_status builder_write(builder *b, const char *graph_name, const char *path, segrt_error *error);

#endif
