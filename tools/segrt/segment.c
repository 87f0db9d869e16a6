/* segment: pictures, folders of them, or frames on stdin, to masks and overlays.  Files go through a pipeline, so that decoding,
 * running and writing overlap; what is told of them keeps the order of the command line. */
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
#include "pipeline.h"
#include "preparing.h"
#include "progress.h"
#include "report.h"
#include "scene.h"
#include "spent.h"
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

enum {
    SESSIONS_ON_A_GPU = 2, /* one copies while the other computes */
};
#define MOST_BYTES ((size_t)1 << 29) /* of decoded pictures under way; a single one may have more */

/* All that the pictures of one call share. */
typedef struct work {
    const struct options *o;
    const inputs *in;
    target t;
    scene_plan plan;
    segrt_session *sessions[SESSIONS_ON_A_GPU]; /* the first is the target's */
    scene *scenes;                              /* [places] */
    int places;
    uint64_t *all_counts; /* [classes] */
    json_t *entries;      /* NULL: no JSON is wanted */
    progress bar;
    spent time;
    size_t done, failed;
    bool folders, device_failed;
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

/* ------------------------------------------------------------------------------------- stdin */

/* Tells of a picture or frame, written or failed; what it held is given back. */
static void tell(work *w, scene *s, bool fine, bool explain)
{
    if (!fine || explain)
        progress_clear(&w->bar);
    if (!fine)
        scene_report(s);
    w->device_failed = s->error.status == SEGRT_DEVICE;
    for (int32_t k = 0; fine && k < w->t.info.classes; k++)
        w->all_counts[k] += s->counts[k];
    if (fine && explain)
        scene_print(s, &w->plan, segrt_session_device(w->t.session));
    if (fine && w->entries)
        json_array_append_new(w->entries, scene_json(s, &w->plan));
    spent_add(&w->time, s);
    w->done += fine;
    scene_clear(s);
}

/* Every frame of a stream; a broken one ends it. */
static bool segment_frames(work *w, scene *s, frames *f)
{
    segrt_image view;
    bool end = false, fine = true;
    uint8_t *rgb = NULL;
    for (size_t number = 1; fine; number++) {
        char name[32], stem[32];
        if (frames_next(f, &view, &end, &s->error)) {
            progress_clear(&w->bar);
            report_error("stdin", &s->error);
            fine = false;
        }
        if (end || !fine)
            break;
        if (w->plan.out.overlay && !rgb)
            rgb = malloc((size_t)view.width * (size_t)view.height * 3);
        if (w->plan.out.overlay && !rgb) {
            report("out of memory for a frame of %dx%d", view.width, view.height);
            fine = false;
            break;
        }
        snprintf(name, sizeof name, "frame %zu", number);
        snprintf(stem, sizeof stem, "frame%06zu", number);
        if (w->plan.out.overlay)
            image_to_rgb(&view, 0, view.height, rgb);
        s->name = name;
        s->stem = stem;
        s->view = view;
        s->labels.rgb = rgb;
        fine = scene_run(s, &w->plan, w->sessions[0]) && scene_write(s, &w->plan);
        tell(w, s, fine, false);
        progress_step(&w->bar);
    }
    free(rgb);
    return fine;
}

/* stdin: a picture, or frames: Y4M by its first bytes, raw ones as they were described. */
static bool segment_stdin(work *w, scene *s, const input *in)
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
        const bool fine = segment_frames(w, s, stream);
        frames_close(stream);
        return fine;
    }
    size_t size;
    uint8_t *data = read_all(begin, begun, &size);
    if (!data)
        return false;
    s->name = "stdin";
    s->stem = in->stem;
    const bool fine = scene_decode(s, data, size) && scene_run(s, &w->plan, w->sessions[0]) && scene_write(s, &w->plan);
    free(data);
    tell(w, s, fine, true);
    return fine;
}

/* ------------------------------------------------------------------------------------- files */

static bool is_stdin(const input *in)
{
    return !strcmp(in->path, "-");
}

static bool begin_item(void *user, size_t item, int place, size_t *bytes)
{
    work *w = user;
    scene *s = &w->scenes[place];
    const input *in = &w->in->list[item];
    s->name = in->path;
    s->stem = in->stem;
    *bytes = 0;
    if (is_stdin(in))
        return true;
    const bool fine = scene_read(s, in->path);
    *bytes = fine ? scene_bytes(s, &w->plan) : 0;
    return fine;
}

static bool run_item(void *user, size_t item, int place, int runner)
{
    work *w = user;
    return is_stdin(&w->in->list[item]) || scene_run(&w->scenes[place], &w->plan, w->sessions[runner]);
}

static bool end_item(void *user, size_t item, int place)
{
    work *w = user;
    return is_stdin(&w->in->list[item]) || scene_write(&w->scenes[place], &w->plan);
}

static bool item_done(void *user, size_t item, int place, bool fine)
{
    work *w = user;
    const input *in = &w->in->list[item];
    if (is_stdin(in))
        fine = segment_stdin(w, &w->scenes[place], in);
    else
        tell(w, &w->scenes[place], fine, !in->from_folder);
    w->failed += !fine;
    w->folders = w->folders || in->from_folder;
    progress_step(&w->bar);
    return !w->device_failed;
}

