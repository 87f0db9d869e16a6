/* segment: pictures, folders of them, or frames on stdin, to masks and overlays. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "arguments.h"
#include "codecs/codecs.h"
#include "codecs/frames.h"
#include "command.h"
#include "image/image.h"
#include "inputs.h"
#include "outputs.h"
#include "preparing.h"
#include "progress.h"
#include "report.h"
#include "target.h"
#include "values.h"

#define Y4M_MAGIC "YUV4MPEG2"

struct options {
    target_options from;
    const char *folder, *json;
    bool no_overlay, confidence;
    preparing prepare;
    segrt_shape raw; /* of raw frames on stdin; n 0: none */
};

/* All that the pictures of one call share. */
typedef struct work {
    const struct options *o;
    target t;
    segrt_preprocessing how;
    outputs out;
    labelled scene;
    uint64_t *counts, *all_counts; /* [classes] */
    json_t *entries;               /* NULL: no JSON is wanted */
    progress bar;
    size_t done, failed;
    bool device_failed;
} work;

/* Up to `wanted` bytes of stdin; fewer at its end. */
static size_t read_stdin(uint8_t *to, size_t wanted)
{
    size_t got = 0;
    while (got < wanted) {
        const ssize_t n = read(STDIN_FILENO, to + got, wanted - got);
        if (n == 0 || (n < 0 && errno != EINTR))
            break;
        got += n > 0 ? (size_t)n : 0;
    }
    return got;
}

/* The rest of stdin in memory, behind what was read of it already.  NULL: reported. */
static uint8_t *read_all(const void *begin, size_t begun, size_t *size)
{
    size_t room = 1 << 20, count = begun;
    uint8_t *data = malloc(room);
    if (data)
        memcpy(data, begin, begun);
    while (data) {
        count += read_stdin(data + count, room - count);
        if (count < room)
            break;
        uint8_t *larger = room < CODEC_MOST_BYTES ? realloc(data, 2 * room) : NULL;
        if (!larger)
            free(data);
        data = larger;
        room *= 2;
    }
    if (!data)
        report("stdin: too large, or out of memory");
    *size = count;
    return data;
}

typedef struct share {
    int32_t label;
    uint64_t pixels;
} share;

static int by_pixels(const void *a, const void *b)
{
    const share *x = a, *y = b;
    return x->pixels != y->pixels ? (x->pixels < y->pixels ? 1 : -1) : x->label - y->label;
}

static void print_shares(const target *t, const uint64_t *counts)
{
    const int32_t classes = t->info.classes;
    uint64_t total = 0;
    share *shares = calloc((size_t)classes, sizeof *shares);
    for (int32_t k = 0; shares && k < classes; k++) {
        shares[k] = (share){k, counts[k]};
        total += counts[k];
    }
    if (shares && total) {
        qsort(shares, (size_t)classes, sizeof *shares, by_pixels);
        for (int32_t k = 0; k < classes && shares[k].pixels; k++)
            printf("  %6.2f %%  %s\n", 100.0 * (double)shares[k].pixels / (double)total, target_class_name(t, shares[k].label));
    }
    free(shares);
}

static json_t *shares_json(const target *t, const uint64_t *counts)
{
    uint64_t total = 0;
    json_t *shares = json_object();
    for (int32_t k = 0; k < t->info.classes; k++)
        total += counts[k];
    for (int32_t k = 0; k < t->info.classes; k++)
        if (counts[k])
            json_object_set_new(shares, target_class_name(t, k), json_real((double)counts[k] / (double)total));
    return shares;
}

