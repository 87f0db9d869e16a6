/* inspect: what a model or engine file is, what was recognised in it, and what it costs to run. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "arguments.h"
#include "command.h"
#include "costs.h"
#include "drawing.h"
#include "folds.h"
#include "report.h"
#include "target.h"
#include "values.h"
#include "verify.h"

struct inspection {
    target_options from;
    segrt_shape size;
    const char *json, *svg; /* NULL: text; none */
    bool tensors, verify;
};

static void print_preprocessing(const segrt_preprocessing *p, const model_graph *graph)
{
    static const char *const resamples[] = {"the model's", "Pillow's bilinear", "Pillow's bicubic", "OpenCV's linear", "nearest"};
    printf("input         ");
    switch (p->resize) {
    case SEGRT_RESIZE_EXACT:
        printf("resized to %dx%d (width x height), %s", p->width, p->height, resamples[p->resample]);
        break;
    case SEGRT_RESIZE_SHORT_SIDE:
        printf("shorter side to %d, %s", p->width, resamples[p->resample]);
        break;
    case SEGRT_RESIZE_FIT:
        printf("fitted into %dx%d, sides up to multiples of %d, %s", p->width, p->height, p->multiple, resamples[p->resample]);
        break;
    default:
        printf("the picture as it is");
    }
    if (p->window)
        printf("; window %d, stride %d", p->window, p->stride);
    if (p->window && graph->stride[0] < graph->stride[1])
        printf(" (the file's windows lie so by any stride from %d to %d)", graph->stride[0], graph->stride[1]);
    printf("\n              mean %g %g %g, deviation %g %g %g (R G B, 0..255)\n", (double)p->mean[0], (double)p->mean[1],
           (double)p->mean[2], (double)p->deviation[0], (double)p->deviation[1], (double)p->deviation[2]);
    printf("labels        logits to %s, then argmax\n", p->via_input ? "the input's size, then to the picture's" : "the picture's size");
}

static void shape_text(const model_source *s, char *text, size_t room)
{
    size_t at = 0;
    text[0] = 0;
    for (int i = 0; i < s->rank && at < room; i++)
        at += (size_t)snprintf(text + at, room - at, "%s%" PRId64, i ? "x" : "", s->shape[i]);
}

static void print_graph(const model_graph *g)
{
    static const char *const names[] = {"n", "3", "h", "w"};
    char dims[4][24];
    for (int d = 0; d < 4; d++)
        snprintf(dims[d], sizeof dims[d], g->input[d] ? "%" PRId64 : "%.0" PRId64 "%s", g->input[d], names[d]);
    printf("file          ONNX%s%s, opset %d, %d nodes, input %s x %s x %s x %s\n", *g->producer ? " by " : "", g->producer, g->opset,
           g->nodes, dims[0], dims[1], dims[2], dims[3]);
    printf("file's graph  takes %s, gives %s%s%s\n",
           g->unit == 0   ? "normalised pixels"
           : g->unit == 1 ? "pixels on 0..1"
                          : "pixels on 0..255",
           g->labels          ? "labels"
           : g->probabilities ? "probabilities"
                              : "logits",
           g->full_size ? " at the input's size" : " at a quarter of the input's size",
           g->align_corners ? ", resized with align_corners" : "");
    if (g->windows)
        printf("              runs the network on %d sliding windows\n", g->windows);
}

static void print_tensors(const segrt_model *m)
{
    printf("\n");
    for (size_t k = 0; k < m->source_count; k++) {
        const model_source *s = &m->sources[k];
        char shape[96];
        shape_text(s, shape, sizeof shape);
        printf("%-68s %-8s %-16s %s%s", s->role, s->type, shape, *s->name ? "from " : "made of several", s->name);
        if (s->how)
            printf(" (%s)", s->how);
        if (s->node)
            printf(", read by %s", s->node);
        printf("\n");
    }
}

static void print_engine(const segrt_engine *e)
{
    const segrt_build_options *p = &e->profile;
    printf("precision     %s\n", precision_name(p->precision));
    if (p->max.n)
        printf("shapes        from %dx%dx%d, best %dx%dx%d, to %dx%dx%d (N x H x W)\n", p->min.n, p->min.h, p->min.w, p->opt.n, p->opt.h,
               p->opt.w, p->max.n, p->max.h, p->max.w);
    else
        printf("shapes        any\n");
    if (*e->source)
        printf("made of       %s%s%s\n", e->source, *e->source_digest ? ", SHA-256 " : "", e->source_digest);
    if (p->command && *p->command)
        printf("made by       %s\n", p->command);
}

