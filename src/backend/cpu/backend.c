/* backend: the CPU backend behind backend.h: chooses kernels, keeps packed weights and the latest plans, runs steps on the
 * pool.  See state.h for the parts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backend/cpu/state.h"

/* ------------------------------------------------------------------------------------- opening */

static const char *precision_name(segrt_precision precision)
{
    static const char *const names[] = {"float32", "float32", "tf32", "bfloat16", "float16", "int8"};
    return (size_t)precision < sizeof names / sizeof *names ? names[precision] : "unknown";
}

/* Whether all inner sizes of products are whole units: kernels read operands up to there. */
static bool units_fit(const network *net, const cpu_kernels *k)
{
    const int unit = k->k_unit;
    bool fit = net->head.width % unit == 0 && net->head.inner_width % unit == 0;
    for (int i = 0; i < STAGES; i++) {
        const network_stage *s = &net->stages[i];
        fit = fit && s->width / s->heads % unit == 0 && s->width / s->heads % k->head_unit == 0;
        for (int b = 0; b < s->depth; b++)
            fit = fit && s->blocks[b].hidden % unit == 0;
    }
    return fit;
}

/* The best table of the precision among the levels that may be used. */
static const cpu_kernels *choose_kernels(const network *net, segrt_precision precision, unsigned levels)
{
    for (size_t i = 0; i < cpu_kernel_table_count; i++) {
        const cpu_kernels *k = cpu_kernel_tables[i];
        if (k->precision == precision && levels >> k->level & 1 && units_fit(net, k))
            return k;
    }
    return NULL;
}

/* The best table of integers among the levels that may be used. */
static const int8_kernels *choose_int8(const network *net, unsigned levels)
{
    for (size_t i = 0; i < int8_kernel_table_count; i++) {
        const int8_kernels *q = int8_kernel_tables[i];
        if (levels >> q->level & 1 && units_fit(net, q->base))
            return q;
    }
    return NULL;
}

static void cpu_close(void *state)
{
    cpu_state *cpu = state;
    if (!cpu)
        return;
    for (int i = 0; i < PLANS; i++)
        plan_close(cpu->plans[i]);
    packed_close(&cpu->packed);
    quantised_close(&cpu->quantised);
    memory_free(cpu->labels.memory);
    memory_free(cpu->arena);
    memory_free(cpu->workspaces);
    memory_free(cpu->profile);
    arena_free(&cpu->memory);
    memory_free(cpu);
}

static segrt_status cpu_open(void **state, const network *net, const backend_options *options, segrt_error *error)
{
    *state = NULL;
    const segrt_precision precision = options->precision == SEGRT_PRECISION_DEFAULT ? SEGRT_FLOAT32 : options->precision;
    unsigned levels = cpu_levels();
    segrt_status status = cpu_limit(&levels, getenv("SEGRT_CPU"), error);
    if (status)
        return status;
    if (precision == SEGRT_INT8 && !options->settings)
        return fail_with(error, SEGRT_ARGUMENT, "int8 needs an engine with measured scales: segrt build MODEL --precision int8 --calibrate FOLDER");
    const int8_kernels *q = precision == SEGRT_INT8 ? choose_int8(net, levels) : NULL;
    const cpu_kernels *k = q ? q->base : choose_kernels(net, precision, levels);
    if (!k)
        return fail_with(error, SEGRT_UNSUPPORTED, "the CPU does not run %s; give float32, bfloat16 or int8", precision_name(precision));
    if (!net->stages[0].patch.weight.f32)
        return fail_with(error, SEGRT_ARGUMENT, "the CPU backend takes networks folded to float32");
    cpu_state *cpu = memory_get_cleared(1, sizeof *cpu);
    if (!cpu)
        return fail_memory(error, sizeof *cpu, "the CPU backend");
    cpu->net = net;
    cpu->k = k;
    cpu->q = q;
    cpu->pool = options->pool;
    cpu->options = *options;
    snprintf(cpu->description, sizeof cpu->description, "cpu, %s, %s, %d thread%s", cpu_level_name(cpu->k->level), precision_name(precision),
             pool_workers(cpu->pool), pool_workers(cpu->pool) == 1 ? "" : "s");
    status = network_operations(net, &cpu->memory, &cpu->operations, &cpu->count, error);
    if (!status)
        status = packed_open(&cpu->packed, net, k, &cpu->memory, cpu->pool, error);
    if (!status && q)
        status = quantised_open(&cpu->quantised, net, q, options->settings, cpu->operations, cpu->count, &cpu->memory, error);
    if (status) {
        cpu_close(cpu);
        return status;
    }
    *state = cpu;
    return SEGRT_OK;
}

