/* backend: the folded network run operation by operation in double; see reference.h for the operations
 * and backend.h for the contract.  It holds one workspace, for the latest shape. */
#include <stdio.h>
#include <time.h>

#include "backend/reference/reference.h"

/* Everything that a run writes, in one allocation. */
typedef struct workspace {
    double *memory;
    size_t bytes;
    double *picture;            /* [n][h * w][3], 0..255 */
    double *x, *normed, *q, *a; /* [tokens][width] of the stage at hand; a takes what the heads gave */
    double *y, *k, *v, *shift;  /* [keys][width]; shift [keys] */
    double *z, *g;              /* [tokens][hidden] */
    double *f[STAGES];          /* stage outputs */
    double *level[STAGES], *inner, *logits;
    double *scores; /* [workers][keys] */
} workspace;

typedef struct reference {
    const network *net;
    segrt_pool *pool;
    arena memory;
    operation *operations;
    size_t count;
    backend_profile_row *profile; /* [count], or NULL */
    network_shape shape;          /* n 0: none yet */
    workspace space;
    char description[64];
} reference;

static grid stage_grid(const reference *r, int stage)
{
    return (grid){.n = r->shape.n, .h = r->shape.stage[stage].h, .w = r->shape.stage[stage].w};
}

static size_t key_rows(const reference *r, int stage)
{
    return (size_t)r->shape.stage[stage].key_h * (size_t)r->shape.stage[stage].key_w;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Sizes of all buffers for r->shape; with `memory`, also their places.  Returns the doubles in all. */
static size_t lay_out(const reference *r, workspace *space, double *memory)
{
    const network *net = r->net;
    const size_t n = (size_t)r->shape.n;
    size_t wide = 0, key_wide = 0, hidden = 0, keys = 0, inner = 0;
    for (int i = 0; i < STAGES; i++) {
        const size_t rows = grid_rows(stage_grid(r, i)), c = (size_t)net->stages[i].width;
        wide = larger(wide, rows * c);
        key_wide = larger(key_wide, n * key_rows(r, i) * c);
        keys = larger(keys, key_rows(r, i));
        inner = larger(inner, rows * (size_t)net->head.inner_width);
        for (int b = 0; b < net->stages[i].depth; b++)
            hidden = larger(hidden, rows * (size_t)net->stages[i].blocks[b].hidden);
    }
    struct {
        double **to;
        size_t count;
    } parts[14 + 2 * STAGES] = {
        {&space->picture, n * (size_t)r->shape.h * (size_t)r->shape.w * 3},
        {&space->x, wide},
        {&space->normed, wide},
        {&space->q, wide},
        {&space->a, wide},
        {&space->y, key_wide},
        {&space->k, key_wide},
        {&space->v, key_wide},
        {&space->shift, n * keys},
        {&space->z, hidden},
        {&space->g, hidden},
        {&space->inner, inner},
        {&space->logits, grid_rows(stage_grid(r, 0)) * (size_t)net->classes},
        {&space->scores, (size_t)pool_workers(r->pool) * keys},
    };
    for (int i = 0; i < STAGES; i++) {
        const size_t rows = grid_rows(stage_grid(r, i));
        parts[14 + i].to = &space->f[i];
        parts[14 + i].count = rows * (size_t)net->stages[i].width;
        parts[14 + STAGES + i].to = &space->level[i];
        parts[14 + STAGES + i].count = rows * (size_t)net->head.width;
    }
    size_t total = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (memory)
            *parts[i].to = memory + total;
        total += parts[i].count;
    }
    return total;
}

static segrt_status reference_prepare(void *state, int n, int h, int w, segrt_error *error)
{
    reference *r = state;
    if (r->shape.n == n && r->shape.h == h && r->shape.w == w)
        return SEGRT_OK;
    const network_shape before = r->shape;
    const segrt_status status = network_shape_of(&r->shape, r->net, n, h, w, error);
    if (status) {
        r->shape = before;
        return status;
    }
    memory_free(r->space.memory);
    r->space = (workspace){0};
    const size_t count = lay_out(r, &r->space, NULL);
    double *memory = memory_get_array(count, sizeof *memory);
    if (!memory) {
        r->shape = (network_shape){0};
        return fail_memory(error, count * sizeof *memory, "the reference's workspace");
    }
    lay_out(r, &r->space, memory);
    r->space.memory = memory;
    r->space.bytes = count * sizeof *memory;
    for (size_t i = 0; r->profile && i < r->count; i++)
        r->profile[i] = (backend_profile_row){
            .first = r->operations[i], .count = 1, .kernel = "reference", .macs = operation_macs(r->net, &r->shape, r->operations[i])};
    return SEGRT_OK;
}

