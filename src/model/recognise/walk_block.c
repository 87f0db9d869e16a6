/* walk_block: attention and Mix-FFN; see walk.h. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/recognise/walk.h"

typedef struct attention {
    int query, key, value;      /* LINEAR nodes */
    int scores, context, probabilities;
    double scale;
} attention;

/* Which part of attention a linear map is: its reader tells. */
static segrt_status take_part(walk *w, int linear, attention *a)
{
    double scale = 1;
    if (walk_user_count(w, linear) != 1)
        return walk_mismatch(w, walk_user_count(w, linear) ? walk_user(w, linear, 1) : -1, "queries, keys or values that attention alone reads");
    const int before = walk_user(w, linear, 0), reader = walk_through_scale(w, before, &scale);
    const canon_node *n = walk_at(w, reader);
    const int operand = reader == before ? linear : before;
    int *role = n->op == CANON_SCORES ? (n->inputs[0] == operand ? &a->query : &a->key) : &a->value;
    if ((n->op != CANON_SCORES && (n->op != CANON_CONTEXT || n->inputs[1] != operand || scale != 1)) || *role >= 0)
        return walk_mismatch(w, reader, "the product of queries and keys, or of their softmax with the values");
    *role = linear;
    a->scale *= scale;
    *(n->op == CANON_SCORES ? &a->scores : &a->context) = reader;
    return SEGRT_OK;
}

static segrt_status take_parts(walk *w, int from, attention *a)
{
    for (int i = 0; i < walk_user_count(w, from); i++) {
        const int user = walk_user(w, from, i);
        const segrt_status status = walk_at(w, user)->op == CANON_LINEAR ? take_part(w, user, a) : SEGRT_OK;
        if (status != SEGRT_OK)
            return status;
    }
    return SEGRT_OK;
}

/* Readers of `from` must be linear maps, and convolutions if `reduces`. */
static segrt_status check_readers(walk *w, int from, bool reduces)
{
    for (int i = 0; i < walk_user_count(w, from); i++) {
        const canon_op op = walk_at(w, walk_user(w, from, i))->op;
        if (op != CANON_LINEAR && !(reduces && op == CANON_CONV))
            return walk_mismatch(w, walk_user(w, from, i), reduces ? "the query's linear map or the reduction's convolution" : "the key's and value's linear maps");
    }
    return SEGRT_OK;
}

static segrt_status reduction(walk *w, const char *place, int y, model_block *block, int *reduced)
{
    const int conv = walk_find(w, y, CANON_CONV);
    const canon_node *n = walk_at(w, conv);
    walk_place(w, "%s, at the reduction of keys and values", place);
    if (n->groups != 1 || n->kernel != n->stride || n->pad != 0)
        return walk_mismatch(w, conv, "a convolution whose kernel is its stride, without padding");
    block->reduce = walk_conv(n);
    *reduced = walk_only(w, conv, CANON_NORM, "a layer norm behind the reduction");
    if (*reduced < 0)
        return SEGRT_NOT_SEGFORMER;
    block->reduce_norm = walk_norm(walk_at(w, *reduced));
    return check_readers(w, *reduced, false);
}

/* The published scale, where the graph's is it to float rounding (two square roots of it, or a number with nine digits). */
static double cleaned_scale(double scale, int64_t width)
{
    const double published = 1 / sqrt((double)width);
    return fabs(scale - published) <= 1e-6 * published ? published : scale;
}

/* y = norm(x) to the branch's output. */
static segrt_status walk_attention(walk *w, const char *place, int y, model_stage *stage, model_block *block, int *out)
{
    attention a = {.query = -1, .key = -1, .value = -1, .scores = -1, .context = -1, .scale = 1};
    int reduced = y;
    walk_place(w, "%s, after the first norm", place);
    segrt_status status = check_readers(w, y, true);
    if (status == SEGRT_OK && walk_find(w, y, CANON_CONV) >= 0)
        status = reduction(w, place, y, block, &reduced);
    walk_place(w, "%s, in attention", place);
    if (status == SEGRT_OK)
        status = take_parts(w, y, &a);
    if (status == SEGRT_OK && reduced != y)
        status = take_parts(w, reduced, &a);
    if (status != SEGRT_OK)
        return status;
    if (a.query < 0 || a.key < 0 || a.value < 0)
        return walk_mismatch(w, a.query >= 0 ? a.query : a.key >= 0 ? a.key : a.value, "a query, a key and a value of the same tokens");
    if (walk_at(w, a.query)->inputs[0] != y || walk_at(w, a.key)->inputs[0] != reduced || walk_at(w, a.value)->inputs[0] != reduced)
        return walk_mismatch(w, a.query, "queries of all tokens, keys and values of the reduced ones");
    block->query = walk_linear(walk_at(w, a.query));
    block->key = walk_linear(walk_at(w, a.key));
    block->value = walk_linear(walk_at(w, a.value));

    walk_place(w, "%s, after the scores", place);
    const int scaled = walk_user_count(w, a.scores) == 1 ? walk_through_scale(w, walk_user(w, a.scores, 0), &a.scale) : -1;
    if (scaled < 0 || walk_at(w, scaled)->op != CANON_SOFTMAX)
        return walk_mismatch(w, scaled, "the softmax over the keys");
    const canon_node *scores = walk_at(w, a.scores);
    if (scores->at[1] > INT32_MAX || (stage->heads && stage->heads != (int)scores->at[1]))
        return walk_mismatch(w, a.scores, "as many heads as in the block before");
    stage->heads = (int)scores->at[1];
    block->scale = cleaned_scale(a.scale, scores->at[0]);
    walk_place(w, "%s, after the softmax", place);
    const int context = walk_only(w, scaled, CANON_CONTEXT, "the product with the values");
    if (context < 0)
        return SEGRT_NOT_SEGFORMER;
    if (context != a.context)
        return walk_mismatch(w, context, "the product with the values");
    walk_place(w, "%s, after attention", place);
    *out = walk_only(w, context, CANON_LINEAR, "the output projection");
    if (*out < 0)
        return SEGRT_NOT_SEGFORMER;
    block->project = walk_linear(walk_at(w, *out));
    const int by = block->reduce.out ? block->reduce.kernel : 1;
    if (stage->reduction && stage->reduction != by)
        return walk_mismatch(w, a.scores, "the same reduction as in the block before");
    stage->reduction = by;
    return SEGRT_OK;
}

