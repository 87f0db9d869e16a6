/* steps: what several steps share; see state.h and steps.h. */
#include "backend/cpu/steps.h"

#include <math.h>

void linear(const cpu_kernels *k, const packed_linear *w, const void *a, ptrdiff_t a_row, int m, const float *row_scale, const float *add,
            const float *bias, float *c, ptrdiff_t c_row)
{
    k->gemm(&(gemm_args){.m = m, .n = w->n, .k = w->k, .a = a, .a_row = a_row, .a_panel = lanes_of(k), .b = w->b, .b_panel = w->b_panel, .c = c,
                         .c_row = c_row, .c_panel = FLOATS, .add = add, .add_row = c_row, .add_panel = FLOATS, .row_scale = row_scale,
                         .bias = bias});
}

size_t merge_line_floats(const network_shape *shape)
{
    return (size_t)(shape->stage[1].w + shape->stage[2].w + shape->stage[3].w) * 2 * FLOATS;
}

merge_source merge_open(const step_run *job, int picture, int y, int x0, int count)
{
    const network_shape *shape = &job->plan->shape;
    merge_source s;
    for (int i = 1; i < STAGES; i++) {
        const stage_shape *at = &shape->stage[i];
        double row = (y + 0.5) * at->h / shape->stage[0].h - 0.5; /* bilinear, align_corners = false */
        row = row < 0 ? 0 : row;
        const int top = least((int)row, at->h - 1), bottom = least(top + 1, at->h - 1);
        const float *level = step_in(job, (tensor_role)(ROLE_LEVEL + i), picture);
        const int32_t *left = job->plan->left[i] + x0;
        s.levels[i - 1] = (merge_level){.top = level + (size_t)top * (size_t)at->w * FLOATS, .bottom = level + (size_t)bottom * (size_t)at->w * FLOATS,
                                        .weight = (float)(row - top), .w = at->w, .from = left[0], .to = least(left[count - 1] + 2, at->w),
                                        .left = left, .across = job->plan->across[i] + x0};
        s.group[i - 1] = (ptrdiff_t)at->h * at->w * FLOATS;
    }
    return s;
}

void merge_next_group(merge_source *source, bool fetch)
{
    for (int l = 0; l < 3; l++) {
        merge_level *level = &source->levels[l];
        level->top += source->group[l];
        level->bottom += source->group[l];
        for (int x = level->from; fetch && x < level->to; x++) { /* each group is in pages of its own, which no prefetcher foresees */
            __builtin_prefetch(level->top + x * FLOATS);
            __builtin_prefetch(level->bottom + x * FLOATS);
        }
    }
}

void store_logits(const step_run *job, int p, int y, const float *row)
{
    const stage_shape *at = &job->plan->shape.stage[0];
    const int classes = job->cpu->net->classes, pitch = logit_pitch(job->cpu);
    const size_t plane = (size_t)at->h * (size_t)at->w;
    float *to = job->run->logits + (size_t)p * (size_t)classes * plane + (size_t)y * (size_t)at->w;
    for (int c = 0; c < classes; c++, to += plane)
        for (int x = 0; x < at->w; x++)
            to[x] = row[x * pitch + c];
}

/* Low enough to lose everywhere, high enough to be interpolated. */
static const float NEVER = -1e30f;

void pad_logits(const cpu_state *cpu, const network_shape *shape, float *row)
{
    const int w = shape->stage[0].w, pitch = logit_pitch(cpu), classes = cpu->net->classes;
    for (int x = 0; x < w; x++)
        for (int c = classes; c < pitch; c++)
            row[x * pitch + c] = NEVER;
    for (int x = w; x < logit_columns(shape); x++)
        for (int c = 0; c < pitch; c++)
            row[x * pitch + c] = row[(w - 1) * pitch + c];
}

size_t label_scratch(const cpu_state *cpu) { return (size_t)logit_pitch(cpu) * sizeof(float) + LINE; }

