/* bench: how fast a model runs here: throughput, latency, memory, start-up, and where the time goes. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "api/inside.h"
#include "arguments.h"
#include "command.h"
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

typedef struct latency {
    size_t runs;
    double min, mean, median, p90, p95, p99; /* milliseconds */
} latency;

typedef struct measurement {
    double open_ms, build_ms, session_ms, first_ms;
    latency latency; /* host to host */
    latency compute; /* the network's steps alone */
    size_t session_bytes, peak_bytes;
    char device[128];
} measurement;

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The smallest value that `share` of the sorted ones do not exceed. */
static double percentile(const double *sorted, size_t count, double share)
{
    const size_t rank = (size_t)ceil(share * (double)count);
    return sorted[rank ? rank - 1 : 0];
}

static latency summarise(double *ms, size_t count)
{
    double sum = 0;
    qsort(ms, count, sizeof *ms, by_value);
    for (size_t i = 0; i < count; i++)
        sum += ms[i];
    const double median = 0.5 * (ms[(count - 1) / 2] + ms[count / 2]);
    return (latency){.runs = count,
                     .min = ms[0],
                     .mean = sum / (double)count,
                     .median = median,
                     .p90 = percentile(ms, count, 0.90),
                     .p95 = percentile(ms, count, 0.95),
                     .p99 = percentile(ms, count, 0.99)};
}

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

/* Runs until enough was measured. */
static segrt_status measure(segrt_session *session, const struct bench *o, const uint8_t *pixels, void *labels, int label_bytes,
                            measurement *m, segrt_error *error)
{
    enum { WARM_UP = 2, FEWEST = 10, MOST = 100000 };
    const segrt_shape s = o->shape;
    double begin = seconds_now();
    segrt_status status = session_run_pixels(session, pixels, s.n, s.h, s.w, labels, label_bytes, error);
    m->first_ms = 1e3 * (seconds_now() - begin);
    for (int i = 0; i < WARM_UP && !status; i++)
        status = session_run_pixels(session, pixels, s.n, s.h, s.w, labels, label_bytes, error);
    double *ms = malloc(MOST * sizeof *ms);
    if (!ms)
        return SEGRT_NO_MEMORY;
    size_t count = 0;
    progress p = progress_begin(o->runs > 0 ? (size_t)o->runs : 0, "runs");
    for (double start = seconds_now(); !status;) {
        begin = seconds_now();
        status = session_run_pixels(session, pixels, s.n, s.h, s.w, labels, label_bytes, error);
        ms[count++] = 1e3 * (seconds_now() - begin);
        progress_step(&p);
        if (count == MOST || (o->runs > 0 ? count >= (size_t)o->runs : count >= FEWEST && begin - start > o->seconds))
            break;
    }
    progress_clear(&p);
    if (!status)
        m->latency = summarise(ms, count);
    free(ms);
    return status;
}

static size_t peak_memory(void)
{
    struct rusage use;
    return getrusage(RUSAGE_SELF, &use) ? 0 : (size_t)use.ru_maxrss * 1024;
}

static double pictures_a_second(const struct bench *o, const measurement *m)
{
    return 1e3 * o->shape.n / m->latency.mean;
}

static void row_name(const backend_profile_row *row, char *text, size_t room)
{
    const char *name = operation_name(row->first.kind);
    if (row->first.stage < 0)
        snprintf(text, room, "%s", name);
    else if (row->first.block < 0)
        snprintf(text, room, "stage %d %s", row->first.stage + 1, name);
    else
        snprintf(text, room, "stage %d block %d %s", row->first.stage + 1, row->first.block + 1, name);
    if (row->count > 1)
        snprintf(text + strlen(text), room - strlen(text), " +%d", row->count - 1);
}

/* Percent of the nearer of the machine's two ceilings; 0 where they are unknown. */
static double percent_of_ceiling(const backend_profile_row *row, const backend_ceiling *ceiling, double seconds)
{
    if (seconds <= 0 || ceiling->macs <= 0 || ceiling->bytes <= 0)
        return 0;
    return 100 * fmax((double)row->macs / ceiling->macs, (double)row->bytes / ceiling->bytes) / seconds;
}

