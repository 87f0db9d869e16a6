/* resample: see resample.h.  A picture is resized in two passes: rows to their new width, and columns.
 * Pieces of the pool are bands of rows; nothing depends on who computes which. */
#include "image/resample.h"

#include <float.h>
#include <limits.h>
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "image/resample_kernels.h"

enum { BAND = 16 }; /* rows a piece */

typedef enum plan_kind {
    PLAN_COPY,
    PLAN_NEAREST,
    PLAN_PILLOW,
    PLAN_OPENCV,
    PLAN_HALVE, /* OpenCV answers an exact 2x2 reduction with the mean of four */
} plan_kind;

struct resampler {
    segrt_resample method;
    int from_w, from_h, to_w, to_h;
    plan_kind plan;
    const resample_kernels *kernels;
    bool down_first; /* Pillow only: columns before rows */
    resample_axis across, down;
    int32_t *row; /* [row_count]: input rows that the second pass reads, ascending */
    int row_count;
    void *between; /* after the first pass: [row_count][to_w][3], down_first: [to_h][from_w][3]; uint8 (Pillow) or int16 (OpenCV) */
    size_t bytes;
    const uint8_t *from; /* of the run under way */
    uint8_t *to;
};

static double bilinear(double x)
{
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

/* Keys 1981 with a = -0.5. */
static double bicubic(double x)
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1.0)
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
    return x < 2.0 ? (((x - 5) * x + 8) * x - 4) * a : 0.0;
}

static const struct pillow_filter {
    double (*weight)(double x);
    double support;
} pillow_filters[] = {
    [SEGRT_RESAMPLE_PILLOW_BILINEAR] = {bilinear, 1.0},
    [SEGRT_RESAMPLE_PILLOW_BICUBIC] = {bicubic, 2.0},
};

static void *get(resampler *r, size_t count, size_t size, segrt_error *error)
{
    void *memory = memory_get_array(count, size);
    if (!memory)
        fail_memory(error, count * size, "resizing a picture");
    else
        r->bytes += count * size;
    return memory;
}

/* split: 16-bit weights a position. */
static bool axis_get(resampler *r, resample_axis *axis, int from, int to, int taps, size_t split, segrt_error *error)
{
    *axis = (resample_axis){.from = from, .to = to, .taps = taps};
    axis->start = get(r, (size_t)to, sizeof *axis->start, error);
    axis->count = get(r, (size_t)to, sizeof *axis->count, error);
    axis->weight = get(r, (size_t)to * (size_t)taps, sizeof *axis->weight, error);
    axis->split = get(r, (size_t)to * split, sizeof *axis->split, error);
    return axis->start && axis->count && axis->weight && axis->split;
}

static void axis_free(resample_axis *axis)
{
    memory_free(axis->start);
    memory_free(axis->count);
    memory_free(axis->weight);
    memory_free(axis->split);
}

/* Pillow's precompute_coeffs and normalize_coeffs_8bpc: the filter widens with the reduction, weights are
 * normalised in double and then rounded, halves away from zero. */
static bool pillow_axis(resampler *r, resample_axis *axis, const struct pillow_filter *filter, int from, int to, segrt_error *error)
{
    const double scale = (double)from / to, widening = scale < 1.0 ? 1.0 : scale;
    const double support = filter->support * widening, narrowing = 1.0 / widening;
    const int taps = (int)ceil(support) * 2 + 1;
    const size_t split = 8 * (size_t)((taps + 3) / 4);
    double *exact = memory_get_array((size_t)taps, sizeof *exact);
    if (!exact || !axis_get(r, axis, from, to, taps, split, error)) {
        memory_free(exact);
        fail_memory(error, (size_t)taps * sizeof *exact, "resizing a picture");
        return false;
    }
    for (int i = 0; i < to; i++) {
        const double center = (i + 0.5) * scale;
        int begin = (int)(center - support + 0.5), end = (int)(center + support + 0.5);
        begin = begin < 0 ? 0 : begin;
        end = end > from ? from : end;
        double sum = 0;
        for (int k = begin; k < end; k++)
            sum += exact[k - begin] = filter->weight((k - center + 0.5) * narrowing);
        int32_t *weight = axis->weight + (size_t)i * (size_t)taps;
        for (int k = 0; k < taps; k++) {
            const double w = k < end - begin ? (sum != 0.0 ? exact[k] / sum : exact[k]) * (1 << PILLOW_BITS) : 0.0;
            weight[k] = (int32_t)(w < 0 ? w - 0.5 : w + 0.5);
        }
        int16_t *halves = axis->split + (size_t)i * split;
        for (int k = 0; k < (taps + 3) / 4 * 4; k++) {
            const int32_t v = k < taps ? weight[k] : 0;
            halves[k / 4 * 8 + k % 4] = (int16_t)(v >> SPLIT_BITS);
            halves[k / 4 * 8 + k % 4 + 4] = (int16_t)(v & SPLIT_MASK);
        }
        axis->start[i] = begin;
        axis->count[i] = end - begin;
    }
    memory_free(exact);
    return true;
}

