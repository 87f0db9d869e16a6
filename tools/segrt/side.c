/* side: see side.h. */
#include "side.h"

#include <stdlib.h>
#include <string.h>

#include "difference.h"
#include "inputs.h"
#include "logits.h"
#include "report.h"

static int open_graph(side *s, int32_t threads)
{
    segrt_error error = {0};
    const char *slash = strrchr(s->name, '/');
    char *folder = slash ? text_of("%.*s", (int)(slash - s->name), s->name) : text_of(".");
    segrt_status status = file_map_open(&s->file, s->name, &error);
    if (!status)
        status = onnx_graph_open(&s->graph, &s->file, folder, NULL, &error);
    if (!status)
        status = segrt_pool_open(&s->pool, threads, &error);
    if (!status)
        status = onnx_interpreter_open(&s->interpreter, s->graph, s->pool, 0, &error);
    free(folder);
    if (status)
        report_error(s->name, &error);
    return exit_code_of(status);
}

int side_open(side *s, const char *name, const target_options *options, bool interpret)
{
    const size_t length = strlen(name);
    *s = (side){.name = name};
    target_options o = *options;
    o.model = name;
    if (!interpret || length <= 5 || strcmp(name + length - 5, ".onnx") != 0)
        return target_open(&s->t, &o);
    const int result = open_graph(s, options->threads);
    if (!result) /* what is no SegFormer is run all the same */
        segrt_model_open(&s->t.model, name, NULL, NULL);
    return result;
}

int side_prepare(side *s, const target_options *options)
{
    segrt_error error = {0};
    if (segrt_engine_build(&s->t.engine, s->t.model, NULL, &error)) {
        report_error(s->name, &error);
        return exit_code_of(error.status);
    }
    segrt_engine_describe(s->t.engine, &s->t.info);
    return target_session(&s->t, options);
}

int side_open_original(side *s, const target *imported, const char *path, int32_t threads)
{
    *s = (side){.name = path, .t.model = imported->model, .borrowed = true};
    return open_graph(s, threads);
}

side side_of(const target *t)
{
    return (side){.name = t->name, .t = *t, .borrowed = true};
}

void side_close(side *s)
{
    onnx_interpreter_close(s->interpreter);
    onnx_graph_close(s->graph);
    segrt_pool_close(s->pool);
    file_map_close(&s->file);
    if (!s->borrowed)
        target_close(&s->t);
    free(s->logits);
    free(s->pixels);
    *s = (side){0};
}

const model_graph *side_graph(const side *s)
{
    return s->graph && s->t.model ? &s->t.model->graph : NULL;
}

static bool room_for(float **floats, size_t *room, size_t count)
{
    if (count <= *room)
        return true;
    free(*floats);
    *floats = malloc(count * sizeof **floats);
    *room = *floats ? count : 0;
    if (!*floats)
        report("out of memory for %zu numbers", count);
    return *floats != NULL;
}

static bool forward(side *s, const float *tensor, int n, int h, int w, float *logits)
{
    segrt_error error = {0};
    const bool fine = !segrt_session_forward(s->t.session, tensor, n, h, w, logits, &error);
    if (!fine)
        report_error(s->name, &error);
    return fine;
}

/* Tensors of one window, and what its logits are added to. */
typedef struct windows {
    float *window, *logits, *large; /* [3][side][side]; [classes] at a quarter; [classes][side][side] */
    float *sum, *count;             /* [classes][h][w]; [h][w] */
    int side, quarter, classes;
} windows;

static void cut_window(const windows *t, const drawn *in, int picture, int y0, int x0)
{
    float *to = t->window;
    for (int c = 0; c < 3; c++)
        for (int y = y0; y < y0 + t->side; y++, to += t->side)
            memcpy(to, in->data + (((size_t)picture * 3 + (size_t)c) * (size_t)in->h + (size_t)y) * (size_t)in->w + x0,
                   (size_t)t->side * sizeof *to);
}