/* One view of pixels to its files; w->scene.rgb holds the same as RGB.  False: reported. */
static bool segment_view(work *w, const char *name, const char *stem, bool explain, const segrt_image *view, double decode_ms)
{
    segrt_error error = {0};
    labelled *s = &w->scene;
    json_t *entry = json_object();
    if (!labelled_room(s, view->width, view->height, w->o->confidence)) {
        json_decref(entry);
        return false;
    }
    segrt_result r = {.size = sizeof r, .labels = s->labels, .label_bytes = s->label_bytes, .confidence = s->confidence};
    const segrt_status status = segrt_session_segment(w->t.session, view, &w->how, &r, &error);
    if (status) {
        progress_clear(&w->bar);
        report_error(name, &error);
        w->device_failed = status == SEGRT_DEVICE;
        json_decref(entry);
        return false;
    }
    labelled_count(s, w->counts, w->t.info.classes);
    const double begin = seconds_now();
    const bool fine = outputs_write(&w->out, stem, s, entry);
    const double write_ms = 1e3 * (seconds_now() - begin);
    for (int32_t k = 0; fine && k < w->t.info.classes; k++)
        w->all_counts[k] += w->counts[k];
    if (fine && explain) {
        progress_clear(&w->bar);
        printf("%s (%dx%d, seen as %dx%d, %.0f ms)\n", name, view->width, view->height, r.input_width, r.input_height, r.prepare_ms + r.network_ms);
        print_shares(&w->t, w->counts);
        const char *key;
        json_t *file;
        json_object_foreach (entry, key, file)
            printf("  %-10s %s\n", key, json_string_value(file));
    }
    if (fine && w->entries)
        json_array_append_new(w->entries, json_pack("{s:s, s:i, s:i, s:i, s:i, s:O, s:o, s:{s:f, s:f, s:f, s:f}}", "file", name, "width", view->width,
                                                    "height", view->height, "input_width", r.input_width, "input_height", r.input_height, "outputs",
                                                    entry, "shares", shares_json(&w->t, w->counts), "ms", "decode", decode_ms, "prepare",
                                                    r.prepare_ms, "network", r.network_ms, "write", write_ms));
    json_decref(entry);
    return fine;
}

static bool segment_decoded(work *w, const input *in, codec_picture *picture, double decode_ms)
{
    const segrt_image view = segrt_image_packed(SEGRT_RGB8, picture->rgb, picture->width, picture->height);
    w->scene.rgb = picture->rgb;
    return segment_view(w, strcmp(in->path, "-") ? in->path : "stdin", in->stem, !in->from_folder, &view, decode_ms);
}

/* Every frame of a stream; a broken one ends it. */
static bool segment_frames(work *w, frames *f)
{
    segrt_error error = {0};
    segrt_image view;
    bool end = false, fine = true;
    uint8_t *rgb = NULL;
    for (size_t number = 1; fine; number++) {
        char name[32], stem[32];
        if (frames_next(f, &view, &end, &error)) {
            progress_clear(&w->bar);
            report_error("stdin", &error);
            fine = false;
        }
        if (end || !fine)
            break;
        if (w->out.overlay && !rgb)
            rgb = malloc((size_t)view.width * (size_t)view.height * 3);
        if (w->out.overlay && !rgb) {
            report("out of memory for a frame of %dx%d", view.width, view.height);
            fine = false;
            break;
        }
        snprintf(name, sizeof name, "frame %zu", number);
        snprintf(stem, sizeof stem, "frame%06zu", number);
        if (w->out.overlay)
            image_to_rgb(&view, 0, view.height, rgb);
        w->scene.rgb = rgb;
        fine = segment_view(w, name, stem, false, &view, 0);
        w->done += fine;
        progress_step(&w->bar);
    }
    free(rgb);
    return fine;
}

/* stdin: a picture, or frames: Y4M by its first bytes, raw ones as they were described. */
static bool segment_stdin(work *w, const input *in)
{
    uint8_t begin[sizeof Y4M_MAGIC - 1];
    frames *stream = NULL;
    segrt_error error = {0};
    size_t begun = 0;
    segrt_status status = SEGRT_OK;
    if (w->o->raw.n)
        status = frames_open_rgb(&stream, STDIN_FILENO, w->o->raw.w, w->o->raw.h, &error);
    else if ((begun = read_stdin(begin, sizeof begin)) == sizeof begin && !memcmp(begin, Y4M_MAGIC, begun))
        status = frames_open_y4m(&stream, STDIN_FILENO, begin, begun, &error);
    if (status) {
        report_error("stdin", &error);
        return false;
    }
    if (stream) {
        const bool fine = segment_frames(w, stream);
        frames_close(stream);
        return fine;
    }
    size_t size;
    uint8_t *data = read_all(begin, begun, &size);
    codec_picture picture = {0};
    bool fine = data != NULL;
    const double start = seconds_now();
    if (fine && codec_decode(&picture, data, size, CODEC_MOST_BYTES, &error)) {
        report_error("stdin", &error);
        fine = false;
    }
    free(data);
    fine = fine && segment_decoded(w, in, &picture, 1e3 * (seconds_now() - start));
    w->done += fine;
    codec_picture_free(&picture);
    return fine;
}

static bool segment_file(work *w, const input *in)
{
    codec_picture picture = {0};
    segrt_error error = {0};
    const double start = seconds_now();
    bool fine = true;
    if (codec_read(&picture, in->path, CODEC_MOST_BYTES, &error)) {
        progress_clear(&w->bar);
        report_error(in->path, &error);
        fine = false;
    }
    fine = fine && segment_decoded(w, in, &picture, 1e3 * (seconds_now() - start));
    w->done += fine;
    codec_picture_free(&picture);
    return fine;
}