/* Mix-FFN: y = norm(x) to the branch's output. */
static segrt_status walk_feed_forward(walk *w, const char *place, int y, model_block *block, int *out)
{
    walk_place(w, "%s, after the second norm", place);
    const int fc1 = walk_only(w, y, CANON_LINEAR, "fc1");
    if (fc1 < 0)
        return SEGRT_NOT_SEGFORMER;
    block->fc1 = walk_linear(walk_at(w, fc1));
    walk_place(w, "%s, after fc1", place);
    const int depthwise = walk_only(w, fc1, CANON_CONV, "the depthwise 3x3 convolution");
    if (depthwise < 0)
        return SEGRT_NOT_SEGFORMER;
    const canon_node *n = walk_at(w, depthwise);
    if (n->groups != n->out || n->kernel != 3 || n->stride != 1 || n->pad != 1)
        return walk_mismatch(w, depthwise, "the depthwise 3x3 convolution with padding 1");
    block->depthwise = walk_conv(n);
    walk_place(w, "%s, after the depthwise convolution", place);
    const int gelu = walk_only(w, depthwise, CANON_GELU, "the exact GELU");
    if (gelu < 0)
        return SEGRT_NOT_SEGFORMER;
    walk_place(w, "%s, after GELU", place);
    *out = walk_only(w, gelu, CANON_LINEAR, "fc2");
    if (*out < 0)
        return SEGRT_NOT_SEGFORMER;
    block->fc2 = walk_linear(walk_at(w, *out));
    return SEGRT_OK;
}

/* The Add of a branch to the stream that it came from. */
static int residual(walk *w, const char *place, const char *after, int x, int branch)
{
    walk_place(w, "%s, after %s", place, after);
    const int sum = walk_only(w, branch, CANON_ADD, "the Add of the residual stream");
    if (sum < 0)
        return -1;
    const canon_node *n = walk_at(w, sum);
    if ((n->inputs[0] == x && n->inputs[1] == branch) || (n->inputs[1] == x && n->inputs[0] == branch))
        return sum;
    walk_mismatch(w, sum, "the Add of the residual stream that the branch came from");
    return -1;
}

/* The one norm of x beside its residual Add. */
static int branch_norm(walk *w, int x)
{
    const int norm = walk_find(w, x, CANON_NORM);
    int norms = 0;
    for (int i = 0; i < walk_user_count(w, x); i++) {
        const bool is_norm = walk_at(w, walk_user(w, x, i))->op == CANON_NORM;
        norms += is_norm;
        if ((!is_norm && !walk_is_add(w, walk_user(w, x, i))) || norms > 1) {
            walk_mismatch(w, walk_user(w, x, i), "one layer norm and one residual Add");
            return -1;
        }
    }
    if (norm < 0)
        walk_mismatch(w, walk_user_count(w, x) ? walk_user(w, x, 0) : -1, "a layer norm");
    return norm;
}

segrt_status walk_block(walk *w, model_stage *stage, model_block *block, int *x)
{
    char place[sizeof w->place];
    int branch = -1;
    snprintf(place, sizeof place, "%s", w->place);
    *block = (model_block){0};
    const int norm1 = branch_norm(w, *x);
    if (norm1 < 0)
        return SEGRT_NOT_SEGFORMER;
    block->norm1 = walk_norm(walk_at(w, norm1));
    segrt_status status = walk_attention(w, place, norm1, stage, block, &branch);
    if (status != SEGRT_OK)
        return status;
    const int attended = residual(w, place, "the output projection", *x, branch);
    const int norm2 = attended < 0 ? -1 : branch_norm(w, attended);
    if (norm2 < 0)
        return SEGRT_NOT_SEGFORMER;
    block->norm2 = walk_norm(walk_at(w, norm2));
    status = walk_feed_forward(w, place, norm2, block, &branch);
    if (status != SEGRT_OK)
        return status;
    *x = residual(w, place, "fc2", attended, branch);
    return *x < 0 ? SEGRT_NOT_SEGFORMER : SEGRT_OK;
}
