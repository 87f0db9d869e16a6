/* step_int8: Mix-FFN with both products on 8-bit integers: step_ffn's bands and ring, where the normed stream becomes integers once
 * for all hidden channels, and gelu's results while they are in cache.  Depthwise convolution, GELU and the stream are the base
 * table's.  Also the two products alone, for bisecting. */
#include "backend/cpu/steps.h"

enum { BLOCK = 96 };

typedef struct space {
    ffn_tiling t;
    float *rstd;    /* [(rows of the band + 2) * w] */
    void *x;        /* [(rows of the band + 2) * w][c rounded up] integers */
    void *hidden;   /* [chunk / L][ring * w][L] operands */
    void *gelu;     /* [chunk / L][group * w][L] operands */
    void *integers; /* [group * w][chunk] */
} space;

static const quantised_block *block_of(const cpu_state *cpu, operation op) { return &cpu->quantised.blocks[op.stage][op.block]; }

bool int8_ffn(const cpu_state *cpu, operation first) { return cpu->q && block_of(cpu, first)->fc1.b; }

static space lay_out(const cpu_state *cpu, const cpu_plan *plan, operation op, int rows, bump *b)
{
    const cpu_kernels *k = cpu->k;
    const size_t w = (size_t)plan->shape.stage[op.stage].w, element = (size_t)cpu->q->element_bytes;
    space f = {.t = ffn_tile(cpu, plan, op, cpu->q->element_bytes)};
    f.rstd = bump_floats(b, (size_t)(rows + 2) * w);
    f.x = bump_take(b, (size_t)(rows + 2) * w * (size_t)round_up(cpu->net->stages[op.stage].width, LINE) * element);
    f.hidden = bump_operands(b, k, (size_t)f.t.chunk * (size_t)f.t.ring * w);
    f.gelu = bump_operands(b, k, (size_t)f.t.chunk * (size_t)f.t.group * w);
    f.integers = bump_take(b, (size_t)f.t.chunk * (size_t)f.t.group * w * element);
    return f;
}

void ffn_int8_plan(const cpu_state *cpu, const cpu_plan *plan, cpu_step *step)
{
    ffn_split(cpu, plan, step);
    bump b = {0};
    lay_out(cpu, plan, step->first, step->rows, &b);
    step->workspace = b.used;
}

typedef struct band {
    const step_run *job;
    const space *s;
    const quantised_block *weights;
    const float *x;
    float *out;
    int first, h, w, c, h0, chunk, lanes;
} band;

static void fill_ring(const band *b, int begin, int end)
{
    const int8_kernels *q = b->job->cpu->q;
    const ptrdiff_t row = round_up(b->c, LINE);
    while (begin < end) {
        const int slot = begin % b->s->t.ring, count = least(end - begin, b->s->t.ring - slot);
        q->gemm(&(int8_args){.m = count * b->w, .n = b->chunk, .k = b->c,
                             .a = (const char *)b->s->x + (ptrdiff_t)(begin - b->first) * b->w * row * q->element_bytes, .a_row = row,
                             .b = (const char *)b->weights->fc1.b + (size_t)(b->h0 / PANEL) * b->weights->fc1.b_panel,
                             .b_panel = b->weights->fc1.b_panel, .scale = b->weights->fc1.scale + b->h0,
                             .c = (char *)b->s->hidden + (size_t)slot * (size_t)b->w * LINE, .c_row = b->lanes,
                             .c_panel = (ptrdiff_t)b->s->t.ring * b->w * b->lanes, .narrow = true, .bias = step_block(b->job)->fc1.bias + b->h0});
        begin += count;
    }
}

static void add_fc2(const band *b, int g0, int g1, int channels)
{
    const int8_kernels *q = b->job->cpu->q;
    const size_t at = (size_t)g0 * (size_t)(b->w * b->c);
    const int m = (g1 - g0) * b->w;
    q->quantise_blocked(b->s->gelu, (ptrdiff_t)b->s->t.group * b->w * b->lanes, m, channels, b->weights->fc2.inverse, b->s->integers, b->s->t.chunk);
    q->gemm(&(int8_args){.m = m, .n = b->c, .k = channels, .a = b->s->integers, .a_row = b->s->t.chunk,
                         .b = (const char *)b->weights->fc2.b + q->panel_bytes(b->h0), .b_panel = b->weights->fc2.b_panel, .scale = b->weights->fc2.scale,
                         .c = b->out + at, .c_row = b->c, .c_panel = FLOATS, .add = (b->h0 ? b->out : b->x) + at, .add_row = b->c,
                         .add_panel = FLOATS, .bias = b->h0 ? NULL : step_block(b->job)->fc2.bias});
}

