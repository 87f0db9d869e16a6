/* step_levels: a stage's end and what the head makes of it: the norm, and the level's product at the stage's own size. */
#include "backend/cpu/steps.h"

enum { BLOCK = 96 }; /* tokens at once */

void norm_plan(const cpu_state *cpu, const cpu_plan *plan, cpu_step *step)
{
    const stage_shape *at = &plan->shape.stage[step->first.stage];
    step_split(cpu, plan, step, at->h * at->w, 2, BLOCK, 1);
}

void norm_run(const step_run *job, void *workspace, int piece)
{
    (void)workspace;
    const stage_shape *at = step_shape(job);
    const packed_stage *stage = step_stage(job);
    const int c = job->cpu->net->stages[job->step->first.stage].width;
    int picture, begin, end;
    step_band(job, piece, at->h * at->w, &picture, &begin, &end);
    const size_t first = (size_t)begin * (size_t)c;
    job->cpu->k->stage_norm((const float *)step_in(job, ROLE_X, picture) + first, c, end - begin, c, stage->offset, stage->eps,
                            (float *)step_out(job, (tensor_role)(ROLE_F + job->step->first.stage), picture) + first, c);
}

typedef struct level_space {
    void *f;     /* [BLOCK][c] operands, where these are not floats */
    void *inner; /* [BLOCK][inner width] operands */
} level_space;

static level_space lay_out(const cpu_state *cpu, int stage, bump *b)
{
    const cpu_kernels *k = cpu->k;
    level_space s;
    s.f = bump_operands(b, k, k->operand_bytes == sizeof(float) ? 0 : BLOCK * (size_t)round_up(cpu->net->stages[stage].width, LINE));
    s.inner = bump_operands(b, k, BLOCK * (size_t)round_up(cpu->net->head.inner_width, LINE));
    return s;
}

void level_plan(const cpu_state *cpu, const cpu_plan *plan, cpu_step *step)
{
    const stage_shape *at = &plan->shape.stage[step->first.stage];
    bump b = {0};
    lay_out(cpu, step->first.stage, &b);
    step->workspace = b.used;
    step_split(cpu, plan, step, at->h * at->w, 4, 24, 24);
}

const void *level_operands(const cpu_state *cpu, int stage, const float *f, int m, void *f_scratch, void *inner_scratch, ptrdiff_t *row)
{
    const cpu_kernels *k = cpu->k;
    const packed_linear *inner = &cpu->packed.inner[stage];
    const void *a = as_operands(k, f, m, cpu->net->stages[stage].width, f_scratch, row);
    if (!inner->b)
        return a;
    const ptrdiff_t width = round_up(inner->n, lanes_of(k));
    k->gemm(&(gemm_args){.m = m, .n = (int)width, .k = inner->k, .a = a, .a_row = *row, .a_panel = lanes_of(k), .b = inner->b,
                         .b_panel = inner->b_panel, .c = inner_scratch, .c_row = width, .c_panel = lanes_of(k), .narrow = true,
                         .relu = true, .bias = inner->bias});
    *row = width;
    return inner_scratch;
}

void level_product(const cpu_state *cpu, int stage, const void *a, ptrdiff_t row, int m, int n0, int n, gemm_args to)
{
    const cpu_kernels *k = cpu->k;
    const packed_linear *level = &cpu->packed.level[stage];
    to.m = m;
    to.n = n;
    to.k = level->k;
    to.a = a;
    to.a_row = row;
    to.a_panel = lanes_of(k);
    to.b = (const char *)level->b + (size_t)(n0 / PANEL) * level->b_panel;
    to.b_panel = level->b_panel;
    k->gemm(&to);
}

void level_run(const step_run *job, void *workspace, int piece)
{
    const stage_shape *at = step_shape(job);
    const int stage = job->step->first.stage, c = job->cpu->net->stages[stage].width, tokens = at->h * at->w;
    bump b = {.base = workspace};
    const level_space s = lay_out(job->cpu, stage, &b);
    int picture, begin, end;
    step_band(job, piece, tokens, &picture, &begin, &end);
    const float *f = step_in(job, (tensor_role)(ROLE_F + stage), picture);
    float *level = step_out(job, (tensor_role)(ROLE_LEVEL + stage), picture);
    for (int t = begin; t < end; t += BLOCK) {
        const int m = least(BLOCK, end - t);
        ptrdiff_t row;
        const void *a = level_operands(job->cpu, stage, f + (size_t)t * (size_t)c, m, s.f, s.inner, &row);
        level_product(job->cpu, stage, a, row, m, 0, round_up(job->cpu->net->head.width, FLOATS),
                      (gemm_args){.c = level + (size_t)t * FLOATS, .c_row = FLOATS, .c_panel = (ptrdiff_t)tokens * FLOATS});
    }
}