static void load_input(reference *r, const backend_run *run)
{
    const size_t pixels = (size_t)run->h * (size_t)run->w, n = (size_t)run->n;
    for (size_t i = 0; i < n * pixels; i++)
        for (size_t c = 0; c < 3; c++)
            r->space.picture[i * 3 + c] =
                run->pixels ? run->pixels[i * 3 + c]
                            : (double)run->input[(i / pixels * 3 + c) * pixels + i % pixels] * r->net->deviation[c] + r->net->mean[c];
}

static void run_operation(reference *r, operation op, const backend_run *run)
{
    const network *net = r->net;
    workspace *s = &r->space;
    const int i = op.stage < 0 ? 0 : op.stage;
    const network_stage *stage = &net->stages[i];
    const network_block *block = op.block < 0 ? NULL : &stage->blocks[op.block];
    const grid at = stage_grid(r, i);
    const int c = stage->width;
    const size_t rows = grid_rows(at), keys = key_rows(r, i), tokens = (size_t)at.h * (size_t)at.w;
    grid all[STAGES];
    switch (op.kind) {
    case OP_PATCH:
        reference_patch(&stage->patch, i ? s->f[i - 1] : s->picture, i ? stage_grid(r, i - 1) : (grid){at.n, r->shape.h, r->shape.w}, s->x,
                        r->pool);
        break;
    case OP_REDUCE:
        reference_reduce(block, c, stage->reduction, s->x, at, s->normed, s->y, r->pool);
        break;
    case OP_KEYS:
        if (stage->reduction == 1)
            reference_norm(block->eps1, c, s->x, rows, s->y, r->pool);
        reference_keys(block, c, s->y, (size_t)at.n * keys, s->k, s->v, stage->heads == 1 ? s->shift : NULL, r->pool);
        break;
    case OP_QUERY:
        reference_query(block, c, s->x, rows, s->q, r->pool);
        break;
    case OP_ATTEND:
        if (stage->heads == 1)
            reference_attend_one(block, c, s->x, s->k, s->v, s->shift, at.n, tokens, keys, s->scores, r->pool);
        else
            reference_attend(stage->heads, c, s->q, s->k, s->v, at.n, tokens, keys, s->a, s->scores, r->pool);
        break;
    case OP_PROJECT:
        reference_project(block, c, s->a, rows, s->x, r->pool);
        break;
    case OP_FC1:
        reference_fc1(block, c, s->x, rows, s->z, r->pool);
        break;
    case OP_DEPTHWISE:
        reference_depthwise(block, s->z, at, s->g, r->pool);
        break;
    case OP_FC2:
        reference_fc2(block, c, s->g, rows, s->x, r->pool);
        break;
    case OP_STAGE_NORM:
        reference_stage_norm(stage, s->x, rows, s->f[i], r->pool);
        break;
    case OP_LEVEL:
        reference_level(&net->head, i, s->f[i], rows, s->inner, s->level[i], r->pool);
        break;
    case OP_MERGE:
        for (int j = 0; j < STAGES; j++)
            all[j] = stage_grid(r, j);
        reference_merge(&net->head, s->level, all, r->pool);
        break;
    case OP_CLASSIFY:
        reference_classify(&net->head, net->classes, s->level[0], rows, s->logits, r->pool);
        break;
    case OP_LABEL:
        if (run->output.labels || run->output.confidence)
            reference_label(s->logits, net->classes, at, run->h, run->w, &run->output, r->pool);
        break;
    case OPERATION_KINDS:
        break;
    }
}

