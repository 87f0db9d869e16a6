/* observe: a step's result as plain row-major floats, for bisecting; see state.h. */
#include <string.h>

#include "backend/cpu/state.h"

int tensor_channels(const cpu_state *cpu, operation op)
{
    const network *net = cpu->net;
    const network_stage *stage = &net->stages[op.stage < 0 ? 0 : op.stage];
    switch (op.kind) {
    case OP_LABEL:
    case OPERATION_KINDS:
        return 0;
    case OP_FC1:
    case OP_DEPTHWISE:
        return stage->blocks[op.block].hidden;
    case OP_LEVEL:
    case OP_MERGE:
        return net->head.width;
    case OP_CLASSIFY:
        return net->classes;
    default:
        return stage->width;
    }
}

/* Operands back to floats. */
static float operand_at(const cpu_kernels *k, const void *p, size_t i)
{
    if (k->operand_bytes == sizeof(float))
        return ((const float *)p)[i];
    const uint32_t bits = (uint32_t)((const uint16_t *)p)[i] << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static void read_blocked(const cpu_kernels *k, const void *p, size_t tokens, int channels, size_t lanes, bool floats, float *out)
{
    for (size_t t = 0; t < tokens; t++)
        for (size_t c = 0; c < (size_t)channels; c++) {
            const size_t at = (c / lanes * tokens + t) * lanes + c % lanes;
            out[t * (size_t)channels + c] = floats ? ((const float *)p)[at] : operand_at(k, p, at);
        }
}

/* Keys of one picture, back from their panels: column j of a head's panels is key j. */
static void read_keys(const step_run *job, int picture, float *out)
{
    const cpu_kernels *k = job->cpu->k;
    const network_stage *stage = &job->cpu->net->stages[job->step->first.stage];
    const stage_shape *at = step_shape(job);
    const int c = stage->width, d = c / stage->heads, keys = at->key_h * at->key_w;
    const size_t panel = k->key_bytes(d), head = (size_t)(round_up(keys, PANEL) / PANEL) * panel;
    const char *from = step_out(job, ROLE_KEYS, picture);
    for (int j = 0; j < keys; j++)
        for (int i = 0; i < c; i++)
            out[j * c + i] = k->key_at(from + (size_t)(i / d) * head + (size_t)(j / PANEL) * panel, i % d, j % PANEL);
}

void tensor_read(const step_run *job, operation op, float *out)
{
    const cpu_state *cpu = job->cpu;
    const cpu_kernels *k = cpu->k;
    const network_shape *shape = &job->plan->shape;
    const int i = op.stage < 0 ? 0 : op.stage, channels = tensor_channels(cpu, op);
    const stage_shape *at = &shape->stage[i];
    const bool keys = op.kind == OP_REDUCE || op.kind == OP_KEYS;
    const size_t tokens = keys ? (size_t)at->key_h * (size_t)at->key_w : (size_t)at->h * (size_t)at->w, lanes = (size_t)lanes_of(k);
    static const tensor_role roles[OPERATION_KINDS] = {
        [OP_PATCH] = ROLE_X,       [OP_REDUCE] = ROLE_REDUCED, [OP_QUERY] = ROLE_QUERY, [OP_ATTEND] = ROLE_ATTENDED,
        [OP_PROJECT] = ROLE_X,     [OP_FC1] = ROLE_HIDDEN,     [OP_DEPTHWISE] = ROLE_GELU, [OP_FC2] = ROLE_X,
        [OP_STAGE_NORM] = ROLE_F,  [OP_LEVEL] = ROLE_LEVEL,    [OP_MERGE] = ROLE_MERGED, [OP_CLASSIFY] = ROLE_LOGITS,
    };
    tensor_role role = roles[op.kind];
    if (op.kind == OP_ATTEND && cpu->net->stages[i].heads == 1)
        role = ROLE_X;
    if (role == ROLE_F || role == ROLE_LEVEL)
        role = (tensor_role)(role + i);
    for (int n = 0; n < shape->n; n++, out += tokens * (size_t)channels) {
        if (op.kind == OP_KEYS) {
            read_keys(job, n, out);
            continue;
        }
        const void *from = step_out(job, role, n);
        if (role == ROLE_HIDDEN || role == ROLE_GELU || role == ROLE_MERGED)
            read_blocked(k, from, tokens, channels, lanes, false, out);
        else if (role >= ROLE_LEVEL && role < ROLE_LEVEL + STAGES)
            read_blocked(k, from, tokens, channels, FLOATS, true, out);
        else if (role == ROLE_LOGITS)
            for (size_t t = 0; t < tokens; t++)
                memcpy(out + t * (size_t)channels,
                       (const float *)from + (t / (size_t)at->w * (size_t)logit_columns(shape) + t % (size_t)at->w) * (size_t)logit_pitch(cpu),
                       (size_t)channels * sizeof *out);
        else if (role == ROLE_QUERY || role == ROLE_ATTENDED)
            for (size_t j = 0; j < tokens * (size_t)channels; j++)
                out[j] = operand_at(k, from, j);
        else
            memcpy(out, from, tokens * (size_t)channels * sizeof *out);
    }
}
