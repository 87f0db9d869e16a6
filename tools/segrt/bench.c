/* bench: how fast a model runs here: throughput, latency, memory, start-up, and where the time goes. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "api/inside.h"
#include "arguments.h"
#include "command.h"
#include "measured.h"
#include "progress.h"
#include "report.h"
#include "target.h"
#include "values.h"

struct bench {
    target_options from;
    segrt_shape shape;
    int32_t runs, batch; /* 0: not given */
    double seconds;      /* at least so long, where `runs` was not given */
    bool profile, no_fuse;
    const char *json, *csv;
};

/* A drawn picture: smooth shapes with some texture, the same on every machine. */
static void draw(uint8_t *pixels, segrt_shape s)
{
    uint32_t noise = 1;
    for (int32_t i = 0; i < s.n * s.h; i++)
        for (int32_t x = 0; x < s.w; x++)
            for (int c = 0; c < 3; c++) {
                noise = noise * 1664525u + 1013904223u;
                *pixels++ = (uint8_t)((x * (c + 1) / 3 + i * (3 - c) / 2 + (int32_t)(noise >> 28)) & 255);
            }
}

/* A session and what is run through it. */
typedef struct subject {
    segrt_session *session;
    segrt_shape shape;
    const uint8_t *pixels; /* [n][h][w][3] */
    void *labels;          /* [n][h][w] of label_bytes */
    int label_bytes;
} subject;

static segrt_status run_once(const subject *s, double *ms, segrt_error *error)
{
    const double begin = seconds_now();
    const segrt_status status =
        session_run_pixels(s->session, s->pixels, s->shape.n, s->shape.h, s->shape.w, s->labels, s->label_bytes, error);
    *ms = 1e3 * (seconds_now() - begin);
    return status;
}

/* Milliseconds of many runs: the host's clock, and the device's where it tells. */
typedef struct samples {
    double *whole, *copy_in, *compute, *copy_out;
    size_t count;
} samples;

enum { WARM_UP = 2, FEWEST = 10, MOST = 100000 };

static segrt_status samples_open(samples *s)
{
    *s = (samples){.whole = malloc(4 * MOST * sizeof(double))};
    if (!s->whole)
        return SEGRT_NO_MEMORY;
    s->copy_in = s->whole + MOST;
    s->compute = s->copy_in + MOST;
    s->copy_out = s->compute + MOST;
    return SEGRT_OK;
}

/* Runs until enough was measured: `runs` times, or (0) for `seconds`. */
static segrt_status sample(samples *to, const subject *on, int32_t runs, double seconds, segrt_error *error)
{
    double ms;
    segrt_status status = SEGRT_OK;
    for (int i = 0; i < WARM_UP && !status; i++)
        status = run_once(on, &ms, error);
    progress p = progress_begin(runs > 0 ? (size_t)runs : 0, "runs");
    to->count = 0;
    for (const double start = seconds_now(); !status;) {
        backend_times times;
        const double begin = seconds_now();
        const size_t i = to->count++;
        status = run_once(on, &to->whole[i], error);
        session_times(on->session, &times);
        to->copy_in[i] = 1e3 * times.copy_in;
        to->compute[i] = 1e3 * times.compute;
        to->copy_out[i] = 1e3 * times.copy_out;
        progress_step(&p);
        if (to->count == MOST || (runs > 0 ? to->count >= (size_t)runs : to->count >= FEWEST && begin - start > seconds))
            break;
    }
    progress_clear(&p);
    return status;
}

static size_t peak_memory(void)
{
    struct rusage use;
    return getrusage(RUSAGE_SELF, &use) ? 0 : (size_t)use.ru_maxrss * 1024;
}

/* The time of a shape that the session does not know yet, a little smaller; none where the profile allows no such. */
static segrt_status measure_other(measured *m, const subject *on)
{
    enum { LESS = 32, LEAST = 64 };
    subject other = *on;
    segrt_error error = {0};
    double first, again;
    other.shape.h -= LESS;
    if (other.shape.h < LEAST || run_once(&other, &first, &error))
        return error.status == SEGRT_DEVICE ? SEGRT_DEVICE : SEGRT_OK;
    const segrt_status status = run_once(&other, &again, &error);
    m->other = other.shape;
    m->other_first_ms = first;
    m->other_again_ms = again;
    return status;
}

