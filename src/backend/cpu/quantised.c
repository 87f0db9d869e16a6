/* quantised: see quantised.h.  Weights get a scale for each output: the largest is 127. */
#include "backend/cpu/quantised.h"

#include <math.h>

#include "backend/cpu/state.h"

typedef struct quantising {
    const int8_kernels *q;
    bump to; /* base NULL: only counts */
} quantising;

static quantised_linear one(quantising *z, const float *weight, int n, int k, float input_scale)
{
    const int width = round_up(n, LINE);
    quantised_linear out = {.b_panel = z->q->panel_bytes(k), .inverse = 1.0f / input_scale};
    void *b = bump_take(&z->to, (size_t)(width / PANEL + 1) * out.b_panel);
    float *scale = bump_floats(&z->to, (size_t)width), *inverse = bump_floats(&z->to, (size_t)width);
    out.b = b;
    out.scale = scale;
    if (!b)
        return out;
    for (int j = 0; j < n; j++) {
        float largest = 0;
        for (int i = 0; i < k; i++)
            largest = fmaxf(largest, fabsf(weight[(size_t)j * (size_t)k + (size_t)i]));
        const bool some = largest > 1e-30f && largest < 1e30f; /* else nothing is kept of this output but its bias */
        inverse[j] = some ? 127.0f / largest : 0.0f;
        scale[j] = some ? largest / 127.0f * input_scale : 0.0f;
    }
    z->q->pack(b, weight, inverse, n, k);
    return out;
}

static const operation_setting *setting_of(const operation_setting *settings, const operation *operations, size_t count, operation_kind kind,
                                           int stage, int block)
{
    for (size_t i = 0; i < count; i++)
        if (operations[i].kind == kind && operations[i].stage == stage && operations[i].block == block)
            return &settings[i];
    return NULL;
}

static void walk(quantising *z, quantised_network *out, const network *net, const operation_setting *settings, const operation *operations, size_t count)
{
    for (int s = 0; s < STAGES; s++)
        for (int b = 0; b < net->stages[s].depth; b++) {
            const network_block *block = &net->stages[s].blocks[b];
            const operation_setting *fc1 = setting_of(settings, operations, count, OP_FC1, s, b), *fc2 = setting_of(settings, operations, count, OP_FC2, s, b);
            if (!fc1 || !fc2 || fc1->precision != SEGRT_INT8 || fc2->precision != SEGRT_INT8 || block->hidden > INT8_LONGEST)
                continue;
            out->blocks[s][b].fc1 = one(z, block->fc1.f32, block->hidden, net->stages[s].width, fc1->input_scale);
            out->blocks[s][b].fc2 = one(z, block->fc2.f32, net->stages[s].width, block->hidden, fc2->input_scale);
        }
}

segrt_status quantised_open(quantised_network *out, const network *net, const int8_kernels *q, const operation_setting *settings,
                            const operation *operations, size_t count, arena *memory, segrt_error *error)
{
    *out = (quantised_network){0};
    for (int i = 0; i < STAGES; i++) {
        out->blocks[i] = arena_get(memory, (size_t)net->stages[i].depth + 1, sizeof *out->blocks[i]);
        if (!out->blocks[i])
            return fail_memory(error, (size_t)net->stages[i].depth * sizeof *out->blocks[i], "quantised blocks");
    }
    quantising z = {.q = q};
    walk(&z, out, net, settings, operations, count);
    out->bytes = z.to.used;
    out->memory = memory_get_cleared(1, out->bytes + LINE);
    if (!out->memory)
        return fail_memory(error, out->bytes, "quantised weights");
    z = (quantising){.q = q, .to = {.base = out->memory}};
    walk(&z, out, net, settings, operations, count);
    return SEGRT_OK;
}

void quantised_close(quantised_network *quantised)
{
    memory_free(quantised->memory);
    quantised->memory = NULL;
}
