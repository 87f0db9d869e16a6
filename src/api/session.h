/* session: what segrt_session is made of.  API layer: session.c opens it and runs the network alone, segment.c runs
 * pictures through it, window.c slides over large ones. */
#ifndef SEGRT_API_SESSION_H
#define SEGRT_API_SESSION_H

#include <stdatomic.h>

#include "api/engine.h"
#include "backend/backend.h"
#include "image/resample.h"
#include "image/slide.h"

/* Memory that only grows, so that a steady state allocates nothing. */
typedef struct session_buffer {
    void *data;
    size_t bytes;
} session_buffer;

/* At least `count` * `size` bytes, contents undefined.  Errors: NO_MEMORY. */
segrt_status session_buffer_need(session_buffer *buffer, size_t count, size_t size, const char *what, segrt_error *error);

struct segrt_session {
    const segrt_engine *engine;
    const backend *device;
    void *state;                 /* the backend's */
    segrt_pool *pool, *own_pool; /* own_pool NULL: the caller's */
    atomic_bool cancel;
    observe_fn *observe;         /* the program's bisecting; or NULL */
    void *observe_user;
    /* picture to input */
    session_buffer rgb, fitted, input;
    resampler *fit, *resize;     /* of the latest sizes; fit: the first of two resizes, where there are two */
    /* sliding window */
    session_buffer tile;
    slide *slide;                /* of the latest sizes */
};

/* The refusal of a backbone without a decode head. */
segrt_status fail_headless(segrt_error *error);

/* Runs the backend once: the shape checked against the profile, cancellation armed. */
segrt_status session_run(segrt_session *session, backend_run *run, segrt_error *error);

/* A picture to packed RGB of the network's input size, as `p` (resolved) says: *pixels [*h][*w][3], owned by the
 * session or borrowed from the picture. */
segrt_status session_prepare(segrt_session *session, const segrt_image *picture, const segrt_preprocessing *p, const uint8_t **pixels, int *w,
                             int *h, segrt_error *error);

/* The caller's preprocessing (NULL: the model's) with "the model's own" replaced by what that is. */
segrt_status session_preprocessing(const segrt_session *session, const segrt_preprocessing *given, segrt_preprocessing *resolved,
                                   segrt_error *error);

/* Labels and confidence of an input [h][w][3] larger than p->window, window by window. */
segrt_status session_slide(segrt_session *session, const uint8_t *pixels, int w, int h, const segrt_preprocessing *p, const label_output *output,
                           segrt_error *error);

#endif