static segrt_session_options options_of(const struct bench *o)
{
    return (segrt_session_options){
        .size = sizeof(segrt_session_options), .device = o->from.device, .precision = o->from.precision, .threads = o->from.threads};
}

static segrt_status measure(measured *m, const target *t, const struct bench *o, subject *on, samples *to, segrt_error *error)
{
    const segrt_session_options options = options_of(o);
    backend_facts before = {0}, after = {0};
    double begin = seconds_now();
    segrt_status status = device_facts(o->from.device, &before, &m->has_device, error);
    m->context_ms = 1e3 * (seconds_now() - begin);
    begin = seconds_now();
    if (!status)
        status = session_open_inside(&on->session, t->engine, &options, (session_inside){.no_fuse = o->no_fuse}, error);
    m->session_ms = 1e3 * (seconds_now() - begin);
    if (!status)
        status = run_once(on, &m->first_ms, error);
    m->has_device = m->has_device && !status && session_has_device(on->session);
    if (!status && m->has_device)
        status = device_facts(o->from.device, &after, &m->has_device, error);
    m->device_bytes = before.memory_free > after.memory_free ? before.memory_free - after.memory_free : 0;
    if (!status)
        status = sample(to, on, o->runs, o->seconds, error);
    if (!status && m->has_device)
        status = device_facts(o->from.device, &m->facts, &m->has_device, error);
    if (status)
        return status;
    m->whole = latency_of(to->whole, to->count);
    m->copy_in_ms = median_of(to->copy_in, to->count);
    m->device_tells = to->compute[0] > 0;
    if (m->device_tells)
        m->compute = latency_of(to->compute, to->count);
    m->copy_out_ms = median_of(to->copy_out, to->count);
    m->session_bytes = segrt_session_memory(on->session);
    m->peak_bytes = peak_memory();
    snprintf(m->device, sizeof m->device, "%s", segrt_session_device(on->session));
    return measure_other(m, on);
}

/* What launching costs where a graph is the usual way: compute by the device's clock with steps launched one by one. */
static segrt_status measure_no_graph(measured *m, const target *t, const struct bench *o, const subject *on, samples *to,
                                     segrt_error *error)
{
    enum { RUNS = 50 };
    const segrt_session_options options = options_of(o);
    subject other = *on;
    segrt_status status =
        session_open_inside(&other.session, t->engine, &options, (session_inside){.no_fuse = o->no_fuse, .no_graph = true}, error);
    if (!status)
        status = sample(to, &other, RUNS, 0, error);
    if (!status)
        m->no_graph_ms = median_of(to->compute, to->count);
    segrt_session_close(other.session);
    return status;
}

/* A session that times its steps, which costs a little: of it come the profile, and the time that the steps take alone. */
static segrt_status measure_steps(segrt_session **out, profile *p, latency *compute, const target *t, const struct bench *o,
                                  const subject *on, segrt_error *error)
{
    enum { FEWEST_STEPS = 3, MOST_STEPS = 20 };
    double ms[MOST_STEPS], before = 0, whole;
    const segrt_session_options options = options_of(o);
    subject steps = *on;
    segrt_status status = session_open_inside(out, t->engine, &options, (session_inside){.no_fuse = o->no_fuse, .profile = true}, error);
    steps.session = *out;
    const double start = seconds_now();
    while (!status && p->runs < MOST_STEPS && (p->runs < FEWEST_STEPS || seconds_now() - start < o->seconds)) {
        double total = 0;
        status = run_once(&steps, &whole, error);
        p->count = status ? 0 : session_profile(steps.session, &p->rows);
        for (size_t i = 0; i < p->count; i++)
            total += p->rows[i].seconds;
        ms[p->runs++] = 1e3 * (total - before);
        before = total;
    }
    if (!status) /* the first run planned the shape, and read what it computes on for the first time */
        *compute = latency_of(ms + 1, p->runs - 1);
    if (!status && o->profile)
        status = session_ceiling(steps.session, &p->ceiling, error);
    return status;
}

