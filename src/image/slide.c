/* slide: see slide.h. */
#include "image/slide.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "image/bilinear.h"
#include "image/image.h"
#include "image/slide_rows.h"

enum { BAND = 8 }; /* output rows a piece: few enough to share, enough to use an averaged row twice when enlarging */

typedef struct scratch {
    float *averaged[2]; /* [classes][w]: two rows of the input */
    int row[2];         /* which ones; -1: none */
    int older;          /* the one to overwrite */
    float *mixed;       /* [quarter_w]: two rows of quarter logits mixed */
    float *best;        /* [out_w] */
    float *sum;         /* [out_w] */
    float *resized;     /* [out_w]: one class, where the output has another size than the input */
    int32_t *label;     /* [out_w] */
} scratch;

struct slide {
    slide_shape shape;
    int workers;
    int rows, columns, window_w, window_h, quarter_w, quarter_h;
    int *x, *y;                          /* [columns], [rows]: corners of windows */
    bilinear_tap *across, *down;         /* a window from its quarter logits: [window_w], [window_h] */
    bilinear_tap *out_across, *out_down; /* the labels from the input: [out_w], [out_h] */
    float *covering;                     /* [w]: windows above each other do not count */
    int slots;                           /* rows of windows that are held at once: row r in slot r % slots */
    float *logits;                       /* [slots][columns][classes][quarter_h][quarter_w] */
    scratch *scratch;                    /* [workers] */
    const slide_rows *loops;
    int done; /* output rows written */
    size_t bytes;
    struct { /* of the call under way */
        const slide_output *output;
        int last_row;   /* of windows */
        int begin, end; /* output rows */
    } job;
};

static void *get(slide *s, size_t count, size_t size, segrt_error *error)
{
    void *memory = memory_get_array(count, size);
    if (!memory)
        fail_memory(error, size && count > SIZE_MAX / size ? SIZE_MAX : count * size, "the sliding window");
    else
        s->bytes += count * size;
    return memory;
}

/* Output rows that are settled once rows [0, row] of windows are there. */
static int settled(const slide *s, int row)
{
    if (row + 1 == s->rows)
        return s->shape.out_h;
    int count = 0, high = s->shape.out_h;
    while (count < high) { /* the first output row that reads at or below the next row of windows */
        const int middle = (count + high) / 2;
        if (s->out_down[middle].second < s->y[row + 1])
            count = middle + 1;
        else
            high = middle;
    }
    return count;
}

/* The most rows of windows that are needed at once: after row r, whatever covers the first row not yet
 * settled, plus the row that comes next. */
static int slots_needed(const slide *s)
{
    int most = 1;
    for (int r = 0, oldest = 0; r < s->rows; r++) {
        most = r - oldest + 1 > most ? r - oldest + 1 : most;
        const int next = settled(s, r);
        if (next < s->shape.out_h)
            while (oldest < r && s->y[oldest] + s->window_h <= s->out_down[next].first)
                oldest++;
    }
    return most;
}

static bool get_tables(slide *s, segrt_error *error)
{
    const slide_shape *shape = &s->shape;
    s->x = get(s, (size_t)s->columns, sizeof *s->x, error);
    s->y = get(s, (size_t)s->rows, sizeof *s->y, error);
    s->across = get(s, (size_t)s->window_w, sizeof *s->across, error);
    s->down = get(s, (size_t)s->window_h, sizeof *s->down, error);
    s->out_across = get(s, (size_t)shape->out_w, sizeof *s->out_across, error);
    s->out_down = get(s, (size_t)shape->out_h, sizeof *s->out_down, error);
    s->covering = get(s, (size_t)shape->w, sizeof *s->covering, error);
    if (!s->x || !s->y || !s->across || !s->down || !s->out_across || !s->out_down || !s->covering)
        return false;
    image_window_starts(shape->w, shape->window, shape->stride, s->x, s->columns);
    image_window_starts(shape->h, shape->window, shape->stride, s->y, s->rows);
    bilinear_taps(s->quarter_w, s->window_w, s->across);
    bilinear_taps(s->quarter_h, s->window_h, s->down);
    bilinear_taps(shape->w, shape->out_w, s->out_across);
    bilinear_taps(shape->h, shape->out_h, s->out_down);
    memset(s->covering, 0, (size_t)shape->w * sizeof *s->covering);
    for (int k = 0; k < s->columns; k++)
        for (int i = 0; i < s->window_w; i++)
            s->covering[s->x[k] + i] += 1;
    return true;
}

