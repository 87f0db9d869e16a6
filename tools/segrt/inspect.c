/* inspect: what a model or engine file is, what was recognised in it, and what it costs to run. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "arguments.h"
#include "command.h"
#include "costs.h"
#include "drawing.h"
#include "report.h"
#include "target.h"
#include "values.h"

struct inspection {
    target_options from;
    segrt_shape size;
    const char *json, *svg; /* NULL: text; none */
    bool tensors;
};

static void print_preprocessing(const segrt_preprocessing *p)
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
    printf("\n              mean %g %g %g, deviation %g %g %g (R G B, 0..255)\n", (double)p->mean[0], (double)p->mean[1], (double)p->mean[2],
           (double)p->deviation[0], (double)p->deviation[1], (double)p->deviation[2]);
    printf("labels        logits to %s, then argmax\n", p->via_input ? "the input's size, then to the picture's" : "the picture's size");
}

static void shape_text(const model_source *s, char *text, size_t room)
{
    size_t at = 0;
    text[0] = 0;
    for (int i = 0; i < s->rank && at < room; i++)
        at += (size_t)snprintf(text + at, room - at, "%s%" PRId64, i ? "x" : "", s->shape[i]);
}

static void print_text(const target *t, const struct inspection *o, const segrt_preprocessing *p, const costs *c)
{
    const segrt_model_info *i = &t->info;
    printf("%s\n", t->name);
    printf("kind          %s\n", t->model ? "model" : "engine");
    printf("family        %s\n", i->family);
    printf("variant       %s\n", i->variant);
    printf("widths        %d %d %d %d, decoder %d\n", i->width[0], i->width[1], i->width[2], i->width[3], i->decoder_width);
    printf("depths        %d %d %d %d\n", i->depth[0], i->depth[1], i->depth[2], i->depth[3]);
    printf("heads         %d %d %d %d\n", i->heads[0], i->heads[1], i->heads[2], i->heads[3]);
    printf("reductions    %d %d %d %d\n", i->reduction[0], i->reduction[1], i->reduction[2], i->reduction[3]);
    printf("parameters    %" PRIu64 "\n", i->parameters);
    if (!t->model) {
        const segrt_build_options *e = &t->engine->profile;
        printf("precision     %s\n", precision_name(e->precision));
        if (e->max.n)
            printf("shapes        from %dx%dx%d, best %dx%dx%d, to %dx%dx%d (N x H x W)\n", e->min.n, e->min.h, e->min.w, e->opt.n, e->opt.h,
                   e->opt.w, e->max.n, e->max.h, e->max.w);
        else
            printf("shapes        any\n");
        if (e->command && *e->command)
            printf("made by       %s\n", e->command);
    }
    print_preprocessing(p);
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
    if (o->tensors && t->model)
        printf("\n");
    if (o->tensors && t->model)
        for (size_t k = 0; k < t->model->source_count; k++) {
            const model_source *s = &t->model->sources[k];
            char shape[96];
            shape_text(s, shape, sizeof shape);
            printf("%-68s %-5s %-16s from %s\n", s->role, s->type, shape, s->name);
        }
}

static json_t *numbers(const int32_t *values, int count)
{
    json_t *array = json_array();
    for (int i = 0; i < count; i++)
        json_array_append_new(array, json_integer(values[i]));
    return array;
}

static json_t *to_json(const target *t, const struct inspection *o, const segrt_preprocessing *p, const costs *c)
{
    static const char *const resizes[] = {"model", "none", "exact", "short-side", "fit"};
    const segrt_model_info *i = &t->info;
    json_t *classes = json_array(), *macs = json_object(), *tensors = json_array();
    for (int32_t k = 0; k < i->classes; k++)
        json_array_append_new(classes, json_string(target_class_name(t, k)));
    for (int k = 0; k < OPERATION_KINDS; k++)
        if (c->folded[k] || c->published[k])
            json_object_set_new(macs, operation_name((operation_kind)k),
                                json_pack("{s:I, s:I}", "published", (json_int_t)c->published[k], "folded", (json_int_t)c->folded[k]));
    for (size_t k = 0; t->model && k < t->model->source_count; k++) {
        const model_source *s = &t->model->sources[k];
        json_t *shape = json_array();
        for (int d = 0; d < s->rank; d++)
            json_array_append_new(shape, json_integer(s->shape[d]));
        json_array_append_new(tensors, json_pack("{s:s, s:s, s:s, s:o}", "role", s->role, "name", s->name, "type", s->type, "shape", shape));
    }
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:b, s:o, s:i, s:o, s:o, s:o, s:I, s:{s:s, s:i, s:i, s:b, s:i, s:i}, s:o, s:o, s:I, s:I, s:o}", "file",
                     t->name, "kind", t->model ? "model" : "engine", "family", i->family, "variant", i->variant, "classes", classes, "random_head",
                     i->random_head, "widths", numbers(i->width, 4), "decoder_width", i->decoder_width, "depths", numbers(i->depth, 4), "heads",
                     numbers(i->heads, 4), "reductions", numbers(i->reduction, 4), "parameters", (json_int_t)i->parameters, "preprocessing", "resize",
                     resizes[p->resize], "width", p->width, "height", p->height, "via_input", p->via_input, "window", p->window, "stride", p->stride,
                     "size", numbers((int32_t[]){o->size.n, o->size.h, o->size.w}, 3), "macs", macs, "macs_published", (json_int_t)c->published_total,
                     "macs_folded", (json_int_t)c->folded_total, "tensors",
                     tensors);
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
    if (!result) {
        segrt_error error = {0};
        segrt_preprocessing p = {.size = sizeof p};
        costs c;
        segrt_engine_preprocessing(t.engine, &p);
        if (costs_count(&c, t.engine->net, t.info.decoder_width, o.size, &error)) {
            report_error(t.name, &error);
            result = EXIT_USAGE;
        } else if (o.svg && !drawing_svg(t.engine->net, &c, t.name, o.svg))
            result = EXIT_SOME_FAILED;
        else if (o.json)
            result = report_json(to_json(&t, &o, &p, &c), o.json) ? EXIT_DONE : EXIT_SOME_FAILED;
        else {
            print_text(&t, &o, &p, &c);
            result = report_flush() ? EXIT_DONE : EXIT_SOME_FAILED;
        }
    }
    target_close(&t);
    return result;
}
