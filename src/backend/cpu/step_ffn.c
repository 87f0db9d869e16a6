/* step_ffn: Mix-FFN by bands of image rows.  A chunk of the hidden channels at a time, fc1's rows roll through a ring that
 * keeps the two that the depthwise convolution still needs, and fc2 adds its share to the band: the wide tensor is never in
 * memory.  Neighbouring bands need each other's old rows, so the result goes to another tensor. */
#include <string.h>

#include "backend/cpu/steps.h"

enum {
    TOKENS = 96,              /* of a group of image rows */
    CACHE_FLOATS = 1 << 20,   /* bytes for what a chunk keeps, where operands are floats: a 1 MB L2 */
    CACHE_NARROW = 1200 << 10 /* and where they are bfloat16: of the 2 MB that cores with tiles have */
};

ffn_tiling ffn_tile(const cpu_state *cpu, const cpu_plan *plan, operation op, int weight_bytes)
{
    const network_stage *s = &cpu->net->stages[op.stage];
    const int w = plan->shape.stage[op.stage].w, hidden = round_up(s->blocks[op.block].hidden, LINE), operand = cpu->k->operand_bytes;
    ffn_tiling t = {.group = greatest(TOKENS / w, 1)};
    t.ring = t.group + 2;
    const size_t each = 2 * (size_t)s->width * (size_t)weight_bytes + (size_t)(t.ring + t.group) * (size_t)w * (size_t)operand;
    const size_t fitting = (operand == sizeof(float) ? CACHE_FLOATS : CACHE_NARROW) / each / LINE * LINE;
    const int most = fitting < LINE ? LINE : fitting > (size_t)hidden ? hidden : (int)fitting, chunks = (hidden + most - 1) / most;
    t.chunk = round_up((hidden + chunks - 1) / chunks, LINE);
    return t;
}

void ffn_split(const cpu_state *cpu, const cpu_plan *plan, cpu_step *step)
{
    const stage_shape *at = &plan->shape.stage[step->first.stage];
    step_split(cpu, plan, step, at->h, greatest(1, least(4, at->h / 32)), greatest(1, TOKENS / at->w), 1); /* two rows more for each band */
}

void ffn_depthwise(const step_run *job, const ffn_tiling *t, const void *ring, int g0, int groups, int y0, int y1, void *out)
{
    const cpu_kernels *k = job->cpu->k;
    const stage_shape *at = step_shape(job);
    const size_t line = (size_t)at->w * LINE;
    const char *packed = (const char *)step_block(job)->depthwise + (size_t)g0 * (size_t)k->depthwise_bytes, *from = ring;
    char *to = out;
    for (int g = 0; g < groups; g++, from += (size_t)t->ring * line, to += (size_t)t->group * line, packed += k->depthwise_bytes)
        for (int y = y0; y < y1; y++) {
            const void *const rows[3] = {y > 0 ? from + (size_t)((y - 1) % t->ring) * line : NULL, from + (size_t)(y % t->ring) * line,
                                         y + 1 < at->h ? from + (size_t)((y + 1) % t->ring) * line : NULL};
            k->depthwise(rows, at->w, packed, to + (size_t)(y - y0) * line);
        }
}

typedef struct ffn_space {
    ffn_tiling t;
    void *x;      /* [ring * w][c] normed operands, where these are not floats */
    float *rstd;  /* [(rows of the band + 2) * w] */
    void *hidden; /* [chunk / L][ring * w][L] */
    void *gelu;   /* [chunk / L][group * w][L] */
} ffn_space;

static ffn_space lay_out(const cpu_state *cpu, const cpu_plan *plan, operation op, int rows, bump *b)
{
    const cpu_kernels *k = cpu->k;
    const size_t w = (size_t)plan->shape.stage[op.stage].w, c = (size_t)round_up(cpu->net->stages[op.stage].width, LINE);
    ffn_space f = {.t = ffn_tile(cpu, plan, op, k->operand_bytes)};
    f.x = bump_operands(b, k, reads_floats(k) ? 0 : (size_t)f.t.ring * w * c);
    f.rstd = bump_floats(b, (size_t)(rows + 2) * w);
    f.hidden = bump_operands(b, k, (size_t)f.t.chunk * (size_t)f.t.ring * w);
    f.gelu = bump_operands(b, k, (size_t)f.t.chunk * (size_t)f.t.group * w);
    return f;
}

