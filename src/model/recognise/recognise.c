/* recognise: see recognise.h. */
#include "model/recognise/recognise.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "model/card.h"
#include "model/preprocessing.h"
#include "model/recognise/walk.h"

/* Sizes that an open dimension is tried at.  The second shows what a file that claims to be open has baked in
 * from the size that it was traced at. */
static const int64_t trial_sizes[2][3] = {{2, 64, 96}, {1, 128, 64}}; /* n, h, w */

enum { MOST_WINDOWS = 4096, LARGEST_SIDE = 16384 /* of pictures as they are prepared */, NODE_LIMIT = 100000, VALUE_LIMIT = 400000 };

bool recognise_sniff(const void *data, size_t size)
{
    /* ModelProto: ir_version first (as every writer has it), else another of its fields; a graph must follow. */
    const uint8_t *first = data;
    return size > 4 && first[0] == 0x08 && first[1] >= 3 && first[1] < 0x40;
}

typedef struct trial {
    onnx_graph *graph;
    arena scratch;
    canon c;
    segrt_model *model;            /* what is filled */
    int64_t input[4], declared[4]; /* declared: 0 where it is open */
    bool open;                     /* some dimension was not declared */
    int nodes, windows;            /* as the file has them; sliding windows, 0: none */
    tail tail;
    const canon_node *normalisation;
} trial;

static segrt_status refuse_known(const onnx_graph *g, segrt_error *error)
{
    char text[ONNX_TEXT_ROOM];
    for (int i = 0; i < g->node_count; i++) {
        const onnx_node *n = &g->nodes[i];
        if (strcmp(n->domain, "com.microsoft.nchwc") == 0)
            return fail_at(error, SEGRT_UNSUPPORTED, n->offset,
                           "%s: the file is in ONNX Runtime's blocked NCHWc layout, made for one machine; save it with optimisation level "
                           "extended or below, or give the original",
                           onnx_node_text(g, n, text));
        if (strcmp(n->op, "FastGelu") == 0)
            return fail_at(error, SEGRT_UNSUPPORTED, n->offset,
                           "%s: FastGelu is the tanh approximation of GELU, inexact; give the file before that fusion",
                           onnx_node_text(g, n, text));
    }
    return SEGRT_OK;
}

/* The input's size: as declared, and where it is open as this trial has it. */
static segrt_status choose_input(trial *t, const int64_t sizes[3], segrt_error *error)
{
    const onnx_graph *g = t->graph;
    const onnx_value *input = NULL;
    for (int i = 0; i < g->input_count; i++) {
        const onnx_value *v = &g->values[g->inputs[i]];
        if (input)
            return fail_with(error, SEGRT_NOT_SEGFORMER, "the graph has several inputs ('%.60s', '%.60s'); a SegFormer has one",
                             input->name, v->name);
        input = v;
    }
    if (!input || (input->shape.rank != 4 && input->shape.rank != ONNX_UNKNOWN))
        return fail_with(error, SEGRT_NOT_SEGFORMER, "the graph has no input [n, 3, h, w]");
    static const int from[] = {0, -1, 1, 2};
    for (int d = 0; d < 4; d++) {
        const int64_t declared = input->shape.rank == 4 ? input->shape.dims[d] : ONNX_UNKNOWN;
        t->open |= declared < 0 && d != 1;
        t->declared[d] = declared > 0 ? declared : 0;
        t->input[d] = declared > 0 ? declared : d == 1 ? 3 : sizes[from[d]];
    }
    if (t->input[1] != 3)
        return fail_with(error, SEGRT_NOT_SEGFORMER,
                         "the input '%.60s' has %lld channels in its second dimension; segrt reads pictures of 3, [n, 3, h, w]",
                         input->name, (long long)t->input[1]);
    return SEGRT_OK;
}