/* OpenCV's resize(): positions in float, weights of 11 bits, halves to even.  Across, a position outside
 * is moved to the edge before its weights are made; down, only the rows are clamped, and the weights stay. */
static bool opencv_axis(resampler *r, resample_axis *axis, bool across, int from, int to, segrt_error *error)
{
    if (!axis_get(r, axis, from, to, 2, 2, error))
        return false;
    const double scale = 1.0 / ((double)to / from);
    for (int i = 0; i < to; i++) {
        float fraction = (float)((i + 0.5) * scale - 0.5);
        int at = (int)floorf(fraction);
        fraction -= (float)at;
        if (across && (at < 0 || at >= from - 1)) {
            at = at < 0 ? 0 : from - 1;
            fraction = 0;
        }
        const int first = at < 0 ? 0 : at > from - 1 ? from - 1 : at, second = at + 1 < 0 ? 0 : at + 1 > from - 1 ? from - 1 : at + 1;
        axis->start[i] = first;
        axis->count[i] = second - first + 1; /* 1 where both rows are the edge's */
        axis->weight[2 * (size_t)i] = (int32_t)lrintf((1.0f - fraction) * (1 << OPENCV_BITS));
        axis->weight[2 * (size_t)i + 1] = (int32_t)lrintf(fraction * (1 << OPENCV_BITS));
        for (size_t k = 2 * (size_t)i; k < 2 * (size_t)i + 2; k++)
            axis->split[k] = (int16_t)axis->weight[k];
    }
    return true;
}

/* Pillow's affine scaling: a running sum of steps, not a product. */
static bool nearest_axis(resampler *r, resample_axis *axis, int from, int to, segrt_error *error)
{
    if (!axis_get(r, axis, from, to, 1, 0, error))
        return false;
    const double scale = (double)from / to;
    double at = scale * 0.5;
    for (int i = 0; i < to; i++, at += scale) {
        axis->start[i] = (int)at < from ? (int)at : from - 1;
        axis->count[i] = 1;
        axis->weight[i] = 1;
    }
    return true;
}

/* The rows that the second pass reads; its starts become positions in that list. */
static bool list_rows(resampler *r, segrt_error *error)
{
    r->row = get(r, (size_t)r->from_h, sizeof *r->row, error);
    if (!r->row)
        return false;
    for (int y = 0; y < r->to_h; y++) { /* starts ascend */
        const int first = r->down.start[y], last = first + r->down.count[y] - 1;
        for (int row = first; row <= last; row++)
            if (r->row_count == 0 || row > r->row[r->row_count - 1])
                r->row[r->row_count++] = row;
        int slot = r->row_count - 1;
        while (r->row[slot] != first)
            slot--;
        r->down.start[y] = slot;
    }
    return true;
}

