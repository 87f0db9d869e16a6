/* compare: how far two models, engines, ONNX files, tensors or masks are apart. */
#include <math.h>
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

typedef struct tensor {
    float *data; /* [3][h][w], normalised */
    int h, w;
} tensor;

static bool tensor_room(tensor *t, int h, int w)
{
    free(t->data);
    *t = (tensor){.data = malloc((size_t)h * (size_t)w * 3 * sizeof(float)), .h = h, .w = w};
    if (!t->data)
        report("out of memory for an input of %dx%d", w, h);
    return t->data != NULL;
}

/* Input 0: noise, as random as weights are; input 1: smooth shapes, as pictures are. */
static void draw_tensor(tensor *t, int which)
{
    uint64_t state = 0x9E3779B97F4A7C15u;
    float *to = t->data;
    for (int c = 0; c < 3; c++)
        for (int y = 0; y < t->h; y++)
            for (int x = 0; x < t->w; x++) {
                float sum = 0;
                for (int k = 0; k < 4 && which == 0; k++) { /* four uniform numbers are normal enough */
                    state = state * 6364136223846793005u + 1442695040888963407u;
                    sum += (float)(state >> 40) * (1.0f / 16777216) - 0.5f;
                }
                *to++ = which == 0 ? sum * 1.7f
                                   : sinf(0.05f * (float)(x + 7 * c)) + cosf(0.031f * (float)(y * (c + 1))) + ((x / 40 + y / 25) % 2 ? 0.6f : -0.4f);
            }
}

static bool load_tensor(tensor *t, const struct options *o, side *by, const char *path)
{
    codec_picture picture = {0};
    segrt_error error = {0};
    segrt_preprocessing p = {.size = sizeof p};
    const uint8_t *pixels;
    int w, h;
    segrt_engine_preprocessing(by->t.engine, &p);
    if (o->shape.n) {
        p.resize = SEGRT_RESIZE_EXACT;
        p.width = o->shape.w;
        p.height = o->shape.h;
    }
    segrt_status status = codec_read(&picture, path, CODEC_MOST_BYTES, &error);
    const segrt_image view = segrt_image_packed(SEGRT_RGB8, picture.rgb, picture.width, picture.height);
    if (!status)
        status = session_pixels(by->t.session, &view, &p, &pixels, &w, &h, &error);
    if (status)
        report_error(path, &error);
    const bool fine = !status && tensor_room(t, h, w);
    for (int c = 0; c < 3 && fine; c++)
        for (size_t i = 0; i < (size_t)h * (size_t)w; i++)
            t->data[(size_t)c * (size_t)h * (size_t)w + i] = ((float)pixels[i * 3 + (size_t)c] - p.mean[c]) / p.deviation[c];
    codec_picture_free(&picture);
    return fine;
}

static bool compare_tensor(const struct options *o, side *a, side *b, difference *d, const tensor *t)
{
    answer x = {0}, y = {0};
    const size_t pixels = (size_t)t->h * (size_t)t->w;
    bool fine = side_run(a, t->data, t->h, t->w, &x) && side_run(b, t->data, t->h, t->w, &y);
    if (fine && x.logits && y.logits && x.classes != y.classes) {
        report("%s has %d classes, %s %d", a->name, x.classes, b->name, y.classes);
        fine = false;
    }
    if (fine && x.logits && y.logits && x.logits_h == y.logits_h && x.logits_w == y.logits_w)
        difference_numbers(d, x.logits, y.logits, (size_t)x.classes * (size_t)x.logits_h * (size_t)x.logits_w);
    if (fine)
        difference_labels(d, x.labels, y.labels, pixels);
    if (fine && o->picture)
        fine = write_picture(o->picture, x.labels, y.labels, t->w, t->h);
    free(x.labels);
    free(y.labels);
    return fine;
}

static int classes_of(const side *a, const side *b)
{
    const int classes = a->t.info.classes > b->t.info.classes ? a->t.info.classes : b->t.info.classes;
    return classes ? classes : 1000; /* two ONNX files: their labels tell */
}

static int compare_models(const struct options *o, difference *d, char *const *pictures, int count, bool *within)
{
    side a = {0}, b = {0};
    inputs in = {0};
    tensor t = {0};
    int result = side_open(&a, o->names[0], &o->a, true);
    if (!result)
        result = side_open(&b, o->names[1], &o->b, true);
    if (!result && (!inputs_collect(&in, pictures, count) || in.failed))
        result = EXIT_SOME_FAILED;
    side *by = a.t.session ? &a : &b;
    if (!result && count && !by->t.session) {
        report("two .onnx files have no preprocessing: compare them on drawn inputs, or with a model or engine");
        result = EXIT_USAGE;
    }
    if (!result && !difference_open(d, classes_of(&a, &b)))
        result = EXIT_SOME_FAILED;
    const size_t total = count ? in.count : 2;
    progress bar = progress_begin(result ? 1 : total, "inputs");
    for (size_t i = 0; i < total && !result; i++) {
        bool fine = count ? load_tensor(&t, o, by, in.list[i].path)
                          : tensor_room(&t, o->shape.n ? o->shape.h : USUAL_SIDE, o->shape.n ? o->shape.w : USUAL_SIDE);
        if (fine && !count)
            draw_tensor(&t, (int)i);
        fine = fine && compare_tensor(o, &a, &b, d, &t);
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
        {"--shape", 's', "HxW", "input size (default: the model's for pictures, else 256x256)", value_shape, &o.shape},
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
