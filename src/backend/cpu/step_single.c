/* step_single: the operations of the fused steps one by one, with everything in memory: what bisecting compares. */
#include <string.h>

#include "backend/cpu/steps.h"

enum { BLOCK = 96 }; /* tokens at once */

/* ------------------------------------------------------------------------ fc1, depthwise, fc2 */

/* Blocks of tokens for fc1 and fc2, image rows for depthwise. */
void wide_plan(const cpu_state *cpu, const cpu_plan *plan, cpu_step *step)
{
    const stage_shape *at = &plan->shape.stage[step->first.stage];
    const int c = cpu->net->stages[step->first.stage].width;
    bump b = {0};
    bump_operands(&b, cpu->k, BLOCK * (size_t)round_up(c, LINE));
    bump_floats(&b, BLOCK);
    step->workspace = b.used;
    step_split(cpu, plan, step, step->first.kind == OP_DEPTHWISE ? at->h : at->h * at->w, 4, 1, 1);
}

void fc1_run(const step_run *job, void *workspace, int piece)
{
    const cpu_kernels *k = job->cpu->k;
    const packed_block *block = step_block(job);
    const stage_shape *at = step_shape(job);
    const int c = job->cpu->net->stages[job->step->first.stage].width, tokens = at->h * at->w, lanes = lanes_of(k);
    bump b = {.base = workspace};
    void *scratch = bump_operands(&b, k, BLOCK * (size_t)round_up(c, LINE));
    float *rstd = bump_floats(&b, BLOCK);
    int picture, begin, end;
    step_band(job, piece, tokens, &picture, &begin, &end);
    for (int t = begin; t < end; t += BLOCK) {
        const int m = least(BLOCK, end - t);
        const float *x = (const float *)step_in(job, ROLE_X, picture) + (size_t)t * (size_t)c;
        ptrdiff_t row;
        const void *a = as_operands(k, x, m, c, scratch, &row);
        k->rstd(x, c, m, c, block->eps2, rstd);
        k->gemm(&(gemm_args){.m = m, .n = round_up(block->hidden, lanes), .k = c, .a = a, .a_row = row, .a_panel = lanes, .b = block->fc1.b,
                             .b_panel = block->fc1.b_panel, .c = (char *)step_out(job, ROLE_HIDDEN, picture) + (size_t)t * LINE, .c_row = lanes,
                             .c_panel = (ptrdiff_t)tokens * lanes, .narrow = true, .row_scale = rstd, .bias = block->fc1.bias});
    }
}

void depthwise_run(const step_run *job, void *workspace, int piece)
{
    (void)workspace;
    const cpu_kernels *k = job->cpu->k;
    const packed_block *block = step_block(job);
    const stage_shape *at = step_shape(job);
    const int lanes = lanes_of(k), groups = round_up(block->hidden, lanes) / lanes;
    const size_t line = (size_t)at->w * LINE;
    int picture, begin, end;
    step_band(job, piece, at->h, &picture, &begin, &end);
    for (int g = 0; g < groups; g++) {
        const char *in = (const char *)step_in(job, ROLE_HIDDEN, picture) + (size_t)g * (size_t)at->h * line;
        char *out = (char *)step_out(job, ROLE_GELU, picture) + (size_t)g * (size_t)at->h * line;
        for (int y = begin; y < end; y++) {
            const char *here = in + (size_t)y * line;
            const void *const rows[3] = {y > 0 ? here - line : NULL, here, y + 1 < at->h ? here + line : NULL};
            k->depthwise(rows, at->w, (const char *)block->depthwise + (size_t)g * (size_t)k->depthwise_bytes, out + (size_t)y * line);
        }
    }
}

void fc2_run(const step_run *job, void *workspace, int piece)
{
    (void)workspace;
    const cpu_kernels *k = job->cpu->k;
    const packed_block *block = step_block(job);
    const stage_shape *at = step_shape(job);
    const int c = job->cpu->net->stages[job->step->first.stage].width, tokens = at->h * at->w, lanes = lanes_of(k);
    int picture, begin, end;
    step_band(job, piece, tokens, &picture, &begin, &end);
    for (int t = begin; t < end; t += BLOCK) {
        const int m = least(BLOCK, end - t);
        float *x = (float *)step_in(job, ROLE_X, picture) + (size_t)t * (size_t)c;
        k->gemm(&(gemm_args){.m = m, .n = c, .k = block->hidden, .a = (const char *)step_in(job, ROLE_GELU, picture) + (size_t)t * LINE,
                             .a_row = lanes, .a_panel = (ptrdiff_t)tokens * lanes, .b = block->fc2.b, .b_panel = block->fc2.b_panel, .c = x,
                             .c_row = c, .c_panel = FLOATS, .add = x, .add_row = c, .add_panel = FLOATS, .bias = block->fc2.bias});
    }
}

