/* ceiling: what the device reaches at its best; see facts.h.  A profile's percentages are of these two rates. */
#include "backend/cuda/ceiling.h"
#include "backend/cuda/facts.h"
#include "backend/cuda/session.h"

enum {
    BLOCKS_A_PROCESSOR = 4,
    ROUNDS = 2000,       /* about a millisecond */
    REPEATS = 10,        /* the best of them */
    COPIED = 1 << 28,    /* bytes, several times the second-level cache; read and written */
    PRODUCTS_OF_F32 = 3, /* of split operands: halves, or tf32 */
};

/* Seconds of the best repeat; what it does is queued by `once`. */
typedef cudaError_t once_fn(cuda_session *s, void *job);

static segrt_status best_of(cuda_session *s, once_fn *once, void *job, double *seconds, segrt_error *error)
{
    cudaError_t code = once(s, job);
    *seconds = 0;
    for (int i = 0; code == cudaSuccess && i < REPEATS; i++) {
        float ms = 0;
        code = cudaEventRecord(s->begin, s->stream);
        if (code == cudaSuccess)
            code = once(s, job);
        if (code == cudaSuccess)
            code = cudaEventRecord(s->end, s->stream);
        if (code == cudaSuccess)
            code = cudaEventSynchronize(s->end);
        if (code == cudaSuccess)
            code = cudaEventElapsedTime(&ms, s->begin, s->end);
        const double took = 1e-3 * (double)ms;
        *seconds = *seconds > 0 && *seconds < took ? *seconds : took;
    }
    return device_check(code, "measuring the device's ceiling", error);
}

typedef struct multiply_job {
    float *out;
    int blocks;
    uint64_t macs; /* of a block's round */
} multiply_job;

static cudaError_t multiply(cuda_session *s, void *user)
{
    multiply_job *job = user;
    const launch how = {.stream = s->stream};
    const numeric type = s->weights.split ? NUMERIC_F16 : s->type == NUMERIC_F32 ? NUMERIC_TF32 : s->type;
    return ceiling_launch(type, s->on.major == 9 && type != NUMERIC_TF32, job->blocks, ROUNDS, job->out, &job->macs, &how);
}

static cudaError_t copy(cuda_session *s, void *memory)
{
    return cudaMemcpyAsync((char *)memory + COPIED, memory, COPIED, cudaMemcpyDeviceToDevice, s->stream);
}

segrt_status cuda_ceiling(const void *state, backend_ceiling *ceiling, segrt_error *error)
{
    cuda_session *s = (cuda_session *)state;
    void *memory = NULL;
    double seconds;
    segrt_status status = device_check(cudaSetDevice(s->on.ordinal), "choosing the device", error);
    if (!status)
        status = device_get(&memory, 2 * (size_t)COPIED, "measuring the device's ceiling", error);
    if (status)
        return status;
    status = device_check(cudaMemsetAsync(memory, 1, 2 * (size_t)COPIED, s->stream), "measuring the device's ceiling", error);
    if (!status)
        status = best_of(s, copy, memory, &seconds, error);
    if (!status)
        ceiling->bytes = 2.0 * COPIED / seconds;
    multiply_job job = {.out = memory, .blocks = s->on.processors * BLOCKS_A_PROCESSOR};
    if (!status)
        status = best_of(s, multiply, &job, &seconds, error);
    if (!status)
        ceiling->macs = (double)job.macs * job.blocks * ROUNDS / seconds / (s->type == NUMERIC_F32 ? PRODUCTS_OF_F32 : 1);
    cudaFree(memory);
    return status;
}
