/* compare: how far two models, engines, ONNX files, tensors or masks are apart. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "arguments.h"
#include "bisect.h"
#include "codecs/codecs.h"
#include "command.h"
#include "difference.h"
#include "inputs.h"
#include "npy.h"
#include "progress.h"
#include "report.h"
#include "side.h"
#include "values.h"

enum { MOST_CLASSES = 65535, USUAL_SIDE = 256 };

struct options {
    target_options a, b;
    const char *names[2];
    segrt_shape shape; /* n 0: pictures as the model prepares them, else the usual */
    bool bisect;
    double tolerance; /* negative: none was given */
    const char *json, *picture;
};

static bool ends_with(const char *name, const char *ending)
{
    const size_t n = strlen(name), e = strlen(ending);
    return n > e && !strcasecmp(name + n - e, ending);
}

/* ------------------------------------------------------------------------------------- files */

static int compare_arrays(const struct options *o, difference *d)
{
    npy a = {0}, b = {0};
    segrt_error error = {0};
    int result = EXIT_SOME_FAILED;
    const char *name = o->names[0];
    segrt_status status = npy_read(&a, name, &error);
    if (!status)
        status = npy_read(&b, name = o->names[1], &error);
    if (status)
        report_error(name, &error);
    else if (a.count != b.count)
        report("%s holds %zu numbers, %s %zu", o->names[0], a.count, o->names[1], b.count);
    else if (difference_open(d, 1)) {
        difference_numbers(d, a.values, b.values, a.count);
        result = EXIT_DONE;
    }
    npy_free(&a);
    npy_free(&b);
    return result;
}

/* Where labels differ, white on black. */
static bool write_picture(const char *path, const uint16_t *a, const uint16_t *b, int w, int h)
{
    const size_t pixels = (size_t)w * (size_t)h;
    uint8_t *gray = malloc(pixels);
    codec_file file = {0};
    segrt_error error = {0};
    for (size_t i = 0; gray && i < pixels; i++)
        gray[i] = a[i] == b[i] ? 0 : 255;
    const bool fine = gray && !codec_png_gray8(&file, gray, w, h, &error) && !codec_write(path, file.data, file.size, &error);
    if (!fine)
        report_error(path, &error);
    codec_file_free(&file);
    free(gray);
    return fine;
}

static int compare_masks(const struct options *o, difference *d)
{
    codec_labels a = {0}, b = {0};
    segrt_error error = {0};
    int result = EXIT_SOME_FAILED;
    const char *name = o->names[0];
    segrt_status status = codec_read_labels(&a, name, CODEC_MOST_BYTES, &error);
    if (!status)
        status = codec_read_labels(&b, name = o->names[1], CODEC_MOST_BYTES, &error);
    if (status)
        report_error(name, &error);
    else if (a.width != b.width || a.height != b.height)
        report("%s is %dx%d, %s %dx%d", o->names[0], a.width, a.height, o->names[1], b.width, b.height);
    else {
        const size_t pixels = (size_t)a.width * (size_t)a.height;
        int classes = 1;
        for (size_t i = 0; i < pixels; i++) {
            const int larger = a.labels[i] > b.labels[i] ? a.labels[i] : b.labels[i];
            classes = larger >= classes ? larger + 1 : classes;
        }
        if (difference_open(d, classes < MOST_CLASSES ? classes : MOST_CLASSES)) {
            difference_labels(d, a.labels, b.labels, pixels);
            result = !o->picture || write_picture(o->picture, a.labels, b.labels, a.width, a.height) ? EXIT_DONE : EXIT_SOME_FAILED;
        }
    }
    codec_labels_free(&a);
    codec_labels_free(&b);
    return result;
}

/* ------------------------------------------------------------------------------------ models */

