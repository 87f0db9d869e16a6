/* step_ffn: Mix-FFN by bands of image rows.  A chunk of the hidden channels at a time, fc1's rows roll through a ring that
 * keeps the two that the depthwise convolution still needs, and fc2 adds its share to the band: the wide tensor is never in
 * memory.  Neighbouring bands need each other's old rows, so the result goes to another tensor. */
#include <string.h>

#include "backend/cpu/steps.h"

enum { HIDDEN_FLOATS = 24576 }; /* of the ring: rows of fc1 that are alive; 96 KB, with gelu's rows half of a 512 KB L2 */

typedef struct ffn_space {
    int group, ring; /* image rows done at once; rows in the ring: group + 2 */
    int chunk;       /* hidden channels at once */
    void *x;         /* [group * w][c] operands, where these are not floats */
    float *rstd;     /* [(rows of the band + 2) * w] */
    void *hidden;    /* [chunk / L][ring * w][L] */
    void *gelu;      /* [chunk / L][group * w][L] */
} ffn_space;

static ffn_space lay_out(const cpu_state *cpu, const cpu_plan *plan, operation op, int rows, bump *b)
{
    const cpu_kernels *k = cpu->k;
    const network_stage *s = &cpu->net->stages[op.stage];
    const size_t w = (size_t)plan->shape.stage[op.stage].w, c = (size_t)round_up(s->width, LINE);
    ffn_space f;
    f.group = (int)(96 / w) < 1 ? 1 : (int)(96 / w);
    f.ring = f.group + 2;
    const int hidden = round_up(s->blocks[op.block].hidden, lanes_of(k)), fitting = HIDDEN_FLOATS / (f.ring * (int)w) / LINE * LINE;
    f.chunk = least(hidden, greatest(fitting, LINE));
    f.x = bump_operands(b, k, k->operand_bytes == sizeof(float) ? 0 : (size_t)f.ring * w * c);
    f.rstd = bump_floats(b, (size_t)(rows + 2) * w);
    f.hidden = bump_operands(b, k, (size_t)f.chunk * (size_t)f.ring * w);
    f.gelu = bump_operands(b, k, (size_t)f.chunk * (size_t)f.group * w);
    return f;
}

void ffn_plan(const cpu_state *cpu, const cpu_plan *plan, cpu_step *step)
{
    const stage_shape *at = &plan->shape.stage[step->first.stage];
    const int smallest = greatest(1, 96 / at->w);
    step_split(cpu, plan, step, at->h, at->h >= 64 ? 4 : 1, smallest, 1);
    bump b = {0};
    lay_out(cpu, plan, step->first, step->rows, &b);
    step->workspace = b.used;
}

typedef struct band {
    const step_run *job;
    const ffn_space *s;
    const float *x;
    float *out;
    int first;      /* image row that rstd begins with */
    int h, w, c;
    int h0, chunk;  /* hidden channels [h0, h0 + chunk), rounded up to a line */
    int lanes;
} band;

/* fc1 of image rows [begin, end) into the ring. */
static void fill_ring(const band *b, int begin, int end)
{
    const cpu_kernels *k = b->job->cpu->k;
    const packed_block *block = step_block(b->job);
    while (begin < end) {
        const int slot = begin % b->s->ring, count = least(end - begin, b->s->ring - slot), m = count * b->w;
        ptrdiff_t row;
        const void *a = as_operands(k, b->x + (size_t)begin * (size_t)(b->w * b->c), m, b->c, b->s->x, &row);
        k->gemm(&(gemm_args){.m = m, .n = b->chunk, .k = b->c, .a = a, .a_row = row, .a_panel = b->lanes,
                             .b = (const char *)block->fc1.b + (size_t)(b->h0 / PANEL) * block->fc1.b_panel, .b_panel = block->fc1.b_panel,
                             .c = (char *)b->s->hidden + (size_t)slot * (size_t)b->w * LINE, .c_row = b->lanes,
                             .c_panel = (ptrdiff_t)b->s->ring * b->w * b->lanes, .narrow = true, .bias = block->fc1.bias + b->h0,
                             .row_scale = b->s->rstd + (size_t)(begin - b->first) * (size_t)b->w});
        begin += count;
    }
}

static void depthwise(const band *b, int g0, int g1)
{
    const cpu_kernels *k = b->job->cpu->k;
    const packed_block *block = step_block(b->job);
    const size_t line = (size_t)b->w * LINE;
    for (int group = 0; group < b->chunk / b->lanes; group++) {
        const char *ring = (const char *)b->s->hidden + (size_t)group * (size_t)b->s->ring * line;
        char *out = (char *)b->s->gelu + (size_t)group * (size_t)b->s->group * line;
        const float *taps = block->depthwise + (size_t)(b->h0 / b->lanes + group) * 10 * (size_t)b->lanes;
        for (int y = g0; y < g1; y++, out += line) {
            const void *const rows[3] = {y > 0 ? ring + (size_t)((y - 1) % b->s->ring) * line : NULL, ring + (size_t)(y % b->s->ring) * line,
                                         y + 1 < b->h ? ring + (size_t)((y + 1) % b->s->ring) * line : NULL};
            k->depthwise(rows, b->w, taps, out);
        }
    }
}

static void add_fc2(const band *b, int g0, int g1, int channels)
{
    const cpu_kernels *k = b->job->cpu->k;
    const packed_block *block = step_block(b->job);
    const size_t at = (size_t)g0 * (size_t)(b->w * b->c);
    k->gemm(&(gemm_args){.m = (g1 - g0) * b->w, .n = b->c, .k = channels, .a = b->s->gelu, .a_row = b->lanes,
                         .a_panel = (ptrdiff_t)b->s->group * b->w * b->lanes, .b = (const char *)block->fc2.b + k->panel_bytes(b->h0),
                         .b_panel = block->fc2.b_panel, .c = b->out + at, .c_row = b->c, .c_panel = FLOATS,
                         .add = (b->h0 ? b->out : b->x) + at, .add_row = b->c, .add_panel = FLOATS, .bias = b->h0 ? NULL : block->fc2.bias});
}

void ffn_run(const step_run *job, void *workspace, int piece)
{
    const cpu_kernels *k = job->cpu->k;
    const packed_block *block = step_block(job);
    const stage_shape *at = step_shape(job);
    int picture, begin, end;
    step_band(job, piece, at->h, &picture, &begin, &end);
    bump space = {.base = workspace};
    const ffn_space s = lay_out(job->cpu, job->plan, job->step->first, job->step->rows, &space);
    band b = {.job = job, .s = &s, .x = step_in(job, ROLE_X, picture), .out = step_out(job, ROLE_X, picture), .first = greatest(begin - 1, 0),
              .h = at->h, .w = at->w, .c = job->cpu->net->stages[job->step->first.stage].width, .lanes = lanes_of(k)};
    const int last = least(end + 1, at->h);
    k->rstd(b.x + (size_t)b.first * (size_t)(b.w * b.c), b.c, (last - b.first) * b.w, b.c, block->eps2, s.rstd);
    for (b.h0 = 0; b.h0 < block->hidden; b.h0 += s.chunk) {
        const int channels = least(s.chunk, block->hidden - b.h0);
        b.chunk = round_up(channels, b.lanes);
        int filled = b.first;
        for (int g0 = begin; g0 < end; g0 += s.group) {
            const int g1 = least(g0 + s.group, end), needed = least(g1 + 1, at->h);
            fill_ring(&b, filled, needed);
            filled = needed;
            depthwise(&b, g0, g1);
            add_fc2(&b, g0, g1, channels);
        }
    }
}
