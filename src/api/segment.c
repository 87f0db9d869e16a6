/* segment: a picture to its labels.  API layer; see session.h. */
#include <time.h>

#include "api/session.h"
#include "base/sized.h"
#include "image/image.h"

static double milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return 1e3 * (double)now.tv_sec + 1e-6 * (double)now.tv_nsec;
}

/* Checks what the caller wants and fills in what was left at its default. */
static segrt_status check_result(const segrt_session *session, const segrt_image *picture, bool slides, segrt_result *r, segrt_error *error)
{
    if (r->label_bytes == 0)
        r->label_bytes = 1;
    if (r->label_stride == 0)
        r->label_stride = picture->width;
    if (r->label_bytes != 1 && r->label_bytes != 2)
        return fail_with(error, SEGRT_ARGUMENT, "segrt_result.label_bytes is %d: 1 or 2", r->label_bytes);
    if (r->labels && r->label_bytes == 1 && session->engine->net->classes > 256)
        return fail_with(error, SEGRT_ARGUMENT, "the model has %d classes: segrt_result.label_bytes must be 2", session->engine->net->classes);
    if (r->label_stride < picture->width)
        return fail_with(error, SEGRT_ARGUMENT, "segrt_result.label_stride is %td, less than the picture's width %d", r->label_stride, picture->width);
    if (r->logits && slides)
        return fail_with(error, SEGRT_ARGUMENT, "logits are not to be had with a sliding window: it averages at the picture's own size");
    return SEGRT_OK;
}

segrt_status segrt_session_segment(segrt_session *session, const segrt_image *picture, const segrt_preprocessing *preprocessing,
                                   segrt_result *result, segrt_error *error)
{
    segrt_result r;
    segrt_preprocessing p;
    const uint8_t *pixels;
    int w, h;
    const double begin = milliseconds();
    atomic_store(&session->cancel, false);
    if (!picture || !result)
        return fail_with(error, SEGRT_ARGUMENT, "segrt_session_segment wants a picture and a result");
    segrt_status status = sized_read(&r, sizeof r, result, "segrt_result", error);
    if (!status)
        status = session_preprocessing(session, preprocessing, &p, error);
    if (!status)
        status = session_prepare(session, picture, &p, &pixels, &w, &h, error);
    if (!status)
        status = check_result(session, picture, p.window > 0, &r, error);
    if (status)
        return status;
    const double prepared = milliseconds();
    const label_output output = {
        .labels = r.labels,
        .label_bytes = r.label_bytes,
        .stride = r.label_stride,
        .confidence = r.confidence,
        .h = picture->height,
        .w = picture->width,
        .via_input = p.via_input || p.window > 0, /* one window: its logits go to its own size, which is the input's */
    };
    if (p.window > 0 && (w > p.window || h > p.window))
        status = session_slide(session, pixels, w, h, &p, &output, error);
    else
        status = session_run(session, &(backend_run){.n = 1, .h = h, .w = w, .pixels = pixels, .logits = r.logits, .output = output}, error);
    if (status)
        return status;
    r.input_width = w;
    r.input_height = h;
    r.prepare_ms = prepared - begin;
    r.network_ms = milliseconds() - prepared;
    sized_write(result, &r, sizeof r);
    return SEGRT_OK;
}
