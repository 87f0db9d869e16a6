/* session: see session.h.  A run is: input to the device, one graph, results to the host. */
#include "backend/cuda/session.h"

#include <stdio.h>
#include <string.h>

#include "backend/cuda/facts.h"
#include "backend/cuda/traffic.h"

static segrt_status check(cuda_session *s, cudaError_t code, const char *doing, segrt_error *error)
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
        status = check(s, cudaStreamCreateWithFlags(&s->stream, cudaStreamNonBlocking), "making a stream", error);
    if (!status)
        status = check(s, cudaStreamCreateWithFlags(&s->beside, cudaStreamNonBlocking), "making a stream", error);
    if (!status)
        status = check(s, cudaEventCreateWithFlags(&s->parted, cudaEventDisableTiming), "making an event", error);
    if (!status)
        status = check(s, cudaEventCreate(&s->begin), "making an event", error);
    if (!status)
        status = check(s, cudaEventCreate(&s->end), "making an event", error);
    for (int i = 0; !status && i < SESSION_MARKS; i++)
        status = check(s, cudaEventCreate(&s->mark[i]), "making an event", error);
    if (!status)
        status = check(s, cudaEventCreateWithFlags(&s->done, cudaEventDisableTiming), "making an event", error);
    if (!status)
        status = device_get(&counters, PLAN_COUNTERS * sizeof(unsigned), "counters", error);
    s->counters = counters;
    if (!status)
        status = check(s, cudaMemsetAsync(s->counters, 0, PLAN_COUNTERS * sizeof(unsigned), s->stream), "clearing counters", error);
    if (!status)
        status = packed_open(&s->weights, net, s->type, s->fused, s->stream, error);
    if (status) {
        session_close(s);
        return status;
    }
    *state = s;
    return SEGRT_OK;
}

/* ------------------------------------------------------------------------------------------ plans */

enum { OVERLAP_TOKENS = 32768 };

static void drop_plans(cuda_session *s)
{
    for (int i = 0; i < SESSION_PLANS; i++)
        plan_close(&s->plans[i]);
    s->latest = NULL;
}

/* Kernels start before the one before has ended where they are short; long ones are slowed down by it (measured). */
static launch how_to_launch(const cuda_session *s, const plan *p)
{
    return (launch){.stream = s->stream,
                    .overlap = s->on.major >= 9 && p->key.n * p->shape.stage[0].h * p->shape.stage[0].w <= OVERLAP_TOKENS};
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
    const launch how = how_to_launch(s, p);
    segrt_status status = check(s, cudaStreamBeginCapture(s->stream, cudaStreamCaptureModeThreadLocal), "capturing a graph", error);
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
        status = check(s, code, doing, error);
    } else {
        status = check(s, ended, "capturing a graph", error);
    }
    if (!status)
        status = check(s, cudaGraphInstantiate(&p->graph, graph, 0), "making a graph", error);
    if (graph)
        cudaGraphDestroy(graph);
    return status;
}

/* The plan for a key: one that is kept, or a new one in place of that unused for longest. */
static segrt_status find_plan(cuda_session *s, const plan_key *key, segrt_error *error)
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
    segrt_status status = check(s, cudaEventSynchronize(s->done), "running the network", error); /* it may be in the workspace still */
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
        status = check(s, cudaStreamSynchronize(s->stream), "planning a shape", error);
    if (status) {
        plan_close(oldest);
        return status;
    }
    oldest->used = ++s->clock;
    s->latest = oldest;
    return SEGRT_OK;
}

static plan_key key_of(const backend_run *run)
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
    segrt_status status = check(s, cudaSetDevice(s->on.ordinal), "choosing the device", error);
    if (status)
        return status;
    static const uint8_t some;
    uint8_t label;
    const backend_run usual = {
        .n = n, .h = h, .w = w, .pixels = &some, .output = {.labels = s->net->classes ? &label : NULL, .label_bytes = 1, .h = h, .w = w}};
    const plan_key key = key_of(&usual);
    return find_plan(s, &key, error);
}

/* -------------------------------------------------------------------------------------------- run */

static float widen(const void *from, numeric type, size_t i)
{
    if (type == NUMERIC_TF32 || type == NUMERIC_F32)
        return ((const float *)from)[i];
    const uint16_t bits = ((const uint16_t *)from)[i];
    if (type == NUMERIC_BF16) {
        const uint32_t wide = (uint32_t)bits << 16;
        float v;
        memcpy(&v, &wide, sizeof v);
        return v;
    }
    const int exponent = bits >> 10 & 31, fraction = bits & 1023;
    const float magnitude = exponent == 31 ? (fraction ? __builtin_nanf("") : __builtin_inff())
                            : exponent     ? __builtin_ldexpf((float)(1024 + fraction), exponent - 25)
                                           : __builtin_ldexpf((float)fraction, -24);
    return bits & 0x8000 ? -magnitude : magnitude;
}

