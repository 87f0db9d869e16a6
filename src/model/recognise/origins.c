/* origins: see origins.h. */
#include "model/recognise/origins.h"

#include <stdio.h>
#include <string.h>

#include "model/names.h"

enum {
    BUCKETS = 4096,
    TEXT_ROOM = 512 /* a role or a node in words */,
    DEEPEST = 8 /* numbers made of numbers */,
    HOW_ROOM = 400,
    SOURCES_A_BLOCK = 22,
    OTHER_SOURCES = 64
};

typedef struct origin {
    const void *numbers;
    onnx_tensor constant; /* where `of_constant` */
    bool of_constant;
    const void *from, *with;
    const char *how;
    int node;
    struct origin *next;
} origin;

struct origins {
    arena *memory;
    origin *buckets[BUCKETS];
    bool no_memory;
};

origins *origins_open(arena *memory)
{
    origins *o = arena_get(memory, 1, sizeof *o);
    if (o)
        o->memory = memory;
    return o;
}

static size_t bucket_of(const void *numbers)
{
    return (size_t)(((uintptr_t)numbers >> 4) * 0x9e3779b97f4a7c15u >> 40) % BUCKETS;
}

static const origin *find(const origins *o, const void *numbers)
{
    const origin *at = numbers ? o->buckets[bucket_of(numbers)] : NULL;
    while (at && at->numbers != numbers)
        at = at->next;
    return at;
}

static void add(origins *o, const origin *what)
{
    origin *kept = what->numbers ? arena_get(o->memory, 1, sizeof *kept) : NULL;
    o->no_memory |= what->numbers && !kept;
    if (!kept)
        return;
    origin **bucket = &o->buckets[bucket_of(what->numbers)];
    *kept = *what;
    kept->next = *bucket;
    *bucket = kept;
}

void origins_constant(origins *o, const void *numbers, const onnx_tensor *constant, int node, const char *how)
{
    add(o, &(origin){.numbers = numbers, .constant = *constant, .of_constant = true, .node = node, .how = how});
}

void origins_made(origins *o, const void *numbers, const void *from, const char *how, const void *with)
{
    const bool both = find(o, from) && find(o, with);
    if (both || !with)
        add(o, &(origin){.numbers = numbers, .from = from, .how = how, .with = with, .node = -1});
    else
        add(o, &(origin){.numbers = numbers, .from = find(o, from) ? from : with, .node = -1});
}

/* ------------------------------------------------------------------------------------- in words */

typedef struct account {
    char how[HOW_ROOM];   /* "" as it stands in the file */
    onnx_tensor constant; /* name NULL: of no constant */
    int node;
} account;

static void say(account *a, const char *before, const char *what, const char *after)
{
    const size_t at = strlen(a->how);
    snprintf(a->how + at, sizeof a->how - at, "%s%s%s%s", at ? ", " : "", before, what, after);
}

/* A constant, and through what folding made of it to the one that stands in the file. */
static void tell_constant(account *a, const onnx_tensor *t)
{
    for (int deep = 0; t->computed_by && t->computed_from && deep < DEEPEST; deep++) {
        say(a, "folded: ", t->computed_by, "");
        t = t->computed_from;
    }
    a->constant = *t;
}

static void tell(const origins *o, const void *numbers, int deep, account *a)
{
    const origin *at = find(o, numbers);
    if (!at || deep == DEEPEST)
        return;
    if (at->of_constant) {
        tell_constant(a, &at->constant);
        a->node = at->node;
    } else {
        tell(o, at->from, deep + 1, a);
    }
    if (at->with) {
        account other = {.node = -1};
        tell(o, at->with, deep + 1, &other);
        if (!other.constant.name)
            return;
        say(a, at->how, " '", "");
        const size_t end = strlen(a->how);
        snprintf(a->how + end, sizeof a->how - end, "%.100s'", other.constant.name);
    } else if (at->how) {
        say(a, at->how, "", "");
    }
}

/* ---------------------------------------------------------------------------- the model's tensors */

typedef struct lister {
    const origins *o;
    const onnx_graph *graph;
    segrt_model *model;
    size_t room;
    int stage, block;
    bool no_memory;
} lister;

static const char *kept_text(lister *l, const char *text)
{
    const char *copy = arena_copy_text(&l->model->memory, text, strlen(text));
    l->no_memory |= !copy;
    return copy;
}

