/* walk_head: the decoder, as published (NVlabs' and Hugging Face's, mmsegmentation's) or with its levels
 * collapsed into one map each (segrt's folded exports); see walk.h. */
#include <string.h>

#include "model/recognise/walk.h"

typedef struct levels {
    int meets;          /* CONCAT, or the ADD of all four */
    int at[STAGES];     /* what enters there */
    bool conv;          /* batch norm and ReLU in each level */
    int second[STAGES]; /* collapsed, behind the ReLU: LINEAR; else -1 */
} levels;

static model_batch_norm batch_norm_of(const canon_node *n)
{
    return (model_batch_norm){
        .gamma = n->weight, .beta = n->bias, .mean = n->mean, .variance = n->variance, .eps = n->eps, .width = n->out};
}

/* Through the resize to stage 1's size. */
static segrt_status resized(walk *w, const found *f, int *node)
{
    const extents *to = &walk_at(w, f->feature[0])->extent;
    if (walk_user_count(w, *node) != 1)
        return walk_mismatch(w, walk_user_count(w, *node) ? walk_user(w, *node, 1) : -1, "one resize to stage 1's size");
    const int next = walk_user(w, *node, 0);
    const canon_node *n = walk_at(w, next);
    if (n->op == CANON_RESIZE) {
        if (n->align_corners)
            return walk_mismatch(w, next, "a bilinear resize with align_corners = false");
        *node = next;
    }
    const extents *e = &walk_at(w, *node)->extent;
    if (e->of[AXIS_H] != to->of[AXIS_H] || e->of[AXIS_W] != to->of[AXIS_W])
        return walk_mismatch(w, next, "a bilinear resize to stage 1's size");
    return SEGRT_OK;
}

/* The head may read the stage's output through a norm of its own (segrt's centred exports: without gamma, with an offset).  Its map,
 * W (g' x + b'), as one of the stage's norm, y = g x + b: W g' / g, and W (b' - b g' / g) to its bias. */
static segrt_status through_the_stage_norm(walk *w, const canon_node *feature, const model_norm *norm, model_linear *level)
{
    const model_norm own = walk_norm(feature);
    const size_t out = (size_t)level->out, in = (size_t)level->in;
    if (own.gamma == norm->gamma && own.beta == norm->beta && own.eps == norm->eps)
        return SEGRT_OK;
    if (own.eps != norm->eps || own.width != norm->width || level->in != norm->width)
        return fail_with(w->error, SEGRT_NOT_SEGFORMER, "%s: the head reads another norm of the stage than the next stage does", w->place);
    float *weight = arena_get(w->memory, out * in, sizeof *weight), *bias = arena_get(w->memory, out, sizeof *bias);
    if (!weight || !bias)
        return fail_memory(w->error, out * in * sizeof *weight, "a level");
    for (size_t o = 0; o < out; o++) {
        double sum = level->bias ? (double)level->bias[o] : 0;
        for (size_t i = 0; i < in; i++) {
            const double g = norm->gamma ? (double)norm->gamma[i] : 1, b = norm->beta ? (double)norm->beta[i] : 0;
            const double own_g = own.gamma ? (double)own.gamma[i] : 1, own_b = own.beta ? (double)own.beta[i] : 0;
            const double from = (double)level->weight[o * in + i];
            if (g == 0 && from * own_g != 0)
                return fail_with(w->error, SEGRT_NOT_SEGFORMER, "%s: the head reads channel %zu, which the stage's norm makes 0", w->place,
                                 i);
            const double by = g == 0 ? 0 : from * own_g / g;
            weight[o * in + i] = (float)by;
            sum += from * own_b - by * b;
        }
        bias[o] = (float)sum;
    }
    origins_made(w->c->origins, weight, level->weight, "the head's own norm worked in", NULL);
    origins_made(w->c->origins, bias, level->bias, "the head's own norm worked in", NULL);
    level->weight = weight;
    level->bias = bias;
    return SEGRT_OK;
}