static void print_profile(const backend_profile_row *rows, size_t count, size_t runs, const backend_ceiling *ceiling)
{
    double total = 0;
    if (ceiling->macs > 0)
        printf("ceiling       products %.1f GMAC/s, copy %.1f GB/s, measured now with these kernels and threads\n", 1e-9 * ceiling->macs,
               1e-9 * ceiling->bytes);
    for (size_t i = 0; i < count; i++)
        total += rows[i].seconds;
    printf("\n%-32s %-28s %9s %6s %9s %9s %8s %9s\n", "operations", "kernel", "ms", "%", "GMAC", "GMAC/s", "GB/s", "ceiling %");
    for (size_t i = 0; i < count; i++) {
        char name[96];
        const double seconds = rows[i].seconds / (double)runs, gmac = 1e-9 * (double)rows[i].macs;
        row_name(&rows[i], name, sizeof name);
        printf("%-32s %-28s %9.3f %6.1f %9.3f %9.1f %8.1f %9.1f\n", name, rows[i].kernel, 1e3 * seconds, 100 * rows[i].seconds / total,
               gmac, seconds > 0 ? gmac / seconds : 0, seconds > 0 ? 1e-9 * (double)rows[i].bytes / seconds : 0,
               percent_of_ceiling(&rows[i], ceiling, seconds));
    }
    printf("%-32s %-28s %9.3f\n", "all", "", 1e3 * total / (double)runs);
}

static json_t *profile_json(const backend_profile_row *rows, size_t count, size_t runs, const backend_ceiling *ceiling)
{
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++) {
        char name[96];
        row_name(&rows[i], name, sizeof name);
        json_array_append_new(array, json_pack("{s:s, s:s, s:f, s:I, s:I, s:f}", "operations", name, "kernel", rows[i].kernel, "ms",
                                               1e3 * rows[i].seconds / (double)runs, "macs", (json_int_t)rows[i].macs, "bytes",
                                               (json_int_t)rows[i].bytes, "ceiling_percent",
                                               percent_of_ceiling(&rows[i], ceiling, rows[i].seconds / (double)runs)));
    }
    return array;
}

static void print_text(const target *t, const struct bench *o, const measurement *m)
{
    const latency *l = &m->latency;
    printf("%s on %s, %dx%dx%d (N x H x W), pixels in, labels out\n", t->name, m->device, o->shape.n, o->shape.h, o->shape.w);
    printf("throughput    %.2f pictures a second\n", pictures_a_second(o, m));
    printf("host to host  min %.3f  mean %.3f  median %.3f  p90 %.3f  p95 %.3f  p99 %.3f ms (%zu runs)\n", l->min, l->mean, l->median,
           l->p90, l->p95, l->p99, l->runs);
    printf("compute       min %.3f  mean %.3f  median %.3f ms in the network's steps alone (%zu runs, each step timed)\n", m->compute.min,
           m->compute.mean, m->compute.median, m->compute.runs);
    printf("start         open %.1f  fold %.1f  session %.1f  first run %.1f ms\n", m->open_ms, m->build_ms, m->session_ms, m->first_ms);
    printf("memory        session %.1f MB, peak of the process %.1f MB\n", 1e-6 * (double)m->session_bytes, 1e-6 * (double)m->peak_bytes);
}

static json_t *to_json(const target *t, const struct bench *o, const measurement *m, json_t *profile)
{
    const latency *l = &m->latency;
    return json_pack("{s:s, s:s, s:s, s:s, s:[i,i,i], s:f, s:{s:i, s:f, s:f, s:f, s:f, s:f, s:f}, s:{s:i, s:f, s:f, s:f}, s:f, s:f, s:f, "
                     "s:f, s:I, s:I, s:o*}",
                     "model", t->name, "variant", t->info.variant, "device", m->device, "version", segrt_version(), "shape", o->shape.n,
                     o->shape.h, o->shape.w, "pictures_a_second", pictures_a_second(o, m), "latency_ms", "runs", (int)l->runs, "min",
                     l->min, "mean", l->mean, "median", l->median, "p90", l->p90, "p95", l->p95, "p99", l->p99, "compute_ms", "runs",
                     (int)m->compute.runs, "min", m->compute.min, "mean", m->compute.mean, "median", m->compute.median, "open_ms",
                     m->open_ms, "fold_ms", m->build_ms, "session_ms", m->session_ms, "first_run_ms", m->first_ms, "session_bytes",
                     (json_int_t)m->session_bytes, "peak_bytes", (json_int_t)m->peak_bytes, "profile", profile);
}

/* One line and its heading; a file that exists is continued. */
static bool write_csv(const char *path, const target *t, const struct bench *o, const measurement *m)
{
    const bool is_stdout = !strcmp(path, "-");
    const latency *l = &m->latency;
    FILE *file = is_stdout ? stdout : fopen(path, "a");
    bool written = file != NULL;
    if (file) {
        fseek(file, 0, SEEK_END);
        if (is_stdout || ftell(file) == 0)
            fprintf(file,
                    "model,device,n,h,w,runs,pictures_a_second,min_ms,mean_ms,median_ms,p90_ms,p95_ms,p99_ms,open_ms,fold_ms,session_ms,"
                    "first_run_ms,session_bytes,peak_bytes,compute_min_ms,compute_median_ms\n");
        fprintf(file, "%s,\"%s\",%d,%d,%d,%zu,%.3f,%.3f,%.3f,%.3f,%.3f,%.3f,%.3f,%.1f,%.1f,%.1f,%.1f,%zu,%zu,%.3f,%.3f\n", t->name,
                m->device, o->shape.n, o->shape.h, o->shape.w, l->runs, pictures_a_second(o, m), l->min, l->mean, l->median, l->p90, l->p95,
                l->p99, m->open_ms, m->build_ms, m->session_ms, m->first_ms, m->session_bytes, m->peak_bytes, m->compute.min,
                m->compute.median);
        written = !ferror(file);
        written = (is_stdout ? fflush(file) : fclose(file)) == 0 && written;
    }
    if (!written)
        report("%s: cannot write: %s", path, strerror(errno));
    return written;
}

