/* edit_support: see edit_support.h. */
#include "edit_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/file_map.h"

/* The fuzz harness has no test framework around it. */
static void need(bool holds)
{
    if (!holds)
        abort();
}

enum { TYPE_FLOAT = 1, TYPE_INT64 = 7 };
enum { MODEL_GRAPH = 7, MODEL_OPSET = 8, OPSET_VERSION = 2, GRAPH_NODE = 1, GRAPH_CONSTANT = 5 };
enum { NODE_INPUT = 1, NODE_OUTPUT = 2, NODE_NAME = 3, NODE_OP = 4, NODE_ATTRIBUTE = 5, ATTRIBUTE_NAME = 1 };
enum { ATTRIBUTE_F = 2, ATTRIBUTE_I = 3, ATTRIBUTE_S = 4, ATTRIBUTE_INTS = 8, ATTRIBUTE_KIND = 20 };

/* One field: its number, and its bytes with tag; `body` where it is length-delimited. */
typedef struct field {
    int number;
    const uint8_t *begin;
    size_t size;
    bytes body;
} field;

static bool next_field(bytes *b, field *f)
{
    if (bytes_left(b) == 0)
        return false;
    const size_t from = b->at;
    const uint64_t tag = bytes_varint(b);
    *f = (field){.number = (int)(tag >> 3), .begin = b->begin + from};
    if ((tag & 7) == 2)
        f->body = bytes_sub(b, (size_t)bytes_varint(b));
    else if ((tag & 7) == 0)
        bytes_varint(b);
    else
        bytes_take(b, (tag & 7) == 5 ? 4 : 8);
    need(bytes_ok(b));
    f->size = b->at - from;
    return true;
}

static const char *text_of(edit *e, const field *f)
{
    const char *text = arena_copy_text(&e->memory, (const char *)f->body.begin, f->body.size);
    need(text != NULL);
    return text;
}

static void read_attribute(edit *e, edit_node *n, const field *f)
{
    bytes b = f->body;
    field inner;
    need(n->attribute_count < EDIT_ATTRIBUTES);
    n->attributes[n->attribute_count].data = f->body.begin;
    n->attributes[n->attribute_count].size = f->body.size;
    while (next_field(&b, &inner))
        if (inner.number == ATTRIBUTE_NAME)
            n->attributes[n->attribute_count].name = text_of(e, &inner);
    n->attribute_count++;
}

static void read_node(edit *e, bytes b)
{
    field f;
    need(e->node_count < EDIT_NODES);
    edit_node *n = &e->nodes[e->node_count++];
    *n = (edit_node){.op = "", .name = ""};
    while (next_field(&b, &f)) {
        if (f.number == NODE_INPUT) {
            need(n->input_count < EDIT_INPUTS);
            n->inputs[n->input_count++] = text_of(e, &f);
        } else if (f.number == NODE_OUTPUT) {
            n->output = text_of(e, &f);
        } else if (f.number == NODE_NAME) {
            n->name = text_of(e, &f);
        } else if (f.number == NODE_OP) {
            n->op = text_of(e, &f);
        } else if (f.number == NODE_ATTRIBUTE) {
            read_attribute(e, n, &f);
        }
    }
}

edit *edit_open(const char *path)
{
    file_map map;
    need(file_map_open(&map, path, NULL) == SEGRT_OK);
    edit *e = edit_read(map.data, map.size);
    file_map_close(&map);
    return e;
}

edit *edit_read(const void *data, size_t size)
{
    edit *e = memory_get_cleared(1, sizeof *e);
    need(e != NULL);
    uint8_t *copy = arena_get(&e->memory, size, 1);
    need(copy != NULL);
    memcpy(copy, data, size);
    bytes model = bytes_of(copy, size);
    field f, g;
    while (next_field(&model, &f)) {
        if (f.number != MODEL_GRAPH) {
            proto_append(&e->model, f.begin, f.size);
            continue;
        }
        while (next_field(&f.body, &g))
            if (g.number == GRAPH_NODE)
                read_node(e, g.body);
            else
                proto_append(&e->graph, g.begin, g.size);
    }
    return e;
}

void edit_close(edit *e)
{
    proto_free(&e->model);
    proto_free(&e->graph);
    arena_free(&e->memory);
    memory_free(e);
}

static void put_node(const edit_node *n, proto *to)
{
    proto node = {0};
    for (int i = 0; i < n->input_count; i++)
        proto_text(&node, NODE_INPUT, n->inputs[i]);
    proto_text(&node, NODE_OUTPUT, n->output);
    proto_text(&node, NODE_NAME, n->name);
    proto_text(&node, NODE_OP, n->op);
    for (int i = 0; i < n->attribute_count; i++)
        if (n->attributes[i].name[0])
            proto_bytes(&node, NODE_ATTRIBUTE, n->attributes[i].data, n->attributes[i].size);
    proto_message(to, GRAPH_NODE, &node);
    proto_free(&node);
}