/* A feature's linear map to where the levels meet. */
static segrt_status walk_level(walk *w, found *f, int s, levels *l)
{
    model_head *head = &f->model->head;
    int level = -1;
    walk_place(w, "decode head, at stage %d's level", s + 1);
    for (int i = 0; i < walk_user_count(w, f->feature[s]); i++) {
        const int user = walk_user(w, f->feature[s], i);
        if (walk_at(w, user)->op == CANON_LINEAR && level < 0)
            level = user;
        else if (walk_at(w, user)->op != CANON_CONV || s + 1 == STAGES)
            return walk_mismatch(w, user, "the level's linear map (and the next patch convolution) alone");
    }
    if (level < 0)
        return walk_mismatch(w, -1, "the level's linear map");
    head->level[s] = walk_linear(walk_at(w, level));
    const segrt_status moved = through_the_stage_norm(w, walk_at(w, f->feature[s]), &f->model->stages[s].norm, &head->level[s]);
    if (moved != SEGRT_OK)
        return moved;
    l->second[s] = -1;
    walk_place(w, "decode head, after stage %d's level", s + 1);
    int next = walk_user_count(w, level) == 1 ? walk_user(w, level, 0) : -1;
    bool conv = false;
    if (next >= 0 && walk_at(w, next)->op == CANON_BATCH_NORM) {
        head->level_norm[s] = batch_norm_of(walk_at(w, next));
        level = next;
        next = walk_only(w, level, CANON_RELU, "the level's ReLU");
        if (next < 0)
            return SEGRT_NOT_SEGFORMER;
    }
    if (next >= 0 && walk_at(w, next)->op == CANON_RELU) {
        conv = true;
        level = next;
        next = walk_user_count(w, level) == 1 ? walk_user(w, level, 0) : -1;
        if (next >= 0 && walk_at(w, next)->op == CANON_LINEAR)
            level = l->second[s] = next;
    }
    if (s && conv != l->conv)
        return walk_mismatch(w, level, "the same form of level as in stage 1");
    l->conv = conv;
    const segrt_status status = resized(w, f, &level);
    l->at[s] = level;
    return status;
}

/* Where the levels meet, found from stage 1's. */
static segrt_status walk_meeting(walk *w, levels *l)
{
    walk_place(w, "decode head, after the levels");
    int node = walk_user(w, l->at[0], 0);
    while (walk_at(w, node)->op == CANON_ADD && walk_user_count(w, node) == 1 && walk_at(w, walk_user(w, node, 0))->op == CANON_ADD)
        node = walk_user(w, node, 0);
    l->meets = node;
    return walk_at(w, node)->op == CANON_ADD || walk_at(w, node)->op == CANON_CONCAT ? SEGRT_OK
                                                                                     : walk_mismatch(w, node, "the levels joined");
}

/* Is every level a summand of the tree of Adds at `node`, and nothing else?  Counts what is found; a level twice is no level. */
static bool is_sum_of_levels(const walk *w, int node, const levels *l, int *seen, int depth)
{
    for (int s = 0; s < STAGES; s++)
        if (l->at[s] == node) {
            const bool first = !(*seen & 1 << s);
            *seen |= 1 << s;
            return first;
        }
    const canon_node *n = walk_at(w, node);
    return depth < STAGES && n->op == CANON_ADD && is_sum_of_levels(w, n->inputs[0], l, seen, depth + 1) &&
           is_sum_of_levels(w, n->inputs[1], l, seen, depth + 1);
}