/* What an operation left, for the observer; nothing for OP_LABEL. */
static segrt_status report(const reference *r, operation op, const backend_run *run, segrt_error *error)
{
    const workspace *s = &r->space;
    const int i = op.stage < 0 ? 0 : op.stage;
    const network_stage *stage = &r->net->stages[i];
    const double *const outputs[OPERATION_KINDS] = {
        [OP_PATCH] = s->x,
        [OP_REDUCE] = s->y,
        [OP_KEYS] = s->k,
        [OP_QUERY] = s->q,
        [OP_ATTEND] = stage->heads == 1 ? s->x : s->a,
        [OP_PROJECT] = s->x,
        [OP_FC1] = s->z,
        [OP_DEPTHWISE] = s->g,
        [OP_FC2] = s->x,
        [OP_STAGE_NORM] = s->f[i],
        [OP_LEVEL] = s->level[i],
        [OP_MERGE] = s->level[0],
        [OP_CLASSIFY] = s->logits,
    };
    if (!outputs[op.kind])
        return SEGRT_OK;
    int channels = stage->width, h = r->shape.stage[i].h, w = r->shape.stage[i].w;
    if (op.kind == OP_FC1 || op.kind == OP_DEPTHWISE)
        channels = stage->blocks[op.block].hidden;
    if (op.kind == OP_LEVEL || op.kind == OP_MERGE)
        channels = r->net->head.width;
    if (op.kind == OP_CLASSIFY)
        channels = r->net->classes;
    if (op.kind == OP_REDUCE || op.kind == OP_KEYS) {
        h = r->shape.stage[i].key_h;
        w = r->shape.stage[i].key_w;
    }
    const size_t count = (size_t)r->shape.n * (size_t)h * (size_t)w * (size_t)channels;
    float *narrow = memory_get_array(count, sizeof *narrow);
    if (!narrow)
        return fail_memory(error, count * sizeof *narrow, "an observed operation");
    for (size_t j = 0; j < count; j++)
        narrow[j] = (float)outputs[op.kind][j];
    run->observe(run->observe_user, op, narrow, r->shape.n, h, w, channels);
    memory_free(narrow);
    return SEGRT_OK;
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void store_means(const reference *r, const backend_run *run)
{
    for (int i = 0; i < STAGES; i++) {
        const size_t rows = grid_rows(stage_grid(r, i)), c = (size_t)r->net->stages[i].width;
        for (size_t j = 0; run->stage_mean[i] && j < c; j++) {
            double sum = 0;
            for (size_t row = 0; row < rows; row++)
                sum += r->space.f[i][row * c + j];
            run->stage_mean[i][j] = sum / (double)rows + weight_at(r->net->stages[i].offset, j);
        }
    }
}

static void store_logits(const reference *r, float *logits)
{
    const grid at = stage_grid(r, 0);
    const size_t pixels = (size_t)at.h * (size_t)at.w, classes = (size_t)r->net->classes;
    for (size_t row = 0; row < grid_rows(at); row++)
        for (size_t label = 0; label < classes; label++)
            logits[(row / pixels * classes + label) * pixels + row % pixels] = (float)r->space.logits[row * classes + label];
}

static segrt_status reference_run(void *state, const backend_run *run, segrt_error *error)
{
    reference *r = state;
    const bool labels = run->output.labels || run->output.confidence;
    if (!r->net->classes && (labels || run->logits))
        return fail_with(error, SEGRT_ARGUMENT, "a backbone without a head has neither logits nor labels");
    if (labels && (run->output.h < 1 || run->output.w < 1))
        return fail_with(error, SEGRT_ARGUMENT, "labels of %d rows and %d columns", run->output.h, run->output.w);
    segrt_status status = reference_prepare(r, run->n, run->h, run->w, error);
    if (status)
        return status;
    load_input(r, run);
    for (size_t i = 0; i < r->count; i++) {
        if (run->cancel && atomic_load_explicit(run->cancel, memory_order_relaxed))
            return fail_with(error, SEGRT_CANCELLED, "cancelled");
        const double begin = r->profile ? seconds() : 0;
        run_operation(r, r->operations[i], run);
        if (r->profile)
            r->profile[i].seconds += seconds() - begin;
        if (run->observe) {
            status = report(r, r->operations[i], run, error);
            if (status)
                return status;
        }
    }
    store_means(r, run);
    if (run->logits)
        store_logits(r, run->logits);
    return SEGRT_OK;
}

static void reference_close(void *state)
{
    reference *r = state;
    if (!r)
        return;
    memory_free(r->space.memory);
    arena_free(&r->memory);
    memory_free(r);
}

static segrt_status reference_open(void **state, const network *net, const backend_options *options, segrt_error *error)
{
    *state = NULL;
    reference *r = memory_get_cleared(1, sizeof *r);
    if (!r)
        return fail_memory(error, sizeof *r, "the reference backend");
    r->net = net;
    r->pool = options->pool;
    snprintf(r->description, sizeof r->description, "reference, float64, %d threads", pool_workers(r->pool));
    segrt_status status = network_operations(net, &r->memory, &r->operations, &r->count, error);
    if (!status && options->profile) {
        r->profile = arena_get(&r->memory, r->count, sizeof *r->profile);
        if (!r->profile)
            status = fail_memory(error, r->count * sizeof *r->profile, "the profile");
    }
    if (status) {
        reference_close(r);
        return status;
    }
    *state = r;
    return SEGRT_OK;
}

static const char *reference_describe(const void *state)
{
    return ((const reference *)state)->description;
}

static size_t reference_memory(const void *state)
{
    return ((const reference *)state)->space.bytes;
}

static size_t reference_profile(const void *state, const backend_profile_row **rows)
{
    const reference *r = state;
    *rows = r->profile;
    return r->profile && r->shape.n ? r->count : 0;
}

const double *reference_logits(const void *state)
{
    return ((const reference *)state)->space.logits;
}

const double *reference_stage(const void *state, int stage)
{
    return ((const reference *)state)->space.f[stage];
}

/* The precision asked for does not matter: everything is double. */
const backend backend_reference = {
    .name = "reference",
    .open = reference_open,
    .prepare = reference_prepare,
    .run = reference_run,
    .describe = reference_describe,
    .memory = reference_memory,
    .profile = reference_profile,
    .close = reference_close,
};