static segrt_status fetch(cuda_session *s, const seen *what, int n, float **out, segrt_error *error)
{
    const size_t rows = (size_t)n * (size_t)what->h * (size_t)what->w, bytes = rows * (size_t)what->ld * type_bytes(what->type);
    void *raw = memory_get(bytes);
    float *made = memory_get_array(rows * (size_t)what->channels, sizeof *made);
    *out = made;
    segrt_status status = raw && made ? SEGRT_OK : fail_memory(error, bytes, "an observed operation");
    if (!status)
        status = check(s, cudaMemcpyAsync(raw, what->at, bytes, cudaMemcpyDeviceToHost, s->stream), "copying an observed operation", error);
    if (!status)
        status = check(s, cudaStreamSynchronize(s->stream), "running an observed operation", error);
    for (size_t r = 0; !status && r < rows; r++)
        for (int c = 0; c < what->channels; c++) {
            const int in = c % what->group, place = what->positions ? (in & ~7) | ((in & 1) << 2) | ((in & 7) >> 1) : in;
            made[r * (size_t)what->channels + (size_t)c] =
                widen(raw, what->type, r * (size_t)what->ld + (size_t)(c / what->group * what->pitch + place));
        }
    memory_free(raw);
    if (status) {
        memory_free(made);
        *out = NULL;
    }
    return status;
}

/* Step by step, each shown to the observer. */
static segrt_status run_observed(cuda_session *s, const backend_run *run, segrt_error *error)
{
    const plan *p = s->latest;
    const launch how = {.stream = s->stream};
    for (int i = 0; i < p->count; i++) {
        const step *at = &p->steps[i];
        segrt_status status = check(s, step_launch(at, s->type, &how), at->name, error);
        for (int j = 0; !status && j < 2; j++) {
            float *data;
            if (!at->leaves[j].at)
                continue;
            status = fetch(s, &at->leaves[j], p->key.n, &data, error);
            if (!status && run->observe)
                run->observe(run->observe_user, at->leaves[j].op, data, p->key.n, at->leaves[j].h, at->leaves[j].w, at->leaves[j].channels);
            if (!status && at->leaves[j].op.kind == OP_STAGE_NORM && run->stage_mean[at->leaves[j].op.stage]) {
                const int stage = at->leaves[j].op.stage, channels = at->leaves[j].channels;
                const size_t rows = (size_t)p->key.n * (size_t)at->leaves[j].h * (size_t)at->leaves[j].w;
                for (int c = 0; c < channels; c++) {
                    double sum = 0;
                    for (size_t r = 0; r < rows; r++)
                        sum += (double)data[r * (size_t)channels + (size_t)c];
                    run->stage_mean[stage][c] = sum / (double)rows + weight_at(s->net->stages[stage].offset, (size_t)c);
                }
            }
            memory_free(data);
        }
        if (status)
            return status;
        if (run->cancel && atomic_load_explicit(run->cancel, memory_order_relaxed))
            return fail_with(error, SEGRT_CANCELLED, "cancelled");
    }
    return SEGRT_OK;
}

static bool same_rows(const backend_profile_row *row, const step *at)
{
    return row->kernel == at->name && row->first.kind == at->first.kind && row->first.stage == at->first.stage && row->count == at->count;
}

/* Step by step as the graph has them: what launching costs without it. */
static segrt_status run_steps(cuda_session *s, segrt_error *error)
{
    const plan *p = s->latest;
    const launch how = how_to_launch(s, p);
    segrt_status status = SEGRT_OK;
    for (int i = 0; !status && i < p->count; i++)
        status = check(s, step_launch(&p->steps[i], s->type, &how), p->steps[i].name, error);
    return status;
}

/* Each step by itself, several times in a row between events; then the run as it is. */
static segrt_status run_profiled(cuda_session *s, segrt_error *error)
{
    enum { REPEATS = 10 };
    const plan *p = s->latest;
    if (s->profile_count != (size_t)p->count || !same_rows(&s->profile[p->count - 1], &p->steps[p->count - 1])) {
        arena_free(&s->profile_memory);
        s->profile_count = 0;
        s->profile = arena_get(&s->profile_memory, (size_t)p->count, sizeof *s->profile);
        if (!s->profile)
            return fail_memory(error, (size_t)p->count * sizeof *s->profile, "the profile");
        s->profile_count = (size_t)p->count;
        for (int i = 0; i < p->count; i++)
            s->profile[i] = (backend_profile_row){.first = p->steps[i].first,
                                                  .count = p->steps[i].count,
                                                  .kernel = p->steps[i].name,
                                                  .macs = p->steps[i].macs,
                                                  .bytes = step_bytes(&p->steps[i], s->type)};
    }
    float *ms = memory_get_array((size_t)p->count, sizeof *ms);
    if (!ms)
        return fail_memory(error, (size_t)p->count * sizeof *ms, "the profile");
    segrt_status status = cuda_session_time_steps(s, REPEATS, ms, error);
    for (int i = 0; !status && i < p->count; i++)
        s->profile[i].seconds += 1e-3 * (double)ms[i];
    memory_free(ms);
    return status ? status : run_steps(s, error);
}

