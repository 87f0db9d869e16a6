/* verify: see verify.h. */
#include "verify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "difference.h"
#include "inputs.h"
#include "progress.h"
#include "report.h"
#include "side.h"
#include "values.h"

enum { SMALL_H = 96, SMALL_W = 128, SMALL_MOST = 4096 };

/* How far an engine may be from its file, run in a precision: the logits' difference over their norm, and the share of labels where
 * the file gives nothing else.  Noise is the hardest: its labels lie close together. */
static const struct {
    segrt_precision precision;
    double numbers, labels;
} tolerances[] = {
    {SEGRT_FLOAT32, 1e-4, 0.005},
    {SEGRT_TF32, 2e-2, 0.05},
    {SEGRT_BFLOAT16, 1e-1, 0.15},
    {SEGRT_FLOAT16, 2e-2, 0.05},
};

bool verify_applies(const target *t)
{
    return t->model && t->model->graph.producer;
}

/* The file itself, where the model was opened as a folder; free(). */
static char *path_of(const target *t)
{
    struct stat facts;
    const bool folder = !stat(t->name, &facts) && S_ISDIR(facts.st_mode);
    return folder ? text_of("%s/model.onnx", t->name) : text_of("%s", t->name);
}

/* A small size, as far as the file leaves it open and the network's reductions allow. */
static segrt_shape small_shape(const target *t)
{
    const int64_t *declared = t->model->graph.input;
    network_shape shape;
    for (int times = 1;; times *= 2) {
        const segrt_shape s = {declared[0] ? (int32_t)declared[0] : 1, declared[2] ? (int32_t)declared[2] : times * SMALL_H,
                               declared[3] ? (int32_t)declared[3] : times * SMALL_W};
        if (times * SMALL_W > SMALL_MOST || !network_shape_of(&shape, t->engine->net, s.n, s.h, s.w, NULL))
            return s;
    }
}

static void tell(const verify_options *o, drawn_kind kind, const difference *d)
{
    const compare_result n = compare_read(d->numbers);
    const double equal = 1 - difference_disagreement(d);
    if (o->json) {
        json_t *entry = difference_json(d);
        json_object_set_new(entry, "input", json_string(drawn_name[kind]));
        json_array_append_new(o->json, entry);
        return;
    }
    printf("  %-13s", drawn_name[kind]);
    if (d->numbers_seen)
        printf(" difference max %.3g  mean %.3g  median %.3g  p99 %.3g; relative (norm) %.3g;", n.max, n.mean, n.median, n.p99, n.relative);
    printf(" labels %.4f %% equal\n", 100 * equal);
}

/* Both on one input; *beyond: they differ by more than they may. */
static bool verify_input(side *file, side *engine, const drawn *in, drawn_kind kind, const verify_options *o, double numbers, double labels,
                         bool *beyond)
{
    answer theirs = {0}, ours = {0};
    difference d = {0};
    bool fine = difference_open(&d, engine->t.info.classes);
    fine = fine && side_run(file, in, NULL, &theirs) && side_run(engine, in, side_graph(file), &ours) &&
           side_compare(engine, file, in, &ours, &theirs, &d);
    if (fine) {
        const double off = d.numbers_seen ? difference_relative(&d) : difference_disagreement(&d),
                     allowed = d.numbers_seen ? numbers : labels;
        tell(o, kind, &d);
        report_flush();
        if (!(off <= allowed)) {
            report("%s: on %s what segrt made of it is %.3g off (%s), more than the %.3g that is allowed", file->name, drawn_name[kind],
                   off, d.numbers_seen ? "logits, relative" : "share of labels", allowed);
            *beyond = true;
        }
    }
    free(theirs.labels);
    free(ours.labels);
    difference_close(&d);
    return fine;
}

static int verify_sides(side *file, side *engine, const verify_options *o, segrt_precision precision)
{
    const segrt_shape shape = small_shape(&engine->t);
    double numbers = tolerances[0].numbers, labels = tolerances[0].labels;
    drawn in = {0};
    bool fine = drawn_room(&in, shape), beyond = false;
    for (size_t i = 0; i < sizeof tolerances / sizeof *tolerances; i++)
        if (tolerances[i].precision == precision) {
            numbers = tolerances[i].numbers;
            labels = tolerances[i].labels;
        }
    if (o->tolerance >= 0)
        numbers = labels = o->tolerance;
    if (!o->json)
        printf("%s as it is, against what segrt made of it on %s, %dx%dx%d:\n", file->name, segrt_session_device(engine->t.session),
               shape.n, shape.h, shape.w);
    progress bar = progress_begin(DRAWN_KINDS, "inputs verified");
    for (int kind = 0; kind < DRAWN_KINDS && fine; kind++) {
        drawn_fill(&in, (drawn_kind)kind);
        progress_clear(&bar);
        fine = verify_input(file, engine, &in, (drawn_kind)kind, o, numbers, labels, &beyond);
        progress_step(&bar);
    }
    progress_clear(&bar);
    free(in.data);
    return fine && !beyond ? EXIT_DONE : EXIT_SOME_FAILED;
}

int verify_import(const target *t, const verify_options *o)
{
    /* Any shape: the engine's profile may be large, or leave out the file's. */
    segrt_engine engine = *t->engine;
    engine.profile.min = engine.profile.opt = engine.profile.max = (segrt_shape){0};
    target open = {.name = t->name, .model = t->model, .engine = &engine, .info = t->info};
    /* int8 was held against float32 when it was calibrated; what is in question here is the import. */
    segrt_precision precision = engine.profile.precision == SEGRT_INT8 ? SEGRT_FLOAT32 : engine.profile.precision;
    segrt_session_options how = {.size = sizeof how, .precision = precision, .threads = o->threads};
    segrt_error error = {0};
    if (precision != SEGRT_FLOAT32 && segrt_session_open(&open.session, &engine, &how, NULL)) /* not on this machine */
        how.precision = precision = SEGRT_FLOAT32;
    if (!open.session && segrt_session_open(&open.session, &engine, &how, &error)) {
        report_error(t->name, &error);
        return exit_code_of(error.status);
    }
    char *path = path_of(t);
    side file, made = side_of(&open);
    int result = side_open_original(&file, t, path, o->threads);
    if (!result)
        result = verify_sides(&file, &made, o, precision);
    side_close(&made);
    side_close(&file);
    segrt_session_close(open.session);
    free(path);
    return result;
}
