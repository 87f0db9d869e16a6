/* session: see session.h.  Opening, the latest plans and their graphs. */
#include "backend/cuda/session.h"

#include <stdio.h>
#include <string.h>

#include "backend/cuda/facts.h"

segrt_status session_check(cuda_session *s, cudaError_t code, const char *doing, segrt_error *error)
{
    if (code != cudaSuccess && code != cudaErrorMemoryAllocation)
        s->lost = true;
    if (code == cudaErrorMemoryAllocation) {
        cudaGetLastError();
        return fail_with(error, SEGRT_NO_MEMORY, "out of device memory: %s", doing);
    }
    return device_check(code, doing, error);
}

/* ------------------------------------------------------------------------------------ open, close */

static void session_close(void *state)
{
    cuda_session *s = state;
    if (!s)
        return;
    cudaSetDevice(s->on.ordinal);
    if (s->stream)
        cudaStreamSynchronize(s->stream);
    if (s->done) {
        cudaEventSynchronize(s->done);
        cudaEventDestroy(s->done);
    }
    for (int i = 0; i < SESSION_PLANS; i++)
        plan_close(&s->plans[i]);
    packed_close(&s->weights);
    cudaFree(s->counters);
    cudaFree(s->workspace);
    if (s->pinned)
        cudaFreeHost(s->pinned);
    if (s->begin)
        cudaEventDestroy(s->begin);
    if (s->end)
        cudaEventDestroy(s->end);
    for (int i = 0; i < SESSION_MARKS; i++)
        if (s->mark[i])
            cudaEventDestroy(s->mark[i]);
    if (s->parted)
        cudaEventDestroy(s->parted);
    if (s->beside)
        cudaStreamDestroy(s->beside);
    if (s->stream)
        cudaStreamDestroy(s->stream);
    if (s->lost && cudaDeviceSynchronize() != cudaSuccess)
        cudaDeviceReset(); /* a fault on the device makes it refuse everything, the caller's own work too, until then */
    cudaGetLastError();
    arena_free(&s->profile_memory);
    memory_free(s);
}

static segrt_status choose_type(cuda_session *s, segrt_precision precision, segrt_error *error)
{
    static const struct {
        segrt_precision precision;
        numeric type;
        const char *name;
    } rows[] = {
        {SEGRT_PRECISION_DEFAULT, NUMERIC_F32, "float32"},
        {SEGRT_FLOAT32, NUMERIC_F32, "float32"},
        {SEGRT_TF32, NUMERIC_TF32, "tf32"},
        {SEGRT_BFLOAT16, NUMERIC_BF16, "bf16"},
        {SEGRT_FLOAT16, NUMERIC_F16, "fp16"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].precision == precision) {
            s->type = rows[i].type;
            snprintf(s->description, sizeof s->description, "cuda:%d, %s, %s", s->on.ordinal, s->on.name, rows[i].name);
            return SEGRT_OK;
        }
    return fail_with(error, SEGRT_UNSUPPORTED, "this precision does not exist on cuda: choose fp32, tf32, fp16 or bf16");
}

static segrt_status session_open(void **state, const network *net, const backend_options *options, segrt_error *error)
{
    *state = NULL;
    cuda_session *s = memory_get_cleared(1, sizeof *s);
    if (!s)
        return fail_memory(error, sizeof *s, "a CUDA session");
    s->net = net;
    s->fused = !options->no_fuse;
    s->profiled = options->profile;
    s->graphs = !options->no_graph;
    void *counters = NULL;
    segrt_status status = device_open(&s->on, options->device, error);
    if (!status)
        status = choose_type(s, options->precision, error);
    if (!status)
        status = session_check(s, cudaStreamCreateWithFlags(&s->stream, cudaStreamNonBlocking), "making a stream", error);
    if (!status)
        status = session_check(s, cudaStreamCreateWithFlags(&s->beside, cudaStreamNonBlocking), "making a stream", error);
    if (!status)
        status = session_check(s, cudaEventCreateWithFlags(&s->parted, cudaEventDisableTiming), "making an event", error);
    if (!status)
        status = session_check(s, cudaEventCreate(&s->begin), "making an event", error);
    if (!status)
        status = session_check(s, cudaEventCreate(&s->end), "making an event", error);
    for (int i = 0; !status && i < SESSION_MARKS; i++)
        status = session_check(s, cudaEventCreate(&s->mark[i]), "making an event", error);
    if (!status)
        status = session_check(s, cudaEventCreateWithFlags(&s->done, cudaEventDisableTiming), "making an event", error);
    if (!status)
        status = device_get(&counters, PLAN_COUNTERS * sizeof(unsigned), "counters", error);
    s->counters = counters;
    if (!status)
        status = session_check(s, cudaMemsetAsync(s->counters, 0, PLAN_COUNTERS * sizeof(unsigned), s->stream), "clearing counters", error);
    if (!status)
        status = packed_open(&s->weights, net, s->type, s->fused, s->on.major == 9, s->stream, error);
    if (status) {
        session_close(s);
        return status;
    }
    *state = s;
    return SEGRT_OK;
}

/* ------------------------------------------------------------------------------------------ plans */

static void drop_plans(cuda_session *s)
{
    for (int i = 0; i < SESSION_PLANS; i++)
        plan_close(&s->plans[i]);
    s->latest = NULL;
}

/* Kernels start before the one before has ended. */
launch session_launch(const cuda_session *s)
{
    return (launch){.stream = s->stream, .overlap = s->on.major >= 9};
}

/* A step into the graph: beside the others where nothing waits for it (`apart`: such steps are on their way), which are waited
 * for where the levels are added up. */
