/* calibrate: see calibrate.h.
 *
 * The pictures run in float32, one operation a step; of the inputs of fc1 and fc2 histograms are kept, and the scale is the one
 * that gives the least squared error: values beyond 127 scales are cut, those below are rounded.  Then every block runs alone on
 * integers and its error at the logits is measured against the same session without it; the errors of blocks add like
 * independent noise, and the largest stay wider until the sum is within BUDGET. */
#include "api/calibrate.h"

#include <math.h>
#include <string.h>

#include "api/inside.h"
#include "api/session.h"
#include "base/log.h"

enum {
    BIN_SHIFT = 20,                 /* of a float's bits: eight bins to the octave */
    BINS = 1 << (31 - BIN_SHIFT),
    INFINITE = 0x7f8,               /* bins from here on hold no numbers */
    OCTAVES = 6,                    /* below the largest value that a cut is looked for */
    MEASURED_PICTURES = 2,          /* for the blocks' errors */
};
static const double BUDGET = 0.05; /* relative error of the logits, all blocks together */

typedef struct histogram {
    uint64_t count[BINS];
} histogram;

typedef struct calibration {
    segrt_engine *engine;
    operation *operations;
    histogram *histograms; /* [setting_count] */
} calibration;

static size_t find(const calibration *c, operation_kind kind, operation at)
{
    size_t i = 0;
    while (i < c->engine->setting_count &&
           !(c->operations[i].kind == kind && c->operations[i].stage == at.stage && c->operations[i].block == at.block))
        i++;
    return i;
}

static void count(histogram *h, const float *x, size_t n, float factor)
{
    for (size_t i = 0; i < n; i++) {
        const float value = fabsf(x[i] * factor);
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        h->count[bits >> BIN_SHIFT & (BINS - 1)]++;
    }
}

/* fc1 reads the stream as attention leaves it, normed; fc2 what the depthwise convolution gives. */
static void observe(void *user, operation op, const float *data, int n, int h, int w, int channels)
{
    const calibration *c = user;
    const size_t tokens = (size_t)n * (size_t)h * (size_t)w, each = (size_t)channels;
    if (op.kind == OP_DEPTHWISE) {
        count(&c->histograms[find(c, OP_FC2, op)], data, tokens * each, 1);
    } else if (op.kind == OP_PROJECT || (op.kind == OP_ATTEND && c->engine->net->stages[op.stage].heads == 1)) {
        histogram *to = &c->histograms[find(c, OP_FC1, op)];
        const double eps = c->engine->net->stages[op.stage].blocks[op.block].eps2;
        for (size_t t = 0; t < tokens; t++) {
            double squares = 0;
            for (size_t i = 0; i < each; i++)
                squares += (double)data[t * each + i] * (double)data[t * each + i];
            count(to, data + t * each, each, (float)(1 / sqrt(squares / (double)each + eps)));
        }
    }
}

static double value_of(size_t bin)
{
    const uint32_t bits = (uint32_t)bin << BIN_SHIFT | 1u << (BIN_SHIFT - 1);
    float value;
    memcpy(&value, &bits, sizeof value);
    return (double)value;
}

/* Zero where values are not finite. */
static float best_scale(const histogram *h)
{
    size_t top = 0;
    for (size_t bin = 0; bin < BINS; bin++)
        if (h->count[bin])
            top = bin;
    if (top >= INFINITE)
        return 0;
    double best = INFINITY, scale = 1;
    const size_t octave = 1u << (23 - BIN_SHIFT);
    for (size_t cut = top > OCTAVES * octave ? top - OCTAVES * octave : 0; cut <= top + 1; cut++) {
        const double step = value_of(cut) / 127;
        double error = 0;
        for (size_t bin = 0; bin <= top; bin++) {
            const double value = value_of(bin), over = value - 127.5 * step;
            const double each = over > 0 ? (value - 127 * step) * (value - 127 * step) : value < step / 2 ? value * value : step * step / 12;
            error += (double)h->count[bin] * each;
        }
        if (error < best) {
            best = error;
            scale = step;
        }
    }
    return (float)fmin(fmax(scale, 1e-12), 1e12);
}

/* ----------------------------------------------------------------------------------- the steps */

static segrt_status run_picture(segrt_session *session, const segrt_image *picture, void *state, backend_run run, segrt_error *error)
{
    int w, h;
    segrt_status status = session_pixels(session, picture, NULL, &run.pixels, &w, &h, error);
    run.n = 1;
    run.h = h;
    run.w = w;
    return status ? status : backend_cpu.run(state, &run, error); /* whatever the profile: scales do not depend on shape */
}

static segrt_status measure_scales(calibration *c, segrt_session *session, const segrt_image *pictures, size_t picture_count, segrt_error *error)
{
    const size_t settings = c->engine->setting_count;
    for (size_t i = 0; i < picture_count; i++) {
        const segrt_status status = run_picture(session, &pictures[i], session->state, (backend_run){.observe = observe, .observe_user = c}, error);
        if (status)
            return status;
    }
    for (size_t i = 0; i < settings; i++) {
        if (c->operations[i].kind != OP_FC1 && c->operations[i].kind != OP_FC2)
            continue;
        c->engine->settings[i].input_scale = best_scale(&c->histograms[i]);
        if (c->engine->settings[i].input_scale == 0)
            return fail_with(error, SEGRT_UNSUPPORTED, "calibration: the input of %s of stage %d, block %d is not finite", operation_name(c->operations[i].kind),
                             c->operations[i].stage + 1, c->operations[i].block + 1);
    }
    return SEGRT_OK;
}