static void add_window(const windows *t, const drawn *in, int y0, int x0)
{
    const size_t plane = (size_t)in->h * (size_t)in->w;
    const float *from = t->large;
    logits_resize(t->large, t->logits, t->classes, t->quarter, t->quarter, t->side, t->side, false);
    for (int k = 0; k < t->classes; k++)
        for (int y = y0; y < y0 + t->side; y++)
            for (int x = x0; x < x0 + t->side; x++)
                t->sum[(size_t)k * plane + (size_t)y * (size_t)in->w + (size_t)x] += *from++;
    for (int y = y0; y < y0 + t->side; y++)
        for (int x = x0; x < x0 + t->side; x++)
            t->count[(size_t)y * (size_t)in->w + (size_t)x] += 1;
}

/* mmsegmentation's sliding windows over one picture: each window's logits at its size, averaged where windows overlap. */
static bool slide_over(side *s, const windows *t, const drawn *in, int picture, int stride)
{
    const size_t plane = (size_t)in->h * (size_t)in->w;
    memset(t->sum, 0, (size_t)t->classes * plane * sizeof *t->sum);
    memset(t->count, 0, plane * sizeof *t->count);
    for (int top = 0;; top += stride) {
        const int y0 = top + t->side < in->h ? top : in->h - t->side;
        for (int left = 0;; left += stride) {
            const int x0 = left + t->side < in->w ? left : in->w - t->side;
            cut_window(t, in, picture, y0, x0);
            if (!forward(s, t->window, 1, t->side, t->side, t->logits))
                return false;
            add_window(t, in, y0, x0);
            if (left + t->side >= in->w)
                break;
        }
        if (top + t->side >= in->h)
            break;
    }
    for (size_t i = 0; i < (size_t)t->classes * plane; i++)
        t->sum[i] /= t->count[i % plane];
    return true;
}

static bool run_windows(side *s, const drawn *in, const segrt_preprocessing *p, answer *out)
{
    windows t = {.side = p->window, .quarter = (p->window + 3) / 4, .classes = out->classes};
    const size_t window = (size_t)t.side * (size_t)t.side, plane = (size_t)in->h * (size_t)in->w, classes = (size_t)t.classes;
    const size_t small = classes * (size_t)t.quarter * (size_t)t.quarter;
    t.window = malloc((3 * window + small + classes * window + plane) * sizeof *t.window);
    if (!t.window)
        report("out of memory for windows of %d", t.side);
    bool fine = t.window && room_for(&s->logits, &s->logits_room, (size_t)in->n * classes * plane);
    if (fine) {
        t.logits = t.window + 3 * window;
        t.large = t.logits + small;
        t.count = t.large + classes * window;
    }
    for (int n = 0; n < in->n && fine; n++) {
        t.sum = s->logits + (size_t)n * classes * plane;
        fine = slide_over(s, &t, in, n, p->stride);
    }
    free(t.window);
    out->logits = s->logits;
    out->logits_h = in->h;
    out->logits_w = in->w;
    return fine;
}

static bool run_session(side *s, const drawn *in, const model_graph *like, answer *out)
{
    segrt_preprocessing p = {.size = sizeof p};
    segrt_engine_preprocessing(s->t.engine, &p);
    *out = (answer){.classes = s->t.info.classes, .logits_h = (in->h + 3) / 4, .logits_w = (in->w + 3) / 4};
    if (like && like->windows && p.window && p.window <= in->h && p.window <= in->w)
        return run_windows(s, in, &p, out);
    const size_t count = (size_t)in->n * (size_t)out->classes * (size_t)out->logits_h * (size_t)out->logits_w;
    out->logits = room_for(&s->logits, &s->logits_room, count) ? s->logits : NULL;
    return out->logits && forward(s, in->data, in->n, in->h, in->w, s->logits);
}

/* What the graph takes: normalised, or pixels on 0..1 or 0..255. */
static const float *graph_input(side *s, const drawn *in)
{
    const model_graph *g = side_graph(s);
    const size_t plane = (size_t)in->h * (size_t)in->w, count = (size_t)in->n * 3 * plane;
    if (!g || g->unit == 0)
        return in->data;
    if (!room_for(&s->pixels, &s->pixels_room, count))
        return NULL;
    const segrt_preprocessing *p = &s->t.model->preprocessing;
    for (size_t i = 0; i < count; i++)
        s->pixels[i] = (in->data[i] * p->deviation[i / plane % 3] + p->mean[i / plane % 3]) * (g->unit / 255);
    return s->pixels;
}

