/* measured: the figures of `segrt bench`, and how they are told: text, JSON, CSV.  The program. */
#ifndef SEGRT_PROGRAM_MEASURED_H
#define SEGRT_PROGRAM_MEASURED_H

#include <jansson.h>
#include <stdio.h>

#include "api/inside.h"

/* Milliseconds of a number of runs. */
typedef struct latency {
    size_t runs;
    double min, mean, median, p90, p95, p99;
} latency;

/* A step's time goes by its nearer ceiling. */
typedef struct profile {
    const backend_profile_row *rows;
    size_t count, runs; /* rows; runs that their seconds are summed over */
    backend_ceiling ceiling;
} profile;

typedef struct measured {
    const char *model, *variant;
    char device[128];
    segrt_shape shape;
    latency whole;     /* host to host: pixels in the host's memory to labels there, by its clock */
    latency compute;   /* the network's steps alone */
    bool device_tells; /* `compute` is by the device's clock; else of runs whose steps were timed one by one */
    double open_ms, fold_ms, session_ms, first_ms;
    segrt_shape other; /* a shape that the session did not know; n 0: the profile allows none */
    double other_first_ms, other_again_ms;
    size_t session_bytes, peak_bytes; /* held by the session; of the process */
    /* Of a device with memory of its own; has_device false: none of it. */
    bool has_device;
    double context_ms;              /* making what the process needs there once */
    double copy_in_ms, copy_out_ms; /* medians, by the device's clock; 0: it does not tell */
    double no_graph_ms;             /* compute with steps launched one by one; 0: not measured */
    size_t device_bytes;            /* taken from what was free, beyond the context */
    backend_facts facts;            /* right after the timed runs */
} measured;

/* Sorts `ms`. */
latency latency_of(double *ms, size_t count);
double median_of(double *ms, size_t count);

void measured_print(const measured *m, FILE *to);
json_t *measured_json(const measured *m, json_t *steps);
/* One line; with its heading where `heading`. */
void measured_csv(const measured *m, bool heading, FILE *to);

void profile_print(const profile *p, FILE *to);
json_t *profile_json(const profile *p);

#endif
