/* step_patch: a patch embedding as a product: blocks of output tokens are gathered tap by tap, straight from the picture in
 * the first stage, and normed while they are in cache. */
#include <string.h>

#include "backend/cpu/steps.h"

enum { BLOCK = 96 }; /* tokens gathered at once: 96 * 147 floats are 56 KB, 96 * 1440 (b0's last) 553 */

typedef struct patch_space {
    float *taps;      /* [BLOCK][k], floats */
    void *operands;   /* the same as operands, where these are not floats */
} patch_space;

static patch_space lay_out(const cpu_state *cpu, const network_patch *p, int block, bump *b)
{
    const size_t k = (size_t)round_up(p->kernel * p->kernel * p->in, lanes_of(cpu->k));
    patch_space s = {.taps = bump_floats(b, (size_t)block * k)};
    s.operands = cpu->k->operand_bytes == sizeof(float) ? s.taps : bump_operands(b, cpu->k, (size_t)block * k);
    return s;
}

/* Tokens at once so that a block stays near L2. */
static int block_of(const network_patch *p)
{
    const int k = p->kernel * p->kernel * p->in, fitting = 65536 / k / 6 * 6;
    return fitting < 24 ? 24 : fitting > BLOCK ? BLOCK : fitting;
}

void patch_plan(const cpu_state *cpu, const cpu_plan *plan, cpu_step *step)
{
    const network_patch *p = &cpu->net->stages[step->first.stage].patch;
    const stage_shape *to = &plan->shape.stage[step->first.stage];
    bump b = {0};
    lay_out(cpu, p, block_of(p), &b);
    step->workspace = b.used;
    step_split(cpu, plan, step, to->h * to->w, 4, 24, 24);
}

/* One pixel row's taps [count] from 8-bit pixels, or from the three planes of a normalised input. */
static void gather_bytes(float *to, const uint8_t *from, int count)
{
    for (int i = 0; i < count; i++)
        to[i] = from[i];
}

static void gather_planes(float *to, const step_run *job, const float *picture, int y, int x, int pixels)
{
    const network *net = job->cpu->net;
    const int h = job->plan->shape.h, w = job->plan->shape.w;
    for (int c = 0; c < 3; c++) {
        const float *plane = picture + ((size_t)c * (size_t)h + (size_t)y) * (size_t)w + x;
        const float scale = (float)net->deviation[c], shift = (float)net->mean[c];
        for (int i = 0; i < pixels; i++)
            to[i * 3 + c] = plane[i] * scale + shift;
    }
}

/* The taps of output token (oy, ox): [kernel][kernel][in], zero outside. */
static void gather(const step_run *job, const network_patch *p, int picture, int oy, int ox, float *to)
{
    const int stage = job->step->first.stage, in = p->in;
    const int h = stage ? job->plan->shape.stage[stage - 1].h : job->plan->shape.h;
    const int w = stage ? job->plan->shape.stage[stage - 1].w : job->plan->shape.w;
    const int x0 = ox * p->stride - p->pad, low = greatest(0, -x0), high = least(p->kernel, w - x0);
    const size_t pixels = (size_t)h * (size_t)w;
    for (int ky = 0; ky < p->kernel; ky++, to += p->kernel * in) {
        const int y = oy * p->stride - p->pad + ky;
        if (y < 0 || y >= h) {
            memset(to, 0, (size_t)(p->kernel * in) * sizeof *to);
            continue;
        }
        memset(to, 0, (size_t)(low * in) * sizeof *to);
        memset(to + high * in, 0, (size_t)((p->kernel - high) * in) * sizeof *to);
        const size_t at = (size_t)y * (size_t)w + (size_t)(x0 + low);
        if (stage)
            memcpy(to + low * in, (const float *)step_in(job, (tensor_role)(ROLE_F + stage - 1), picture) + at * (size_t)in,
                   (size_t)((high - low) * in) * sizeof *to);
        else if (job->run->pixels)
            gather_bytes(to + low * in, job->run->pixels + ((size_t)picture * pixels + at) * 3, (high - low) * 3);
        else
            gather_planes(to + low * in, job, job->run->input + (size_t)picture * pixels * 3, y, x0 + low, high - low);
    }
}

void patch_run(const step_run *job, void *workspace, int piece)
{
    const cpu_kernels *k = job->cpu->k;
    const network_patch *p = &job->cpu->net->stages[job->step->first.stage].patch;
    const packed_stage *packed = step_stage(job);
    const stage_shape *at = step_shape(job);
    const patch_borders *borders = &job->plan->borders[job->step->first.stage];
    const int tokens = at->h * at->w, taps = p->kernel * p->kernel * p->in, block = block_of(p), width = round_up(p->out, PANEL);
    const ptrdiff_t row = round_up(taps, lanes_of(k));
    bump b = {.base = workspace};
    const patch_space s = lay_out(job->cpu, p, block, &b);
    int picture, begin, end;
    step_band(job, piece, tokens, &picture, &begin, &end);
    float *x = step_out(job, ROLE_X, picture);
    for (int t0 = begin; t0 < end; t0 += block) {
        const int m = least(block, end - t0);
        for (int i = 0; i < m; i++)
            gather(job, p, picture, (t0 + i) / at->w, (t0 + i) % at->w, s.taps + i * row);
        if (s.operands != s.taps)
            k->operands(s.taps, row, m, taps, NULL, s.operands, row);
        float *to = x + (size_t)t0 * (size_t)p->out;
        linear(k, &packed->patch, s.operands, row, m, NULL, NULL, NULL, to, p->out);
        for (int i = 0; i < m; i++) {
            const int border = borders->row[(t0 + i) / at->w] * borders->columns + borders->column[(t0 + i) % at->w];
            k->patch_norm(to + i * p->out, p->out, borders->bias + border * width, packed->patch_gamma, packed->patch_beta, packed->patch_eps);
        }
    }
}