/* shape: h 0: as the model prepares pictures. */
static bool load_picture(drawn *t, side *by, const char *path, segrt_shape shape)
{
    codec_picture picture = {0};
    segrt_error error = {0};
    segrt_preprocessing p = {.size = sizeof p};
    const uint8_t *pixels;
    int w = 0, h = 0;
    segrt_engine_preprocessing(by->t.engine, &p);
    if (shape.h) {
        p.resize = SEGRT_RESIZE_EXACT;
        p.width = shape.w;
        p.height = shape.h;
    }
    segrt_status status = codec_read(&picture, path, CODEC_MOST_BYTES, &error);
    const segrt_image view = segrt_image_packed(SEGRT_RGB8, picture.rgb, picture.width, picture.height);
    if (!status)
        status = session_pixels(by->t.session, &view, &p, &pixels, &w, &h, &error);
    if (status)
        report_error(path, &error);
    const bool fine = !status && drawn_room(t, (segrt_shape){shape.n, h, w});
    const size_t plane = (size_t)h * (size_t)w;
    for (size_t i = 0; fine && i < (size_t)shape.n * 3 * plane; i++) { /* of a graph with a fixed number of pictures each is this one */
        const size_t c = i / plane % 3;
        t->data[i] = ((float)pixels[i % plane * 3 + c] - p.mean[c]) / p.deviation[c];
    }
    codec_picture_free(&picture);
    return fine;
}

static bool compare_input(const struct options *o, side *a, side *b, difference *d, const drawn *in)
{
    answer x = {0}, y = {0};
    bool fine = side_run(a, in, side_graph(b), &x) && side_run(b, in, side_graph(a), &y) && side_compare(a, b, in, &x, &y, d);
    if (fine && o->picture)
        fine = write_picture(o->picture, x.labels, y.labels, in->w, in->h * in->n);
    free(x.labels);
    free(y.labels);
    return fine;
}

/* What a side insists on: of a graph what it declares, of an engine its one shape; 0 where it takes any. */
static segrt_shape own_shape(const side *s)
{
    const model_graph *g = side_graph(s);
    segrt_build_options profile = {.size = sizeof profile};
    if (g)
        return (segrt_shape){(int32_t)g->input[0], (int32_t)g->input[2], (int32_t)g->input[3]};
    if (s->t.engine)
        segrt_engine_profile(s->t.engine, &profile);
    return profile.min.h == profile.max.h && profile.min.w == profile.max.w ? profile.opt : (segrt_shape){0};
}

/* The inputs' shape: as given, else what one of the sides insists on, else `otherwise`. */
static segrt_shape shape_for(const struct options *o, const side *a, const side *b, int32_t otherwise)
{
    const segrt_shape of_a = own_shape(a), of_b = own_shape(b);
    if (o->shape.n)
        return o->shape;
    segrt_shape shape = {.n = of_a.n ? of_a.n : of_b.n ? of_b.n : 1, .h = of_a.h ? of_a.h : of_b.h, .w = of_a.w ? of_a.w : of_b.w};
    if (!shape.h || !shape.w) {
        shape.h = shape.h && otherwise ? shape.h : otherwise;
        shape.w = shape.w && otherwise ? shape.w : otherwise;
    }
    return shape;
}

static int classes_of(const side *a, const side *b)
{
    const int of_a = a->t.model ? a->t.model->class_count : a->t.info.classes,
              of_b = b->t.model ? b->t.model->class_count : b->t.info.classes;
    const int classes = of_a > of_b ? of_a : of_b;
    return classes ? classes : 1000; /* two ONNX files: their labels tell */
}

static int compare_models(const struct options *o, difference *d, char *const *pictures, int count, bool *within)
{
    side a = {0}, b = {0};
    inputs in = {0};
    drawn t = {0};
    int result = side_open(&a, o->names[0], &o->a, !o->bisect);
    if (!result)
        result = side_open(&b, o->names[1], &o->b, !o->bisect);
    if (!result && (!inputs_collect(&in, pictures, count) || in.failed))
        result = EXIT_SOME_FAILED;
    side *by = a.t.session ? &a : &b;
    if (!result && count && !by->t.session && side_graph(by))
        result = side_prepare(by, &o->b);
    else if (!result && count && !by->t.session) {
        report("%s is no SegFormer that is known: nothing says how pictures are prepared for it; leave them out", by->name);
        result = EXIT_USAGE;
    }
    if (!result && !difference_open(d, classes_of(&a, &b)))
        result = EXIT_SOME_FAILED;
    const size_t total = count ? in.count : DRAWN_KINDS;
    const segrt_shape shape = result ? o->shape : shape_for(o, &a, &b, count ? 0 : USUAL_SIDE);
    progress bar = progress_begin(result ? 1 : total, "inputs");
    for (size_t i = 0; i < total && !result; i++) {
        bool fine = count ? load_picture(&t, by, in.list[i].path, shape) : drawn_room(&t, shape);
        if (fine && !count)
            drawn_fill(&t, (drawn_kind)i);
        fine = fine && compare_input(o, &a, &b, d, &t);
        if (!fine)
            result = EXIT_SOME_FAILED;
        progress_step(&bar);
    }
    progress_clear(&bar);
    if (!result && o->bisect)
        result = bisect(&a, &o->a, &b, &o->b, t.data, t.h, t.w, o->tolerance >= 0 ? o->tolerance : 1e-5, within);
    free(t.data);
    inputs_free(&in);
    side_close(&a);
    side_close(&b);
    return result;
}

