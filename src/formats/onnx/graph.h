/* graph: an ONNX file as nodes and values, read from untrusted bytes.  Formats layer; the recogniser
 * matches patterns on it, the interpreter runs it.
 *
 *     onnx_graph_open -> [onnx_graph_fold] -> [onnx_graph_simplify] -> pattern matching / interpreter
 *
 * After open: Constant nodes are initializers, calls of model-local functions are inlined, nodes stand in
 * topological order, every value has at most one producer and every input has one.  The structures below
 * are read directly, and changed only by the functions of this file, which may renumber nodes (values keep
 * their numbers).  A graph that nobody changes may be read by any number of threads. */
#ifndef SEGRT_FORMATS_ONNX_GRAPH_H
#define SEGRT_FORMATS_ONNX_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/file_map.h"

enum { ONNX_MAX_RANK = 8, ONNX_UNKNOWN = -1 };

/* TensorProto.DataType; types that are not listed are refused at open. */
typedef enum onnx_type {
    ONNX_NO_TYPE = 0, /* not known */
    ONNX_FLOAT = 1,
    ONNX_UINT8 = 2,
    ONNX_INT8 = 3,
    ONNX_UINT16 = 4,
    ONNX_INT16 = 5,
    ONNX_INT32 = 6,
    ONNX_INT64 = 7,
    ONNX_BOOL = 9,
    ONNX_FLOAT16 = 10,
    ONNX_DOUBLE = 11,
    ONNX_UINT32 = 12,
    ONNX_UINT64 = 13,
    ONNX_BFLOAT16 = 16,
} onnx_type;

typedef struct onnx_shape {
    int32_t rank;                /* ONNX_UNKNOWN: nothing is known */
    int64_t dims[ONNX_MAX_RANK]; /* at least 0, or ONNX_UNKNOWN */
} onnx_shape;

/* A constant.  `data` may lie unaligned in the mapped file: read it through the getters below. */
typedef struct onnx_tensor {
    onnx_type type;
    onnx_shape shape;                        /* all known */
    size_t count;                            /* elements: the product of shape.dims */
    const void *data;                        /* count * onnx_type_bytes(type) bytes, little-endian, row-major; lives as long as the graph */
    uint64_t offset;                         /* where its TensorProto stands in the file */
    const char *name;                        /* of the value that it is; NULL: an attribute's */
    const char *computed_by;                 /* the operator that folding computed it by; NULL: it stands in the file */
    const struct onnx_tensor *computed_from; /* the largest constant that went into it; NULL: none */
} onnx_tensor;

typedef enum onnx_attribute_kind {
    ONNX_ATTRIBUTE_FLOAT = 1,
    ONNX_ATTRIBUTE_INT = 2,
    ONNX_ATTRIBUTE_STRING = 3,
    ONNX_ATTRIBUTE_TENSOR = 4,
    ONNX_ATTRIBUTE_GRAPH = 5, /* unread until onnx_graph_fold finds an If with a constant condition */
    ONNX_ATTRIBUTE_FLOATS = 6,
    ONNX_ATTRIBUTE_INTS = 7,
    ONNX_ATTRIBUTE_STRINGS = 8, /* kept as `count` alone */
} onnx_attribute_kind;

typedef struct onnx_attribute {
    const char *name;
    onnx_attribute_kind kind;
    float f;
    int64_t i;
    const char *text; /* STRING; ends with a zero, holds none */
    const onnx_tensor *tensor;
    const int64_t *ints;
    const float *floats;
    size_t count;                      /* of ints, floats or strings */
    const struct onnx_subgraph *graph; /* opaque */
    uint64_t offset;
} onnx_attribute;

typedef struct onnx_node {
    const char *op;
    const char *domain; /* "" for ONNX's own ("ai.onnx" is written as "") */
    const char *name;   /* "" where it has none; inlined from a function: "call/inner" */
    int32_t opset;      /* version of its domain's operator set that it is written in */
    int32_t input_count, output_count, attribute_count;
    const int32_t *inputs;  /* value indices; -1: an optional input left out */
    const int32_t *outputs; /* value indices; -1: an output nobody wants */
    const onnx_attribute *attributes;
    uint64_t offset; /* of its NodeProto in the file */
} onnx_node;

typedef struct onnx_use {
    int32_t node, slot; /* values[nodes[node].inputs[slot]] */
} onnx_use;

typedef struct onnx_value {
    const char *name;
    onnx_type type;                  /* declared or inferred */
    onnx_shape shape;                /* declared or inferred */
    const char *const *symbols;      /* NULL, or shape.rank names of symbolic dimensions (NULL where it has none) */
    const onnx_tensor *constant;     /* its value, if it is an initializer */
    int32_t producer, producer_slot; /* values[nodes[producer].outputs[producer_slot]]; producer -1: input, constant or unused */
    const onnx_use *uses;            /* every node input that reads it, in node order */
    int32_t use_count;
    bool is_input, is_output; /* of the graph; an input that has an initializer too counts as the initializer alone */
} onnx_value;

typedef struct onnx_opset {
    const char *domain; /* "" for ONNX's own */
    int64_t version;
} onnx_opset;

typedef struct onnx_property {
    const char *key, *text;
} onnx_property;

