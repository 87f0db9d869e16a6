/* walk: readers of nodes, messages, and the way of a network from its input to its logits; see walk.h. */
#include "model/recognise/walk.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Marks what the graph's outputs are made of. */
static segrt_status find_live(walk *w, bool *live)
{
    const canon *c = w->c;
    for (int i = 0; i < c->graph->output_count; i++) {
        const int node = c->values[c->graph->outputs[i]].node;
        if (node >= 0)
            live[node] = w->is_output[node] = true;
    }
    for (int i = c->count - 1; i >= 0; i--) /* inputs are made before their readers */
        for (int k = 0; live[i] && k < c->nodes[i].input_count; k++)
            live[c->nodes[i].inputs[k]] = true;
    return SEGRT_OK;
}

segrt_status walk_open(walk *w, const canon *c, arena *memory, segrt_error *error)
{
    *w = (walk){.c = c, .memory = memory, .error = error};
    size_t edges = 0;
    for (int i = 0; i < c->count; i++)
        edges += (size_t)c->nodes[i].input_count;
    bool *live = arena_get(c->scratch, (size_t)c->count + 1, sizeof *live);
    w->is_output = arena_get(c->scratch, (size_t)c->count + 1, sizeof *w->is_output);
    w->first = arena_get(c->scratch, (size_t)c->count + 2, sizeof *w->first);
    w->users = arena_get(c->scratch, edges + 1, sizeof *w->users);
    if (!live || !w->is_output || !w->first || !w->users)
        return fail_memory(error, edges * sizeof(int), "the graph's edges");
    find_live(w, live);
    /* Counting sort; a node that reads another twice counts twice.  first[i + 2] counts, then moves into place. */
    for (int i = 0; i < c->count; i++)
        for (int k = 0; live[i] && k < c->nodes[i].input_count; k++)
            w->first[c->nodes[i].inputs[k] + 2]++;
    for (int i = 2; i <= c->count + 1; i++)
        w->first[i] += w->first[i - 1];
    for (int i = 0; i < c->count; i++)
        for (int k = 0; live[i] && k < c->nodes[i].input_count; k++)
            w->users[w->first[c->nodes[i].inputs[k] + 1]++] = i;
    return SEGRT_OK;
}

void walk_place(walk *w, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(w->place, sizeof w->place, format, arguments);
    va_end(arguments);
}

/* Of a chain of what does not fit, the first. */
static int first_cause(const walk *w, int node)
{
    for (int at = node; at >= 0;) {
        node = at;
        at = -1;
        const canon_node *n = walk_at(w, node);
        for (int i = 0; n->op == CANON_OTHER && i < n->input_count; i++)
            if (canon_input(w->c, n, i)->op == CANON_OTHER)
                at = n->inputs[i];
    }
    return node;
}

segrt_status walk_mismatch(walk *w, int wrong, const char *expected)
{
    const canon *c = w->c;
    wrong = wrong < 0 ? wrong : first_cause(w, wrong);
    if (wrong < 0)
        return fail_with(w->error, SEGRT_NOT_SEGFORMER, "%s: expected %s, but the graph ends there", w->place, expected);
    char text[ONNX_TEXT_ROOM];
    const canon_node *n = walk_at(w, wrong);
    if (n->origin < 0)
        return fail_with(w->error, SEGRT_NOT_SEGFORMER, "%s: expected %s, found the graph's input", w->place, expected);
    const onnx_node *node = &c->graph->nodes[n->origin];
    onnx_node_text(c->graph, node, text);
    return fail_at(w->error, SEGRT_NOT_SEGFORMER, node->offset, "%s: expected %s, found %s%s%s", w->place, expected, text, n->why ? ", which " : "",
                   n->why ? n->why : "");
}

bool walk_is_add(const walk *w, int node)
{
    return walk_at(w, node)->op == CANON_ADD || walk_at(w, node)->why == canon_behind;
}

int walk_find(const walk *w, int node, canon_op op)
{
    for (int i = 0; i < walk_user_count(w, node); i++)
        if (walk_at(w, walk_user(w, node, i))->op == op)
            return walk_user(w, node, i);
    return -1;
}

int walk_only(walk *w, int node, canon_op op, const char *expected)
{
    const int count = walk_user_count(w, node);
    for (int i = 0; i < count; i++)
        if (walk_at(w, walk_user(w, node, i))->op != op) {
            walk_mismatch(w, walk_user(w, node, i), expected);
            return -1;
        }
    if (count != 1) {
        walk_mismatch(w, count ? walk_user(w, node, 1) : -1, expected);
        return -1;
    }
    return walk_user(w, node, 0);
}

int walk_through_scale(const walk *w, int node, double *scale)
{
    const canon_node *n = walk_at(w, node);
    if (n->op == CANON_AFFINE && n->count == 1 && n->add[0] == 0 && walk_user_count(w, node) == 1) {
        *scale *= n->mul[0];
        return walk_user(w, node, 0);
    }
    return node;
}

model_linear walk_linear(const canon_node *n) { return (model_linear){.weight = n->weight, .bias = n->bias, .out = n->out, .in = n->in}; }

model_conv walk_conv(const canon_node *n)
{
    return (model_conv){.weight = n->weight, .bias = n->bias, .out = n->out, .in = n->in, .kernel = n->kernel, .stride = n->stride, .pad = n->pad};
}

model_norm walk_norm(const canon_node *n) { return (model_norm){.gamma = n->weight, .beta = n->bias, .eps = n->eps, .width = n->out}; }

/* ------------------------------------------------------------------------------------- a network */

enum { DEEPEST = 4096 /* blocks a stage */ };