/* -------------------------------------------------------------------- merge, classify, label */

static int quarter_tokens(const step_run *job) { return job->plan->shape.stage[0].h * job->plan->shape.stage[0].w; }

void merge_plan(const cpu_state *cpu, const cpu_plan *plan, cpu_step *step)
{
    const size_t w = (size_t)plan->shape.stage[0].w;
    bump b = {0};
    bump_floats(&b, merge_line_floats(&plan->shape));
    bump_floats(&b, w * FLOATS);
    bump_floats(&b, w * (size_t)lanes_of(cpu->k));
    step->workspace = b.used;
    step_split(cpu, plan, step, plan->shape.stage[0].h, 4, 1, 1);
}

void merge_run(const step_run *job, void *workspace, int piece)
{
    const cpu_state *cpu = job->cpu;
    const cpu_kernels *k = cpu->k;
    const stage_shape *at = &job->plan->shape.stage[0];
    const int lanes = lanes_of(k), width = cpu->net->head.width, tokens = quarter_tokens(job);
    bump b = {.base = workspace};
    float *line = bump_floats(&b, merge_line_floats(&job->plan->shape)), *part = bump_floats(&b, (size_t)at->w * FLOATS);
    float *sum = bump_floats(&b, (size_t)(at->w * lanes));
    int picture, begin, end;
    step_band(job, piece, at->h, &picture, &begin, &end);
    const float *first = step_in(job, ROLE_LEVEL, picture);
    for (int y = begin; y < end; y++) {
        merge_source source = merge_open(job, picture, y, 0, at->w);
        for (int c0 = 0; c0 < width; c0 += lanes) {
            for (int c = 0; c < lanes; c += FLOATS, merge_next_group(&source, false)) {
                const int group = (c0 + c) / FLOATS;
                const bool there = c0 + c < width;
                if (there)
                    k->merge(source.levels, at->w, cpu->packed.head_bias + group * FLOATS, line, part);
                const float *level = first + ((size_t)(there ? group : 0) * (size_t)tokens + (size_t)(y * at->w)) * FLOATS;
                for (int i = 0; i < at->w * FLOATS; i++) {
                    const float value = there ? part[i] + level[i] : 0;
                    sum[i / FLOATS * lanes + c + i % FLOATS] = value > 0 ? value : 0;
                }
            }
            k->operands(sum, lanes, at->w, lanes, NULL,
                        (char *)step_out(job, ROLE_MERGED, picture) + ((size_t)(c0 / lanes) * (size_t)tokens + (size_t)(y * at->w)) * LINE, lanes);
        }
    }
}

void classify_plan(const cpu_state *cpu, const cpu_plan *plan, cpu_step *step)
{
    step_split(cpu, plan, step, plan->shape.stage[0].h, 4, 1, 1);
}

void classify_run(const step_run *job, void *workspace, int piece)
{
    (void)workspace;
    const cpu_state *cpu = job->cpu;
    const cpu_kernels *k = cpu->k;
    const stage_shape *at = &job->plan->shape.stage[0];
    const packed_linear *w = &cpu->packed.classifier;
    const int lanes = lanes_of(k), pitch = logit_pitch(cpu);
    int picture, begin, end;
    step_band(job, piece, at->h, &picture, &begin, &end);
    for (int y = begin; y < end; y++) {
        float *row = (float *)step_out(job, ROLE_LOGITS, picture) + (size_t)y * (size_t)logit_columns(&job->plan->shape) * (size_t)pitch;
        k->gemm(&(gemm_args){.m = at->w, .n = w->n, .k = w->k, .a = (const char *)step_in(job, ROLE_MERGED, picture) + (size_t)(y * at->w) * LINE,
                             .a_row = lanes, .a_panel = (ptrdiff_t)quarter_tokens(job) * lanes, .b = w->b, .b_panel = w->b_panel, .c = row,
                             .c_row = pitch, .c_panel = FLOATS, .bias = w->bias});
        pad_logits(cpu, &job->plan->shape, row);
        if (job->run->logits)
            store_logits(job, picture, y, row);
    }
}

void label_plan(const cpu_state *cpu, const cpu_plan *plan, cpu_step *step)
{
    step->workspace = label_scratch(cpu);
    step_split(cpu, plan, step, plan->shape.stage[0].h, 4, 1, 1);
}

void label_run(const step_run *job, void *workspace, int piece)
{
    const int h = job->plan->shape.stage[0].h;
    int picture, begin, end;
    step_band(job, piece, h, &picture, &begin, &end);
    if (job->run->output.labels || job->run->output.confidence)
        label_rows(job, picture, begin, end, step_in(job, ROLE_LOGITS, picture), h, workspace);
}