/* Host memory that the device reads at full speed. */
static segrt_status grow_pinned(cuda_session *s, size_t bytes, segrt_error *error)
{
    if (bytes <= s->pinned_bytes)
        return SEGRT_OK;
    if (s->pinned)
        cudaFreeHost(s->pinned);
    s->pinned = NULL;
    s->pinned_bytes = 0;
    const cudaError_t code = cudaMallocHost(&s->pinned, bytes);
    if (code == cudaErrorMemoryAllocation) {
        cudaGetLastError();
        return fail_with(error, SEGRT_NO_MEMORY, "out of memory: %zu MiB of pinned host memory for pictures and results",
                         (bytes + 1048575) >> 20);
    }
    const segrt_status status = check(s, code, "pinned host memory", error);
    if (!status)
        s->pinned_bytes = bytes;
    return status;
}

static void store_rows(void *to, ptrdiff_t stride, ptrdiff_t picture, const void *from, const plan_key *key, size_t element)
{
    const char *row = from;
    for (int n = 0; n < key->n; n++)
        for (int y = 0; y < key->label_h; y++, row += (size_t)key->label_w * element)
            memcpy((char *)to + (n * picture + y * stride) * (ptrdiff_t)element, row, (size_t)key->label_w * element);
}

static segrt_status session_run(void *state, const backend_run *run, segrt_error *error)
{
    cuda_session *s = state;
    const label_output *out = &run->output;
    if (s->lost)
        return fail_with(error, SEGRT_DEVICE, "this session's device failed before; open a new one");
    if (!s->net->classes && (run->logits || out->labels || out->confidence))
        return fail_with(error, SEGRT_ARGUMENT, "a backbone without a head has neither logits nor labels");
    if ((out->labels || out->confidence) && (out->h < 1 || out->w < 1))
        return fail_with(error, SEGRT_ARGUMENT, "labels of %d rows and %d columns", out->h, out->w);
    if (run->cancel && atomic_load_explicit(run->cancel, memory_order_relaxed))
        return fail_with(error, SEGRT_CANCELLED, "cancelled");
    segrt_status status = check(s, cudaSetDevice(s->on.ordinal), "choosing the device", error);
    const plan_key key = key_of(run);
    if (!status)
        status = find_plan(s, &key, error);
    if (status)
        return status;
    const plan *p = s->latest;
    const size_t input = (size_t)key.n * (size_t)key.h * (size_t)key.w * 3 * (key.pixels ? 1 : sizeof(float));
    const size_t pixels = (size_t)key.n * (size_t)key.label_h * (size_t)key.label_w,
                 labels = key.labels ? pixels * (size_t)key.label_bytes : 0;
    const size_t logits =
        key.logits ? (size_t)key.n * (size_t)s->net->classes * (size_t)p->shape.stage[0].h * (size_t)p->shape.stage[0].w * sizeof(float)
                   : 0;
    const size_t results = labels + (key.confidence ? pixels : 0) + logits;
    s->marked = false;
    status = grow_pinned(s, input > results ? input : results, error);
    if (status)
        return status;
    status = check(s, cudaStreamWaitEvent(s->stream, s->done, 0), "waiting for the caller's stream", error);
    if (status)
        return status;
    memcpy(s->pinned, run->pixels ? (const void *)run->pixels : (const void *)run->input, input);
    status = check(s, cudaEventRecord(s->mark[0], s->stream), "timing", error);
    if (!status)
        status = check(s, cudaMemcpyAsync(p->input, s->pinned, input, cudaMemcpyHostToDevice, s->stream), "copying the input", error);
    if (!status)
        status = check(s, cudaEventRecord(s->mark[1], s->stream), "timing", error);
    bool means = false;
    for (int i = 0; i < STAGES; i++)
        means = means || run->stage_mean[i];
    if (status)
        return status;
    if (run->observe || means)
        status = run_observed(s, run, error);
    else if (s->profiled)
        status = run_profiled(s, error);
    else if (!s->graphs)
        status = run_steps(s, error);
    else
        status = check(s, cudaGraphLaunch(p->graph, s->stream), "running the network", error);
    if (!status)
        status = check(s, cudaEventRecord(s->mark[2], s->stream), "timing", error);
    char *at = s->pinned;
    if (!status && logits)
        status = check(s, cudaMemcpyAsync(at, p->planes, logits, cudaMemcpyDeviceToHost, s->stream), "copying logits", error);
    if (!status && key.labels)
        status = check(s, cudaMemcpyAsync(at + logits, p->labels, labels, cudaMemcpyDeviceToHost, s->stream), "copying labels", error);
    if (!status && key.confidence)
        status = check(s, cudaMemcpyAsync(at + logits + labels, p->confidence, pixels, cudaMemcpyDeviceToHost, s->stream),
                       "copying confidence", error);
    if (!status)
        status = check(s, cudaEventRecord(s->mark[3], s->stream), "timing", error);
    const segrt_status ended =
        check(s, cudaStreamSynchronize(s->stream), "running the network", error); /* also after a failure: the input is read until then */
    status = status ? status : ended;
    if (status)
        return status;
    s->marked = true;
    if (logits)
        memcpy(run->logits, at, logits);
    if (key.labels)
        store_rows(out->labels, out->stride, out->picture_stride, at + logits, &key, (size_t)key.label_bytes);
    if (key.confidence)
        memcpy(out->confidence, at + logits + labels, pixels);
    return SEGRT_OK;
}