/* --------------------------------------------------------------------------------------- plans */

/* Grown to `bytes`, what was there is lost. */
static segrt_status grow(char **memory, size_t *room, size_t bytes, const char *what, segrt_error *error)
{
    if (bytes <= *room)
        return SEGRT_OK;
    memory_free(*memory);
    *room = 0;
    *memory = memory_get_cleared(1, bytes); /* cleared: what lies between tensors is finite */
    if (!*memory)
        return fail_memory(error, bytes, what);
    *room = bytes;
    return SEGRT_OK;
}

static segrt_status find_plan(cpu_state *cpu, int n, int h, int w, cpu_plan **out, segrt_error *error)
{
    cpu_plan **oldest = &cpu->plans[0];
    for (int i = 0; i < PLANS; i++) {
        cpu_plan *p = cpu->plans[i];
        if (p && p->shape.n == n && p->shape.h == h && p->shape.w == w) {
            *out = p;
            return SEGRT_OK;
        }
        if (*oldest && (!p || p->used < (*oldest)->used))
            oldest = &cpu->plans[i];
    }
    network_shape shape;
    segrt_status status = network_shape_of(&shape, cpu->net, n, h, w, error);
    if (status)
        return status;
    if (*oldest == cpu->latest)
        cpu->latest = NULL;
    plan_close(*oldest);
    *oldest = NULL;
    status = plan_open(oldest, cpu, &shape, error);
    *out = *oldest;
    return status;
}

static segrt_status make_room(cpu_state *cpu, const cpu_plan *plan, segrt_error *error)
{
    const size_t workers = (size_t)pool_workers(cpu->pool);
    segrt_status status = grow(&cpu->arena, &cpu->arena_bytes, plan->arena_bytes, "activations", error);
    if (!status)
        status = grow(&cpu->workspaces, &cpu->workspace_bytes, plan->workspace_bytes * workers, "workspaces", error);
    if (!status && cpu->options.profile && plan->count > cpu->profile_room) {
        memory_free(cpu->profile);
        cpu->profile_room = 0;
        cpu->profile = memory_get_array(plan->count, sizeof *cpu->profile);
        if (!cpu->profile)
            return fail_memory(error, plan->count * sizeof *cpu->profile, "the profile");
        cpu->profile_room = plan->count;
    }
    return status;
}

static segrt_status cpu_prepare(void *state, int n, int h, int w, segrt_error *error)
{
    cpu_plan *plan;
    const segrt_status status = find_plan(state, n, h, w, &plan, error);
    return status ? status : make_room(state, plan, error);
}

/* ------------------------------------------------------------------------------------- running */

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void run_piece(void *argument, int worker, int piece)
{
    const step_run *job = argument;
    kernels_begin(job->cpu->k);
    job->step->row->run(job, job->cpu->workspaces + (size_t)worker * job->plan->workspace_bytes, piece);
    kernels_end(job->cpu->k);
}

/* Means of f + offset over the tokens of all pictures. */
static void store_mean(const step_run *job, double *mean)
{
    const int stage = job->step->first.stage, c = job->cpu->net->stages[stage].width;
    const stage_shape *at = step_shape(job);
    const size_t tokens = (size_t)job->run->n * (size_t)at->h * (size_t)at->w;
    const float *f = step_out(job, (tensor_role)(ROLE_F + stage), 0);
    for (int i = 0; i < c; i++)
        mean[i] = 0;
    for (size_t t = 0; t < tokens; t++)
        for (int i = 0; i < c; i++)
            mean[i] += (double)f[t * (size_t)c + (size_t)i];
    for (int i = 0; i < c; i++)
        mean[i] = mean[i] / (double)tokens + weight_at(job->cpu->net->stages[stage].offset, (size_t)i);
}