/* Does this norm feed attention (rather than end the stage)? */
static bool feeds_attention(const walk *w, int norm)
{
    for (int i = 0; i < walk_user_count(w, norm); i++) {
        const int user = walk_user(w, norm, i);
        double scale = 1;
        if (walk_at(w, user)->op != CANON_LINEAR || walk_user_count(w, user) != 1)
            continue;
        const canon_op next = walk_at(w, walk_through_scale(w, walk_user(w, user, 0), &scale))->op;
        if (next == CANON_SCORES || next == CANON_CONTEXT)
            return true;
    }
    return false;
}

/* Another block follows, or the stage ends: -1 where neither. */
static int block_follows(walk *w, int x)
{
    const int norm = walk_find(w, x, CANON_NORM);
    bool adds = false;
    for (int i = 0; i < walk_user_count(w, x); i++) {
        const bool is_add = walk_is_add(w, walk_user(w, x, i));
        adds |= is_add;
        if (!is_add && walk_at(w, walk_user(w, x, i))->op != CANON_NORM) {
            walk_mismatch(w, walk_user(w, x, i), "a block's layer norm and residual Add, or the stage's layer norm");
            return -1;
        }
    }
    if (norm < 0) {
        walk_mismatch(w, walk_user_count(w, x) ? walk_user(w, x, 0) : -1, "a layer norm");
        return -1;
    }
    return adds || feeds_attention(w, norm);
}

/* The stage's layer norm: the one that the next patch embedding reads, and the one that the head reads (segrt's own centred exports
 * have two). */
static segrt_status stage_end(walk *w, int s, int x, model_stage *stage, int *next_image, int *feature)
{
    const int count = walk_user_count(w, x);
    *next_image = *feature = -1;
    for (int i = 0; i < count; i++) {
        const int norm = walk_user(w, x, i);
        if (s + 1 < STAGES && walk_find(w, norm, CANON_CONV) >= 0)
            *next_image = norm;
        else
            *feature = norm;
    }
    if (*feature < 0)
        *feature = *next_image;
    if (s + 1 < STAGES && *next_image < 0)
        return walk_mismatch(w, walk_user_count(w, *feature) ? walk_user(w, *feature, 0) : -1, "the next stage's patch convolution behind the stage's norm");
    if (count > 2)
        return walk_mismatch(w, walk_user(w, x, 2), "one layer norm at the stage's end");
    stage->norm = walk_norm(walk_at(w, *next_image >= 0 ? *next_image : *feature));
    return SEGRT_OK;
}

static segrt_status walk_stage(walk *w, int s, int image, model_stage *stage, int *next_image, int *feature)
{
    walk_place(w, s ? "stage %d, at its patch embedding" : "at the first patch embedding", s + 1);
    const int conv = s ? walk_find(w, image, CANON_CONV) : walk_only(w, image, CANON_CONV, "the patch convolution (or a normalisation of the pixels)");
    if (conv < 0)
        return SEGRT_NOT_SEGFORMER;
    if (walk_at(w, conv)->groups != 1)
        return walk_mismatch(w, conv, "a patch convolution without groups");
    stage->patch = walk_conv(walk_at(w, conv));
    stage->width = stage->patch.out;
    walk_place(w, "stage %d, after the patch convolution", s + 1);
    int x = walk_only(w, conv, CANON_NORM, "a layer norm over the channels");
    if (x < 0)
        return SEGRT_NOT_SEGFORMER;
    stage->patch_norm = walk_norm(walk_at(w, x));
    stage->reduction = 0;
    for (int room = 0;; stage->depth++) {
        if (stage->depth)
            walk_place(w, "stage %d, after block %d", s + 1, stage->depth - 1);
        else
            walk_place(w, "stage %d, after the patch embedding", s + 1);
        const int follows = block_follows(w, x);
        if (follows < 0)
            return SEGRT_NOT_SEGFORMER;
        if (!follows)
            break;
        if (stage->depth == DEEPEST)
            return fail_with(w->error, SEGRT_NOT_SEGFORMER, "stage %d has more than %d blocks", s + 1, DEEPEST);
        if (stage->depth == room) {
            room = room ? room * 2 : 8;
            model_block *grown = arena_get(w->memory, (size_t)room, sizeof *grown);
            if (!grown)
                return fail_memory(w->error, (size_t)room * sizeof *grown, "blocks");
            if (stage->depth)
                memcpy(grown, stage->blocks, (size_t)stage->depth * sizeof *grown);
            stage->blocks = grown;
        }
        walk_place(w, "stage %d, block %d", s + 1, stage->depth);
        const segrt_status status = walk_block(w, stage, &stage->blocks[stage->depth], &x);
        if (status != SEGRT_OK)
            return status;
    }
    if (!stage->depth)
        return walk_mismatch(w, walk_find(w, x, CANON_NORM), "at least one block");
    return stage_end(w, s, x, stage, next_image, feature);
}

segrt_status walk_network(walk *w, int start, found *out)
{
    segrt_model *m = out->model;
    int image = start;
    walk_place(w, "at the input");
    out->start = start;
    if (walk_user_count(w, start) == 1 && walk_at(w, walk_user(w, start, 0))->op == CANON_AFFINE) {
        image = walk_user(w, start, 0);
        out->normalisation = walk_at(w, image);
    }
    out->image = image;
    for (int s = 0; s < STAGES; s++) {
        const segrt_status status = walk_stage(w, s, image, &m->stages[s], &image, &out->feature[s]);
        if (status != SEGRT_OK)
            return status;
    }
    return walk_head(w, out);
}
