/* operations: the network as a list of its smallest steps, in the order of execution; see network.h. */
#include "network/network.h"

const char *operation_name(operation_kind kind)
{
    static const char *const names[OPERATION_KINDS] = {
        [OP_PATCH] = "patch",       [OP_REDUCE] = "reduce",         [OP_KEYS] = "keys",   [OP_QUERY] = "query",
        [OP_ATTEND] = "attend",     [OP_PROJECT] = "project",       [OP_FC1] = "fc1",     [OP_DEPTHWISE] = "depthwise",
        [OP_FC2] = "fc2",           [OP_STAGE_NORM] = "stage norm", [OP_LEVEL] = "level", [OP_MERGE] = "merge",
        [OP_CLASSIFY] = "classify", [OP_LABEL] = "label",
    };
    return (unsigned)kind < OPERATION_KINDS ? names[kind] : "unknown";
}

typedef struct list {
    operation *at; /* NULL: only counted */
    size_t count;
} list;

static void add(list *l, operation_kind kind, int stage, int block)
{
    if (l->at)
        l->at[l->count] = (operation){.kind = kind, .stage = (int8_t)stage, .block = (int16_t)block};
    l->count++;
}

static void add_block(list *l, const network_stage *stage, int i, int block)
{
    if (stage->reduction > 1)
        add(l, OP_REDUCE, i, block);
    add(l, OP_KEYS, i, block);
    if (stage->heads > 1)
        add(l, OP_QUERY, i, block);
    add(l, OP_ATTEND, i, block);
    if (stage->heads > 1)
        add(l, OP_PROJECT, i, block);
    add(l, OP_FC1, i, block);
    add(l, OP_DEPTHWISE, i, block);
    add(l, OP_FC2, i, block);
}

static void add_all(list *l, const network *net)
{
    for (int i = 0; i < STAGES; i++) {
        add(l, OP_PATCH, i, -1);
        for (int block = 0; block < net->stages[i].depth; block++)
            add_block(l, &net->stages[i], i, block);
        add(l, OP_STAGE_NORM, i, -1);
    }
    if (!net->classes)
        return;
    for (int i = STAGES - 1; i >= 0; i--) /* the first stage's level last: it is merged as it is made */
        add(l, OP_LEVEL, i, -1);
    add(l, OP_MERGE, -1, -1);
    add(l, OP_CLASSIFY, -1, -1);
    add(l, OP_LABEL, -1, -1);
}

segrt_status network_operations(const network *net, arena *memory, operation **out, size_t *count, segrt_error *error)
{
    list l = {0};
    add_all(&l, net);
    *count = l.count;
    *out = l.at = arena_get(memory, l.count, sizeof *l.at);
    if (!l.at)
        return fail_memory(error, l.count * sizeof *l.at, "the list of operations");
    l.count = 0;
    add_all(&l, net);
    return SEGRT_OK;
}

uint64_t operation_macs(const network *net, const network_shape *shape, operation op)
{
    const int i = op.stage < 0 ? 0 : op.stage;
    const network_stage *stage = &net->stages[i];
    const stage_shape *at = &shape->stage[i];
    const uint64_t n = (uint64_t)shape->n, c = (uint64_t)stage->width, tokens = n * (uint64_t)at->h * (uint64_t)at->w;
    const uint64_t keys = (uint64_t)at->key_h * (uint64_t)at->key_w, r = (uint64_t)stage->reduction;
    const uint64_t hidden = op.block < 0 ? 0 : (uint64_t)stage->blocks[op.block].hidden;
    const uint64_t width = (uint64_t)net->head.width, inner = (uint64_t)net->head.inner_width;
    switch (op.kind) {
    case OP_PATCH:
        return tokens * (uint64_t)stage->patch.weight.count;
    case OP_REDUCE:
        return n * keys * c * c * r * r;
    case OP_KEYS:
        return 2 * n * keys * c * c;
    case OP_QUERY:
    case OP_PROJECT:
        return tokens * c * c;
    case OP_ATTEND:
        return 2 * tokens * keys * c;
    case OP_FC1:
    case OP_FC2:
        return tokens * c * hidden;
    case OP_DEPTHWISE:
        return 9 * tokens * hidden;
    case OP_LEVEL:
        return inner ? tokens * (c * inner + inner * width) : tokens * c * width;
    case OP_CLASSIFY:
        return tokens * width * (uint64_t)net->classes;
    case OP_STAGE_NORM: /* no products of matrices */
    case OP_MERGE:
    case OP_LABEL:
    case OPERATION_KINDS:
        break;
    }
    return 0;
}
