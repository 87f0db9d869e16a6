/* timing: how long the latest plan takes on the device, with and without the copies to and from it. */
#include "backend/cuda/session.h"

typedef struct timed {
    cuda_session *s;
    const step *at; /* NULL: the whole graph */
} timed;

static cudaError_t once(const timed *t)
{
    const launch how = {.stream = t->s->stream};
    return t->at ? step_launch(t->at, t->s->type, &how) : cudaGraphLaunch(t->s->latest->graph, t->s->stream);
}

/* Milliseconds of `count` runs together. */
static segrt_status measure(const timed *t, int count, float *milliseconds, segrt_error *error)
{
    cuda_session *s = t->s;
    cudaError_t code = cudaEventRecord(s->begin, s->stream);
    for (int i = 0; code == cudaSuccess && i < count; i++)
        code = once(t);
    if (code == cudaSuccess)
        code = cudaEventRecord(s->end, s->stream);
    if (code == cudaSuccess)
        code = cudaEventSynchronize(s->end);
    if (code == cudaSuccess)
        code = cudaEventElapsedTime(milliseconds, s->begin, s->end);
    return device_check(code, "timing", error);
}

segrt_status cuda_session_time(cuda_session *s, int count, float *milliseconds, segrt_error *error)
{
    const timed whole = {.s = s};
    segrt_status status = SEGRT_OK;
    for (int i = 0; !status && i < count; i++)
        status = measure(&whole, 1, milliseconds + i, error);
    return status;
}

segrt_status cuda_session_time_steps(cuda_session *s, int count, float *milliseconds, segrt_error *error)
{
    segrt_status status = SEGRT_OK;
    for (int i = 0; !status && i < s->latest->count; i++) {
        const timed one = {.s = s, .at = &s->latest->steps[i]};
        float warm;
        status = measure(&one, 2, &warm, error);
        if (!status)
            status = measure(&one, count, milliseconds + i, error);
        milliseconds[i] /= (float)count;
    }
    return status;
}

void cuda_session_times(void *state, backend_times *times)
{
    cuda_session *s = state;
    double *const parts[] = {&times->copy_in, &times->compute, &times->copy_out};
    *times = (backend_times){0};
    for (int i = 0; s->marked && i < 3; i++) {
        float ms = 0;
        if (cudaEventElapsedTime(&ms, s->mark[i], s->mark[i + 1]) == cudaSuccess)
            *parts[i] = 1e-3 * (double)ms;
    }
}
