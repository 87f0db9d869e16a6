/* fake_cuda: a CUDA backend for tests without a GPU: labels by the pixels alone, figures that are made up, and what FAKE_CUDA says:
 *
 *     none      there is no GPU
 *     one       memory for one session only
 *     lost:N    the device fails at the N-th run of the process, and at all after
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cuda_abi.h"

typedef struct fake {
    const network *net;
} fake;

static atomic_int sessions, runs;

static const char *told(void)
{
    const char *text = getenv("FAKE_CUDA");
    return text ? text : "";
}

static segrt_status fake_open(void **state, const network *net, const backend_options *options, segrt_error *error)
{
    (void)options;
    *state = NULL;
    if (!strcmp(told(), "none"))
        return fail_with(error, SEGRT_DEVICE, "there is no NVIDIA GPU (made up)");
    if (atomic_fetch_add(&sessions, 1) > 0 && !strcmp(told(), "one")) {
        atomic_fetch_sub(&sessions, 1);
        return fail_with(error, SEGRT_NO_MEMORY, "out of device memory (made up)");
    }
    fake *f = calloc(1, sizeof *f);
    if (!f)
        return fail_with(error, SEGRT_NO_MEMORY, "out of memory");
    f->net = net;
    *state = f;
    return SEGRT_OK;
}

static segrt_status fake_prepare(void *state, int n, int h, int w, segrt_error *error)
{
    (void)state, (void)n, (void)h, (void)w, (void)error;
    return SEGRT_OK;
}

static segrt_status fake_run(void *state, const backend_run *run, segrt_error *error)
{
    const fake *f = state;
    const label_output *out = &run->output;
    const int count = atomic_fetch_add(&runs, 1) + 1;
    if (!strncmp(told(), "lost:", 5) && count >= atoi(told() + 5))
        return fail_with(error, SEGRT_DEVICE, "CUDA: running the network: the device is lost (made up)");
    for (int n = 0; out->labels && n < run->n; n++)
        for (int y = 0; y < out->h; y++)
            for (int x = 0; x < out->w; x++) {
                const size_t from =
                    ((size_t)n * (size_t)run->h + (size_t)(y * run->h / out->h)) * (size_t)run->w + (size_t)(x * run->w / out->w);
                ((uint8_t *)out->labels)[n * out->picture_stride + y * out->stride + x] =
                    (uint8_t)(run->pixels[3 * from] % f->net->classes);
            }
    return SEGRT_OK;
}

static const char *fake_describe(const void *state)
{
    (void)state;
    return "cuda:0, no GPU at all, fp16";
}

static size_t fake_memory(const void *state)
{
    (void)state;
    return 1000000;
}

static size_t fake_profile(const void *state, const backend_profile_row **rows)
{
    static const backend_profile_row row = {
        .first = {OP_LABEL, -1, -1}, .count = 1, .kernel = "none", .seconds = 0.005, .macs = 1000000, .bytes = 1000000};
    (void)state;
    *rows = &row;
    return 1;
}

static segrt_status fake_ceiling(const void *state, backend_ceiling *ceiling, segrt_error *error)
{
    (void)state, (void)error;
    *ceiling = (backend_ceiling){.macs = 1e12, .bytes = 1e12};
    return SEGRT_OK;
}

static void fake_close(void *state)
{
    if (state)
        atomic_fetch_sub(&sessions, 1);
    free(state);
}

static segrt_status fake_run_device(void *state, const backend_device_run *run, segrt_error *error)
{
    (void)state, (void)run;
    return fail_with(error, SEGRT_UNSUPPORTED, "no device memory (made up)");
}

static void fake_times(void *state, backend_times *times)
{
    (void)state;
    *times = (backend_times){.copy_in = 1e-4, .compute = 2e-3, .copy_out = 5e-5};
}

static segrt_status fake_facts(int device, backend_facts *facts, segrt_error *error)
{
    (void)device;
    *facts = (backend_facts){.memory_free = 900000000, .memory_total = 1000000000, .note = "power and clocks unknown: made up"};
    return !strcmp(told(), "none") ? fail_with(error, SEGRT_DEVICE, "there is no NVIDIA GPU (made up)") : SEGRT_OK;
}

static const backend table = {
    .name = "cuda",
    .open = fake_open,
    .prepare = fake_prepare,
    .run = fake_run,
    .describe = fake_describe,
    .memory = fake_memory,
    .profile = fake_profile,
    .ceiling = fake_ceiling,
    .close = fake_close,
    .run_device = fake_run_device,
    .times = fake_times,
    .facts = fake_facts,
};

__attribute__((visibility("default"))) cuda_backend_fn segrt_cuda_backend;

const backend *segrt_cuda_backend(const cuda_abi *abi, const segrt_allocator *allocator)
{
    const cuda_abi mine = CUDA_ABI;
    (void)allocator;
    return memcmp(abi, &mine, sizeof mine) ? NULL : &table;
}