/* Where networks start: the input, its normalised form, or windows of either. */
static segrt_status find_networks(walk *w, found **out, int *count, arena *memory, segrt_error *error)
{
    const canon *c = w->c;
    int input = -1;
    for (int i = 0; i < c->count && input < 0; i++)
        if (walk_at(w, i)->op == CANON_INPUT)
            input = i;
    walk_place(w, "at the input");
    if (input < 0 || !walk_user_count(w, input))
        return walk_mismatch(w, -1, "an image that the outputs are computed from");
    int start = input;
    const canon_node *normalisation = NULL;
    if (walk_user_count(w, input) == 1 && walk_at(w, walk_user(w, input, 0))->op == CANON_AFFINE &&
        walk_find(w, walk_user(w, input, 0), CANON_CROP) >= 0) {
        start = walk_user(w, input, 0); /* normalised before it is cut into windows */
        normalisation = walk_at(w, start);
    }
    const bool windows = walk_find(w, start, CANON_CROP) >= 0;
    *count = windows ? walk_user_count(w, start) : 1;
    if (*count > MOST_WINDOWS)
        return fail_with(error, SEGRT_NOT_SEGFORMER, "the input is cut into more than %d windows", MOST_WINDOWS);
    *out = arena_get(memory, (size_t)*count, sizeof **out);
    if (!*out)
        return fail_memory(error, (size_t)*count * sizeof **out, "windows");
    for (int i = 0; i < *count; i++) {
        (*out)[i].start = windows ? walk_user(w, start, i) : start;
        (*out)[i].normalisation = normalisation;
        if (windows && walk_at(w, (*out)[i].start)->op != CANON_CROP)
            return walk_mismatch(w, (*out)[i].start, "windows of the input alone");
    }
    return SEGRT_OK;
}

/* ------------------------------------------------------------------------ are two networks equal? */

static bool same_floats(const float *a, const float *b, size_t count)
{
    return a == b || (a && b && memcmp(a, b, count * sizeof *a) == 0);
}

static bool same_linear(const model_linear *a, const model_linear *b)
{
    return a->out == b->out && a->in == b->in && same_floats(a->weight, b->weight, (size_t)a->out * (size_t)a->in) &&
           same_floats(a->bias, b->bias, (size_t)a->out);
}

static bool same_conv(const model_conv *a, const model_conv *b, bool depthwise)
{
    const size_t row = (size_t)(depthwise ? 1 : a->in) * (size_t)a->kernel * (size_t)a->kernel;
    return a->out == b->out && a->in == b->in && a->kernel == b->kernel && a->stride == b->stride && a->pad == b->pad &&
           same_floats(a->weight, b->weight, (size_t)a->out * row) && same_floats(a->bias, b->bias, (size_t)a->out);
}

static bool same_norm(const model_norm *a, const model_norm *b)
{
    return a->width == b->width && a->eps == b->eps && same_floats(a->gamma, b->gamma, (size_t)a->width) &&
           same_floats(a->beta, b->beta, (size_t)a->width);
}

static bool same_block(const model_block *a, const model_block *b)
{
    return same_norm(&a->norm1, &b->norm1) && same_linear(&a->query, &b->query) && same_linear(&a->key, &b->key) &&
           same_linear(&a->value, &b->value) && same_conv(&a->reduce, &b->reduce, false) && same_norm(&a->reduce_norm, &b->reduce_norm) &&
           a->scale == b->scale && same_linear(&a->project, &b->project) && same_norm(&a->norm2, &b->norm2) &&
           same_linear(&a->fc1, &b->fc1) && same_conv(&a->depthwise, &b->depthwise, true) && same_linear(&a->fc2, &b->fc2);
}

static bool same_network(const segrt_model *a, const segrt_model *b)
{
    for (int s = 0; s < STAGES; s++) {
        const model_stage *x = &a->stages[s], *y = &b->stages[s];
        if (x->depth != y->depth || x->heads != y->heads || x->reduction != y->reduction || !same_conv(&x->patch, &y->patch, false) ||
            !same_norm(&x->patch_norm, &y->patch_norm) || !same_norm(&x->norm, &y->norm))
            return false;
        for (int i = 0; i < x->depth; i++)
            if (!same_block(&x->blocks[i], &y->blocks[i]))
                return false;
        if (!same_linear(&a->head.level[s], &b->head.level[s]) || a->head.fuse_order[s] != b->head.fuse_order[s])
            return false;
    }
    return a->head.kind == b->head.kind && same_linear(&a->head.fuse, &b->head.fuse) &&
           same_linear(&a->head.classifier, &b->head.classifier);
}

/* --------------------------------------------------------------------------------- one input size */

static segrt_status walk_all(trial *t, walk *w, segrt_error *error)
{
    found *networks = NULL;
    int count = 0;
    segrt_status status = find_networks(w, &networks, &count, &t->scratch, error);
    if (status != SEGRT_OK)
        return status;
    for (int i = 0; i < count; i++) {
        networks[i].model = i ? arena_get(&t->scratch, 1, sizeof(segrt_model)) : t->model;
        if (!networks[i].model)
            return fail_memory(error, sizeof(segrt_model), "a window's network");
        status = walk_network(w, networks[i].start, &networks[i]);
        if (status != SEGRT_OK)
            return status;
        if (i && !same_network(networks[0].model, networks[i].model))
            return fail_with(error, SEGRT_NOT_SEGFORMER, "the network of window %d has other weights than that of the first", i);
    }
    t->normalisation = networks[0].normalisation;
    t->windows = count > 1 ? count : 0;
    return walk_tail(w, networks, count, &t->tail);
}

