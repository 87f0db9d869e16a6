/* session_resident: a run with memory and stream of the caller.  See session.h. */
#include "backend/cuda/copy.h"
#include "backend/cuda/session.h"

/* The device's address of the caller's memory.  What the device cannot reach is told here: a fault on it would end all work of
 * the process there. */
static segrt_status reach(const cuda_session *s, const void *first, size_t bytes, const char *what, void **found, segrt_error *error)
{
    const char *const ends[] = {(const char *)first + bytes - 1, first};
    for (int i = 0; i < 2; i++) {
        struct cudaPointerAttributes facts;
        const segrt_status status = device_check(cudaPointerGetAttributes(&facts, ends[i]), "asking about the caller's memory", error);
        if (status)
            return status;
        if (!facts.devicePointer || (facts.type == cudaMemoryTypeDevice && facts.device != s->on.ordinal))
            return fail_with(error, SEGRT_ARGUMENT, "%s: the %s byte of %zu is not in memory of cuda:%d", what, i ? "first" : "last", bytes,
                             s->on.ordinal);
        *found = facts.devicePointer;
    }
    return SEGRT_OK;
}

static segrt_status queue_run(cuda_session *s, const backend_device_run *run, segrt_error *error)
{
    const cudaStream_t stream = run->stream;
    const size_t rows = (size_t)run->h, last = (size_t)run->n - 1;
    const size_t in_row = (size_t)run->w * 3, out_row = (size_t)run->w * (size_t)run->label_bytes;
    enum cudaStreamCaptureStatus capturing = cudaStreamCaptureStatusNone;
    segrt_status status = device_check(cudaStreamIsCapturing(stream, &capturing), "asking about the caller's stream", error);
    if (!status && capturing != cudaStreamCaptureStatusNone)
        return fail_with(error, SEGRT_ARGUMENT, "the stream is being captured: a run is a graph already and cannot become part of another");
    void *pixels = NULL, *labels = NULL;
    if (!status)
        status = reach(s, run->pixels, last * run->picture_stride + (rows - 1) * run->stride + in_row, "pixels", &pixels, error);
    if (!status)
        status =
            reach(s, run->labels, last * run->label_picture_stride + (rows - 1) * run->label_stride + out_row, "labels", &labels, error);
    if (status)
        return status;
    const backend_run usual = {.n = run->n,
                               .h = run->h,
                               .w = run->w,
                               .pixels = run->pixels,
                               .output = {.labels = run->labels, .label_bytes = run->label_bytes, .h = run->h, .w = run->w}};
    const plan_key key = session_key(&usual);
    status = session_find_plan(s, &key, error);
    if (status)
        return status;
    const plan *p = s->latest;
    const copy_args in = {.from = pixels,
                          .from_row = run->stride,
                          .from_picture = run->picture_stride,
                          .to = p->input,
                          .to_row = in_row,
                          .to_picture = rows * in_row,
                          .row = in_row,
                          .images = run->n,
                          .h = run->h};
    const copy_args out = {.from = p->labels,
                           .from_row = out_row,
                           .from_picture = rows * out_row,
                           .to = labels,
                           .to_row = run->label_stride,
                           .to_picture = run->label_picture_stride,
                           .row = out_row,
                           .images = run->n,
                           .h = run->h};
    status = session_check(s, cudaStreamWaitEvent(stream, s->done, 0), "waiting for the run before", error);
    if (!status)
        status = session_check(s, copy_launch(&in, stream), "copying pictures", error);
    if (!status)
        status = session_check(s, cudaGraphLaunch(p->graph, stream), "running the network", error);
    if (!status)
        status = session_check(s, copy_launch(&out, stream), "copying labels", error);
    const segrt_status recorded =
        session_check(s, cudaEventRecord(s->done, stream), "marking the end of a run", error); /* also of half a run */
    return status ? status : recorded;
}

segrt_status session_run_device(void *state, const backend_device_run *run, segrt_error *error)
{
    cuda_session *s = state;
    if (s->lost)
        return fail_with(error, SEGRT_DEVICE, "this session's device failed before; open a new one");
    int current = s->on.ordinal; /* the caller's, which stays what it was */
    segrt_status status = device_check(cudaGetDevice(&current), "asking for the current device", error);
    if (!status)
        status = session_check(s, cudaSetDevice(s->on.ordinal), "choosing the device", error);
    if (!status)
        status = queue_run(s, run, error);
    if (current != s->on.ordinal)
        cudaSetDevice(current);
    return status;
}
