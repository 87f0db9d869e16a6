/* step_pixels: the first level, merge, ReLU, classifier, labels: by bands of quarter rows, and within a row by segments of
 * columns, so that neither the head's wide tensor nor the logits of the whole picture exist. */
#include <string.h>

#include "backend/cpu/steps.h"

enum { SEGMENT_FLOATS = 24576 }; /* of the merged segment: 96 KB; 96 columns of b0's 256 channels, 30 of b2's 768 */

typedef struct pixels_space {
    int segment;   /* quarter columns at once */
    float *line;
    float *sum;    /* [groups][segment][FLOATS]: levels 1 to 3 */
    void *merged;  /* [lines][segment][L] operands; the same memory where operands are floats */
    void *f, *inner;
    float *logits; /* [LABEL_TAPS + 1][columns][pitch]: a ring of quarter rows */
    void *labels;
} pixels_space;

enum { RING = LABEL_TAPS };

static pixels_space lay_out(const cpu_state *cpu, const network_shape *shape, bump *b)
{
    const cpu_kernels *k = cpu->k;
    const bool floats = k->operand_bytes == sizeof(float);
    const size_t width = (size_t)round_up(cpu->net->head.width, LINE);
    pixels_space s;
    s.segment = least(round_up(shape->stage[0].w, 6), greatest(24, SEGMENT_FLOATS / (int)width / 12 * 12));
    s.line = bump_floats(b, merge_line_floats(shape));
    s.sum = bump_floats(b, (size_t)s.segment * width);
    s.merged = floats ? (void *)s.sum : bump_operands(b, k, (size_t)s.segment * width);
    s.f = bump_operands(b, k, floats ? 0 : (size_t)s.segment * (size_t)round_up(cpu->net->stages[0].width, LINE));
    s.inner = bump_operands(b, k, (size_t)s.segment * (size_t)round_up(cpu->net->head.inner_width, LINE));
    s.logits = bump_floats(b, (size_t)RING * (size_t)logit_columns(shape) * (size_t)logit_pitch(cpu));
    s.labels = bump_take(b, label_scratch(cpu));
    return s;
}

void pixels_plan(const cpu_state *cpu, const cpu_plan *plan, cpu_step *step)
{
    bump b = {0};
    lay_out(cpu, &plan->shape, &b);
    step->workspace = b.used;
    step_split(cpu, plan, step, plan->shape.stage[0].h, 4, 8, 1);
}

/* Logits of quarter row y. */
static void quarter_row(const step_run *job, int picture, int y, const pixels_space *s, float *logits)
{
    const cpu_state *cpu = job->cpu;
    const cpu_kernels *k = cpu->k;
    const stage_shape *at = &job->plan->shape.stage[0];
    const int c = cpu->net->stages[0].width, lanes = lanes_of(k), pitch = logit_pitch(cpu), groups = round_up(cpu->net->head.width, lanes) / FLOATS;
    const int real = round_up(cpu->net->head.width, FLOATS) / FLOATS;
    const float *f = (const float *)step_in(job, ROLE_F, picture) + (size_t)y * (size_t)(at->w * c);
    for (int x0 = 0; x0 < at->w; x0 += s->segment) {
        const int m = least(s->segment, at->w - x0);
        const ptrdiff_t group = (ptrdiff_t)s->segment * FLOATS;
        for (int g = 0; g < groups; g++)
            if (g < real)
                merge_columns(job, picture, y, x0, m, g, cpu->packed.head_bias + g * FLOATS, s->line, s->sum + g * group);
            else
                memset(s->sum + g * group, 0, (size_t)m * FLOATS * sizeof(float));
        level_product(cpu, 0, f + (size_t)(x0 * c), m, s->f, s->inner,
                      (gemm_args){.c = s->merged, .c_row = lanes, .c_panel = (ptrdiff_t)s->segment * lanes, .narrow = true, .relu = true,
                                  .add = s->sum, .add_row = FLOATS, .add_panel = group});
        const packed_linear *classifier = &cpu->packed.classifier;
        k->gemm(&(gemm_args){.m = m, .n = classifier->n, .k = classifier->k, .a = s->merged, .a_row = lanes, .a_panel = (ptrdiff_t)s->segment * lanes,
                             .b = classifier->b, .b_panel = classifier->b_panel, .c = logits + (size_t)x0 * (size_t)pitch, .c_row = pitch,
                             .c_panel = FLOATS, .bias = classifier->bias});
    }
    pad_logits(cpu, &job->plan->shape, logits);
}

void pixels_run(const step_run *job, void *workspace, int piece)
{
    const cpu_state *cpu = job->cpu;
    const network_shape *shape = &job->plan->shape;
    const int h = shape->stage[0].h;
    const size_t row_floats = (size_t)logit_columns(shape) * (size_t)logit_pitch(cpu);
    bump b = {.base = workspace};
    const pixels_space s = lay_out(cpu, shape, &b);
    int picture, begin, end;
    step_band(job, piece, h, &picture, &begin, &end);
    const bool labels = job->run->output.labels || job->run->output.confidence;
    const int taps = labels ? cpu->labels.vertical.taps : 1;
    int made = begin;
    for (int y = begin; y < end; y++) {
        for (; made < least(y + taps, h); made++) {
            float *row = s.logits + (size_t)(made % RING) * row_floats;
            quarter_row(job, picture, made, &s, row);
            if (job->run->logits && made < end)
                store_logits(job, picture, made, row);
        }
        if (labels)
            label_rows(job, picture, y, y + 1, s.logits, RING, s.labels);
    }
}
