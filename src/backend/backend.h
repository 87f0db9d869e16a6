/* backend: what a device does for the layers above: run a folded network.  Implementations:
 * reference (the oracle), cpu, cuda.  No backend sees another. */
#ifndef SEGRT_BACKEND_H
#define SEGRT_BACKEND_H

#include <stdatomic.h>

#include "base/error.h"
#include "base/pool.h"
#include "network/engine.h"

/* What labels are made of: logits go through up to two bilinear resizes (align_corners = false), then
 * argmax (lowest index wins a tie). */
typedef struct label_output {
    void *labels;            /* [n][h][stride] of label_bytes each, or NULL */
    int label_bytes;         /* 1 or 2 */
    ptrdiff_t stride;        /* elements from a row to the next */
    ptrdiff_t picture_stride;/* elements from a picture to the next */
    uint8_t *confidence;     /* [n][h][w], or NULL: round(255 * softmax probability of the winner) */
    int h, w;                /* of the labels */
    bool via_input;          /* logits -> input size -> h x w; else logits -> h x w */
} label_output;

/* An operation's output as it becomes known, for bisecting: data [n][rows * columns][channels] float32.
 * Of OP_KEYS that is K; of what is added to the residual stream, the stream.
 * Backends report the operations that they materialise; --no-fuse makes that all of them. */
typedef void observe_fn(void *user, operation op, const float *data, int n, int h, int w, int channels);

typedef struct backend_run {
    int n, h, w;
    const uint8_t *pixels;  /* [n][h][w][3] R G B, packed; or */
    const float *input;     /* [n][3][h][w] normalised */
    float *logits;          /* [n][classes][ceil(h/4)][ceil(w/4)], or NULL */
    label_output output;    /* labels NULL and confidence NULL: not computed */
    double *stage_mean[STAGES]; /* [width]: means over tokens of f + offset, or NULL */
    observe_fn *observe;    /* or NULL */
    void *observe_user;
    atomic_bool *cancel;    /* or NULL: polled between steps */
} backend_run;

/* One row of a profile: time of the operations that a step covers. */
typedef struct backend_profile_row {
    operation first;
    int count;              /* operations covered */
    const char *kernel;     /* name of the registry row */
    double seconds;         /* summed over runs */
    uint64_t macs, bytes;   /* of one run */
} backend_profile_row;

/* What a device reaches at its best, measured: products in the session's precision, a copy (bytes read and written). */
typedef struct backend_ceiling {
    double macs, bytes; /* a second */
} backend_ceiling;

/* Where the latest run's time went, by the device's own clock, in seconds.  Zeros: not known. */
typedef struct backend_times {
    double copy_in, compute, copy_out;
} backend_times;

/* What a device with memory of its own says of itself now.  Zeros: not known, for the reason in `note`. */
typedef struct backend_facts {
    size_t memory_free, memory_total; /* bytes */
    double watts, watts_most, degrees;
    int core_mhz, memory_mhz;
    char note[128]; /* "" where all is known */
} backend_facts;

typedef struct backend_options {
    segrt_precision precision;
    const operation_setting *settings; /* of an int8 engine, in the order of network_operations; or NULL */
    segrt_pool *pool;
    int device;             /* ordinal */
    bool no_fuse;           /* rows of one operation only */
    bool profile;           /* time each step */
    bool no_graph;          /* a device that captures a run as a graph launches its steps one by one */
} backend_options;

/* A run on memory of the device itself: queued on the caller's stream, not waited for. */
typedef struct backend_device_run {
    int n, h, w;
    const uint8_t *pixels;  /* device: [n][h] rows of w pixels R G B */
    size_t stride, picture_stride;             /* bytes from a row, from a picture to the next */
    void *labels;           /* device: [n][h] rows of w labels of label_bytes each */
    int label_bytes;
    size_t label_stride, label_picture_stride; /* bytes */
    void *stream;           /* the device's own kind */
} backend_device_run;

typedef struct backend {
    const char *name;       /* "reference", "cpu", "cuda" */
    segrt_status (*open)(void **state, const network *net, const backend_options *options, segrt_error *error);
    /* Plans and allocates for a shape (kept for the latest few); run() does it where it was not called. */
    segrt_status (*prepare)(void *state, int n, int h, int w, segrt_error *error);
    segrt_status (*run)(void *state, const backend_run *run, segrt_error *error);
    const char *(*describe)(const void *state);          /* "cpu, avx2, float32, 2 threads" */
    size_t (*memory)(const void *state);                 /* bytes held */
    size_t (*profile)(const void *state, const backend_profile_row **rows); /* of the last shape run */
    segrt_status (*ceiling)(const void *state, backend_ceiling *ceiling, segrt_error *error); /* takes a tenth of a second; NULL: cannot */
    void (*close)(void *state);                          /* accepts NULL */
    segrt_status (*run_device)(void *state, const backend_device_run *run, segrt_error *error); /* NULL: its memory is the host's */
    void (*times)(void *state, backend_times *times);    /* of the latest run; NULL: does not tell */
    /* The first call makes what the process needs on the device once (a context).  NULL: the host is the device. */
    segrt_status (*facts)(int device, backend_facts *facts, segrt_error *error);
} backend;

extern const backend backend_reference, backend_cpu;

#endif