static segrt_status report(const step_run *job, segrt_error *error)
{
    operation op = job->step->first;
    op.kind = job->step->row->pattern[job->step->row->length - 1];
    if (op.kind >= OP_MERGE)
        op.stage = -1;
    const int channels = tensor_channels(job->cpu, op);
    if (!channels)
        return SEGRT_OK;
    const stage_shape *at = &job->plan->shape.stage[op.stage < 0 ? 0 : op.stage];
    const bool keys = op.kind == OP_REDUCE || op.kind == OP_KEYS;
    const int h = keys ? at->key_h : at->h, w = keys ? at->key_w : at->w;
    const size_t count = (size_t)job->run->n * (size_t)h * (size_t)w * (size_t)channels;
    float *data = memory_get_array(count, sizeof *data);
    if (!data)
        return fail_memory(error, count * sizeof *data, "an observed operation");
    tensor_read(job, op, data);
    job->run->observe(job->run->observe_user, op, data, job->run->n, h, w, channels);
    memory_free(data);
    return SEGRT_OK;
}

static segrt_status run_steps(cpu_state *cpu, cpu_plan *plan, const backend_run *run, segrt_error *error)
{
    const bool head = run->logits || run->observe || run->output.labels || run->output.confidence;
    for (size_t i = 0; i < plan->count; i++) {
        cpu_step *step = &plan->steps[i];
        if (step->first.kind >= OP_LEVEL && !head)
            break;
        if (run->cancel && atomic_load_explicit(run->cancel, memory_order_relaxed))
            return fail_with(error, SEGRT_CANCELLED, "cancelled");
        step_run job = {.cpu = cpu, .plan = plan, .step = step, .run = run};
        const double begin = cpu->options.profile ? seconds() : 0;
        pool_run(cpu->pool, step->pieces, run_piece, &job);
        if (cpu->options.profile)
            step->seconds += seconds() - begin;
        if (step->first.kind == OP_STAGE_NORM && run->stage_mean[step->first.stage])
            store_mean(&job, run->stage_mean[step->first.stage]);
        if (run->observe) {
            const segrt_status status = report(&job, error);
            if (status)
                return status;
        }
    }
    return SEGRT_OK;
}

static segrt_status cpu_run(void *state, const backend_run *run, segrt_error *error)
{
    cpu_state *cpu = state;
    const bool labels = run->output.labels || run->output.confidence;
    if (!cpu->net->classes && (labels || run->logits))
        return fail_with(error, SEGRT_ARGUMENT, "a backbone without a head has neither logits nor labels");
    if (labels && (run->output.h < 1 || run->output.w < 1))
        return fail_with(error, SEGRT_ARGUMENT, "labels of %d rows and %d columns", run->output.h, run->output.w);
    cpu_plan *plan;
    segrt_status status = find_plan(cpu, run->n, run->h, run->w, &plan, error);
    if (!status)
        status = make_room(cpu, plan, error);
    if (!status && labels)
        status = label_tables_fit(&cpu->labels, &plan->shape, &run->output, error);
    if (status)
        return status;
    plan->used = ++cpu->clock;
    cpu->latest = plan;
    pool_enter(cpu->pool);
    status = run_steps(cpu, plan, run, error);
    pool_leave(cpu->pool);
    return status;
}

static const char *cpu_describe(const void *state) { return ((const cpu_state *)state)->description; }

static size_t cpu_memory(const void *state)
{
    const cpu_state *cpu = state;
    return sizeof *cpu + cpu->packed.bytes + cpu->quantised.bytes + cpu->arena_bytes + cpu->workspace_bytes + cpu->labels.bytes;
}

static size_t cpu_profile(const void *state, const backend_profile_row **rows)
{
    const cpu_state *cpu = state;
    *rows = cpu->profile;
    if (!cpu->profile || !cpu->latest)
        return 0;
    for (size_t i = 0; i < cpu->latest->count; i++) {
        const cpu_step *step = &cpu->latest->steps[i];
        cpu->profile[i] = (backend_profile_row){.first = step->first, .count = step->row->length, .kernel = step->name, .seconds = step->seconds,
                                                .macs = step->macs, .bytes = step->bytes};
    }
    return cpu->latest->count;
}

const backend backend_cpu = {
    .name = "cpu",
    .open = cpu_open,
    .prepare = cpu_prepare,
    .run = cpu_run,
    .describe = cpu_describe,
    .memory = cpu_memory,
    .profile = cpu_profile,
    .ceiling = cpu_ceiling,
    .close = cpu_close,
};