static int run(work *w, const inputs *in)
{
    const size_t classes = (size_t)w->t.info.classes;
    w->how = preparing_apply(&w->o->prepare, w->t.engine);
    w->out = outputs_for(&w->t, w->o->folder, !w->o->no_overlay, w->o->confidence);
    w->scene.label_bytes = classes > 256 ? 2 : 1;
    w->counts = calloc(classes, sizeof *w->counts);
    w->all_counts = calloc(classes, sizeof *w->all_counts);
    w->entries = w->o->json ? json_array() : NULL;
    if (!w->counts || !w->all_counts) {
        report("out of memory for %zu counts", classes);
        return EXIT_SOME_FAILED;
    }
    w->failed = in->failed;
    bool folders = false, frames_only = in->count == 1 && !strcmp(in->list[0].path, "-");
    w->bar = progress_begin(frames_only ? 0 : in->count, frames_only ? "frames" : "pictures");
    for (size_t i = 0; i < in->count && !w->device_failed; i++) {
        const bool fine = strcmp(in->list[i].path, "-") ? segment_file(w, &in->list[i]) : segment_stdin(w, &in->list[i]);
        w->failed += !fine;
        folders = folders || in->list[i].from_folder;
        progress_step(&w->bar);
    }
    progress_clear(&w->bar);
    if (w->done > 1 || folders) {
        printf("%zu pictures on %s, %.1f a second", w->done, segrt_session_device(w->t.session),
               (double)w->done / (seconds_now() - w->bar.begin + 1e-9));
        if (w->failed)
            printf(", %zu failed", w->failed);
        printf("\n");
        print_shares(&w->t, w->all_counts);
    }
    bool written = true;
    if (w->entries)
        written = report_json(json_pack("{s:s, s:s, s:O, s:o, s:i}", "model", w->t.name, "device", segrt_session_device(w->t.session), "pictures",
                                        w->entries, "shares", shares_json(&w->t, w->all_counts), "failed", (int)w->failed),
                              w->o->json);
    written = report_flush() && written;
    if (w->device_failed)
        return EXIT_DEVICE;
    return w->failed || !written ? EXIT_SOME_FAILED : EXIT_DONE;
}

static void release(work *w)
{
    json_decref(w->entries);
    labelled_free(&w->scene);
    free(w->counts);
    free(w->all_counts);
    target_close(&w->t);
}

int segment_command(int argc, char **argv)
{
    struct options o = {0};
    static const char *const examples[] = {
        "segrt segment photo.jpg",
        "segrt segment photos/ -m segformer-b2-cityscapes/ -o masks --json masks/report.json",
        "segrt segment aerial.png -m b5.segrt --window 1024 --stride 768",
        "ffmpeg -i drive.mp4 -pix_fmt yuv420p -f yuv4mpegpipe - | segrt segment - -o frames",
        NULL,
    };
    const arguments_page page = {
        .command = "segment",
        .usage = "PICTURE|FOLDER|- ... [options]",
        .about = "Writes STEM.mask.png (pixel value = class, with the palette) and STEM.overlay.jpg for each picture:\n"
                 "JPEG, PNG, WebP, PNM. A folder is searched through and mirrored. \"-\" reads a picture or Y4M frames from stdin.",
        .examples = examples,
        .least = 1,
        .most = -1,
    };
    const argument rows[] = {
        TARGET_MODEL_ARGUMENT(o.from),
        {"--output", 'o', "DIR", "where to write (default: here)", value_text, &o.folder},
        {"--no-overlay", 0, NULL, "masks only", NULL, &o.no_overlay},
        {"--confidence", 'c', NULL, "write STEM.confidence.png: the winner's probability, 0..255", NULL, &o.confidence},
        {"--json", 0, "FILE", "write shares, timings and file names as JSON (- for stdout)", value_text, &o.json},
        PREPARING_ARGUMENTS(o.prepare),
        {"--raw", 0, "HxW", "stdin holds raw R G B frames of this size", value_shape, &o.raw},
        TARGET_SESSION_ARGUMENTS(o.from),
    };
    int operands;
    int exit_code;
    if (arguments_end(arguments_read(&page, rows, sizeof rows / sizeof *rows, argc, argv, &operands), &exit_code))
        return exit_code;
    work w = {.o = &o};
    inputs in;
    int result = inputs_collect(&in, argv + 1, operands) ? target_open(&w.t, &o.from) : EXIT_SOME_FAILED;
    if (!result)
        result = run(&w, &in);
    release(&w);
    inputs_free(&in);
    return result;
}