/* First output row whose first quarter row is at least `row`. */
static int first_at_least(const label_axis *axis, int row)
{
    int low = 0, high = axis->count;
    while (low < high) {
        const int middle = low + (high - low) / 2;
        if (axis->first[middle] < row)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void label_rows(const step_run *job, int p, int begin, int end, const float *rows, int count, void *scratch)
{
    const cpu_state *cpu = job->cpu;
    const network_shape *shape = &job->plan->shape;
    const label_tables *t = &cpu->labels;
    const label_output *out = &job->run->output;
    const size_t row_floats = (size_t)logit_columns(shape) * (size_t)logit_pitch(cpu);
    label_args a = {.w = logit_columns(shape), .classes = cpu->net->classes, .pitch = logit_pitch(cpu), .vertical = &t->vertical,
                    .horizontal = &t->horizontal, .lines = scratch, .label_bytes = out->label_bytes, .stride = out->stride};
    if (out->labels)
        a.labels = (char *)out->labels + (ptrdiff_t)p * out->picture_stride * out->label_bytes;
    if (out->confidence)
        a.confidence = out->confidence + (size_t)p * (size_t)out->h * (size_t)out->w;
    for (int y = begin; y < end; y++) {
        a.y0 = first_at_least(&t->vertical, y);
        a.y1 = first_at_least(&t->vertical, y + 1);
        for (int i = 0; i < LABEL_TAPS; i++)
            a.rows[i] = rows + (size_t)(least(y + i, shape->stage[0].h - 1) % count) * row_floats;
        if (a.y0 < a.y1)
            cpu->k->label(&a);
    }
}

/* ------------------------------------------------------------------------- tables of a resize */

typedef struct tap {
    int low;      /* and its neighbour above, where there is one */
    double above; /* weight of the neighbour */
} tap;

static tap bilinear(int at, int from, int to)
{
    double place = (at + 0.5) * from / to - 0.5;
    place = place < 0 ? 0 : place;
    const int low = least((int)place, from - 1);
    return (tap){low, low + 1 < from ? place - low : 0};
}

/* Weights of quarter coordinates for output coordinate `at`; via the input's size where `middle` is set. */
static void weigh(int at, int from, int middle, int to, int taps, int32_t *first, float *weight)
{
    double sums[LABEL_TAPS] = {0};
    const tap outer = middle ? bilinear(at, middle, to) : (tap){at, 0};
    const int start = bilinear(outer.low, from, middle ? middle : to).low;
    *first = least(start, greatest(0, from - taps));
    for (int i = 0; i < 2; i++) {
        const double share = i ? outer.above : 1 - outer.above;
        if (share == 0)
            continue;
        const tap inner = bilinear(outer.low + i, from, middle ? middle : to);
        sums[inner.low - *first] += share * (1 - inner.above);
        if (inner.above > 0)
            sums[inner.low + 1 - *first] += share * inner.above;
    }
    for (int i = 0; i < LABEL_TAPS; i++)
        weight[i] = (float)sums[i];
}

static label_axis axis_of(int from, int middle, int to, int32_t *first, float *weight)
{
    const label_axis axis = {.first = first, .weight = weight, .count = to, .taps = middle ? 3 : 2};
    for (int i = 0; i < to; i++)
        weigh(i, from, middle, to, axis.taps, &first[i], &weight[(ptrdiff_t)i * LABEL_TAPS]);
    return axis;
}

segrt_status label_tables_fit(label_tables *t, const network_shape *shape, const label_output *output, segrt_error *error)
{
    const label_tables wanted = {.h = output->h, .w = output->w, .logit_h = shape->stage[0].h, .logit_w = shape->stage[0].w, .input_h = shape->h,
                                 .input_w = shape->w, .via_input = output->via_input};
    if (t->memory && t->h == wanted.h && t->w == wanted.w && t->logit_h == wanted.logit_h && t->logit_w == wanted.logit_w &&
        t->input_h == wanted.input_h && t->input_w == wanted.input_w && t->via_input == wanted.via_input)
        return SEGRT_OK;
    const size_t count = (size_t)wanted.h + (size_t)wanted.w, each = sizeof(int32_t) + LABEL_TAPS * sizeof(float), bytes = count * each;
    void *memory = t->memory;
    size_t room = t->bytes;
    if (bytes > room) {
        memory = memory_get(bytes);
        if (!memory)
            return fail_memory(error, bytes, "tables of the labels' resize");
        memory_free(t->memory);
        room = bytes;
    }
    *t = wanted;
    t->memory = memory;
    t->bytes = room;
    int32_t *first = memory;
    float *weight = (float *)(first + count);
    t->vertical = axis_of(wanted.logit_h, wanted.via_input ? wanted.input_h : 0, wanted.h, first, weight);
    t->horizontal = axis_of(wanted.logit_w, wanted.via_input ? wanted.input_w : 0, wanted.w, first + wanted.h, weight + (ptrdiff_t)wanted.h * LABEL_TAPS);
    return SEGRT_OK;
}