/* A line of CSV; a file that exists is continued. */
static bool write_csv(const char *path, const measured *m)
{
    const bool is_stdout = !strcmp(path, "-");
    FILE *file = is_stdout ? stdout : fopen(path, "a");
    bool written = file != NULL;
    if (file) {
        fseek(file, 0, SEEK_END);
        measured_csv(m, is_stdout || ftell(file) == 0, file);
        written = !ferror(file);
        written = (is_stdout ? fflush(file) : fclose(file)) == 0 && written;
    }
    if (!written)
        report("%s: cannot write: %s", path, strerror(errno));
    return written;
}

static int run(target *t, const struct bench *o)
{
    segrt_error error = {0};
    const segrt_shape s = o->shape;
    const size_t count = (size_t)s.n * (size_t)s.h * (size_t)s.w;
    const int label_bytes = t->info.classes > 256 ? 2 : 1;
    uint8_t *pixels = malloc(count * 3);
    subject on = {.shape = s, .pixels = pixels, .labels = malloc(count * (size_t)label_bytes), .label_bytes = label_bytes};
    samples to = {0};
    json_t *steps = NULL;
    segrt_session *timed = NULL;
    profile p = {0};
    latency by_steps;
    int result = EXIT_SOME_FAILED;
    const bool as_text = !o->json && !o->csv;
    measured m = {.model = t->name, .variant = t->info.variant, .shape = s, .open_ms = t->open_ms, .fold_ms = t->build_ms};
    if (!pixels || !on.labels || samples_open(&to)) {
        report("out of memory for %zu pixels", count);
        goto fail;
    }
    draw(pixels, s);
    segrt_status status = measure(&m, t, o, &on, &to, &error);
    segrt_session_close(on.session);
    on.session = NULL;
    if (!status && o->profile && m.device_tells)
        status = measure_no_graph(&m, t, o, &on, &to, &error);
    if (!status && (o->profile || !m.device_tells))
        status = measure_steps(&timed, &p, m.device_tells ? &by_steps : &m.compute, t, o, &on, &error);
    if (!status && as_text) {
        measured_print(&m, stdout);
        if (o->profile)
            profile_print(&p, stdout);
    } else if (!status && o->profile)
        steps = profile_json(&p);
    if (status) {
        report_error(t->name, &error);
        result = status == SEGRT_SHAPE ? EXIT_USAGE : exit_code_of(status);
    } else if ((!o->csv || write_csv(o->csv, &m)) && (!o->json || report_json(measured_json(&m, steps), o->json)) && report_flush())
        result = EXIT_DONE;
fail:
    segrt_session_close(timed);
    free(to.whole);
    free(on.labels);
    free(pixels);
    return result;
}

int bench_command(int argc, char **argv)
{
    struct bench o = {.seconds = 2};
    static const char *const examples[] = {"segrt bench segformer-b2/ --shape 1x1024x1024 --profile",
                                           "segrt bench model.segrt --threads 2 --runs 50 --json -", NULL};
    const arguments_page page = {
        .command = "bench",
        .usage = "[MODEL] [options]",
        .about = "Times a model or engine on a drawn picture: throughput, latency, start-up, memory.\n"
                 "Pixels in, labels out, at the network's own size. Without MODEL: the built-in one.",
        .examples = examples,
        .least = 0,
        .most = 1,
    };
    const argument rows[] = {
        {"--shape", 's', "NxHxW", "input shape (default: the engine's best, else 1x512x512)", value_shape, &o.shape},
        {"--batch", 'b', "N", "pictures at once, the N of the shape", value_count, &o.batch},
        {"--runs", 'n', "N", "timed runs (default: 2 seconds, at least 10)", value_count, &o.runs},
        {"--profile", 0, NULL, "time every step too", NULL, &o.profile},
        {"--no-fuse", 0, NULL, "one operation a step", NULL, &o.no_fuse},
        {"--json", 0, "FILE", "write the figures as JSON (- for stdout)", value_text, &o.json},
        {"--csv", 0, "FILE", "append the figures as a line of CSV (- for stdout)", value_text, &o.csv},
        TARGET_SESSION_ARGUMENTS(o.from),
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
        segrt_build_options built = {.size = sizeof built};
        segrt_engine_profile(t.engine, &built);
        if (!o.shape.n)
            o.shape = built.opt.n ? built.opt : (segrt_shape){1, 512, 512};
        if (o.batch)
            o.shape.n = o.batch;
        result = run(&t, &o);
    }
    target_close(&t);
    return result;
}