static segrt_status open_at(trial *t, const file_map *file, const char *folder, const int64_t sizes[3], segrt_error *error)
{
    const onnx_limits limits = {.nodes = NODE_LIMIT, .values = VALUE_LIMIT};
    segrt_status status = onnx_graph_open(&t->graph, file, folder, &limits, error);
    if (status == SEGRT_OK)
        status = refuse_known(t->graph, error);
    if (status == SEGRT_OK)
        t->nodes = t->graph->node_count;
    if (status == SEGRT_OK)
        status = choose_input(t, sizes, error);
    return status == SEGRT_OK ? onnx_graph_fold(t->graph, t->input, error) : status;
}

/* Some exporters leave dimensions open and bake what they traced into a Reshape all the same.  A batch of one is the
 * network all the same: torch.export makes one of a traced batch of one, whatever dimensions are named. */
static segrt_status open_as_far_as_it_is(trial *t, const file_map *file, const char *folder, const int64_t sizes[3], segrt_error *error)
{
    segrt_error cause = {0};
    segrt_status status = open_at(t, file, folder, sizes, &cause);
    if (status != SEGRT_OK && status != SEGRT_NO_MEMORY && t->open && !t->declared[0] && sizes[0] > 1) {
        const int64_t one[] = {1, sizes[1], sizes[2]};
        onnx_graph_close(t->graph);
        t->graph = NULL;
        cause = (segrt_error){0};
        status = open_at(t, file, folder, one, &cause);
    }
    if (status == SEGRT_OK)
        return SEGRT_OK;
    if (cause.file[0] == '\0' && t->open && status != SEGRT_NO_MEMORY)
        return fail_at(error, status, cause.offset,
                       "at %lld x %lld x %lld x %lld, which the input's open dimensions allow: %s. If the exporter baked in the size that it "
                       "traced, export with fixed dimensions",
                       (long long)t->input[0], (long long)t->input[1], (long long)t->input[2], (long long)t->input[3], cause.message);
    if (error && error->status == SEGRT_OK)
        *error = cause; /* with the file that it names, which may be external data */
    return status;
}

static segrt_status run_trial(trial *t, const file_map *file, const char *folder, const int64_t sizes[3], segrt_error *error)
{
    walk w;
    segrt_status status = open_as_far_as_it_is(t, file, folder, sizes, error);
    if (status == SEGRT_OK)
        status = canon_open(&t->c, t->graph, &t->scratch, &t->model->memory, error);
    if (status == SEGRT_OK)
        status = canon_lower(&t->c, error);
    if (status == SEGRT_OK)
        status = walk_open(&w, &t->c, &t->model->memory, error);
    return status == SEGRT_OK ? walk_all(t, &w, error) : status;
}

static void close_trial(trial *t)
{
    canon_close(&t->c);
    onnx_graph_close(t->graph);
    arena_free(&t->scratch);
    t->graph = NULL;
}

/* ---------------------------------------------------------------------------------- what it means */

/* y = mul x + add on what the graph takes: pixels on 0..255, or on 0..1 where the deviations are too small for that. */
static segrt_status take_normalisation(segrt_model *m, const canon_node *n, segrt_error *error)
{
    float mean[3], deviation[3];
    bool unit = true;
    for (int i = 0; i < 3; i++) {
        const int at = n->count == 1 ? 0 : i;
        mean[i] = (float)(-n->add[at] / n->mul[at]);
        deviation[i] = (float)(1 / n->mul[at]);
        unit = unit && deviation[i] <= 2;
        if (!isfinite(mean[i]) || !(deviation[i] > 0) || !isfinite(deviation[i]))
            return fail_with(error, SEGRT_NOT_SEGFORMER,
                             "the pixels are multiplied by %g before the first patch embedding: no normalisation", n->mul[at]);
    }
    m->graph.unit = unit ? 1 : 255;
    for (int i = 0; i < 3; i++) {
        m->preprocessing.mean[i] = mean[i] * (unit ? 255.0f : 1.0f);
        m->preprocessing.deviation[i] = deviation[i] * (unit ? 255.0f : 1.0f);
    }
    return SEGRT_OK;
}

/* Windows lie at min(i step, side of the picture - window).  Three in a row tell the step; two do not, where the second was moved
 * back to end at the edge: then it is three quarters of the window, as in the published configurations, or what comes nearest. */
