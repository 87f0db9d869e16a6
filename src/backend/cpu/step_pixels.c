/* step_pixels: the first level, merge, ReLU, classifier, labels: by bands of quarter rows, and within a row by segments of
 * columns, so that neither the head's wide tensor nor the logits of the whole picture exist. */
#include <string.h>

#include "backend/cpu/steps.h"

enum {
    PAIR = 2,                /* quarter rows done at once: an odd row and the next read the same rows of the level of half their size */
    RING = LABEL_TAPS + 1,   /* logits of quarter rows: those that an output row reads, and the other of a pair */
    COLUMNS = 128,           /* of the head done at once, so that the levels' sums stay in L1 */
    MERGED_BYTES = 96 << 10, /* of a row's segment: 128 quarter columns of b0's 256 bfloat16 channels, 64 of b2's 768 */
    SEGMENT_UNIT = 32        /* rows of tiles */
};

typedef struct pixels_space {
    int segment; /* quarter columns at once */
    float *line;
    float *sum;   /* [PAIR][COLUMNS / FLOATS][segment][FLOATS]: levels 1 to 3 */
    char *merged; /* [PAIR][lines][segment][L] operands */
    void *f[PAIR], *inner[PAIR];
    float *logits; /* [RING][columns][pitch]: a ring of quarter rows */
    void *labels;
} pixels_space;

static pixels_space lay_out(const cpu_state *cpu, const network_shape *shape, bump *b)
{
    const cpu_kernels *k = cpu->k;
    const int width = round_up(cpu->net->head.width, lanes_of(k)),
              fitting = MERGED_BYTES / (width * k->operand_bytes) / SEGMENT_UNIT * SEGMENT_UNIT;
    pixels_space s;
    s.segment = least(round_up(shape->stage[0].w, SEGMENT_UNIT), greatest(SEGMENT_UNIT, least(fitting, 4 * SEGMENT_UNIT)));
    s.line = bump_floats(b, merge_line_floats(shape));
    s.sum = bump_floats(b, PAIR * (size_t)s.segment * COLUMNS);
    s.merged = bump_operands(b, k, PAIR * (size_t)s.segment * (size_t)width);
    for (int r = 0; r < PAIR; r++) {
        s.f[r] = bump_operands(b, k, reads_floats(k) ? 0 : (size_t)s.segment * (size_t)round_up(cpu->net->stages[0].width, LINE));
        s.inner[r] = bump_operands(b, k, (size_t)s.segment * (size_t)round_up(cpu->net->head.inner_width, LINE));
    }
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

/* Levels 1 to 3 of column groups [n0, n0 + n) / FLOATS into the pair's sums. */
static void add_levels(const cpu_state *cpu, const pixels_space *s, merge_source *sources, int rows, int m, int n0, int n)
{
    const ptrdiff_t group = (ptrdiff_t)s->segment * FLOATS;
    for (int g = 0; g < n / FLOATS; g++)
        for (int r = 0; r < rows; r++) {
            float *to = s->sum + (size_t)r * (size_t)s->segment * COLUMNS + g * group;
            if (n0 + g * FLOATS >= cpu->net->head.width) {
                memset(to, 0, (size_t)m * FLOATS * sizeof *to);
                continue;
            }
            cpu->k->merge(sources[r].levels, m, cpu->packed.head_bias + n0 + g * FLOATS, s->line, to);
            merge_next_group(&sources[r], r == 0); /* the other row reads what this one does, or nearly */
        }
}

/* Logits of quarter rows y to y + rows. */
static void quarter_rows(const step_run *job, int picture, int y, int rows, const pixels_space *s)
{
    const cpu_state *cpu = job->cpu;
    const cpu_kernels *k = cpu->k;
    const network_shape *shape = &job->plan->shape;
    const int w = shape->stage[0].w, c = cpu->net->stages[0].width, lanes = lanes_of(k), pitch = logit_pitch(cpu);
    const int width = round_up(cpu->net->head.width, lanes);
    const size_t row_floats = (size_t)logit_columns(shape) * (size_t)pitch,
                 merged_bytes = (size_t)s->segment * (size_t)(width * k->operand_bytes);
    const packed_linear *classifier = &cpu->packed.classifier;
    for (int x0 = 0; x0 < w; x0 += s->segment) {
        const int m = least(s->segment, w - x0);
        const ptrdiff_t panel = (ptrdiff_t)s->segment * lanes;
        merge_source sources[PAIR];
        const void *a[PAIR];
        ptrdiff_t a_row[PAIR];
        for (int r = 0; r < rows; r++) {
            const float *f = (const float *)step_in(job, ROLE_F, picture) + (size_t)((y + r) * w + x0) * (size_t)c;
            sources[r] = merge_open(job, picture, y + r, x0, m);
            a[r] = level_operands(cpu, 0, f, m, s->f[r], s->inner[r], &a_row[r]);
        }
        for (int n0 = 0; n0 < width; n0 += COLUMNS) {
            const int n = least(COLUMNS, width - n0);
            add_levels(cpu, s, sources, rows, m, n0, n);
            for (int r = 0; r < rows; r++)
                level_product(
                    cpu, 0, a[r], a_row[r], m, n0, n,
                    (gemm_args){.c = s->merged + (size_t)r * merged_bytes + (size_t)(n0 / lanes * panel) * (size_t)k->operand_bytes,
                                .c_row = lanes,
                                .c_panel = panel,
                                .narrow = true,
                                .relu = true,
                                .add = s->sum + (size_t)r * (size_t)s->segment * COLUMNS,
                                .add_row = FLOATS,
                                .add_panel = (ptrdiff_t)s->segment * FLOATS});
        }
        for (int r = 0; r < rows; r++)
            k->gemm(&(gemm_args){.m = m,
                                 .n = classifier->n,
                                 .k = classifier->k,
                                 .a = s->merged + (size_t)r * merged_bytes,
                                 .a_row = lanes,
                                 .a_panel = panel,
                                 .b = classifier->b,
                                 .b_panel = classifier->b_panel,
                                 .c = s->logits + (size_t)((y + r) % RING) * row_floats + (size_t)(x0 * pitch),
                                 .c_row = pitch,
                                 .c_panel = FLOATS,
                                 .bias = classifier->bias});
    }
    for (int r = 0; r < rows; r++)
        pad_logits(cpu, shape, s->logits + (size_t)((y + r) % RING) * row_floats);
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
    const int taps = labels ? cpu->labels.vertical.taps : 1, last = least(end + taps - 1, h);
    int made = begin;
    for (int y = begin; y < end; y++) {
        while (made < least(y + taps, h)) {
            const int rows = made % 2 && made + 1 < last ? PAIR : 1;
            quarter_rows(job, picture, made, rows, &s);
            for (int r = 0; r < rows; r++, made++)
                if (job->run->logits && made < end)
                    store_logits(job, picture, made, s.logits + (size_t)(made % RING) * row_floats);
        }
        if (labels)
            label_rows(job, picture, y, y + 1, s.logits, RING, s.labels);
    }
}
