/* canon: nodes, each once; see canon.h. */
#include "model/recognise/canon.h"

#include <string.h>

/* A graph's own weights once, joined ones cut in three, folded ones scaled: at most four times as much is made of its constants. */
enum { FIRST_ROOM = 1024, BUDGET_TIMES = 4, BUDGET_BYTES = 1 << 28 };
static const uint64_t most_budget = UINT64_C(8) << 30; /* of float32: twenty times the largest published network */

const char canon_behind[] = "stands behind an operator that does not fit";

segrt_status canon_open(canon *c, const onnx_graph *graph, arena *scratch, arena *keep, segrt_error *error)
{
    *c = (canon){.scratch = scratch, .keep = keep, .graph = graph, .origin = -1};
    c->values = arena_get(scratch, (size_t)graph->value_count + 1, sizeof *c->values);
    c->constants = arena_get(scratch, (size_t)graph->value_count + 1, sizeof *c->constants);
    c->origins = origins_open(scratch);
    if (!c->values || !c->constants || !c->origins)
        return fail_memory(error, (size_t)graph->value_count * sizeof *c->values, "the graph's values");
    for (int i = 0; i < graph->value_count; i++) {
        c->values[i].node = -1;
        c->constants[i] = onnx_constant(graph, i);
        c->budget += c->constants[i] ? c->constants[i]->count * sizeof(float) * BUDGET_TIMES : 0;
    }
    c->budget += BUDGET_BYTES;
    c->budget = c->budget < most_budget ? c->budget : most_budget;
    return canon_open_cache(c, error);
}

void canon_close(canon *c)
{
    memory_free(c->nodes);
    memory_free(c->table);
    c->nodes = NULL;
    c->table = NULL;
}

static bool same_numbers(const double *a, const double *b, int count)
{
    return a == b || (a && b && memcmp(a, b, (size_t)count * sizeof *a) == 0);
}

/* Whatever a node means but not where it came from.  An affine's numbers count by value, so that x * 0.5
 * written twice is one node. */
static bool same(const canon_node *a, const canon_node *b)
{
    if (a->op != b->op || a->input_count != b->input_count || memcmp(&a->extent, &b->extent, sizeof a->extent) != 0)
        return false;
    for (int i = 0; i < a->input_count; i++)
        if (a->inputs[i] != b->inputs[i])
            return false;
    if (a->op == CANON_OTHER)
        return a->origin == b->origin;
    if (a->weight != b->weight || a->bias != b->bias || a->mean != b->mean || a->variance != b->variance || a->eps != b->eps)
        return false;
    if (a->out != b->out || a->in != b->in || a->kernel != b->kernel || a->stride != b->stride || a->pad != b->pad ||
        a->groups != b->groups)
        return false;
    if (a->at[0] != b->at[0] || a->at[1] != b->at[1] || a->align_corners != b->align_corners || a->map != b->map)
        return false;
    return a->count == b->count && same_numbers(a->mul, b->mul, a->count) && same_numbers(a->add, b->add, a->count);
}

static uint64_t hash_of(const canon_node *node)
{
    uint64_t hash = 0xcbf29ce484222325u ^ (uint64_t)node->op;
    for (int i = 0; i < node->input_count; i++)
        hash = (hash ^ (uint64_t)node->inputs[i]) * 0x100000001b3u;
    hash = (hash ^ (uint64_t)(uintptr_t)node->weight) * 0x100000001b3u;
    return (hash ^ (uint64_t)(node->op == CANON_OTHER ? node->origin : node->out)) * 0x9e3779b97f4a7c15u;
}

static bool grow(canon *c)
{
    const int room = c->room ? c->room * 2 : FIRST_ROOM;
    canon_node *nodes = memory_get_array((size_t)room, sizeof *nodes);
    int *table = memory_get_cleared((size_t)room * 2, sizeof *table);
    if (!nodes || !table) {
        memory_free(nodes);
        memory_free(table);
        return false;
    }
    if (c->count)
        memcpy(nodes, c->nodes, (size_t)c->count * sizeof *nodes);
    memory_free(c->nodes);
    memory_free(c->table);
    c->nodes = nodes;
    c->room = room;
    c->table = table;
    c->table_room = room * 2;
    for (int i = 0; i < c->count; i++) {
        size_t at = (size_t)(hash_of(&nodes[i]) >> 20) % (size_t)c->table_room;
        while (table[at])
            at = (at + 1) % (size_t)c->table_room;
        table[at] = i + 1;
    }
    return true;
}

int canon_intern(canon *c, const canon_node *node)
{
    for (int i = 0; i < node->input_count; i++)
        if (node->inputs[i] < 0)
            return -1;
    if (c->no_memory || (c->count == c->room && !grow(c))) {
        c->no_memory = true;
        return -1;
    }
    size_t at = (size_t)(hash_of(node) >> 20) % (size_t)c->table_room;
    for (; c->table[at]; at = (at + 1) % (size_t)c->table_room)
        if (same(&c->nodes[c->table[at] - 1], node))
            return c->table[at] - 1;
    c->nodes[c->count] = *node;
    c->nodes[c->count].origin = c->origin;
    c->table[at] = ++c->count;
    return c->count - 1;
}

int canon_make(canon *c, const canon_node *node)
{
    for (int i = 0; i < node->input_count; i++)
        if (node->inputs[i] < 0)
            return -1;
    const canon_node copy = *node; /* a rule that makes nodes may move the list that `node` lies in */
    const int instead = canon_apply_rules(c, &copy);
    return instead >= 0 || c->no_memory ? instead : canon_intern(c, &copy);
}

canon_node canon_unary(const canon *c, canon_op op, int input)
{
    canon_node n = {.op = op, .input_count = 1, .inputs = {input}, .extent = {.of = {1, 1, 1, 1, 1, 1}}};
    if (input >= 0)
        n.extent = c->nodes[input].extent;
    return n;
}

int canon_scale(canon *c, int input, double mul, double add)
{
    canon_node n = canon_unary(c, CANON_AFFINE, input);
    double *numbers = canon_new_doubles(c, 2);
    if (!numbers)
        return -1;
    numbers[0] = mul;
    numbers[1] = add;
    n.count = 1;
    n.mul = numbers;
    n.add = numbers + 1;
    return canon_make(c, &n);
}

int canon_other(canon *c, const onnx_node *node, const char *why)
{
    canon_node n = {.op = CANON_OTHER, .why = why, .origin = c->origin, .extent = {.of = {1, 1, 1, 1, 1, 1}}};
    for (int i = 0; i < node->input_count && n.input_count < CANON_INPUTS; i++)
        if (node->inputs[i] >= 0 && c->values[node->inputs[i]].node >= 0)
            n.inputs[n.input_count++] = c->values[node->inputs[i]].node;
    return canon_intern(c, &n);
}