typedef struct onnx_graph {
    int64_t ir_version;
    const char *producer_name, *producer_version, *name;
    const onnx_opset *opsets;
    const onnx_property *properties; /* metadata_props */
    const onnx_node *nodes;          /* in topological order */
    const onnx_value *values;
    const int32_t *inputs, *outputs; /* value indices, in the file's order; without initializers */
    int32_t opset_count, property_count, node_count, value_count, input_count, output_count;
    struct onnx_store *store; /* the memory behind all of this */
} onnx_graph;

/* What a file may cost; 0: the default. */
typedef struct onnx_limits {
    size_t nodes;  /* after inlining; 200 000 */
    size_t values; /* 800 000 */
    size_t memory; /* bytes held by the graph besides the mapped files, constants folded included; 2 GiB */
} onnx_limits;

/* Reads `file`, which must stay open as long as the graph.  `folder` is where external data may lie
 * (nowhere else: no "..", no absolute path, no link that leads out); NULL: external data is refused.
 * `limits` may be NULL.  Errors: MALFORMED (with the offset), UNSUPPORTED (sparse tensors, types of
 * which segrt knows nothing), IO (external data), NO_MEMORY. */
segrt_status onnx_graph_open(onnx_graph **out, const file_map *file, const char *folder, const onnx_limits *limits, segrt_error *error);
void onnx_graph_close(onnx_graph *graph);

/* Infers types and shapes of all values and replaces what is computed from constants alone by
 * initializers; an If with a constant condition is replaced by its branch.  input: dimensions of the
 * graph's one float input [n][3][h][w], or NULL: as the file declares them.  With them given, all shape
 * arithmetic of these networks disappears and every shape is known; a file that declares others is
 * refused (SHAPE).  Nodes whose results nobody reads are dropped.
 * Errors: MALFORMED or UNSUPPORTED (the node, its shapes), SHAPE, NO_MEMORY. */
segrt_status onnx_graph_fold(onnx_graph *graph, const int64_t input[4], segrt_error *error);

/* Removes nodes that do nothing: Identity, Dropout (inference), Cast to the type that the value has,
 * Transpose that keeps the order, Reshape and the like to the shape that it has, Pad by nothing, Add of one 0,
 * Mul and Div by one 1 where shapes stay, Concat of one.  Best after fold, as it needs types and shapes.  What
 * makes an output of the graph stays. */
segrt_status onnx_graph_simplify(onnx_graph *graph, segrt_error *error);

/* ------------------------------------------------------------------------------ pattern matching */

/* Is it ONNX's own operator `op`, or (domain "com.microsoft") that one? */
bool onnx_node_is(const onnx_node *node, const char *op);
bool onnx_node_is_in(const onnx_node *node, const char *domain, const char *op);

/* The node that makes `value`; NULL for inputs, constants and value -1. */
const onnx_node *onnx_producer(const onnx_graph *graph, int32_t value);

/* The one node that reads `value`; NULL where none or several do, or where it is also an output of the graph. */
const onnx_node *onnx_only_consumer(const onnx_graph *graph, int32_t value);

/* The value of an input slot; -1 where it is left out or beyond the last. */
int32_t onnx_input(const onnx_node *node, int32_t slot);

int32_t onnx_node_index(const onnx_graph *graph, const onnx_node *node);

/* The value of this name, or -1. */
int32_t onnx_find_value(const onnx_graph *graph, const char *name);

/* "LayerNormalization '/encoder/norm'", or "Add #12 (makes 'x.3')" where it has no name: a node in an
 * error message.  Returns `text`. */
enum { ONNX_TEXT_ROOM = 160 };
const char *onnx_node_text(const onnx_graph *graph, const onnx_node *node, char text[ONNX_TEXT_ROOM]);

/* "float32 [1, 3, ?, ?]". */
const char *onnx_shape_text(onnx_type type, const onnx_shape *shape, char text[ONNX_TEXT_ROOM]);

/* Attributes, with what holds where a node leaves them out.  Kinds were checked at open. */
const onnx_attribute *onnx_attribute_find(const onnx_node *node, const char *name);
int64_t onnx_attribute_int(const onnx_node *node, const char *name, int64_t otherwise);
float onnx_attribute_float(const onnx_node *node, const char *name, float otherwise);
const char *onnx_attribute_text(const onnx_node *node, const char *name, const char *otherwise);
/* Count of the integers, 0 where it is left out; *ints is NULL then. */
size_t onnx_attribute_ints(const onnx_node *node, const char *name, const int64_t **ints);

/* ------------------------------------------------------------------------------------- constants */

size_t onnx_type_bytes(onnx_type type);     /* of one element; 0 for ONNX_NO_TYPE */
const char *onnx_type_text(onnx_type type); /* "float32"; never NULL */
bool onnx_type_is_float(onnx_type type);    /* float32, 16, bf16 or double */

/* The constant that `value` is; NULL where it is none (or -1). */
const onnx_tensor *onnx_constant(const onnx_graph *graph, int32_t value);

/* All elements, converted from whatever type: out [count].  To int64: floats are truncated, and clamped to its range. */
void onnx_tensor_floats(const onnx_tensor *tensor, float *out);
void onnx_tensor_doubles(const onnx_tensor *tensor, double *out);
void onnx_tensor_ints(const onnx_tensor *tensor, int64_t *out);

/* The one element of a constant of one element, of any rank; false where `value` is something else. */
bool onnx_constant_number(const onnx_graph *graph, int32_t value, double *out);

/* Elements of a small integer constant of rank 0 or 1: their count, or -1 where `value` is something else or has more than `room`. */
int32_t onnx_constant_ints(const onnx_graph *graph, int32_t value, int64_t *out, int32_t room);

#endif
