/* edit_support: an ONNX file as a list of nodes that a test changes and writes again: how a deviation from
 * SegFormer's arithmetic looks in a file. */
#ifndef TESTS_RECOGNISE_EDIT_SUPPORT_H
#define TESTS_RECOGNISE_EDIT_SUPPORT_H

#include "base/memory.h"
#include "export/proto.h"

enum { EDIT_INPUTS = 8, EDIT_NODES = 2048, EDIT_ATTRIBUTES = 8 };

typedef struct edit_node {
    const char *op, *name;
    const char *inputs[EDIT_INPUTS], *output;
    int input_count;
    struct {
        const char *name; /* "" where it was taken away */
        const uint8_t *data;
        size_t size;
    } attributes[EDIT_ATTRIBUTES];
    int attribute_count;
} edit_node;

typedef struct edit {
    arena memory;
    edit_node nodes[EDIT_NODES];
    int node_count;
    proto model, graph; /* the other fields, as they were */
} edit;

/* Reads a file of segrt's own writer (nodes of one output).  Ends the program where it cannot.  Close with edit_close. */
edit *edit_open(const char *path);
edit *edit_read(const void *data, size_t size);
void edit_close(edit *e);
void edit_write(const edit *e, const char *path);
void edit_encode(const edit *e, proto *file);

edit_node *edit_find(edit *e, const char *name);

/* Takes a node away: its readers read its input `slot` from now on. */
void edit_bypass(edit *e, const char *name, int slot);

/* A node of one input behind the value: all its readers read the new one, "<name>.more". */
edit_node *edit_insert(edit *e, const char *after, const char *op);

/* An attribute in place of one of that name, if there is. */
void edit_int(edit *e, edit_node *node, const char *name, int64_t value);
void edit_ints(edit *e, edit_node *node, const char *name, int count, const int64_t *values);
void edit_float(edit *e, edit_node *node, const char *name, float value);
void edit_text(edit *e, edit_node *node, const char *name, const char *value);

/* The file's operator set. */
void edit_opset(edit *e, int64_t version);

/* A constant float32 [count] (rank 0 where count is 0) in the graph. */
void edit_constant(edit *e, const char *name, int count, const float *values);

/* A constant int64 [count] in the graph. */
void edit_shape(edit *e, const char *name, int count, const int64_t *values);

#endif