segrt_status resampler_open(resampler **out, segrt_resample method, int from_w, int from_h, int to_w, int to_h, segrt_error *error)
{
    *out = NULL;
    if (method < SEGRT_RESAMPLE_PILLOW_BILINEAR || method > SEGRT_RESAMPLE_NEAREST)
        return fail_with(error, SEGRT_ARGUMENT, "resampling %d is not one of segrt_resample", (int)method);
    if (from_w < 1 || from_h < 1 || to_w < 1 || to_h < 1 || from_w > 65535 || from_h > 65535 || to_w > 65535 || to_h > 65535)
        return fail_with(error, SEGRT_ARGUMENT, "cannot resize %dx%d to %dx%d: each side must lie in 1..65535", from_w, from_h, to_w, to_h);
    resampler *r = memory_get_cleared(1, sizeof *r);
    if (!r)
        return fail_memory(error, sizeof *r, "resizing a picture");
    *r = (resampler){.method = method, .from_w = from_w, .from_h = from_h, .to_w = to_w, .to_h = to_h, .bytes = sizeof *r};
    r->kernels = resample_kernels_best();

    bool ok = true;
    size_t sample = 0;
    if (from_w == to_w && from_h == to_h)
        r->plan = PLAN_COPY;
    else if (method == SEGRT_RESAMPLE_NEAREST) {
        r->plan = PLAN_NEAREST;
        ok = nearest_axis(r, &r->across, from_w, to_w, error) && nearest_axis(r, &r->down, from_h, to_h, error);
    } else if (method == SEGRT_RESAMPLE_OPENCV_LINEAR) {
        r->plan = from_w == 2 * to_w && from_h == 2 * to_h ? PLAN_HALVE : PLAN_OPENCV;
        sample = sizeof(int16_t);
        ok = r->plan == PLAN_HALVE || (opencv_axis(r, &r->across, true, from_w, to_w, error) &&
                                       opencv_axis(r, &r->down, false, from_h, to_h, error) && list_rows(r, error));
    } else {
        r->plan = PLAN_PILLOW;
        /* Since version 13; before, rows always came first.  It matters through the rounding between the passes. */
        r->down_first = to_h < from_h && from_h - to_h > 2 * (from_w - to_w);
        sample = from_w != to_w && from_h != to_h ? sizeof(uint8_t) : 0; /* one pass alone needs nothing between */
        const struct pillow_filter *filter = &pillow_filters[method];
        ok = pillow_axis(r, &r->across, filter, from_w, to_w, error) && pillow_axis(r, &r->down, filter, from_h, to_h, error) &&
             list_rows(r, error);
    }
    if (ok && sample && r->plan != PLAN_HALVE) {
        const size_t samples = r->down_first ? (size_t)to_h * (size_t)from_w : (size_t)r->row_count * (size_t)to_w;
        r->between = get(r, samples, 3 * sample, error);
        ok = r->between != NULL;
    }
    if (!ok) {
        resampler_close(r);
        return SEGRT_NO_MEMORY;
    }
    *out = r;
    return SEGRT_OK;
}

bool resampler_fits(const resampler *r, segrt_resample method, int from_w, int from_h, int to_w, int to_h)
{
    return r && r->method == method && r->from_w == from_w && r->from_h == from_h && r->to_w == to_w && r->to_h == to_h;
}

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

/* Rows to their new width: the listed ones of the picture, or those that the columns' pass has made. */
static void rows_piece(void *job, int worker, int piece)
{
    (void)worker;
    resampler *r = job;
    const bool first = !(r->down_first && r->between), last = !r->between || !first;
    const int count = first ? r->row_count : r->to_h, rows = first ? r->from_h : r->to_h;
    const size_t from_row = 3 * (size_t)r->from_w, to_row = 3 * (size_t)r->to_w;
    for (int i = piece * BAND; i < smaller(count, (piece + 1) * BAND); i++) {
        const int row = first ? r->row[i] : i;
        const uint8_t *from = (first ? r->from : (const uint8_t *)r->between) + (size_t)row * from_row;
        const size_t readable = (size_t)(rows - row) * from_row;
        if (r->plan == PLAN_OPENCV)
            r->kernels->opencv_row(&r->across, from, readable, (int16_t *)r->between + (size_t)i * to_row);
        else
            r->kernels->pillow_row(&r->across, from, readable, (last ? r->to : (uint8_t *)r->between) + (size_t)i * to_row);
    }
}