static bool get_scratch(slide *s, segrt_error *error)
{
    s->scratch = memory_get_cleared((size_t)s->workers, sizeof *s->scratch);
    if (!s->scratch) {
        fail_memory(error, (size_t)s->workers * sizeof *s->scratch, "the sliding window");
        return false;
    }
    for (int i = 0; i < s->workers; i++) {
        scratch *t = &s->scratch[i];
        for (int k = 0; k < 2; k++)
            t->averaged[k] = get(s, (size_t)s->shape.classes * (size_t)s->shape.w, sizeof(float), error);
        t->mixed = get(s, (size_t)s->quarter_w, sizeof *t->mixed, error);
        t->best = get(s, (size_t)s->shape.out_w, sizeof *t->best, error);
        t->sum = get(s, (size_t)s->shape.out_w, sizeof *t->sum, error);
        t->resized = get(s, (size_t)s->shape.out_w, sizeof *t->resized, error);
        t->label = get(s, (size_t)s->shape.out_w, sizeof *t->label, error);
        if (!t->averaged[0] || !t->averaged[1] || !t->mixed || !t->best || !t->sum || !t->resized || !t->label)
            return false;
    }
    return true;
}

segrt_status slide_open(slide **out, const slide_shape *shape, int workers, segrt_error *error)
{
    *out = NULL;
    if (shape->classes < 1 || shape->w < 1 || shape->h < 1 || shape->out_w < 1 || shape->out_h < 1 || shape->window < 1 ||
        shape->stride < 1 || shape->stride > shape->window || workers < 1)
        return fail_with(error, SEGRT_ARGUMENT, "a sliding window of %d with stride %d over %dx%d pixels: the stride must lie in 1..window",
                         shape->window, shape->stride, shape->w, shape->h);
    slide *s = memory_get_cleared(1, sizeof *s);
    if (!s)
        return fail_memory(error, sizeof *s, "the sliding window");
    s->shape = *shape;
    s->workers = workers;
    s->loops = slide_rows_best();
    s->bytes = sizeof *s;
    s->window_w = shape->window < shape->w ? shape->window : shape->w;
    s->window_h = shape->window < shape->h ? shape->window : shape->h;
    s->quarter_w = (s->window_w + 3) / 4;
    s->quarter_h = (s->window_h + 3) / 4;
    s->columns = image_window_starts(shape->w, shape->window, shape->stride, NULL, 0);
    s->rows = image_window_starts(shape->h, shape->window, shape->stride, NULL, 0);
    if (!get_tables(s, error) || !get_scratch(s, error))
        goto fail;
    s->slots = slots_needed(s);
    const size_t row_logits = (size_t)s->columns * (size_t)shape->classes * (size_t)s->quarter_h * (size_t)s->quarter_w;
    s->logits = get(s, row_logits, (size_t)s->slots * sizeof(float), error);
    if (!s->logits)
        goto fail;
    *out = s;
    return SEGRT_OK;
fail:
    slide_close(s);
    return SEGRT_NO_MEMORY;
}

bool slide_fits(const slide *s, const slide_shape *shape, int workers)
{
    const slide_shape *own = s ? &s->shape : NULL;
    return own && own->classes == shape->classes && own->w == shape->w && own->h == shape->h && own->window == shape->window &&
           own->stride == shape->stride && own->out_w == shape->out_w && own->out_h == shape->out_h && workers <= s->workers;
}