static void list(lister *l, layer_role role, tensor_part part, const float *numbers)
{
    char text[TEXT_ROOM];
    segrt_model *m = l->model;
    if (!numbers || m->source_count == l->room)
        return;
    account a = {.node = -1};
    tell(l->o, numbers, 0, &a);
    model_source *s = &m->sources[m->source_count++];
    s->role = kept_text(l, role_text(role, part, l->stage, l->block, text));
    s->name = a.constant.name ? kept_text(l, a.constant.name) : "";
    s->type = onnx_type_text(a.constant.type);
    s->how = *a.how ? kept_text(l, a.how) : NULL;
    s->node = a.node < 0 ? NULL : kept_text(l, onnx_node_text(l->graph, &l->graph->nodes[a.node], text));
    for (int d = 0; d < a.constant.shape.rank && s->rank < 4; d++)
        if (a.constant.shape.rank <= 4 || a.constant.shape.dims[d] != 1)
            s->shape[s->rank++] = a.constant.shape.dims[d];
}

static void list_pair(lister *l, layer_role role, const float *weight, const float *bias)
{
    list(l, role, PART_WEIGHT, weight);
    list(l, role, PART_BIAS, bias);
}

static void list_batch_norm(lister *l, layer_role role, const model_batch_norm *n)
{
    list_pair(l, role, n->gamma, n->beta);
    list(l, role, PART_MEAN, n->mean);
    list(l, role, PART_VARIANCE, n->variance);
}

static void list_block(lister *l, const model_block *b)
{
    const struct {
        layer_role role;
        const float *weight, *bias;
    } rows[] = {
        {ROLE_NORM1, b->norm1.gamma, b->norm1.beta},
        {ROLE_QUERY, b->query.weight, b->query.bias},
        {ROLE_KEY, b->key.weight, b->key.bias},
        {ROLE_VALUE, b->value.weight, b->value.bias},
        {ROLE_REDUCE, b->reduce.weight, b->reduce.bias},
        {ROLE_REDUCE_NORM, b->reduce_norm.gamma, b->reduce_norm.beta},
        {ROLE_PROJECT, b->project.weight, b->project.bias},
        {ROLE_NORM2, b->norm2.gamma, b->norm2.beta},
        {ROLE_FC1, b->fc1.weight, b->fc1.bias},
        {ROLE_DEPTHWISE, b->depthwise.weight, b->depthwise.bias},
        {ROLE_FC2, b->fc2.weight, b->fc2.bias},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        list_pair(l, rows[i].role, rows[i].weight, rows[i].bias);
}

segrt_status origins_list(const origins *o, const onnx_graph *graph, segrt_model *m, segrt_error *error)
{
    lister l = {.o = o, .graph = graph, .model = m, .room = OTHER_SOURCES, .no_memory = o->no_memory};
    const model_head *h = &m->head;
    for (int s = 0; s < STAGES; s++)
        l.room += (size_t)m->stages[s].depth * SOURCES_A_BLOCK;
    m->sources = l.no_memory ? NULL : arena_get(&m->memory, l.room, sizeof *m->sources);
    if (!m->sources)
        return fail_memory(error, l.room * sizeof *m->sources, "a list of sources");
    for (int s = l.stage = 0; s < STAGES; l.stage = ++s) {
        const model_stage *stage = &m->stages[s];
        list_pair(&l, ROLE_PATCH, stage->patch.weight, stage->patch.bias);
        list_pair(&l, ROLE_PATCH_NORM, stage->patch_norm.gamma, stage->patch_norm.beta);
        for (l.block = 0; l.block < stage->depth; l.block++)
            list_block(&l, &stage->blocks[l.block]);
        list_pair(&l, ROLE_STAGE_NORM, stage->norm.gamma, stage->norm.beta);
        list_pair(&l, ROLE_LEVEL, h->level[s].weight, h->level[s].bias);
        list_batch_norm(&l, ROLE_LEVEL_NORM, &h->level_norm[s]);
    }
    list_pair(&l, ROLE_FUSE, h->fuse.weight, h->fuse.bias);
    list_batch_norm(&l, ROLE_FUSE_NORM, &h->fuse_norm);
    list_pair(&l, ROLE_CLASSIFIER, h->classifier.weight, h->classifier.bias);
    return l.no_memory ? fail_memory(error, 0, "a list of sources") : SEGRT_OK;
}