/* A session that times its steps, which costs a little: of it come the profile, and the time that the steps take alone. */
typedef struct timed_steps {
    segrt_session *session;
    size_t runs;
    backend_ceiling ceiling; /* with --profile */
} timed_steps;

static segrt_status time_steps(timed_steps *t, const target *model, const struct bench *o, const uint8_t *pixels, void *labels,
                               int label_bytes, latency *compute, segrt_error *error)
{
    enum { FEWEST = 3, MOST = 20 };
    double ms[MOST], before = 0;
    const segrt_shape s = o->shape;
    const backend_profile_row *rows;
    const segrt_session_options options = {
        .size = sizeof options, .device = o->from.device, .precision = o->from.precision, .threads = o->from.threads};
    segrt_status status = session_open_inside(&t->session, model->engine, &options, o->no_fuse, true, error);
    const double start = seconds_now();
    while (!status && t->runs < MOST && (t->runs < FEWEST || seconds_now() - start < o->seconds)) {
        double total = 0;
        status = session_run_pixels(t->session, pixels, s.n, s.h, s.w, labels, label_bytes, error);
        const size_t count = status ? 0 : session_profile(t->session, &rows);
        for (size_t i = 0; i < count; i++)
            total += rows[i].seconds;
        ms[t->runs++] = 1e3 * (total - before);
        before = total;
    }
    if (!status) /* the first run planned the shape, and read what it computes on for the first time */
        *compute = summarise(ms + 1, t->runs - 1);
    if (!status && o->profile)
        status = session_ceiling(t->session, &t->ceiling, error);
    return status;
}

static int run(target *t, const struct bench *o)
{
    segrt_error error = {0};
    const segrt_shape s = o->shape;
    const size_t count = (size_t)s.n * (size_t)s.h * (size_t)s.w;
    const int label_bytes = t->info.classes > 256 ? 2 : 1;
    uint8_t *pixels = malloc(count * 3);
    void *labels = malloc(count * (size_t)label_bytes);
    segrt_session *session = NULL;
    json_t *steps = NULL;
    timed_steps timed = {0};
    int result = EXIT_SOME_FAILED;
    measurement m = {.open_ms = t->open_ms, .build_ms = t->build_ms};
    const segrt_session_options options = {
        .size = sizeof options, .device = o->from.device, .precision = o->from.precision, .threads = o->from.threads};
    if (!pixels || !labels) {
        report("out of memory for %zu pixels", count);
        goto fail;
    }
    draw(pixels, s);
    const double begin = seconds_now();
    segrt_status status = session_open_inside(&session, t->engine, &options, o->no_fuse, false, &error);
    m.session_ms = 1e3 * (seconds_now() - begin);
    if (!status)
        status = measure(session, o, pixels, labels, label_bytes, &m, &error);
    if (!status) {
        m.session_bytes = segrt_session_memory(session);
        m.peak_bytes = peak_memory();
        snprintf(m.device, sizeof m.device, "%s", segrt_session_device(session));
        segrt_session_close(session);
        session = NULL;
        status = time_steps(&timed, t, o, pixels, labels, label_bytes, &m.compute, &error);
    }
    if (!status) {
        const backend_profile_row *rows;
        const size_t row_count = session_profile(timed.session, &rows);
        if (!o->json && !o->csv)
            print_text(t, o, &m);
        if (o->profile && !o->json && !o->csv)
            print_profile(rows, row_count, timed.runs, &timed.ceiling);
        else if (o->profile)
            steps = json_pack("{s:f, s:f, s:o}", "ceiling_macs_a_second", timed.ceiling.macs, "ceiling_bytes_a_second", timed.ceiling.bytes,
                              "steps", profile_json(rows, row_count, timed.runs, &timed.ceiling));
    }
    if (status) {
        report_error(t->name, &error);
        result = status == SEGRT_SHAPE ? EXIT_USAGE : exit_code_of(status);
    } else if ((!o->csv || write_csv(o->csv, t, o, &m)) && (!o->json || report_json(to_json(t, o, &m, steps), o->json)) && report_flush())
        result = EXIT_DONE;
fail:
    segrt_session_close(timed.session);
    segrt_session_close(session);
    free(labels);
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