void slide_close(slide *s)
{
    if (!s)
        return;
    for (int i = 0; s->scratch && i < s->workers; i++) {
        scratch *t = &s->scratch[i];
        void *const all[] = {t->averaged[0], t->averaged[1], t->mixed, t->best, t->sum, t->resized, t->label};
        for (size_t k = 0; k < sizeof all / sizeof *all; k++)
            memory_free(all[k]);
    }
    void *const all[] = {s->x, s->y, s->across, s->down, s->out_across, s->out_down, s->covering, s->logits, s->scratch, s};
    for (size_t k = 0; k < sizeof all / sizeof *all; k++)
        memory_free(all[k]);
}

size_t slide_memory(const slide *s)
{
    return s ? s->bytes : 0;
}

void slide_grid(const slide *s, int *rows, int *columns, int *window_w, int *window_h)
{
    *rows = s->rows;
    *columns = s->columns;
    *window_w = s->window_w;
    *window_h = s->window_h;
}

void slide_corner(const slide *s, int row, int column, int *x, int *y)
{
    *x = s->x[column];
    *y = s->y[row];
}

float *slide_logits(slide *s, int row)
{
    const size_t row_logits = (size_t)s->columns * (size_t)s->shape.classes * (size_t)s->quarter_h * (size_t)s->quarter_w;
    return s->logits + (size_t)(row % s->slots) * row_logits;
}

/* A row of a window from its quarter logits `mixed`, added to `to` [window_w].  Inside, where a window's side is four
 * times its logits', the same four weights recur. */
static void add_enlarged(const slide *s, const float *mixed, float *to)
{
    static const float near[] = {0.875f, 0.625f, 0.375f, 0.125f}, far[] = {0.125f, 0.375f, 0.625f, 0.875f};
    const int window_w = s->window_w;
    int done = 0;
    if (window_w == 4 * s->quarter_w && window_w > 4)
        for (; done < 2; done++)
            to[done] += mixed[0];
    for (; done > 0 && done + 6 <= window_w; done += 4, mixed++)
        for (int k = 0; k < 4; k++)
            to[done + k] += mixed[0] * near[k] + mixed[1] * far[k];
    mixed -= done / 4;
    for (; done < window_w; done++) {
        const bilinear_tap tap = s->across[done];
        to[done] += mixed[tap.first] * (1 - tap.second_weight) + mixed[tap.second] * tap.second_weight;
    }
}

/* One row of the input, all classes: the mean of the windows that cover it.  out [classes][w]. */
static void average_row(slide *s, scratch *t, int y, float *out)
{
    const size_t w = (size_t)s->shape.w, classes = (size_t)s->shape.classes, quarter_w = (size_t)s->quarter_w,
                 quarter = quarter_w * (size_t)s->quarter_h;
    int above_each_other = 0;
    memset(out, 0, classes * w * sizeof *out);
    for (int r = 0; r <= s->job.last_row; r++) {
        if (y < s->y[r] || y >= s->y[r] + s->window_h)
            continue;
        above_each_other++;
        const bilinear_tap vertical = s->down[y - s->y[r]];
        const float second_row = vertical.second_weight, first_row = 1 - second_row;
        const float *window = slide_logits(s, r);
        for (int k = 0; k < s->columns; k++)
            for (size_t c = 0; c < classes; c++, window += quarter) {
                const float *first = window + (size_t)vertical.first * quarter_w, *second = window + (size_t)vertical.second * quarter_w;
                for (size_t i = 0; i < quarter_w; i++)
                    t->mixed[i] = first[i] * first_row + second[i] * second_row;
                add_enlarged(s, t->mixed, out + c * w + s->x[k]);
            }
    }
    for (size_t c = 0; c < classes; c++)
        for (size_t i = 0; i < w; i++)
            out[c * w + i] /= s->covering[i] * (float)above_each_other;
}