/* ------------------------------------------------------------------ memory and stream of the caller */

/* Memory that the device cannot reach is told here: a fault on the device would end all work of the process there. */
static segrt_status reachable(const cuda_session *s, const void *first, size_t bytes, const char *what, segrt_error *error)
{
    const char *const ends[] = {first, (const char *)first + bytes - 1};
    for (int i = 0; i < 2; i++) {
        struct cudaPointerAttributes facts;
        const segrt_status status = device_check(cudaPointerGetAttributes(&facts, ends[i]), "asking about the caller's memory", error);
        if (status)
            return status;
        if (facts.type == cudaMemoryTypeUnregistered || (facts.type == cudaMemoryTypeDevice && facts.device != s->on.ordinal))
            return fail_with(error, SEGRT_ARGUMENT, "%s: the %s byte of %zu is not in memory of cuda:%d", what, i ? "last" : "first", bytes,
                             s->on.ordinal);
    }
    return SEGRT_OK;
}

static segrt_status copy_pictures(cuda_session *s, cudaStream_t stream, char *to, size_t to_row, size_t to_picture, const char *from,
                                  size_t from_row, size_t from_picture, size_t row, const backend_device_run *run, segrt_error *error)
{
    segrt_status status = SEGRT_OK;
    for (int i = 0; !status && i < run->n; i++)
        status = check(s,
                       cudaMemcpy2DAsync(to + (size_t)i * to_picture, to_row, from + (size_t)i * from_picture, from_row, row,
                                         (size_t)run->h, cudaMemcpyDefault, stream),
                       "copying on the caller's stream", error);
    return status;
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
    if (!status)
        status = reachable(s, run->pixels, last * run->picture_stride + (rows - 1) * run->stride + in_row, "pixels", error);
    if (!status)
        status = reachable(s, run->labels, last * run->label_picture_stride + (rows - 1) * run->label_stride + out_row, "labels", error);
    if (status)
        return status;
    const backend_run usual = {.n = run->n,
                               .h = run->h,
                               .w = run->w,
                               .pixels = run->pixels,
                               .output = {.labels = run->labels, .label_bytes = run->label_bytes, .h = run->h, .w = run->w}};
    const plan_key key = key_of(&usual);
    status = find_plan(s, &key, error);
    if (status)
        return status;
    const plan *p = s->latest;
    status = check(s, cudaStreamWaitEvent(stream, s->done, 0), "waiting for the run before", error);
    if (!status)
        status = copy_pictures(s, stream, p->input, in_row, rows * in_row, (const char *)run->pixels, run->stride, run->picture_stride,
                               in_row, run, error);
    if (!status)
        status = check(s, cudaGraphLaunch(p->graph, stream), "running the network", error);
    if (!status)
        status = copy_pictures(s, stream, run->labels, run->label_stride, run->label_picture_stride, p->labels, out_row, rows * out_row,
                               out_row, run, error);
    const segrt_status recorded = check(s, cudaEventRecord(s->done, stream), "marking the end of a run", error); /* also of half a run */
    return status ? status : recorded;
}

static segrt_status session_run_device(void *state, const backend_device_run *run, segrt_error *error)
{
    cuda_session *s = state;
    if (s->lost)
        return fail_with(error, SEGRT_DEVICE, "this session's device failed before; open a new one");
    int current = s->on.ordinal; /* the caller's, which stays what it was */
    segrt_status status = device_check(cudaGetDevice(&current), "asking for the current device", error);
    if (!status)
        status = check(s, cudaSetDevice(s->on.ordinal), "choosing the device", error);
    if (!status)
        status = queue_run(s, run, error);
    if (current != s->on.ordinal)
        cudaSetDevice(current);
    return status;
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