static cudaError_t capture_step(cuda_session *s, const step *at, launch how, bool *apart)
{
    cudaError_t code = cudaSuccess;
    const bool aside = at->aside;
    const bool meets = *apart && (at->kind == STEP_PIXELS || at->kind == STEP_MERGE);
    if (aside || meets) {
        const cudaStream_t from = aside ? s->stream : s->beside, to = aside ? s->beside : s->stream;
        code = cudaEventRecord(s->parted, from);
        if (code == cudaSuccess)
            code = cudaStreamWaitEvent(to, s->parted, 0);
        *apart = aside;
        how = (launch){.stream = to};
    }
    return code == cudaSuccess ? step_launch(at, s->type, &how) : code;
}

static segrt_status capture(cuda_session *s, plan *p, segrt_error *error)
{
    const launch how = session_launch(s);
    segrt_status status = session_check(s, cudaStreamBeginCapture(s->stream, cudaStreamCaptureModeThreadLocal), "capturing a graph", error);
    if (status)
        return status;
    cudaError_t code = cudaSuccess;
    int at = 0;
    bool apart = false;
    for (; code == cudaSuccess && at < p->count; at++)
        code = capture_step(s, &p->steps[at], how, &apart);
    cudaGraph_t graph = NULL;
    const cudaError_t ended = cudaStreamEndCapture(s->stream, &graph);
    if (code != cudaSuccess) {
        char doing[96];
        snprintf(doing, sizeof doing, "launching %s (%s)", p->steps[at - 1].name, operation_name(p->steps[at - 1].first.kind));
        status = session_check(s, code, doing, error);
    } else {
        status = session_check(s, ended, "capturing a graph", error);
    }
    if (!status)
        status = session_check(s, cudaGraphInstantiate(&p->graph, graph, 0), "making a graph", error);
    if (graph)
        cudaGraphDestroy(graph);
    return status;
}

segrt_status session_find_plan(cuda_session *s, const plan_key *key, segrt_error *error)
{
    plan *oldest = &s->plans[0];
    for (int i = 0; i < SESSION_PLANS; i++) {
        plan *p = &s->plans[i];
        if (p->used && !memcmp(&p->key, key, sizeof *key)) {
            p->used = ++s->clock;
            s->latest = p;
            return SEGRT_OK;
        }
        if (p->used < oldest->used)
            oldest = p;
    }
    s->latest = NULL;
    segrt_status status =
        session_check(s, cudaEventSynchronize(s->done), "running the network", error); /* it may be in the workspace still */
    if (status)
        return status;
    plan_close(oldest);
    const plan_maker maker = {.net = s->net,
                              .weights = &s->weights,
                              .processors = s->on.processors,
                              .clusters = s->on.major >= 9,
                              .wide = s->on.major == 9,
                              .shared = s->on.shared,
                              .fused = s->fused,
                              .counters = s->counters};
    status = plan_lay_out(oldest, &maker, key, NULL, error);
    const size_t bytes = oldest->bytes;
    if (!status && bytes > s->workspace_bytes) { /* plans point into the workspace */
        drop_plans(s);
        cudaFree(s->workspace);
        s->workspace = NULL;
        s->workspace_bytes = 0;
        status = device_get(&s->workspace, bytes, "the workspace of a shape", error);
        if (!status)
            s->workspace_bytes = bytes;
    }
    if (!status)
        status = plan_lay_out(oldest, &maker, key, s->workspace, error);
    if (!status)
        status = capture(s, oldest, error);
    if (!status) /* what was copied for the plan is there, whichever stream runs it */
        status = session_check(s, cudaStreamSynchronize(s->stream), "planning a shape", error);
    if (status) {
        plan_close(oldest);
        return status;
    }
    oldest->used = ++s->clock;
    s->latest = oldest;
    return SEGRT_OK;
}

plan_key session_key(const backend_run *run)
{
    plan_key key;
    memset(&key, 0, sizeof key); /* compared as bytes */
    key.n = run->n;
    key.h = run->h;
    key.w = run->w;
    key.pixels = run->pixels != NULL;
    key.logits = run->logits != NULL;
    key.labels = run->output.labels != NULL;
    key.confidence = run->output.confidence != NULL;
    if (key.labels || key.confidence) {
        key.label_h = run->output.h;
        key.label_w = run->output.w;
        key.label_bytes = run->output.label_bytes == 2 ? 2 : 1;
        key.via_input = run->output.via_input;
    }
    return key;
}

static segrt_status session_prepare(void *state, int n, int h, int w, segrt_error *error)
{
    cuda_session *s = state;
    segrt_status status = session_check(s, cudaSetDevice(s->on.ordinal), "choosing the device", error);
    if (status)
        return status;
    static const uint8_t some;
    uint8_t label;
    const backend_run usual = {
        .n = n, .h = h, .w = w, .pixels = &some, .output = {.labels = s->net->classes ? &label : NULL, .label_bytes = 1, .h = h, .w = w}};
    const plan_key key = session_key(&usual);
    return session_find_plan(s, &key, error);
}

static const char *session_describe(const void *state)
{
    return ((const cuda_session *)state)->description;
}

static size_t session_memory(const void *state)
{
    const cuda_session *s = state;
    return s->weights.bytes + s->workspace_bytes + PLAN_COUNTERS * sizeof(unsigned) + s->pinned_bytes;
}

static size_t session_profile(const void *state, const backend_profile_row **rows)
{
    const cuda_session *s = state;
    *rows = s->profile;
    return s->profile_count;
}

const backend cuda_backend_table = {
    .name = "cuda",
    .open = session_open,
    .prepare = session_prepare,
    .run = session_run,
    .describe = session_describe,
    .memory = session_memory,
    .profile = session_profile,
    .close = session_close,
    .run_device = session_run_device,
    .times = cuda_session_times,
    .ceiling = cuda_ceiling,
    .facts = cuda_facts,
};