/* Columns to their new height. */
static void columns_piece(void *job, int worker, int piece)
{
    (void)worker;
    resampler *r = job;
    const bool first = r->down_first || !r->between, last = !(r->down_first && r->between);
    const size_t row = 3 * (size_t)(r->down_first ? r->from_w : r->to_w);
    for (int y = piece * BAND; y < smaller(r->to_h, (piece + 1) * BAND); y++) {
        const size_t start = (size_t)r->down.start[y];
        const int32_t *weight = r->down.weight + (size_t)y * (size_t)r->down.taps;
        uint8_t *to = (last ? r->to : (uint8_t *)r->between) + (size_t)y * row;
        if (r->plan == PLAN_OPENCV) {
            const int16_t *above = (const int16_t *)r->between + start * row, *below = above + (size_t)(r->down.count[y] - 1) * row;
            r->kernels->opencv_column(above, below, weight[0], weight[1], row, to);
        } else
            r->kernels->pillow_column((first ? r->from : (const uint8_t *)r->between) + start * row, row, r->down.count[y], weight, row,
                                      to);
    }
}

static void nearest_piece(void *job, int worker, int piece)
{
    (void)worker;
    resampler *r = job;
    for (int y = piece * BAND; y < smaller(r->to_h, (piece + 1) * BAND); y++) {
        const uint8_t *from = r->from + 3 * (size_t)r->down.start[y] * (size_t)r->from_w;
        uint8_t *to = r->to + 3 * (size_t)y * (size_t)r->to_w;
        for (size_t x = 0; x < (size_t)r->to_w; x++)
            memcpy(to + 3 * x, from + 3 * (size_t)r->across.start[x], 3);
    }
}

static void halve_piece(void *job, int worker, int piece)
{
    (void)worker;
    resampler *r = job;
    for (int y = piece * BAND; y < smaller(r->to_h, (piece + 1) * BAND); y++) {
        const uint8_t *above = r->from + 6 * (size_t)y * (size_t)r->from_w, *below = above + 3 * (size_t)r->from_w;
        uint8_t *to = r->to + 3 * (size_t)y * (size_t)r->to_w;
        for (size_t x = 0; x < (size_t)r->to_w; x++)
            for (size_t c = 6 * x; c < 6 * x + 3; c++)
                *to++ = (uint8_t)((above[c] + above[c + 3] + below[c] + below[c + 3] + 2) >> 2);
    }
}

void resampler_run(resampler *r, const uint8_t *from, uint8_t *to, segrt_pool *pool)
{
    const int bands = (r->to_h + BAND - 1) / BAND;
    r->from = from;
    r->to = to;
    switch (r->plan) {
    case PLAN_COPY:
        memcpy(to, from, 3 * (size_t)r->to_w * (size_t)r->to_h);
        break;
    case PLAN_NEAREST:
        pool_run(pool, bands, nearest_piece, r);
        break;
    case PLAN_HALVE:
        pool_run(pool, bands, halve_piece, r);
        break;
    case PLAN_PILLOW:
        if (r->down_first) {
            pool_run(pool, bands, columns_piece, r);
            if (r->from_w != r->to_w)
                pool_run(pool, bands, rows_piece, r);
            break;
        }
        if (r->from_w != r->to_w)
            pool_run(pool, (r->row_count + BAND - 1) / BAND, rows_piece, r);
        if (r->from_h != r->to_h)
            pool_run(pool, bands, columns_piece, r);
        break;
    case PLAN_OPENCV:
        pool_run(pool, (r->row_count + BAND - 1) / BAND, rows_piece, r);
        pool_run(pool, bands, columns_piece, r);
        break;
    }
}

size_t resampler_memory(const resampler *r)
{
    return r ? r->bytes : 0;
}

void resampler_close(resampler *r)
{
    if (!r)
        return;
    axis_free(&r->across);
    axis_free(&r->down);
    memory_free(r->row);
    memory_free(r->between);
    memory_free(r);
}