void ffn_int8_run(const step_run *job, void *workspace, int piece)
{
    const cpu_state *cpu = job->cpu;
    const packed_block *block = step_block(job);
    const stage_shape *at = step_shape(job);
    int picture, begin, end;
    step_band(job, piece, at->h, &picture, &begin, &end);
    bump place = {.base = workspace};
    const space s = lay_out(cpu, job->plan, job->step->first, job->step->rows, &place);
    band b = {.job = job, .s = &s, .weights = block_of(cpu, job->step->first), .x = step_in(job, ROLE_X, picture), .out = step_out(job, ROLE_X, picture),
              .first = greatest(begin - 1, 0), .h = at->h, .w = at->w, .c = cpu->net->stages[job->step->first.stage].width, .lanes = lanes_of(cpu->k)};
    const int m = (least(end + 1, at->h) - b.first) * b.w;
    const float *x = b.x + (size_t)b.first * (size_t)(b.w * b.c);
    cpu->k->rstd(x, b.c, m, b.c, block->eps2, s.rstd);
    cpu->q->quantise(x, b.c, m, b.c, s.rstd, b.weights->fc1.inverse, s.x, round_up(b.c, LINE));
    for (b.h0 = 0; b.h0 < block->hidden; b.h0 += s.t.chunk) {
        const int channels = least(s.t.chunk, block->hidden - b.h0);
        b.chunk = round_up(channels, b.lanes);
        int filled = b.first;
        for (int g0 = begin; g0 < end; g0 += s.t.group) {
            const int g1 = least(g0 + s.t.group, end), needed = least(g1 + 1, at->h);
            fill_ring(&b, filled, needed);
            filled = needed;
            ffn_depthwise(job, &s.t, s.hidden, b.h0 / b.lanes, b.chunk / b.lanes, g0, g1, s.gelu);
            add_fc2(&b, g0, g1, channels);
        }
    }
}

/* ------------------------------------------------------------------ one operation at a time */

static int widest(const cpu_state *cpu, operation op)
{
    const network_stage *s = &cpu->net->stages[op.stage];
    return round_up(op.kind == OP_FC1 ? s->width : s->blocks[op.block].hidden, LINE);
}

void product_int8_plan(const cpu_state *cpu, const cpu_plan *plan, cpu_step *step)
{
    const stage_shape *at = &plan->shape.stage[step->first.stage];
    bump b = {0};
    bump_floats(&b, BLOCK);
    bump_take(&b, BLOCK * (size_t)widest(cpu, step->first) * (size_t)cpu->q->element_bytes);
    step->workspace = b.used;
    step_split(cpu, plan, step, at->h * at->w, 4, 1, 1);
}

void fc1_int8_run(const step_run *job, void *workspace, int piece)
{
    const cpu_state *cpu = job->cpu;
    const packed_block *block = step_block(job);
    const quantised_linear *w = &block_of(cpu, job->step->first)->fc1;
    const stage_shape *at = step_shape(job);
    const int c = cpu->net->stages[job->step->first.stage].width, row = widest(cpu, job->step->first), tokens = at->h * at->w, lanes = lanes_of(cpu->k);
    bump b = {.base = workspace};
    float *rstd = bump_floats(&b, BLOCK);
    void *integers = bump_take(&b, BLOCK * (size_t)row * (size_t)cpu->q->element_bytes);
    int picture, begin, end;
    step_band(job, piece, tokens, &picture, &begin, &end);
    for (int t = begin; t < end; t += BLOCK) {
        const int m = least(BLOCK, end - t);
        const float *x = (const float *)step_in(job, ROLE_X, picture) + (size_t)t * (size_t)c;
        cpu->k->rstd(x, c, m, c, block->eps2, rstd);
        cpu->q->quantise(x, c, m, c, rstd, w->inverse, integers, row);
        cpu->q->gemm(&(int8_args){.m = m, .n = round_up(block->hidden, lanes), .k = c, .a = integers, .a_row = row, .b = w->b, .b_panel = w->b_panel,
                                  .scale = w->scale, .c = (char *)step_out(job, ROLE_HIDDEN, picture) + (size_t)t * LINE, .c_row = lanes,
                                  .c_panel = (ptrdiff_t)tokens * lanes, .narrow = true, .bias = block->fc1.bias});
    }
}

void fc2_int8_run(const step_run *job, void *workspace, int piece)
{
    const cpu_state *cpu = job->cpu;
    const packed_block *block = step_block(job);
    const quantised_linear *w = &block_of(cpu, job->step->first)->fc2;
    const stage_shape *at = step_shape(job);
    const int c = cpu->net->stages[job->step->first.stage].width, row = widest(cpu, job->step->first), tokens = at->h * at->w, lanes = lanes_of(cpu->k);
    bump b = {.base = workspace};
    bump_floats(&b, BLOCK);
    void *integers = bump_take(&b, BLOCK * (size_t)row * (size_t)cpu->q->element_bytes);
    int picture, begin, end;
    step_band(job, piece, tokens, &picture, &begin, &end);
    for (int t = begin; t < end; t += BLOCK) {
        const int m = least(BLOCK, end - t);
        float *x = (float *)step_in(job, ROLE_X, picture) + (size_t)t * (size_t)c;
        cpu->q->quantise_blocked((const char *)step_in(job, ROLE_GELU, picture) + (size_t)t * LINE, (ptrdiff_t)tokens * lanes, m, block->hidden, w->inverse,
                                 integers, row);
        cpu->q->gemm(&(int8_args){.m = m, .n = c, .k = block->hidden, .a = integers, .a_row = row, .b = w->b, .b_panel = w->b_panel, .scale = w->scale,
                                  .c = x, .c_row = c, .c_panel = FLOATS, .add = x, .add_row = c, .add_panel = FLOATS, .bias = block->fc2.bias});
    }
}
