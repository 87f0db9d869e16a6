/* prepare: a picture in memory to the pixels that the network sees.  API layer; see session.h. */
#include "api/inside.h"
#include "api/session.h"
#include "base/sized.h"
#include "image/image.h"

enum { ROWS_A_PIECE = 64 };

segrt_status session_preprocessing(const segrt_session *session, const segrt_preprocessing *given, segrt_preprocessing *resolved,
                                   segrt_error *error)
{
    const segrt_preprocessing *own = &session->engine->preprocessing;
    if (!given) {
        *resolved = *own;
        return SEGRT_OK;
    }
    const segrt_status status = sized_read(resolved, sizeof *resolved, given, "segrt_preprocessing", error);
    if (status)
        return status;
    if (resolved->resize == SEGRT_RESIZE_MODEL) {
        resolved->resize = own->resize;
        resolved->width = own->width;
        resolved->height = own->height;
        resolved->multiple = own->multiple;
    }
    if (resolved->resample == SEGRT_RESAMPLE_MODEL)
        resolved->resample = own->resample;
    const bool sized = resolved->resize != SEGRT_RESIZE_NONE;
    if ((sized && resolved->width < 1) || (resolved->resize >= SEGRT_RESIZE_FIT && resolved->height < 1) || resolved->window < 0 ||
        resolved->stride < 0 || (resolved->window && resolved->stride > resolved->window) || resolved->resize > SEGRT_RESIZE_FIT || resolved->resample > SEGRT_RESAMPLE_NEAREST)
        return fail_with(error, SEGRT_ARGUMENT, "preprocessing: resize %d to %dx%d, window %d, stride %d makes no sense", (int)resolved->resize,
                         resolved->width, resolved->height, resolved->window, resolved->stride);
    return SEGRT_OK;
}

struct to_rgb {
    const segrt_image *picture;
    uint8_t *rgb;
};

static void to_rgb_piece(void *job, int worker, int piece)
{
    (void)worker;
    const struct to_rgb *j = job;
    const int begin = piece * ROWS_A_PIECE, end = begin + ROWS_A_PIECE < j->picture->height ? begin + ROWS_A_PIECE : j->picture->height;
    image_to_rgb(j->picture, begin, end, j->rgb + (size_t)begin * (size_t)j->picture->width * 3);
}

/* One resize through a resampler that is kept for the next picture of these sizes. */
static segrt_status resize(segrt_session *session, resampler **kept, session_buffer *buffer, segrt_resample method, const uint8_t **pixels,
                           const int from[2], const int to[2], segrt_error *error)
{
    segrt_status status = session_buffer_need(buffer, (size_t)to[0] * (size_t)to[1], 3, "the resized picture", error);
    if (!status && !(*kept && resampler_fits(*kept, method, from[0], from[1], to[0], to[1]))) {
        resampler_close(*kept);
        *kept = NULL;
        status = resampler_open(kept, method, from[0], from[1], to[0], to[1], error);
    }
    if (status)
        return status;
    resampler_run(*kept, *pixels, buffer->data, session->pool);
    *pixels = buffer->data;
    return SEGRT_OK;
}

segrt_status session_prepare(segrt_session *session, const segrt_image *picture, const segrt_preprocessing *p, const uint8_t **pixels, int *w,
                             int *h, segrt_error *error)
{
    segrt_status status = image_check(picture, error);
    if (status)
        return status;
    const int width = picture->width, height = picture->height;
    if (picture->format == SEGRT_RGB8 && picture->stride[0] == (ptrdiff_t)width * 3)
        *pixels = picture->plane[0];
    else {
        status = session_buffer_need(&session->rgb, (size_t)width * (size_t)height, 3, "the picture as RGB", error);
        if (status)
            return status;
        struct to_rgb job = {.picture = picture, .rgb = session->rgb.data};
        pool_run(session->pool, (height + ROWS_A_PIECE - 1) / ROWS_A_PIECE, to_rgb_piece, &job);
        *pixels = session->rgb.data;
    }
    image_input_size(p, width, height, w, h);
    int fit_w, fit_h;
    image_fit_size(p, width, height, &fit_w, &fit_h);
    if (fit_w != *w || fit_h != *h) {
        if (fit_w != width || fit_h != height)
            status = resize(session, &session->fit, &session->fitted, p->resample, pixels, (int[]){width, height}, (int[]){fit_w, fit_h}, error);
    } else {
        fit_w = width;
        fit_h = height;
    }
    if (!status && (fit_w != *w || fit_h != *h))
        status = resize(session, &session->resize, &session->input, p->resample, pixels, (int[]){fit_w, fit_h}, (int[]){*w, *h}, error);
    return status;
}

segrt_status session_pixels(segrt_session *session, const segrt_image *picture, const segrt_preprocessing *preprocessing, const uint8_t **pixels,
                            int *w, int *h, segrt_error *error)
{
    segrt_preprocessing p;
    const segrt_status status = session_preprocessing(session, preprocessing, &p, error);
    return status ? status : session_prepare(session, picture, &p, pixels, w, h, error);
}
