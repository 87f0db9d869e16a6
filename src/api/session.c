/* session: opens a backend for an engine and runs the network on it.  See session.h. */
#include "api/session.h"

#include <stdlib.h>
#include <string.h>

#include "api/inside.h"
#include "backend/cuda_loader.h"
#include "base/log.h"
#include "base/sized.h"
#include "image/image.h"

/* "cuda:1" -> the backend and its ordinal. */
static segrt_status choose_device(const char *name, const backend **device, int *ordinal, segrt_error *error)
{
    *ordinal = 0;
    if (!strcmp(name, "cpu")) {
        *device = &backend_cpu;
        return SEGRT_OK;
    }
    if (!strcmp(name, "reference")) {
        *device = &backend_reference;
        return SEGRT_OK;
    }
    char *end = NULL;
    const bool numbered = !strncmp(name, "cuda:", 5) && name[5] >= '0' && name[5] <= '9';
    const long number = numbered ? strtol(name + 5, &end, 10) : 0;
    if (strcmp(name, "cuda") != 0 && (!numbered || *end || number > 1023))
        return fail_with(error, SEGRT_ARGUMENT, "device '%.40s' is not known: auto, cpu, cuda, cuda:N or reference", name);
    *ordinal = (int)number;
    return cuda_loader_find(device, error);
}

static bool is_best(const char *name) { return !name || !strcmp(name, "auto"); }

/* A GPU where there is one that takes the engine, else the processor. */
static segrt_status open_best(const backend **device, void **state, const network *net, const backend_options *how, segrt_error *error)
{
    segrt_error why = {0};
    if (!cuda_loader_find(device, &why) && !(*device)->open(state, net, how, &why))
        return SEGRT_OK;
    log_line(SEGRT_LOG_INFO, "auto runs on the processor: %s", why.message);
    *device = &backend_cpu;
    return backend_cpu.open(state, net, how, error);
}

segrt_status segrt_session_open(segrt_session **out, const segrt_engine *engine, const segrt_session_options *options, segrt_error *error)
{
    return session_open_inside(out, engine, options, (session_inside){0}, error);
}

segrt_status session_open_inside(segrt_session **out, const segrt_engine *engine, const segrt_session_options *options, session_inside inside,
                                 segrt_error *error)
{
    *out = NULL;
    segrt_session_options o = {0};
    const backend *device = NULL;
    backend_options how = {.no_fuse = inside.no_fuse, .profile = inside.profile, .no_graph = inside.no_graph};
    segrt_status status = sized_read(&o, sizeof o, options, "segrt_session_options", error);
    const bool best = is_best(o.device);
    if (!status && !best)
        status = choose_device(o.device, &device, &how.device, error);
    if (status)
        return status;

    segrt_session *session = memory_get_cleared(1, sizeof *session);
    if (!session)
        return fail_memory(error, sizeof *session, "a session");
    session->engine = engine;
    session->pool = o.pool;
    atomic_init(&session->cancel, false);
    if (!session->pool) {
        status = pool_open(&session->own_pool, o.threads, error);
        if (status)
            goto fail;
        session->pool = session->own_pool;
    }
    how.precision = o.precision != SEGRT_PRECISION_DEFAULT ? o.precision : engine->profile.precision;
    how.pool = session->pool;
    how.settings = engine->profile.precision == SEGRT_INT8 ? engine->settings : NULL;
    if (how.precision == SEGRT_INT8 && !how.settings) {
        status = fail_with(error, SEGRT_UNSUPPORTED, "int8 needs an engine with measured scales: segrt build MODEL --precision int8 --calibrate FOLDER");
        goto fail;
    }
    status = best ? open_best(&device, &session->state, engine->net, &how, error) : device->open(&session->state, engine->net, &how, error);
    if (status)
        goto fail;
    session->device = device;
    *out = session;
    return SEGRT_OK;
fail:
    segrt_session_close(session);
    return status;
}

void segrt_session_close(segrt_session *session)
{
    if (!session)
        return;
    if (session->device)
        session->device->close(session->state);
    pool_close(session->own_pool);
    resampler_close(session->fit);
    resampler_close(session->resize);
    slide_close(session->slide);
    session_buffer *const buffers[] = {&session->rgb, &session->fitted, &session->input, &session->tile};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        memory_free(buffers[i]->data);
    memory_free(session);
}

const char *segrt_session_device(const segrt_session *session) { return session->device->describe(session->state); }

size_t segrt_session_memory(const segrt_session *session)
{
    const session_buffer *const buffers[] = {&session->rgb, &session->fitted, &session->input, &session->tile};
    size_t bytes = sizeof *session + session->device->memory(session->state);
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        bytes += buffers[i]->bytes;
    bytes += session->slide ? slide_memory(session->slide) : 0;
    return bytes + (session->fit ? resampler_memory(session->fit) : 0) + (session->resize ? resampler_memory(session->resize) : 0);
}