static const float *averaged(slide *s, scratch *t, int y)
{
    for (int k = 0; k < 2; k++)
        if (t->row[k] == y) {
            t->older = 1 - k;
            return t->averaged[k];
        }
    const int k = t->older;
    average_row(s, t, y, t->averaged[k]);
    t->row[k] = y;
    t->older = 1 - k;
    return t->averaged[k];
}

/* One class of an output row between two rows of the input. */
static inline float logit_at(const float *upper, const float *lower, bilinear_tap across, float second_row)
{
    const float right = across.second_weight, left = 1 - right;
    return (upper[across.first] * left + upper[across.second] * right) * (1 - second_row) +
           (lower[across.first] * left + lower[across.second] * right) * second_row;
}

/* One class of an output row: [out_w]. */
static const float *class_row(const slide *s, const scratch *t, const float *upper, const float *lower, int class, float second_row)
{
    const size_t start = (size_t) class * (size_t)s->shape.w;
    if (upper == lower && s->shape.w == s->shape.out_w)
        return upper + start;
    for (int i = 0; i < s->shape.out_w; i++)
        t->resized[i] = logit_at(upper + start, lower + start, s->out_across[i], second_row);
    return t->resized;
}

static void label_row(slide *s, scratch *t, int out_y)
{
    const size_t out_w = (size_t)s->shape.out_w;
    const int classes = s->shape.classes;
    const slide_output *output = s->job.output;
    const bilinear_tap down = s->out_down[out_y];
    const bool same = s->shape.w == s->shape.out_w && s->shape.h == s->shape.out_h;
    const float *upper = averaged(s, t, down.first), *lower = same ? upper : averaged(s, t, down.second);
    for (size_t i = 0; i < out_w; i++) {
        t->best[i] = -INFINITY;
        t->label[i] = 0;
    }
    for (int c = 0; c < classes; c++)
        s->loops->keep_larger(out_w, c, class_row(s, t, upper, lower, c, down.second_weight), t->best, t->label);
    if (output->labels && output->label_bytes == 1) {
        uint8_t *to = (uint8_t *)output->labels + out_y * output->stride;
        for (size_t i = 0; i < out_w; i++)
            to[i] = (uint8_t)t->label[i];
    } else if (output->labels) {
        uint16_t *to = (uint16_t *)output->labels + out_y * output->stride;
        for (size_t i = 0; i < out_w; i++)
            to[i] = (uint16_t)t->label[i];
    }
    if (!output->confidence)
        return;
    memset(t->sum, 0, out_w * sizeof *t->sum);
    for (int c = 0; c < classes; c++)
        s->loops->add_exp(out_w, class_row(s, t, upper, lower, c, down.second_weight), t->best, t->sum);
    uint8_t *to = output->confidence + (size_t)out_y * out_w;
    for (size_t i = 0; i < out_w; i++)
        to[i] = t->sum[i] >= 1 ? (uint8_t)(255 / t->sum[i] + 0.5f) : 0; /* 0: not a number */
}

static void band_piece(void *job, int worker, int piece)
{
    slide *s = job;
    scratch *t = &s->scratch[worker];
    const int begin = s->job.begin + piece * BAND, end = begin + BAND < s->job.end ? begin + BAND : s->job.end;
    t->row[0] = t->row[1] = -1; /* of an earlier picture */
    for (int y = begin; y < end; y++)
        label_row(s, t, y);
}

int slide_row_done(slide *s, int row, const slide_output *output, segrt_pool *pool)
{
    if (row == 0)
        s->done = 0;
    s->job.output = output;
    s->job.last_row = row;
    s->job.begin = s->done;
    s->job.end = settled(s, row);
    pool_run(pool, (s->job.end - s->job.begin + BAND - 1) / BAND, band_piece, s);
    return s->done = s->job.end;
}