void edit_encode(const edit *e, proto *file)
{
    proto graph = {0};
    for (int i = 0; i < e->node_count; i++)
        put_node(&e->nodes[i], &graph);
    proto_append(&graph, e->graph.data, e->graph.size);
    proto_append(file, e->model.data, e->model.size);
    proto_message(file, MODEL_GRAPH, &graph);
    need(!file->broken);
    proto_free(&graph);
}

void edit_opset(edit *e, int64_t version)
{
    proto model = {0}, opset = {0};
    bytes b = bytes_of(e->model.data, e->model.size);
    field f;
    while (next_field(&b, &f))
        if (f.number != MODEL_OPSET)
            proto_append(&model, f.begin, f.size);
    proto_int(&opset, OPSET_VERSION, version);
    proto_message(&model, MODEL_OPSET, &opset);
    proto_free(&opset);
    proto_free(&e->model);
    e->model = model;
}

void edit_write(const edit *e, const char *path)
{
    proto file = {0};
    edit_encode(e, &file);
    FILE *out = fopen(path, "wb");
    need(out != NULL);
    need(fwrite(file.data, 1, file.size, out) == file.size);
    fclose(out);
    proto_free(&file);
}

edit_node *edit_find(edit *e, const char *name)
{
    for (int i = 0; i < e->node_count; i++)
        if (strcmp(e->nodes[i].name, name) == 0)
            return &e->nodes[i];
    fprintf(stderr, "the graph has no node '%s'\n", name);
    abort();
}

static void redirect(edit *e, const char *from, const char *to, const edit_node *but)
{
    for (int i = 0; i < e->node_count; i++)
        for (int k = 0; k < e->nodes[i].input_count; k++)
            if (&e->nodes[i] != but && strcmp(e->nodes[i].inputs[k], from) == 0)
                e->nodes[i].inputs[k] = to;
}

void edit_bypass(edit *e, const char *name, int slot)
{
    edit_node *n = edit_find(e, name);
    redirect(e, n->output, n->inputs[slot], n);
    memmove(n, n + 1, (size_t)(e->nodes + e->node_count - (n + 1)) * sizeof *n);
    e->node_count--;
}

edit_node *edit_insert(edit *e, const char *after, const char *op)
{
    edit_node *at = edit_find(e, after);
    char name[128];
    snprintf(name, sizeof name, "%s.more", after);
    const char *kept = arena_copy_text(&e->memory, name, strlen(name));
    need(e->node_count < EDIT_NODES);
    redirect(e, at->output, kept, NULL);
    memmove(at + 2, at + 1, (size_t)(e->nodes + e->node_count - (at + 1)) * sizeof *at);
    e->node_count++;
    at[1] = (edit_node){.op = op, .name = kept, .output = kept, .inputs = {at->output}, .input_count = 1};
    return at + 1;
}

static void set_attribute(edit *e, edit_node *node, const char *name, int kind, proto *value)
{
    proto_int(value, ATTRIBUTE_KIND, kind);
    proto_text(value, ATTRIBUTE_NAME, name);
    uint8_t *data = arena_get(&e->memory, value->size, 1);
    need(data != NULL);
    memcpy(data, value->data, value->size);
    for (int i = 0; i < node->attribute_count; i++)
        if (strcmp(node->attributes[i].name, name) == 0)
            node->attributes[i].name = "";
    need(node->attribute_count < EDIT_ATTRIBUTES);
    node->attributes[node->attribute_count].name = name;
    node->attributes[node->attribute_count].data = data;
    node->attributes[node->attribute_count++].size = value->size;
    proto_free(value);
}

void edit_int(edit *e, edit_node *node, const char *name, int64_t value)
{
    proto p = {0};
    proto_int(&p, ATTRIBUTE_I, value);
    set_attribute(e, node, name, 2, &p);
}

void edit_ints(edit *e, edit_node *node, const char *name, int count, const int64_t *values)
{
    proto p = {0};
    for (int i = 0; i < count; i++)
        proto_int(&p, ATTRIBUTE_INTS, values[i]);
    set_attribute(e, node, name, 7, &p);
}

void edit_float(edit *e, edit_node *node, const char *name, float value)
{
    proto p = {0};
    proto_float(&p, ATTRIBUTE_F, value);
    set_attribute(e, node, name, 1, &p);
}

void edit_text(edit *e, edit_node *node, const char *name, const char *value)
{
    proto p = {0};
    proto_text(&p, ATTRIBUTE_S, value);
    set_attribute(e, node, name, 3, &p);
}

static void put_constant(edit *e, const char *name, int count, int type, const void *values, size_t size)
{
    proto p = {0};
    if (count)
        proto_int(&p, 1, count);
    proto_int(&p, 2, type);
    proto_text(&p, 8, name);
    proto_bytes(&p, 9, values, size);
    proto_message(&e->graph, GRAPH_CONSTANT, &p);
    proto_free(&p);
}

void edit_constant(edit *e, const char *name, int count, const float *values)
{
    put_constant(e, name, count, TYPE_FLOAT, values, (size_t)(count ? count : 1) * sizeof *values);
}

void edit_shape(edit *e, const char *name, int count, const int64_t *values)
{
    put_constant(e, name, count, TYPE_INT64, values, (size_t)count * sizeof *values);
}
