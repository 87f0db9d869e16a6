/* step_patch: a patch embedding as a product.  The rows that a block of output tokens reads become operands once, with zeros around,
 * in a ring; a token's taps are one copy for each of its rows.  The result is normed while it is in cache. */
#include <string.h>

#include "backend/cpu/steps.h"

enum {
    BLOCK = 96, /* tokens gathered at once: 96 * 147 floats are 56 KB, 96 * 1440 (b0's last) 553 */
    COPY = 16   /* bytes that a row's taps are copied by: as many too many as they like, the next row's overwrite them */
};

typedef struct patch_space {
    int ring;       /* rows */
    ptrdiff_t line; /* operands of a row: [pad][w][pad], and some to spare */
    void *lines;    /* [ring][line] operands */
    float *floats;  /* [w * in] of the picture */
    void *taps;     /* [block][k] operands */
} patch_space;

static int source_columns(const cpu_plan *plan, int stage)
{
    return stage ? plan->shape.stage[stage - 1].w : plan->shape.w;
}

static patch_space lay_out(const cpu_state *cpu, const cpu_plan *plan, int stage, int block, bump *b)
{
    const network_patch *p = &cpu->net->stages[stage].patch;
    const int w = source_columns(plan, stage), lanes = lanes_of(cpu->k);
    patch_space s = {.ring = ((block - 1) / plan->shape.stage[stage].w + 1) * p->stride + p->kernel};
    s.line = round_up((w + 2 * p->pad + p->kernel) * p->in, lanes) + lanes;
    s.lines = bump_operands(b, cpu->k, (size_t)s.ring * (size_t)s.line);
    s.floats = bump_floats(b, stage ? 0 : (size_t)w * (size_t)p->in);
    s.taps = bump_operands(b, cpu->k, (size_t)block * (size_t)round_up(p->kernel * p->kernel * p->in, lanes) + (size_t)lanes);
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
    lay_out(cpu, plan, step->first.stage, block_of(p), &b);
    step->workspace = b.used;
    step_split(cpu, plan, step, to->h * to->w, 4, 24, 24);
}

static void planes_to_pixels(const step_run *job, const float *picture, int y, float *to)
{
    const network *net = job->cpu->net;
    const int h = job->plan->shape.h, w = job->plan->shape.w;
    for (int c = 0; c < 3; c++) {
        const float *plane = picture + ((size_t)c * (size_t)h + (size_t)y) * (size_t)w;
        const float scale = (float)net->deviation[c], shift = (float)net->mean[c];
        for (int x = 0; x < w; x++)
            to[x * 3 + c] = plane[x] * scale + shift;
    }
}

/* Row y of what the patch reads: 8-bit pixels, a normalised input's three planes back as pixels, or the stage before. */
static const float *source_row(const step_run *job, int picture, int y, float *scratch)
{
    const int stage = job->step->first.stage, h = stage ? job->plan->shape.stage[stage - 1].h : job->plan->shape.h;
    const size_t w = (size_t)source_columns(job->plan, stage), in = (size_t)job->cpu->net->stages[stage].patch.in;
    if (stage)
        return (const float *)step_in(job, (tensor_role)(ROLE_F + stage - 1), picture) + (size_t)y * w * in;
    if (job->run->pixels) {
        const uint8_t *from = job->run->pixels + ((size_t)picture * (size_t)h + (size_t)y) * w * 3;
        for (size_t i = 0; i < w * 3; i++)
            scratch[i] = from[i];
    } else {
        planes_to_pixels(job, job->run->input + (size_t)picture * (size_t)h * w * 3, y, scratch);
    }
    return scratch;
}

/* Row y into its place in the ring; zeros outside the picture. */
static void make_line(const step_run *job, const network_patch *p, const patch_space *s, int picture, int y)
{
    const cpu_kernels *k = job->cpu->k;
    const int stage = job->step->first.stage, count = source_columns(job->plan, stage) * p->in, before = p->pad * p->in;
    const int h = stage ? job->plan->shape.stage[stage - 1].h : job->plan->shape.h, operand = k->operand_bytes;
    char *line = (char *)s->lines + (ptrdiff_t)((y + p->pad) % s->ring) * s->line * operand;
    if (y < 0 || y >= h) {
        memset(line, 0, (size_t)(s->line * operand));
        return;
    }
    const float *from = source_row(job, picture, y, s->floats);
    memset(line, 0, (size_t)(before * operand));
    if (reads_floats(k))
        memcpy(line + before * operand, from, (size_t)count * sizeof *from);
    else
        k->operands(from, count, 1, count, NULL, line + before * operand, count);
    memset(line + (before + count) * operand, 0, (size_t)((s->line - before - count) * operand));
}

/* Taps of m tokens from t0 on: [kernel][kernel][in] each, finite numbers behind them. */
static void gather(const step_run *job, const network_patch *p, const patch_space *s, int t0, int m, ptrdiff_t row)
{
    const int w = step_shape(job)->w, operand = job->cpu->k->operand_bytes, bytes = p->kernel * p->in * operand;
    const ptrdiff_t line = s->line * operand, step = (ptrdiff_t)p->stride * p->in * operand;
    char *to = s->taps;
    for (int t = t0; t < t0 + m; t++, to += row * operand) {
        int slot = t / w * p->stride % s->ring;
        char *at = to;
        for (int ky = 0; ky < p->kernel; ky++, at += bytes, slot = slot + 1 < s->ring ? slot + 1 : 0) {
            const char *from = (const char *)s->lines + slot * line + t % w * step;
            for (int i = 0; i < bytes; i += COPY)
                memcpy(at + i, from + i, COPY);
        }
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
    const patch_space s = lay_out(job->cpu, job->plan, job->step->first.stage, block, &b);
    int picture, begin, end;
    step_band(job, piece, tokens, &picture, &begin, &end);
    float *x = step_out(job, ROLE_X, picture);
    memset(s.taps, 0, (size_t)(block * row * k->operand_bytes)); /* what no copy reaches, behind a token's taps, is read too */
    int made = begin / at->w * p->stride - p->pad;               /* rows before this one are in the ring, as many as it has */
    for (int t0 = begin; t0 < end; t0 += block) {
        const int m = least(block, end - t0), needed = (t0 + m - 1) / at->w * p->stride - p->pad + p->kernel;
        for (made = greatest(made, t0 / at->w * p->stride - p->pad); made < needed; made++)
            make_line(job, p, &s, picture, made);
        gather(job, p, &s, t0, m, row);
        float *to = x + (size_t)t0 * (size_t)p->out;
        linear(k, &packed->patch, s.taps, row, m, NULL, NULL, NULL, to, p->out);
        for (int i = 0; i < m; i++) {
            const int border = borders->row[(t0 + i) / at->w] * borders->columns + borders->column[(t0 + i) % at->w];
            k->patch_norm(to + i * p->out, p->out, borders->bias + border * width, packed->patch_gamma, packed->patch_beta,
                          packed->patch_eps);
        }
    }
}