/* Logits [room] of a picture under the engine's present settings. */
static segrt_status run_int8(calibration *c, segrt_session *session, const segrt_image *picture, float *logits, segrt_error *error)
{
    void *state;
    const backend_options how = {.precision = SEGRT_INT8, .pool = session->pool, .settings = c->engine->settings};
    segrt_status status = backend_cpu.open(&state, c->engine->net, &how, error);
    if (!status) {
        status = run_picture(session, picture, state, (backend_run){.logits = logits}, error);
        backend_cpu.close(state);
    }
    return status;
}

static void set_block(calibration *c, size_t fc1, segrt_precision precision)
{
    c->engine->settings[fc1].precision = precision;
    c->engine->settings[find(c, OP_FC2, c->operations[fc1])].precision = precision;
}

/* Squared relative errors of the logits, [setting_count] at places of fc1, added up over pictures. */
static segrt_status measure_errors(calibration *c, segrt_session *session, const segrt_image *picture, double *errors, segrt_error *error)
{
    int w, h;
    const uint8_t *pixels;
    segrt_status status = session_pixels(session, picture, NULL, &pixels, &w, &h, error);
    if (status)
        return status;
    const size_t room = (size_t)c->engine->net->classes * (size_t)((h + 3) / 4) * (size_t)((w + 3) / 4);
    float *wide = memory_get_array(room, sizeof *wide), *narrow = memory_get_array(room, sizeof *narrow);
    status = wide && narrow ? run_int8(c, session, picture, wide, error) : fail_memory(error, 2 * room * sizeof *wide, "logits of a calibration picture");
    for (size_t i = 0; !status && i < c->engine->setting_count; i++) {
        if (c->operations[i].kind != OP_FC1)
            continue;
        set_block(c, i, SEGRT_INT8);
        status = run_int8(c, session, picture, narrow, error);
        set_block(c, i, SEGRT_BFLOAT16);
        double difference = 0, whole = 0;
        for (size_t p = 0; !status && p < room; p++) {
            const double d = (double)narrow[p] - (double)wide[p];
            difference += d * d;
            whole += (double)wide[p] * (double)wide[p];
        }
        errors[i] += whole > 0 ? difference / whole : 0;
    }
    memory_free(narrow);
    memory_free(wide);
    return status;
}

/* All blocks on integers but those with the largest errors. */
static void choose(calibration *c, const double *errors, size_t picture_count)
{
    double sum = 0;
    for (size_t i = 0; i < c->engine->setting_count; i++)
        if (c->operations[i].kind == OP_FC1) {
            log_line(SEGRT_LOG_INFO, "int8: Mix-FFN of stage %d, block %d changes the logits by %.1e", c->operations[i].stage + 1,
                     c->operations[i].block + 1, sqrt(errors[i] / (double)picture_count));
            set_block(c, i, SEGRT_INT8);
            sum += errors[i] / (double)picture_count;
        }
    while (!(sum <= BUDGET * BUDGET)) {
        size_t worst = c->engine->setting_count;
        for (size_t i = 0; i < c->engine->setting_count; i++)
            if (c->operations[i].kind == OP_FC1 && c->engine->settings[i].precision == SEGRT_INT8 &&
                (worst == c->engine->setting_count || !(errors[i] <= errors[worst])))
                worst = i;
        if (worst == c->engine->setting_count)
            break;
        set_block(c, worst, SEGRT_BFLOAT16);
        sum = 0;
        for (size_t i = 0; i < c->engine->setting_count; i++)
            if (c->operations[i].kind == OP_FC1 && c->engine->settings[i].precision == SEGRT_INT8)
                sum += errors[i] / (double)picture_count;
    }
}

segrt_status engine_calibrate(segrt_engine *engine, const segrt_image *pictures, size_t picture_count, segrt_error *error)
{
    if (!engine->net->classes)
        return fail_with(error, SEGRT_UNSUPPORTED, "int8 wants a decode head: what integers cost is measured at the logits");
    arena memory = {0};
    segrt_session *session = NULL;
    double *errors = NULL;
    size_t settings;
    const size_t measured = picture_count < MEASURED_PICTURES ? picture_count : MEASURED_PICTURES;
    calibration c = {.engine = engine};
    segrt_status status = network_operations(engine->net, &memory, &c.operations, &settings, error);
    if (!status) {
        c.histograms = memory_get_cleared(settings, sizeof *c.histograms);
        errors = memory_get_cleared(settings, sizeof *errors);
        if (!c.histograms || !errors)
            status = fail_memory(error, settings * sizeof *c.histograms, "histograms of activations");
    }
    if (!status)
        status = session_open_inside(&session, engine, &(segrt_session_options){.size = sizeof(segrt_session_options), .device = "cpu", .precision = SEGRT_FLOAT32},
                                     (session_inside){.no_fuse = true}, error);
    if (!status)
        status = measure_scales(&c, session, pictures, picture_count, error);
    for (size_t i = 0; !status && i < measured; i++)
        status = measure_errors(&c, session, &pictures[i * picture_count / measured], errors, error);
    if (!status)
        choose(&c, errors, measured);
    segrt_session_close(session);
    memory_free(errors);
    memory_free(c.histograms);
    arena_free(&memory);
    return status;
}
