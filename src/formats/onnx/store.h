/* store: the memory behind an onnx_graph, and how its parts grow.  Formats layer; internal to the ONNX
 * reader, its passes and the interpreter. */
#ifndef SEGRT_FORMATS_ONNX_STORE_H
#define SEGRT_FORMATS_ONNX_STORE_H

#include "base/bytes.h"
#include "base/memory.h"
#include "formats/onnx/graph.h"
#include "formats/onnx/names.h"

/* Caps that are not the caller's to move: far above what any real file needs. */
enum {
    ONNX_CALL_DEPTH = 16,              /* functions within functions, branches within branches */
    ONNX_NODE_SLOTS = 65536,           /* inputs or outputs of one node */
    ONNX_NODE_ATTRIBUTES = 128,        /* of one node or function */
    ONNX_OPSETS = 128,                 /* imported by the model or a function */
    ONNX_BODY_BYTES = 256 << 20,       /* of all function bodies and branches that are inlined, each time they are */
    ONNX_NAME_BYTES = 4096,            /* one name */
    ONNX_EXTERNAL_FILES = 256,
    ONNX_STRUCTURE_BYTES = 256 << 20,  /* names, slots, attributes: everything but tensors */
};

/* Where names are looked up: the graph (id 0), the body of an inlined function, a branch of an If. */
typedef struct onnx_scope {
    uint32_t id;
    int depth;
    const struct onnx_scope *outer; /* a branch sees these names too; NULL for a function */
    const onnx_opset *opsets;
    int32_t opset_count;
    const onnx_node *call; /* whose attributes the body refers to; NULL in the graph */
    const onnx_attribute *defaults; /* of the function's attributes */
    int32_t default_count;
    const char *prefix; /* of node and value names: "call/" */
} onnx_scope;

/* An attribute that holds a graph. */
struct onnx_subgraph {
    bytes message;
    const onnx_scope *scope;
};

typedef struct onnx_store {
    onnx_graph graph; /* what the caller sees; its arrays point here */
    onnx_limits limits;
    arena memory;
    size_t structure, held; /* bytes asked for: everything but tensors; tensors */
    size_t bodies;          /* bytes of functions and branches read so far */
    names names;
    const uint8_t *base; /* the file */
    size_t size;
    char *folder; /* resolved; NULL: no external data */

    onnx_node *nodes;
    onnx_value *values;
    int32_t *inputs, *outputs;
    onnx_use *uses;
    size_t node_room, value_room, input_room, output_room, use_room;

    onnx_opset *opsets;
    onnx_property *properties;
    size_t opset_room, property_room;

    struct onnx_function *functions;
    size_t function_room;
    int32_t function_count;
    uint32_t scopes; /* ids given */

    struct onnx_external *externals;
    size_t external_room;
    int32_t external_count;
} onnx_store;

static inline onnx_store *store_of(const onnx_graph *graph) { return graph->store; }
static inline uint64_t store_offset(const onnx_store *s, const void *at) { return (uint64_t)((const uint8_t *)at - s->base); }

/* Cleared memory that lives as long as the graph, counted against the limits; NULL and an error beyond them.
 * what: "node names"... */
void *store_get(onnx_store *s, size_t count, size_t size, const char *what, segrt_error *error);
/* The same for tensors' elements, not counted as structure. */
void *store_get_data(onnx_store *s, size_t size, segrt_error *error);

/* Makes room for one more element of a growing array. */
segrt_status store_grow(void **array, size_t *room, size_t count, size_t size, segrt_error *error);
#define STORE_GROW(array, room, count, error) store_grow((void **)&(array), &(room), (size_t)(count), sizeof *(array), error)

/* A name as the file has it, checked, copied, with `prefix` before it (NULL: none). */
segrt_status store_text(onnx_store *s, const char *prefix, bytes text, const char **out, segrt_error *error);

/* A new value; `name` lives as long as the graph. */
segrt_status store_value(onnx_store *s, const char *name, int32_t *out, segrt_error *error);

/* The value that `name` means in `scope`; made there if nothing has it yet. */
segrt_status store_named(onnx_store *s, const onnx_scope *scope, bytes name, int32_t *out, segrt_error *error);
/* Binds a name of `scope` to a value (or -1). */
segrt_status store_bind(onnx_store *s, const onnx_scope *scope, bytes name, int32_t value, segrt_error *error);

/* Adds a node; its arrays live as long as the graph. */
segrt_status store_node(onnx_store *s, const onnx_node *node, segrt_error *error);

/* Sets producers, uses and counts from the nodes; sorts them topologically.  Errors: MALFORMED (a value made
 * twice, a cycle, an input or output of the graph that nothing makes). */
segrt_status store_finish(onnx_store *s, segrt_error *error);

/* Removes the nodes that are marked, and those whose results nobody reads (only where no subgraph is left that
 * might), then store_finish. */
segrt_status store_compact(onnx_store *s, bool *remove, segrt_error *error);

/* --- reading, one message a function --------------------------------------------------------------- */

segrt_status onnx_read_tensor(onnx_store *s, bytes message, onnx_tensor *out, bytes *name, segrt_error *error);
segrt_status onnx_read_node(onnx_store *s, const onnx_scope *scope, bytes message, segrt_error *error);
/* Adds the nodes of an If's branch; they make the node's outputs. */
segrt_status onnx_read_branch(onnx_store *s, const struct onnx_subgraph *branch, const onnx_node *node, segrt_error *error);
/* Initializers, nodes and value_info of a GraphProto; inputs and outputs too where it is the whole graph (scope 0). */
segrt_status onnx_read_graph(onnx_store *s, const onnx_scope *scope, bytes message, segrt_error *error);
segrt_status onnx_read_function(onnx_store *s, bytes message, segrt_error *error);
/* Is the node a call of a model-local function?  Then its body's nodes are added in its place. */
segrt_status onnx_inline_call(onnx_store *s, const onnx_scope *scope, const onnx_node *call, bytes overload, bool *called, segrt_error *error);
segrt_status onnx_read_opset(onnx_store *s, bytes message, onnx_opset *out, segrt_error *error);
segrt_status onnx_read_attribute(onnx_store *s, const onnx_scope *scope, bytes message, onnx_attribute *out, bool *absent, segrt_error *error);

/* Is an attribute of ONNX's own operators (or com.microsoft's) of the kind that its name has there? */
segrt_status onnx_check_attribute(const onnx_attribute *a, segrt_error *error);

/* External data of a tensor: `location` in the model's folder. */
segrt_status onnx_external_data(onnx_store *s, bytes location, uint64_t offset, uint64_t bytes_wanted, uint64_t at, const void **data,
                                segrt_error *error);
void onnx_external_close(onnx_store *s);

#endif
