/* onnx_support: what the ONNX tests share: a writer of Protocol Buffers messages, and NumPy files as
 * doubles. */
#ifndef TESTS_ONNX_SUPPORT_H
#define TESTS_ONNX_SUPPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "formats/onnx/graph.h"

/* A message under construction.  Zero-initialised is empty; freed by message_free, or by being put into another. */
typedef struct message {
    uint8_t *data;
    size_t size, room;
} message;

void message_free(message *m);
void put_varint(message *m, uint32_t field, uint64_t value);
void put_fixed32(message *m, uint32_t field, uint32_t bits);
void put_float(message *m, uint32_t field, float value);
void put_bytes(message *m, uint32_t field, const void *data, size_t size);
void put_text(message *m, uint32_t field, const char *text);
/* As a field of m; `part` is freed. */
void put_message(message *m, uint32_t field, message part);

/* TensorProto with raw data; name NULL: none. */
message make_tensor(const char *name, onnx_type type, int rank, const int64_t *dims, const void *data, size_t size);
/* NodeProto; inputs and outputs: names separated by spaces ("-" for one left out). */
message make_node(const char *op, const char *inputs, const char *outputs);
void put_attribute_int(message *node, const char *name, int64_t value);
void put_attribute_float(message *node, const char *name, float value);
void put_attribute_text(message *node, const char *name, const char *value);
void put_attribute_ints(message *node, const char *name, size_t count, const int64_t *values);
void put_attribute_tensor(message *node, const char *name, message tensor);
/* ValueInfoProto of a tensor; a dimension of -1 is symbolic. */
message make_value(const char *name, onnx_type type, int rank, const int64_t *dims);
/* ModelProto of one graph; opset 0: none is imported.  `graph` is freed. */
message make_model(message graph, int64_t opset);
/* Adds to a GraphProto. */
enum { GRAPH_NODE = 1, GRAPH_INITIALIZER = 5, GRAPH_INPUT = 11, GRAPH_OUTPUT = 12, GRAPH_VALUE_INFO = 13 };

/* A .npy file as doubles, whatever its type; false where it is absent. */
typedef struct numbers {
    int rank;
    int64_t dims[8];
    size_t count;
    double *data; /* free() */
} numbers;
bool numbers_load(numbers *out, const char *path);

bool file_exists(const char *path);

#endif
