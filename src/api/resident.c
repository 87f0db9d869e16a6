/* resident: pictures that are in device memory already.  API layer; see session.h. */
#include "api/session.h"
#include "base/sized.h"

/* Fills in what was left at its default; refuses what makes no sense. */
static segrt_status check_run(const segrt_session *session, segrt_device_run *r, segrt_error *error)
{
    if (r->n == 0)
        r->n = 1;
    if (r->label_bytes == 0)
        r->label_bytes = 1;
    if (!r->pixels || !r->labels)
        return fail_with(error, SEGRT_ARGUMENT, "segrt_device_run wants pixels and labels");
    if (r->n < 1 || r->width < 1 || r->height < 1)
        return fail_with(error, SEGRT_ARGUMENT, "segrt_device_run: %d pictures of %dx%d", r->n, r->width, r->height);
    if (r->label_bytes != 1 && r->label_bytes != 2)
        return fail_with(error, SEGRT_ARGUMENT, "segrt_device_run.label_bytes is %d: 1 or 2", r->label_bytes);
    if (r->label_bytes == 1 && session->engine->net->classes > 256)
        return fail_with(error, SEGRT_ARGUMENT, "the model has %d classes: segrt_device_run.label_bytes must be 2",
                         session->engine->net->classes);
    const ptrdiff_t row = (ptrdiff_t)r->width * 3;
    if (r->stride == 0)
        r->stride = row;
    if (r->label_stride == 0)
        r->label_stride = r->width;
    const ptrdiff_t most = PTRDIFF_MAX / 4 / r->height / r->n; /* so that no product below overflows */
    if (r->stride < row || r->stride > most || r->label_stride < r->width || r->label_stride > most)
        return fail_with(error, SEGRT_ARGUMENT, "segrt_device_run: a stride of %td bytes or of %td labels for rows of %d pixels", r->stride,
                         r->label_stride, r->width);
    if (r->picture_stride == 0)
        r->picture_stride = r->height * r->stride;
    if (r->label_picture_stride == 0)
        r->label_picture_stride = r->height * r->label_stride;
    if (r->picture_stride < r->height * r->stride || r->label_picture_stride < r->height * r->label_stride ||
        r->picture_stride > PTRDIFF_MAX / 4 / r->n || r->label_picture_stride > PTRDIFF_MAX / 4 / r->n)
        return fail_with(error, SEGRT_ARGUMENT, "segrt_device_run: pictures %td bytes or %td labels apart overlap, or do not fit memory",
                         r->picture_stride, r->label_picture_stride);
    return SEGRT_OK;
}

segrt_status segrt_session_run_device(segrt_session *session, const segrt_device_run *run, segrt_error *error)
{
    segrt_device_run r;
    if (!run)
        return fail_with(error, SEGRT_ARGUMENT, "segrt_session_run_device wants a segrt_device_run");
    segrt_status status = sized_read(&r, sizeof r, run, "segrt_device_run", error);
    if (status)
        return status;
    if (session->engine->net->classes == 0)
        return fail_headless(error);
    status = check_run(session, &r, error);
    if (!status)
        status = engine_check_shape(session->engine, r.n, r.height, r.width, error);
    if (status)
        return status;
    if (!session->device->run_device)
        return fail_with(error, SEGRT_UNSUPPORTED, "device memory needs a session on cuda; this one runs on %s",
                         session->device->describe(session->state));
    const backend_device_run wanted = {
        .n = r.n,
        .h = r.height,
        .w = r.width,
        .pixels = r.pixels,
        .stride = (size_t)r.stride,
        .picture_stride = (size_t)r.picture_stride,
        .labels = r.labels,
        .label_bytes = r.label_bytes,
        .label_stride = (size_t)r.label_stride * (size_t)r.label_bytes,
        .label_picture_stride = (size_t)r.label_picture_stride * (size_t)r.label_bytes,
        .stream = r.stream,
    };
    return session->device->run_device(session->state, &wanted, error);
}
