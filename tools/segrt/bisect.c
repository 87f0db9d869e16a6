/* bisect: see bisect.h. */
#include "bisect.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"

typedef struct record {
    operation op;
    int h, w, channels;
    float *data;
} record;

/* B's outputs are kept; A's are compared as they come. */
typedef struct trace {
    record *records;
    size_t count, room;
    bool no_memory;
} trace;

typedef struct check {
    const trace *kept;
    bool centred_alike; /* stage outputs may carry different constants: then what reads them differs by constants too */
    double tolerance;
    const record *first; /* the first operation beyond the tolerance */
    double first_relative;
    size_t compared;
} check;

static void keep(void *user, operation op, const float *data, int n, int h, int w, int channels)
{
    trace *t = user;
    const size_t count = (size_t)n * (size_t)h * (size_t)w * (size_t)channels;
    if (t->count == t->room) {
        const size_t room = t->room ? 2 * t->room : 128;
        record *records = realloc(t->records, room * sizeof *records);
        if (!records) {
            t->no_memory = true;
            return;
        }
        t->records = records;
        t->room = room;
    }
    float *copy = malloc(count * sizeof *copy + 1);
    t->no_memory = t->no_memory || !copy;
    if (copy)
        t->records[t->count++] = (record){.op = op, .h = h, .w = w, .channels = channels, .data = memcpy(copy, data, count * sizeof *copy)};
}

static void trace_free(trace *t)
{
    for (size_t i = 0; i < t->count; i++)
        free(t->records[i].data);
    free(t->records);
}

static bool same_operation(operation a, operation b)
{
    return a.kind == b.kind && a.stage == b.stage && a.block == b.block;
}

static void hold_against(void *user, operation op, const float *data, int n, int h, int w, int channels)
{
    check *c = user;
    size_t i = 0;
    while (i < c->kept->count && !same_operation(c->kept->records[i].op, op))
        i++;
    if (i == c->kept->count)
        return; /* B does not report it */
    const record *r = &c->kept->records[i];
    char name[64];
    if (op.stage < 0)
        snprintf(name, sizeof name, "%s", operation_name(op.kind));
    else if (op.block < 0)
        snprintf(name, sizeof name, "stage %d %s", op.stage + 1, operation_name(op.kind));
    else
        snprintf(name, sizeof name, "stage %d block %d %s", op.stage + 1, op.block + 1, operation_name(op.kind));
    if (r->h != h || r->w != w || r->channels != channels) {
        printf("%-32s %dx%dx%d, in B %dx%dx%d\n", name, h, w, channels, r->h, r->w, r->channels);
        return;
    }
    if (!c->centred_alike && (op.kind == OP_STAGE_NORM || op.kind == OP_LEVEL)) {
        printf("%-32s not compared: A and B are centred differently\n", name);
        return;
    }
    double difference = 0, norm = 0;
    const size_t count = (size_t)n * (size_t)h * (size_t)w * (size_t)channels;
    for (size_t k = 0; k < count; k++) {
        const double d = (double)data[k] - (double)r->data[k];
        difference += d * d;
        norm += (double)r->data[k] * (double)r->data[k];
    }
    const double relative = norm > 0 ? sqrt(difference / norm) : sqrt(difference);
    const bool beyond = !(relative <= c->tolerance);
    c->compared++;
    printf("%-32s %5d x %-5d x %-5d %10.3e%s\n", name, h, w, channels, relative, beyond && !c->first ? "  <- beyond the tolerance" : "");
    if (beyond && !c->first) {
        c->first = r;
        c->first_relative = relative;
    }
}

static bool centred_alike(const network *a, const network *b)
{
    for (int s = 0; s < STAGES; s++)
        for (int i = 0; i < a->stages[s].width && i < b->stages[s].width; i++)
            if (weight_at(a->stages[s].offset, (size_t)i) != weight_at(b->stages[s].offset, (size_t)i))
                return false;
    return true;
}

static segrt_status run_observed(const side *s, const target_options *o, const float *tensor, int h, int w, observe_fn *observe, void *user,
                                 segrt_error *error)
{
    const segrt_session_options options = {.size = sizeof options, .device = o->device, .precision = o->precision, .threads = o->threads};
    segrt_session *session = NULL;
    float *logits = malloc((size_t)s->t.info.classes * (size_t)((h + 3) / 4) * (size_t)((w + 3) / 4) * sizeof *logits);
    segrt_status status = logits ? session_open_inside(&session, s->t.engine, &options, (session_inside){.no_fuse = true}, error) : SEGRT_NO_MEMORY;
    if (!status) {
        session_observe(session, observe, user);
        status = segrt_session_forward(session, tensor, 1, h, w, logits, error);
    }
    segrt_session_close(session);
    free(logits);
    if (status)
        report_error(s->name, error);
    return status;
}

int bisect(const side *a, const target_options *options_a, const side *b, const target_options *options_b, const float *tensor, int h,
           int w, double tolerance, bool *within)
{
    trace kept = {0};
    segrt_error error = {0};
    check c = {.kept = &kept, .tolerance = tolerance};
    c.centred_alike = centred_alike(a->t.engine->net, b->t.engine->net);
    segrt_status status = run_observed(b, options_b, tensor, h, w, keep, &kept, &error);
    if (kept.no_memory)
        report("out of memory for the operations of %s", b->name);
    if (!status && !kept.no_memory) {
        printf("\n%-32s %5s x %-5s x %-5s %10s\n", "operation", "rows", "cols", "chan.", "relative");
        status = run_observed(a, options_a, tensor, h, w, hold_against, &c, &error);
    }
    if (!status && c.first)
        printf("A and B part at the operation marked above: %.3e is beyond %.3e\n", c.first_relative, tolerance);
    else if (!status)
        printf("all %zu operations lie within %.3e\n", c.compared, tolerance);
    *within = !c.first;
    trace_free(&kept);
    return status ? exit_code_of(status) : kept.no_memory ? EXIT_SOME_FAILED : EXIT_DONE;
}