/* A session more, on the device and with the threads of the first: the device by its own name, since "auto" might find another. */
static bool open_session(void *user, int runner)
{
    work *w = user;
    if (runner == 0)
        return true;
    char device[32];
    const char *runs_on = segrt_session_device(w->sessions[0]);
    snprintf(device, sizeof device, "%.*s", (int)strcspn(runs_on, ","), runs_on);
    const segrt_session_options options = {
        .size = sizeof options, .device = device, .precision = w->o->from.precision, .pool = session_pool(w->sessions[0])};
    return !segrt_session_open(&w->sessions[runner], w->t.engine, &options, NULL); /* no memory for it: the first does the work */
}

/* How many threads and sessions work side by side.  With one thread, or little to overlap, all is done in turn. */
static pipeline plan_job(work *w)
{
    pipeline p = {.count = w->in->count,
                  .runners = 1,
                  .places = 1,
                  .most_bytes = MOST_BYTES,
                  .user = w,
                  .begin = begin_item,
                  .run = run_item,
                  .end = end_item,
                  .done = item_done,
                  .prepare = open_session};
    const int threads = session_threads(w->sessions[0]);
    bool in_turn = threads == 1 || w->in->count == 1;
    for (size_t i = 0; i < w->in->count; i++)
        in_turn = in_turn || is_stdin(&w->in->list[i]);
    if (in_turn)
        return p;
    const bool gpu = session_has_device(w->sessions[0]);
    p.runners = gpu ? SESSIONS_ON_A_GPU : 1;
    p.helpers =
        gpu && threads > 2 * SESSIONS_ON_A_GPU ? threads - SESSIONS_ON_A_GPU : threads; /* who waits for a GPU keeps a processor busy */
    if ((size_t)p.helpers > p.count)
        p.helpers = (int)p.count;
    p.places = pipeline_places(p.helpers, p.runners);
    return p;
}

static int run(work *w)
{
    const size_t classes = (size_t)w->t.info.classes;
    w->sessions[0] = w->t.session;
    w->plan = (scene_plan){.t = &w->t,
                           .how = preparing_apply(&w->o->prepare, w->t.engine),
                           .out = outputs_for(&w->t, w->o->folder, !w->o->no_overlay, w->o->confidence)};
    const pipeline job = plan_job(w);
    w->all_counts = calloc(classes, sizeof *w->all_counts);
    w->entries = w->o->json ? json_array() : NULL;
    w->scenes = calloc((size_t)job.places, sizeof *w->scenes);
    if (!w->all_counts || !w->scenes) {
        report("out of memory for %zu counts and %d pictures", classes, job.places);
        return EXIT_SOME_FAILED;
    }
    for (; w->places < job.places; w->places++)
        if (!scene_open(&w->scenes[w->places], &w->plan))
            return EXIT_SOME_FAILED;
    w->failed = w->in->failed;
    const bool frames_only = w->in->count == 1 && is_stdin(&w->in->list[0]);
    w->bar = progress_begin(frames_only ? 0 : w->in->count, frames_only ? "frames" : "pictures");
    const pipeline_threads threads = pipeline_run(&job);
    w->time.wall = seconds_now() - w->bar.begin;
    w->time.threads = threads.helpers;
    w->time.sessions = threads.runners;
    const double rate = (double)w->done / (w->time.wall + 1e-9);
    progress_clear(&w->bar);
    if (w->done > 1 || w->folders) {
        printf("%zu pictures on %s, %.1f a second", w->done, segrt_session_device(w->t.session), rate);
        if (w->failed)
            printf(", %zu failed", w->failed);
        printf("\n");
        if (w->done > 1)
            spent_print(&w->time, stdout);
        print_shares(&w->t, w->all_counts);
    }
    bool written = true;
    if (w->entries)
        written =
            report_json(json_pack("{s:s, s:s, s:O, s:o, s:i, s:f, s:o}", "model", w->t.name, "device", segrt_session_device(w->t.session),
                                  "pictures", w->entries, "shares", shares_json(&w->t, w->all_counts), "failed", (int)w->failed,
                                  "pictures_a_second", rate, "time", spent_json(&w->time)),
                        w->o->json);
    written = report_flush() && written;
    if (w->device_failed)
        return EXIT_DEVICE;
    return w->failed || !written ? EXIT_SOME_FAILED : EXIT_DONE;
}

static void release(work *w)
{
    json_decref(w->entries);
    for (int i = 0; i < w->places; i++)
        scene_close(&w->scenes[i]);
    free(w->scenes);
    free(w->all_counts);
    for (int i = 1; i < SESSIONS_ON_A_GPU; i++)
        segrt_session_close(w->sessions[i]);
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
    inputs in;
    work w = {.o = &o, .in = &in};
    int result = inputs_collect(&in, argv + 1, operands) ? target_open(&w.t, &o.from) : EXIT_SOME_FAILED;
    if (!result)
        result = run(&w);
    release(&w);
    inputs_free(&in);
    return result;
}