/* Collapsed: the published head of which this is the collapse: level i's map, and a fusion that adds. */
static segrt_status collapsed(walk *w, found *f, const levels *l, int *next)
{
    model_head *head = &f->model->head;
    int seen = 0;
    if (!is_sum_of_levels(w, l->meets, l, &seen, 0) || seen != (1 << STAGES) - 1)
        return walk_mismatch(w, l->meets, "the sum of the four levels");
    const int width = (int)walk_at(w, l->meets)->extent.of[AXIS_C], inner = head->level[0].out;
    *next = walk_user_count(w, l->meets) == 1 ? walk_user(w, l->meets, 0) : -1;
    const canon_node *affine = *next >= 0 && walk_at(w, *next)->op == CANON_AFFINE ? walk_at(w, *next) : NULL;
    float *weight = arena_get(w->memory, (size_t)width * (size_t)inner * STAGES, sizeof *weight);
    float *bias = arena_get(w->memory, (size_t)width, sizeof *bias);
    if (!weight || !bias)
        return fail_memory(w->error, (size_t)width * (size_t)inner * STAGES * sizeof *weight, "the fusion");
    for (int s = 0; s < STAGES; s++) {
        const canon_node *second = l->second[s] >= 0 ? walk_at(w, l->second[s]) : NULL;
        if (head->level[s].out != inner || (!second && inner != width) || (second && second->out != width))
            return walk_mismatch(w, l->at[s], "levels of one width");
        head->fuse_order[s] = s;
        for (int o = 0; o < width; o++) {
            float *row = weight + (size_t)o * (size_t)inner * STAGES + (size_t)s * (size_t)inner;
            if (second) {
                memcpy(row, second->weight + (size_t)o * (size_t)inner, (size_t)inner * sizeof *row);
                bias[o] += second->bias ? second->bias[o] : 0;
            } else {
                row[o] = 1;
            }
        }
    }
    if (affine) {
        if (affine->count != 1 && affine->count != width)
            return walk_mismatch(w, *next, "a bias of a number a channel");
        for (int o = 0; o < width; o++) {
            const int at = affine->count == 1 ? 0 : o;
            if (affine->mul[at] != 1)
                return walk_mismatch(w, *next, "a bias");
            bias[o] += (float)affine->add[at];
        }
        *next = walk_user_count(w, *next) == 1 ? walk_user(w, *next, 0) : -1;
    }
    head->fuse = (model_linear){.weight = weight, .bias = bias, .out = width, .in = inner * STAGES};
    origins_made(w->c->origins, bias, affine ? affine->add : NULL, NULL, NULL);
    return SEGRT_OK;
}

static segrt_status published(walk *w, found *f, const levels *l, int *next)
{
    model_head *head = &f->model->head;
    const canon_node *joined = walk_at(w, l->meets);
    int placed = 0;
    if (joined->input_count != STAGES)
        return walk_mismatch(w, l->meets, "a Concat of four levels");
    for (int j = 0; j < STAGES; j++)
        for (int s = 0; s < STAGES; s++)
            if (joined->inputs[j] == l->at[s]) {
                head->fuse_order[j] = s;
                placed |= 1 << s;
            }
    if (placed != (1 << STAGES) - 1)
        return walk_mismatch(w, l->meets, "a Concat of each level once");
    for (int s = 0; s < STAGES; s++)
        if (l->second[s] >= 0)
            return walk_mismatch(w, l->second[s], "a resize behind the level's ReLU");
    walk_place(w, "decode head, after the Concat");
    const int fuse = walk_only(w, l->meets, CANON_LINEAR, "the fusion's 1x1 convolution");
    if (fuse < 0)
        return SEGRT_NOT_SEGFORMER;
    head->fuse = walk_linear(walk_at(w, fuse));
    *next = walk_user_count(w, fuse) == 1 ? walk_user(w, fuse, 0) : -1;
    if (*next >= 0 && walk_at(w, *next)->op == CANON_BATCH_NORM) {
        head->fuse_norm = batch_norm_of(walk_at(w, *next));
        *next = walk_user_count(w, *next) == 1 ? walk_user(w, *next, 0) : -1;
    }
    return SEGRT_OK;
}

segrt_status walk_head(walk *w, found *f)
{
    model_head *head = &f->model->head;
    levels l = {0};
    int next = -1;
    segrt_status status = SEGRT_OK;
    for (int s = 0; status == SEGRT_OK && s < STAGES; s++)
        status = walk_level(w, f, s, &l);
    if (status == SEGRT_OK)
        status = walk_meeting(w, &l);
    if (status != SEGRT_OK)
        return status;
    head->kind = l.conv ? HEAD_CONV : HEAD_MLP;
    f->model->decoder_width = head->level[0].out;
    status = walk_at(w, l.meets)->op == CANON_ADD ? collapsed(w, f, &l, &next) : published(w, f, &l, &next);
    if (status != SEGRT_OK)
        return status;
    walk_place(w, "decode head, after the fusion");
    if (next < 0 || walk_at(w, next)->op != CANON_RELU)
        return walk_mismatch(w, next, "the fusion's ReLU");
    walk_place(w, "decode head, after the fusion's ReLU");
    f->logits = walk_only(w, next, CANON_LINEAR, "the classifier's 1x1 convolution");
    if (f->logits < 0)
        return SEGRT_NOT_SEGFORMER;
    head->classifier = walk_linear(walk_at(w, f->logits));
    f->model->class_count = head->classifier.out;
    return SEGRT_OK;
}