static int run(const struct options *o, char *const *pictures, int count)
{
    difference d = {0};
    bool within = true;
    int result;
    if (ends_with(o->names[0], ".npy") && ends_with(o->names[1], ".npy"))
        result = compare_arrays(o, &d);
    else if (ends_with(o->names[0], ".png") && ends_with(o->names[1], ".png"))
        result = compare_masks(o, &d);
    else
        result = compare_models(o, &d, pictures, count, &within);
    if (!result) {
        if (o->tolerance >= 0 && !o->bisect)
            within = d.numbers_seen ? difference_relative(&d) <= o->tolerance : difference_disagreement(&d) <= o->tolerance;
        if (o->json)
            result = report_json(json_pack("{s:s, s:s, s:b, s:o}", "a", o->names[0], "b", o->names[1], "within", within, "difference",
                                           difference_json(&d)),
                                 o->json)
                         ? EXIT_DONE
                         : EXIT_SOME_FAILED;
        else
            difference_print(&d);
        if (!report_flush() || !within)
            result = EXIT_SOME_FAILED;
    }
    difference_close(&d);
    return result;
}

int compare_command(int argc, char **argv)
{
    struct options o = {.tolerance = -1};
    static const char *const examples[] = {
        "segrt compare original.onnx model.segrt --shape 512x512 --tolerance 1e-5",
        "segrt compare b2/ b2/ --precision bf16 --precision-b f32 photos/",
        "segrt compare b2/ b2/ --device cpu --device-b reference --bisect",
        "segrt compare ours.mask.png theirs.mask.png --picture where.png",
        "segrt compare logits.npy expected.npy",
        NULL,
    };
    const arguments_page page = {
        .command = "compare",
        .usage = "A B [PICTURE|FOLDER ...] [options]",
        .about = "How far A is from B: two models or engines (an .onnx file is run as it is), two .npy arrays, two masks.\n"
                 "Models run on pictures, or without any on noise and a drawn one. Exit code 1: beyond --tolerance.",
        .examples = examples,
        .least = 2,
        .most = -1,
    };
    const argument rows[] = {
        {"--shape", 's', "NxHxW", "input size (default: the model's for pictures, else an .onnx file's own, else 256x256)", value_shape,
         &o.shape},
        {"--tolerance", 0, "X", "largest relative difference of numbers (without numbers: share of labels)", value_number, &o.tolerance},
        {"--bisect", 0, NULL, "compare operation by operation on the last input (tolerance: 1e-5)", NULL, &o.bisect},
        {"--picture", 0, "FILE", "write a PNG of where labels differ (of the last input)", value_text, &o.picture},
        {"--json", 0, "FILE", "write the report as JSON (- for stdout)", value_text, &o.json},
        TARGET_SESSION_ARGUMENTS(o.a),
        {"--device-b", 0, "NAME", "B's device (default: A's)", value_text, &o.b.device},
        {"--precision-b", 0, "TYPE", "B's precision (default: A's)", value_precision, &o.b.precision},
    };
    int operands;
    int exit_code;
    if (arguments_end(arguments_read(&page, rows, sizeof rows / sizeof *rows, argc, argv, &operands), &exit_code))
        return exit_code;
    o.names[0] = argv[1];
    o.names[1] = argv[2];
    o.b.threads = o.a.threads;
    if (!o.b.device)
        o.b.device = o.a.device;
    if (!o.b.precision)
        o.b.precision = o.a.precision;
    return run(&o, argv + 3, operands - 2);
}