static void print_text(const target *t, const struct inspection *o, const segrt_preprocessing *p, const costs *c)
{
    static const model_graph none = {0};
    const segrt_model_info *i = &t->info;
    const model_graph *graph = t->model ? &t->model->graph : &none;
    printf("%s\n", t->name);
    printf("kind          %s\n", t->model ? "model" : "engine");
    printf("family        %s\n", i->family);
    printf("variant       %s\n", i->variant);
    printf("widths        %d %d %d %d, decoder %d\n", i->width[0], i->width[1], i->width[2], i->width[3], i->decoder_width);
    printf("depths        %d %d %d %d\n", i->depth[0], i->depth[1], i->depth[2], i->depth[3]);
    printf("heads         %d %d %d %d\n", i->heads[0], i->heads[1], i->heads[2], i->heads[3]);
    printf("reductions    %d %d %d %d\n", i->reduction[0], i->reduction[1], i->reduction[2], i->reduction[3]);
    printf("parameters    %" PRIu64 "\n", i->parameters);
    if (graph->producer)
        print_graph(graph);
    if (!t->model)
        print_engine(t->engine);
    print_preprocessing(p, graph);
    printf("classes       %d%s", i->classes, i->random_head ? ", of a RANDOM decode head" : "");
    for (int32_t k = 0; k < i->classes; k++)
        printf("%s%s", k ? ", " : ": ", target_class_name(t, k));
    printf("\n");
    drawing_text(t->engine->net, c);
    printf("\n%-16s %12s %12s   at %d x %d x %d (N x H x W)\n", "GMAC", "published", "folded", o->size.n, o->size.h, o->size.w);
    for (int k = 0; k < OPERATION_KINDS; k++)
        if (c->folded[k] || c->published[k])
            printf("%-16s %12.3f %12.3f\n", operation_name((operation_kind)k), 1e-9 * (double)c->published[k], 1e-9 * (double)c->folded[k]);
    printf("%-16s %12.3f %12.3f   %.1f %% saved\n", "all", 1e-9 * (double)c->published_total, 1e-9 * (double)c->folded_total,
           100 - 100.0 * (double)c->folded_total / (double)c->published_total);
    folds_print(t->engine->net, c);
    if (o->tensors && t->model)
        print_tensors(t->model);
    else if (o->tensors)
        printf("\ntensors       folded; where each came from, the file that the engine was made of tells: segrt inspect %s --tensors\n",
               *t->engine->source ? t->engine->source : "MODEL");
}

static json_t *numbers(const int32_t *values, int count)
{
    json_t *array = json_array();
    for (int i = 0; i < count; i++)
        json_array_append_new(array, json_integer(values[i]));
    return array;
}

static json_t *tensors_json(const segrt_model *m)
{
    json_t *tensors = json_array();
    for (size_t k = 0; m && k < m->source_count; k++) {
        const model_source *s = &m->sources[k];
        json_t *shape = json_array();
        for (int d = 0; d < s->rank; d++)
            json_array_append_new(shape, json_integer(s->shape[d]));
        json_t *entry = json_pack("{s:s, s:s, s:s, s:o}", "role", s->role, "name", s->name, "type", s->type, "shape", shape);
        if (s->how)
            json_object_set_new(entry, "how", json_string(s->how));
        if (s->node)
            json_object_set_new(entry, "node", json_string(s->node));
        json_array_append_new(tensors, entry);
    }
    return tensors;
}

static json_t *graph_json(const model_graph *g)
{
    json_t *dims = json_array();
    for (int d = 0; d < 4; d++)
        json_array_append_new(dims, json_integer(g->input[d]));
    return json_pack("{s:s, s:i, s:i, s:o, s:s, s:s, s:b, s:b, s:i, s:[i,i]}", "producer", g->producer, "opset", g->opset, "nodes",
                     g->nodes, "input", dims, "takes",
                     g->unit == 0   ? "normalised"
                     : g->unit == 1 ? "pixels on 0..1"
                                    : "pixels on 0..255",
                     "gives",
                     g->labels          ? "labels"
                     : g->probabilities ? "probabilities"
                                        : "logits",
                     "full_size", g->full_size, "align_corners", g->align_corners, "windows", g->windows, "stride_range", g->stride[0],
                     g->stride[1]);
}

static json_t *engine_json(const segrt_engine *e)
{
    const segrt_build_options *p = &e->profile;
    const int32_t sides[] = {p->min.n, p->min.h, p->min.w, p->opt.n, p->opt.h, p->opt.w, p->max.n, p->max.h, p->max.w};
    return json_pack("{s:s, s:o, s:o, s:o, s:s, s:s, s:s}", "precision", precision_name(p->precision), "min", numbers(sides, 3), "opt",
                     numbers(sides + 3, 3), "max", numbers(sides + 6, 3), "source", e->source, "source_sha256", e->source_digest, "command",
                     p->command ? p->command : "");
}