void segrt_session_cancel(segrt_session *session) { atomic_store(&session->cancel, true); }

size_t session_profile(const segrt_session *session, const backend_profile_row **rows) { return session->device->profile(session->state, rows); }

segrt_status session_ceiling(const segrt_session *session, backend_ceiling *ceiling, segrt_error *error)
{
    *ceiling = (backend_ceiling){0};
    return session->device->ceiling ? session->device->ceiling(session->state, ceiling, error) : SEGRT_OK;
}

segrt_pool *session_pool(const segrt_session *session) { return session->pool; }

int session_threads(const segrt_session *session) { return pool_workers(session->pool); }

bool session_has_device(const segrt_session *session) { return session->device->run_device != NULL; }

void session_times(const segrt_session *session, backend_times *times)
{
    *times = (backend_times){0};
    if (session->device->times)
        session->device->times(session->state, times);
}

segrt_status device_facts(const char *name, backend_facts *facts, bool *has, segrt_error *error)
{
    const backend *device = NULL;
    int ordinal = 0;
    *facts = (backend_facts){0};
    *has = false;
    if (is_best(name)) { /* none there is no error: the session takes the processor */
        *has = !cuda_loader_find(&device, NULL) && device->facts && !device->facts(ordinal, facts, NULL);
        return SEGRT_OK;
    }
    const segrt_status status = choose_device(name, &device, &ordinal, error);
    if (status || !device->facts)
        return status;
    *has = true;
    return device->facts(ordinal, facts, error);
}

void session_observe(segrt_session *session, observe_fn *observe, void *user)
{
    session->observe = observe;
    session->observe_user = user;
}

segrt_status session_buffer_need(session_buffer *buffer, size_t count, size_t size, const char *what, segrt_error *error)
{
    if (size && count > SIZE_MAX / size)
        return fail_with(error, SEGRT_NO_MEMORY, "out of memory: %zu times %zu bytes for %s", count, size, what);
    if (buffer->bytes >= count * size)
        return SEGRT_OK;
    memory_free(buffer->data);
    *buffer = (session_buffer){.data = memory_get(count * size)};
    if (!buffer->data)
        return fail_memory(error, count * size, what);
    buffer->bytes = count * size;
    return SEGRT_OK;
}

segrt_status fail_headless(segrt_error *error)
{
    return fail_with(error, SEGRT_NOT_SEGFORMER, "the model is a backbone without a decode head: it has no classes to give");
}

segrt_status session_run(segrt_session *session, backend_run *run, segrt_error *error)
{
    if (session->engine->net->classes == 0)
        return fail_headless(error);
    const segrt_status status = engine_check_shape(session->engine, run->n, run->h, run->w, error);
    if (status)
        return status;
    run->cancel = &session->cancel;
    run->observe = session->observe;
    run->observe_user = session->observe_user;
    return session->device->run(session->state, run, error);
}

segrt_status segrt_session_forward(segrt_session *session, const float *input, int32_t n, int32_t h, int32_t w, float *logits, segrt_error *error)
{
    if (!input || !logits || n < 1 || h < 1 || w < 1)
        return fail_with(error, SEGRT_ARGUMENT, "segrt_session_forward wants an input of at least 1x3x1x1 and room for logits");
    atomic_store(&session->cancel, false);
    return session_run(session, &(backend_run){.n = n, .h = h, .w = w, .input = input, .logits = logits}, error);
}

segrt_status session_run_pixels(segrt_session *session, const uint8_t *pixels, int n, int h, int w, void *labels, int label_bytes,
                                segrt_error *error)
{
    const label_output output = {
        .labels = labels, .label_bytes = label_bytes, .stride = w, .picture_stride = (ptrdiff_t)h * w, .h = h, .w = w};
    atomic_store(&session->cancel, false);
    return session_run(session, &(backend_run){.n = n, .h = h, .w = w, .pixels = pixels, .output = output}, error);
}

void segrt_session_input_size(const segrt_session *session, const segrt_preprocessing *preprocessing, int32_t width, int32_t height,
                              int32_t *input_width, int32_t *input_height)
{
    segrt_preprocessing p;
    int w = 0, h = 0;
    if (!session_preprocessing(session, preprocessing, &p, NULL))
        image_input_size(&p, width, height, &w, &h);
    *input_width = w;
    *input_height = h;
}

segrt_status segrt_pool_open(segrt_pool **out, int32_t threads, segrt_error *error) { return pool_open(out, threads, error); }

void segrt_pool_close(segrt_pool *pool) { pool_close(pool); }