static segrt_status take_windows(segrt_model *m, const tail *t, segrt_error *error)
{
    const int least = t->least[0] > t->least[1] ? t->least[0] : t->least[1], most = t->most[0] < t->most[1] ? t->most[0] : t->most[1];
    const int usual = t->window[0] - t->window[0] / 4;
    if (t->window[0] != t->window[1] || least > most)
        return fail_with(error, SEGRT_UNSUPPORTED, "sliding windows of %d x %d with steps of %d and %d: they must be square", t->window[0],
                         t->window[1], t->least[0], t->least[1]);
    m->preprocessing.window = t->window[0];
    m->preprocessing.stride = usual < least ? least : usual > most ? most : usual;
    m->graph.stride[0] = least;
    m->graph.stride[1] = most;
    return SEGRT_OK;
}

/* What the graph does around the network. */
static segrt_status take_surroundings(segrt_model *m, const trial *t, segrt_error *error)
{
    const onnx_graph *g = t->graph;
    char producer[128];
    snprintf(producer, sizeof producer, "%.80s%s%.40s", g->producer_name, *g->producer_version ? " " : "", g->producer_version);
    model_graph *graph = &m->graph;
    graph->producer = arena_copy_text(&m->memory, producer, strlen(producer));
    if (!graph->producer)
        return fail_memory(error, strlen(producer), "the producer's name");
    for (int i = 0; i < g->opset_count; i++)
        graph->opset = *g->opsets[i].domain ? graph->opset : (int)g->opsets[i].version;
    for (int i = 0; i < g->property_count && !graph->card; i++)
        if (strcmp(g->properties[i].key, MODEL_CARD_KEY) == 0) {
            graph->card = arena_copy_text(&m->memory, g->properties[i].text, strlen(g->properties[i].text));
            if (!graph->card)
                return fail_memory(error, strlen(g->properties[i].text), "the model's card");
        }
    graph->nodes = t->nodes;
    memcpy(graph->input, t->declared, sizeof graph->input);
    graph->full_size = t->tail.full_size;
    graph->align_corners = t->tail.align_corners;
    graph->probabilities = t->tail.probabilities;
    graph->labels = t->tail.labels;
    graph->windows = t->windows;
    return SEGRT_OK;
}

static segrt_status describe(segrt_model *m, const trial *t, segrt_error *error)
{
    m->family = t->tail.align_corners ? "smp" : "onnx";
    m->preprocessing = model_preprocessing_default(m->family, m->class_count, NULL);
    if (t->declared[2] && t->declared[3] && t->declared[2] <= LARGEST_SIDE &&
        t->declared[3] <= LARGEST_SIDE) { /* the file takes this size alone */
        m->preprocessing.resize = SEGRT_RESIZE_EXACT;
        m->preprocessing.height = (int32_t)t->declared[2];
        m->preprocessing.width = (int32_t)t->declared[3];
    }
    segrt_status status = take_surroundings(m, t, error);
    if (status == SEGRT_OK && t->tail.window[0])
        status = take_windows(m, &t->tail, error);
    if (t->tail.align_corners)
        log_line(SEGRT_LOG_INFO, "the graph's last resize has align_corners; segrt resizes logits to labels without");
    if (status == SEGRT_OK && t->normalisation)
        status = take_normalisation(m, t->normalisation, error);
    return status == SEGRT_OK ? origins_list(t->c.origins, t->graph, m, error) : status;
}

segrt_status recognise_open(segrt_model *model, const file_map *file, const char *folder, segrt_error *error)
{
    trial first = {.model = model}, second = {0};
    segrt_status status = run_trial(&first, file, folder, trial_sizes[0], error);
    if (status == SEGRT_OK)
        status = describe(model, &first, error);
    const bool again = first.open;
    close_trial(&first);
    if (status == SEGRT_OK && again) {
        second.model = memory_get_cleared(1, sizeof *second.model);
        status =
            second.model ? run_trial(&second, file, folder, trial_sizes[1], error) : fail_memory(error, sizeof *second.model, "a model");
        if (status == SEGRT_OK && !same_network(model, second.model))
            status =
                fail_with(error, SEGRT_NOT_SEGFORMER, "the graph is another network at %lld x %lld than at %lld x %lld",
                          (long long)second.input[2], (long long)second.input[3], (long long)first.input[2], (long long)first.input[3]);
        close_trial(&second);
        if (second.model)
            arena_free(&second.model->memory);
        memory_free(second.model);
    }
    return status == SEGRT_OK ? model_finish(model, error) : status;
}