static json_t *to_json(const target *t, const struct inspection *o, const segrt_preprocessing *p, const costs *c)
{
    static const char *const resizes[] = {"model", "none", "exact", "short-side", "fit"};
    const segrt_model_info *i = &t->info;
    json_t *classes = json_array(), *macs = json_object();
    for (int32_t k = 0; k < i->classes; k++)
        json_array_append_new(classes, json_string(target_class_name(t, k)));
    for (int k = 0; k < OPERATION_KINDS; k++)
        if (c->folded[k] || c->published[k])
            json_object_set_new(macs, operation_name((operation_kind)k),
                                json_pack("{s:I, s:I}", "published", (json_int_t)c->published[k], "folded", (json_int_t)c->folded[k]));
    json_t *all = json_pack(
        "{s:s, s:s, s:s, s:s, s:o, s:b, s:o, s:i, s:o, s:o, s:o, s:I, s:{s:s, s:i, s:i, s:b, s:i, s:i}, s:o, s:o, s:I, s:I, s:o, s:o}",
        "file", t->name, "kind", t->model ? "model" : "engine", "family", i->family, "variant", i->variant, "classes", classes,
        "random_head", i->random_head, "widths", numbers(i->width, 4), "decoder_width", i->decoder_width, "depths", numbers(i->depth, 4),
        "heads", numbers(i->heads, 4), "reductions", numbers(i->reduction, 4), "parameters", (json_int_t)i->parameters, "preprocessing",
        "resize", resizes[p->resize], "width", p->width, "height", p->height, "via_input", p->via_input, "window", p->window, "stride",
        p->stride, "size", numbers((int32_t[]){o->size.n, o->size.h, o->size.w}, 3), "macs", macs, "macs_published",
        (json_int_t)c->published_total, "macs_folded", (json_int_t)c->folded_total, "folds", folds_json(t->engine->net, c), "tensors",
        tensors_json(t->model));
    if (t->model && t->model->graph.producer)
        json_object_set_new(all, "graph", graph_json(&t->model->graph));
    if (!t->model)
        json_object_set_new(all, "engine", engine_json(t->engine));
    return all;
}

static int show(const target *t, const struct inspection *o)
{
    segrt_error error = {0};
    segrt_preprocessing p = {.size = sizeof p};
    costs c;
    segrt_engine_preprocessing(t->engine, &p);
    if (costs_count(&c, t->engine->net, t->info.decoder_width, o->size, &error)) {
        report_error(t->name, &error);
        return EXIT_USAGE;
    }
    if (o->svg && !drawing_svg(t->engine->net, &c, t->name, o->svg))
        return EXIT_SOME_FAILED;
    verify_options proof = {.tolerance = -1, .json = o->json && o->verify ? json_array() : NULL};
    json_t *all = o->json ? to_json(t, o, &p, &c) : NULL;
    if (!o->json)
        print_text(t, o, &p, &c);
    if (!o->json && o->verify)
        printf("\n");
    const int verified = o->verify ? verify_import(t, &proof) : EXIT_DONE;
    if (proof.json)
        json_object_set_new(all, "verified", proof.json);
    const bool shown = o->json ? report_json(all, o->json) : report_flush();
    return shown ? verified : EXIT_SOME_FAILED;
}

int inspect_command(int argc, char **argv)
{
    struct inspection o = {.size = {1, 512, 512}};
    static const char *const examples[] = {"segrt inspect segformer-b2/", "segrt inspect model.pth --size 1024x2048 --tensors",
                                           "segrt inspect model.safetensors --json - | jq .parameters", NULL};
    const arguments_page page = {
        .command = "inspect",
        .usage = "[MODEL] [options]",
        .about = "Says what a model or engine file is: family, variant, classes, preprocessing, multiply-accumulates,\n"
                 "and where each tensor came from. Without MODEL: the built-in one.",
        .examples = examples,
        .least = 0,
        .most = 1,
    };
    const argument rows[] = {
        {"--size", 0, "HxW", "input size for the cost (default 512x512; NxHxW for a batch)", value_shape, &o.size},
        {"--tensors", 't', NULL, "list every tensor and its source", NULL, &o.tensors},
        {"--svg", 0, "FILE", "draw the network", value_text, &o.svg},
        {"--verify", 0, NULL, "an .onnx file: run it as it is beside what was recognised, and say how far they are apart", NULL, &o.verify},
        {"--json", 0, "FILE", "write all of it as JSON (- for stdout) instead", value_text, &o.json},
        TARGET_RANDOM_HEAD_ARGUMENT(o.from),
    };
    int operands;
    int exit_code;
    if (arguments_end(arguments_read(&page, rows, sizeof rows / sizeof *rows, argc, argv, &operands), &exit_code))
        return exit_code;
    o.from.model = operands ? argv[1] : NULL;
    target t;
    int result = target_engine(&t, &o.from, NULL);
    if (!result && o.verify && !verify_applies(&t)) {
        report("%s: is no .onnx file; --verify holds what was recognised against the file run as it is", t.name);
        result = EXIT_USAGE;
    }
    if (!result)
        result = show(&t, &o);
    target_close(&t);
    return result;
}