/* The first output: logits [n][classes][.][.], or labels of the input's size. */
static bool run_graph(side *s, const drawn *in, answer *out)
{
    segrt_error error = {0};
    const onnx_output *outputs;
    const int64_t dims[] = {in->n, 3, in->h, in->w};
    const size_t pixels = (size_t)in->n * (size_t)in->h * (size_t)in->w;
    const float *taken = graph_input(s, in);
    *out = (answer){0};
    if (!taken)
        return false;
    if (onnx_interpreter_run(s->interpreter, taken, 4, dims, &outputs, &error)) {
        report_error(s->name, &error);
        return false;
    }
    const onnx_output *o = &outputs[0];
    if (o->floats && o->shape.rank == 4 && o->shape.dims[0] == in->n && o->shape.dims[1] > 1) {
        *out = (answer){
            .logits = o->floats, .classes = (int)o->shape.dims[1], .logits_h = (int)o->shape.dims[2], .logits_w = (int)o->shape.dims[3]};
        return true;
    }
    if (o->count != pixels) {
        report("%s: its first output is neither logits nor labels of %dx%d", s->name, in->w, in->h);
        return false;
    }
    out->labels = malloc(pixels * sizeof *out->labels);
    for (size_t i = 0; out->labels && i < pixels; i++)
        out->labels[i] = (uint16_t)(o->ints ? o->ints[i] : (int64_t)o->floats[i]);
    return out->labels != NULL;
}

bool side_run(side *s, const drawn *in, const model_graph *like, answer *out)
{
    const model_graph *own = side_graph(s);
    const bool align = (own && own->align_corners) || (like && like->align_corners);
    if (!(s->graph ? run_graph(s, in, out) : run_session(s, in, like, out)))
        return false;
    if (!out->labels)
        out->labels = logits_argmax(out->logits, in->n, out->classes, out->logits_h, out->logits_w, in->h, in->w, align);
    return out->labels != NULL;
}

/* The numbers of `from`, brought to the size of `to`; NULL: reported. */
static float *enlarged(const answer *from, const answer *to, int n, bool align)
{
    float *large = malloc((size_t)n * (size_t)from->classes * (size_t)to->logits_h * (size_t)to->logits_w * sizeof *large);
    if (large)
        logits_resize(large, from->logits, n * from->classes, from->logits_h, from->logits_w, to->logits_h, to->logits_w, align);
    else
        report("out of memory for logits of %dx%d", to->logits_w, to->logits_h);
    return large;
}

bool side_compare(const side *a, const side *b, const drawn *in, answer *x, answer *y, difference *d)
{
    const model_graph *ga = side_graph(a), *gb = side_graph(b);
    const bool align = (ga && ga->align_corners) || (gb && gb->align_corners), numbers = x->logits && y->logits;
    const bool alike = (ga && ga->probabilities) == (gb && gb->probabilities); /* logits are not compared with probabilities */
    if (numbers && x->classes != y->classes) {
        report("%s has %d classes, %s %d", a->name, x->classes, b->name, y->classes);
        return false;
    }
    if (numbers && alike) {
        const bool same = x->logits_h == y->logits_h && x->logits_w == y->logits_w;
        const answer *small = x->logits_h < y->logits_h ? x : y, *large = small == x ? y : x;
        float *grown = same ? NULL : enlarged(small, large, in->n, align);
        if (!same && !grown)
            return false;
        const float *p = grown && small == x ? grown : x->logits, *q = grown && small == y ? grown : y->logits;
        difference_numbers(d, p, q, (size_t)in->n * (size_t)x->classes * (size_t)large->logits_h * (size_t)large->logits_w);
        free(grown);
    }
    difference_labels(d, x->labels, y->labels, (size_t)in->n * (size_t)in->h * (size_t)in->w);
    return true;
}
