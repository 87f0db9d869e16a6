/* session_run: see session.h.  A run is: input to the device, one graph, results to the host. */
#include <string.h>

#include "backend/cuda/session.h"
#include "backend/cuda/traffic.h"

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
        status = session_check(s, cudaMemcpyAsync(raw, what->at, bytes, cudaMemcpyDeviceToHost, s->stream), "copying an observed operation",
                               error);
    if (!status)
        status = session_check(s, cudaStreamSynchronize(s->stream), "running an observed operation", error);
    for (size_t r = 0; !status && r < rows; r++)
        for (int c = 0; c < what->channels; c++) {
            const int in = c % what->group, place = what->positions ? (in & ~7) | ((in & 1) << 2) | ((in & 7) >> 1) : in;
            const size_t at = r * (size_t)what->ld + (size_t)(c / what->group * what->pitch + place), high = at / 16 * 32 + at % 16;
            made[r * (size_t)what->channels + (size_t)c] =
                what->split_scale > 0 ? (widen(raw, NUMERIC_F16, high) + widen(raw, NUMERIC_F16, high + 16)) / what->split_scale
                                      : widen(raw, what->type, at);
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
        segrt_status status = session_check(s, step_launch(at, s->type, &how), at->name, error);
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
    const launch how = session_launch(s);
    segrt_status status = SEGRT_OK;
    for (int i = 0; !status && i < p->count; i++)
        status = session_check(s, step_launch(&p->steps[i], s->type, &how), p->steps[i].name, error);
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
    const segrt_status status = session_check(s, code, "pinned host memory", error);
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

segrt_status session_run(void *state, const backend_run *run, segrt_error *error)
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
    segrt_status status = session_check(s, cudaSetDevice(s->on.ordinal), "choosing the device", error);
    const plan_key key = session_key(run);
    if (!status)
        status = session_find_plan(s, &key, error);
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
    status = session_check(s, cudaStreamWaitEvent(s->stream, s->done, 0), "waiting for the caller's stream", error);
    if (status)
        return status;
    memcpy(s->pinned, run->pixels ? (const void *)run->pixels : (const void *)run->input, input);
    status = session_check(s, cudaEventRecord(s->mark[0], s->stream), "timing", error);
    if (!status)
        status =
            session_check(s, cudaMemcpyAsync(p->input, s->pinned, input, cudaMemcpyHostToDevice, s->stream), "copying the input", error);
    if (!status)
        status = session_check(s, cudaEventRecord(s->mark[1], s->stream), "timing", error);
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
        status = session_check(s, cudaGraphLaunch(p->graph, s->stream), "running the network", error);
    if (!status)
        status = session_check(s, cudaEventRecord(s->mark[2], s->stream), "timing", error);
    char *at = s->pinned;
    if (!status && logits)
        status = session_check(s, cudaMemcpyAsync(at, p->planes, logits, cudaMemcpyDeviceToHost, s->stream), "copying logits", error);
    if (!status && key.labels)
        status =
            session_check(s, cudaMemcpyAsync(at + logits, p->labels, labels, cudaMemcpyDeviceToHost, s->stream), "copying labels", error);
    if (!status && key.confidence)
        status = session_check(s, cudaMemcpyAsync(at + logits + labels, p->confidence, pixels, cudaMemcpyDeviceToHost, s->stream),
                               "copying confidence", error);
    if (!status)
        status = session_check(s, cudaEventRecord(s->mark[3], s->stream), "timing", error);
    const segrt_status ended = session_check(s, cudaStreamSynchronize(s->stream), "running the network",
                                             error); /* also after a failure: the input is read until then */
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