void ffn_plan(const cpu_state *cpu, const cpu_plan *plan, cpu_step *step)
{
    ffn_split(cpu, plan, step);
    bump b = {0};
    lay_out(cpu, plan, step->first, step->rows, &b);
    step->workspace = b.used;
}

typedef struct band {
    const step_run *job;
    const ffn_space *s;
    const float *x;
    float *out;
    int first; /* image row that rstd begins with */
    int h, w, c;
    int h0, chunk; /* hidden channels [h0, h0 + chunk), rounded up to a line */
    int lanes;
} band;

/* fc1 of image rows [begin, end) into the ring.  Operands that must be made are normed on the way, floats by the product's ending. */
static void fill_ring(const band *b, int begin, int end)
{
    const cpu_kernels *k = b->job->cpu->k;
    const packed_block *block = step_block(b->job);
    const int ring = b->s->t.ring;
    while (begin < end) {
        const int slot = begin % ring, count = least(end - begin, ring - slot), m = count * b->w;
        const float *x = b->x + (size_t)begin * (size_t)(b->w * b->c);
        float *rstd = b->s->rstd + (size_t)(begin - b->first) * (size_t)b->w;
        if (b->h0 == 0)
            k->rstd(x, b->c, m, b->c, block->eps2, rstd);
        const bool floats = reads_floats(k);
        const ptrdiff_t row = floats ? b->c : round_up(b->c, b->lanes);
        if (!floats)
            k->operands(x, b->c, m, b->c, rstd, b->s->x, row);
        k->gemm(&(gemm_args){.m = m,
                             .n = b->chunk,
                             .k = b->c,
                             .a = floats ? x : b->s->x,
                             .a_row = row,
                             .a_panel = b->lanes,
                             .b = (const char *)block->fc1.b + (size_t)(b->h0 / PANEL) * block->fc1.b_panel,
                             .b_panel = block->fc1.b_panel,
                             .c = (char *)b->s->hidden + (size_t)slot * (size_t)b->w * LINE,
                             .c_row = b->lanes,
                             .c_panel = (ptrdiff_t)ring * b->w * b->lanes,
                             .narrow = true,
                             .bias = block->fc1.bias + b->h0,
                             .row_scale = floats ? rstd : NULL});
        begin += count;
    }
}

static void add_fc2(const band *b, int g0, int g1, int channels)
{
    const cpu_kernels *k = b->job->cpu->k;
    const packed_block *block = step_block(b->job);
    const size_t at = (size_t)g0 * (size_t)(b->w * b->c);
    k->gemm(&(gemm_args){.m = (g1 - g0) * b->w,
                         .n = b->c,
                         .k = channels,
                         .a = b->s->gelu,
                         .a_row = b->lanes,
                         .a_panel = (ptrdiff_t)b->s->t.group * b->w * b->lanes,
                         .b = (const char *)block->fc2.b + k->panel_bytes(b->h0),
                         .b_panel = block->fc2.b_panel,
                         .c = b->out + at,
                         .c_row = b->c,
                         .c_panel = FLOATS,
                         .add = (b->h0 ? b->out : b->x) + at,
                         .add_row = b->c,
                         .add_panel = FLOATS,
                         .bias = b->h0 ? NULL : block->fc2.bias});
}

void ffn_run(const step_run *job, void *workspace, int piece)
{
    const packed_block *block = step_block(job);
    const stage_shape *at = step_shape(job);
    int picture, begin, end;
    step_band(job, piece, at->h, &picture, &begin, &end);
    bump space = {.base = workspace};
    const ffn_space s = lay_out(job->cpu, job->plan, job->step->first, job->step->rows, &space);
    band b = {.job = job,
              .s = &s,
              .x = step_in(job, ROLE_X, picture),
              .out = step_out(job, ROLE_X, picture),
              .first = greatest(begin - 1, 0),
              .h = at->h,
              .w = at->w,
              .c = job->cpu->net->stages[job->step->first.stage].width,
              .lanes = lanes_of(job->cpu->k)};
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
