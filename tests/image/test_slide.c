/* What slide.h promises, against mmsegmentation's rule written out plainly in double. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "image/image.h"
#include "image/slide.h"
#include "image/slide_rows.h"

/* Smooth numbers that depend on the window, so that overlaps disagree. */
static float drawn_logit(int row, int column, int c, int y, int x)
{
    return 3 * sinf(0.37f * (float)y + 1.1f * (float)c + 0.3f * (float)row) +
           2 * cosf(0.23f * (float)x - 0.7f * (float)c + 0.2f * (float)column);
}

/* PyTorch's interpolate(mode='bilinear', align_corners=False): from [h][w] to [to_h][to_w]. */
static void resize_plain(const double *from, int h, int w, double *to, int to_h, int to_w)
{
    for (int y = 0; y < to_h; y++)
        for (int x = 0; x < to_w; x++) {
            const double sy = fmax((y + 0.5) * h / to_h - 0.5, 0), sx = fmax((x + 0.5) * w / to_w - 0.5, 0);
            const int y0 = (int)sy, x0 = (int)sx, y1 = y0 + (y0 < h - 1), x1 = x0 + (x0 < w - 1);
            const double fy = sy - y0, fx = sx - x0;
            to[y * to_w + x] = (from[y0 * w + x0] * (1 - fx) + from[y0 * w + x1] * fx) * (1 - fy) +
                               (from[y1 * w + x0] * (1 - fx) + from[y1 * w + x1] * fx) * fy;
        }
}

static void *cleared(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    assert_non_null(memory);
    return memory;
}

/* [classes][out_h][out_w] */
static double *logits_plain(const slide_shape *s)
{
    int xs[64], ys[64];
    const int columns = image_window_starts(s->w, s->window, s->stride, xs, 64),
              rows = image_window_starts(s->h, s->window, s->stride, ys, 64);
    const int ww = s->window < s->w ? s->window : s->w, wh = s->window < s->h ? s->window : s->h, qw = (ww + 3) / 4, qh = (wh + 3) / 4;
    double *all = cleared((size_t)s->classes * (size_t)(s->out_h * s->out_w), sizeof *all);
    double *quarter = cleared((size_t)(qw * qh), sizeof *quarter), *full = cleared((size_t)(ww * wh), sizeof *full);
    double *sum = cleared((size_t)(s->w * s->h), sizeof *sum), *count = cleared((size_t)(s->w * s->h), sizeof *count);
    for (int c = 0; c < s->classes; c++) {
        memset(sum, 0, (size_t)(s->w * s->h) * sizeof *sum);
        memset(count, 0, (size_t)(s->w * s->h) * sizeof *count);
        for (int r = 0; r < rows; r++)
            for (int k = 0; k < columns; k++) {
                for (int i = 0; i < qw * qh; i++)
                    quarter[i] = (double)drawn_logit(r, k, c, i / qw, i % qw);
                resize_plain(quarter, qh, qw, full, wh, ww);
                for (int i = 0; i < ww * wh; i++) {
                    sum[(ys[r] + i / ww) * s->w + xs[k] + i % ww] += full[i];
                    count[(ys[r] + i / ww) * s->w + xs[k] + i % ww] += 1;
                }
            }
        for (int i = 0; i < s->w * s->h; i++)
            sum[i] /= count[i];
        resize_plain(sum, s->h, s->w, all + (size_t)c * (size_t)(s->out_h * s->out_w), s->out_h, s->out_w);
    }
    free(quarter);
    free(full);
    free(sum);
    free(count);
    return all;
}

static void run_slide(const slide_shape *shape, const slide_output *output, segrt_pool *pool)
{
    slide *s;
    int rows, columns, ww, wh, before = 0;
    segrt_error error = {0};
    assert_int_equal(slide_open(&s, shape, pool_workers(pool), &error), SEGRT_OK);
    slide_grid(s, &rows, &columns, &ww, &wh);
    const int qw = (ww + 3) / 4, qh = (wh + 3) / 4;
    for (int r = 0; r < rows; r++) {
        float *to = slide_logits(s, r);
        for (int k = 0; k < columns; k++)
            for (int c = 0; c < shape->classes; c++)
                for (int i = 0; i < qw * qh; i++)
                    *to++ = drawn_logit(r, k, c, i / qw, i % qw);
        const int now = slide_row_done(s, r, output, pool);
        assert_true(now >= before);
        before = now;
    }
    assert_int_equal(before, shape->out_h);
    slide_close(s);
}

static const slide_shape shapes[] = {
    {.classes = 4, .w = 96, .h = 64, .window = 64, .stride = 48, .out_w = 96, .out_h = 64},
    {.classes = 3, .w = 100, .h = 170, .window = 40, .stride = 12, .out_w = 100, .out_h = 170}, /* four windows deep */
    {.classes = 5, .w = 70, .h = 90, .window = 33, .stride = 33, .out_w = 41, .out_h = 131},    /* odd window, then up and down */
    {.classes = 2, .w = 20, .h = 90, .window = 32, .stride = 20, .out_w = 31, .out_h = 17},     /* narrower than a window */
    {.classes = 3, .w = 30, .h = 20, .window = 64, .stride = 48, .out_w = 60, .out_h = 40},     /* one small window */
};

static void labels_and_confidence_follow_mmsegs_rule(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) {
        const slide_shape *shape = &shapes[k];
        const size_t pixels = (size_t)(shape->out_w * shape->out_h);
        uint8_t *labels = cleared(pixels, 1), *confidence = cleared(pixels, 1);
        run_slide(shape, &(slide_output){.labels = labels, .label_bytes = 1, .stride = shape->out_w, .confidence = confidence}, NULL);
        double *expected = logits_plain(shape);
        for (size_t i = 0; i < pixels; i++) {
            int best = 0;
            double second = -1e9, sum = 0;
            for (int c = 1; c < shape->classes; c++)
                best = expected[(size_t)c * pixels + i] > expected[(size_t)best * pixels + i] ? c : best;
            for (int c = 0; c < shape->classes; c++) {
                const double v = expected[(size_t)c * pixels + i];
                sum += exp(v - expected[(size_t)best * pixels + i]);
                second = c != best && v > second ? v : second;
            }
            if (expected[(size_t)best * pixels + i] - second > 1e-4) /* float32 may decide a tie differently */
                assert_int_equal(labels[i], best);
            assert_true(fabs(confidence[i] - 255 / sum) < 0.51);
        }
        free(expected);
        free(labels);
        free(confidence);
    }
}

static void threads_label_width_and_stride_change_nothing(void **state)
{
    (void)state;
    segrt_pool *pool;
    assert_int_equal(pool_open(&pool, 3, NULL), SEGRT_OK);
    const slide_shape *shape = &shapes[2];
    const int stride = shape->out_w + 5;
    uint8_t *narrow = cleared((size_t)(shape->out_w * shape->out_h), 1);
    uint16_t *wide = cleared((size_t)(stride * shape->out_h), sizeof *wide);
    run_slide(shape, &(slide_output){.labels = narrow, .label_bytes = 1, .stride = shape->out_w}, NULL);
    run_slide(shape, &(slide_output){.labels = wide, .label_bytes = 2, .stride = stride}, pool);
    for (int y = 0; y < shape->out_h; y++) {
        for (int x = 0; x < shape->out_w; x++)
            assert_int_equal(narrow[y * shape->out_w + x], wide[y * stride + x]);
        assert_int_equal(wide[y * stride + shape->out_w], 0); /* what lies between rows is the caller's */
    }
    free(narrow);
    free(wide);
    pool_close(pool);
}

static void memory_does_not_grow_with_the_number_of_rows_of_windows(void **state)
{
    (void)state;
    size_t bytes[2];
    for (int i = 0; i < 2; i++) {
        slide *s;
        const slide_shape shape = {
            .classes = 19, .w = 2048, .h = i ? 40960 : 4096, .window = 1024, .stride = 768, .out_w = 2048, .out_h = i ? 40960 : 4096};
        assert_int_equal(slide_open(&s, &shape, 2, NULL), SEGRT_OK);
        bytes[i] = slide_memory(s);
        slide_close(s);
    }
    assert_true(bytes[1] - bytes[0] < 1 << 20); /* a table entry a row */
    assert_true(bytes[0] < 48u << 20);
}

static void every_row_loop_gives_the_portable_numbers(void **state)
{
    (void)state;
    const slide_rows *const loops[] = {&slide_rows_portable, slide_rows_best()};
    for (size_t n = 1; n < 40; n++) {
        float logit[40], best[2][40], sum[2][40];
        int32_t label[2][40];
        for (int k = 0; k < 2; k++) {
            for (size_t i = 0; i < 40; i++) {
                best[k][i] = (float)(i % 7) - 3;
                sum[k][i] = 1;
                label[k][i] = 5;
            }
            for (int32_t class = 0; class < 20; class ++) {
                for (size_t i = 0; i < 40; i++)
                    logit[i] = i % 9 == 8 ? -1e9f : floorf(8 * sinf((float)(class * 40) + (float)i)) / 2; /* ties too */
                loops[k]->keep_larger(n, class, logit, best[k], label[k]);
            }
            loops[k]->add_exp(n, logit, best[k], sum[k]);
        }
        assert_memory_equal(best[0], best[1], sizeof best[0]);
        assert_memory_equal(label[0], label[1], sizeof label[0]);
        assert_memory_equal(sum[0], sum[1], sizeof sum[0]);
        for (size_t i = 0; i < n; i++)
            assert_true(fabs((double)(sum[0][i] - 1) - exp((double)(logit[i] - best[0][i]))) < 2e-7);
        assert_int_equal(label[0][39], 5); /* what lies behind is left alone */
    }
}

static void strides_that_leave_gaps_are_refused(void **state)
{
    (void)state;
    slide *s;
    slide_shape shape = shapes[0];
    shape.stride = shape.window + 1;
    assert_int_equal(slide_open(&s, &shape, 1, NULL), SEGRT_ARGUMENT);
    assert_null(s);
    shape.stride = 0;
    assert_int_equal(slide_open(&s, &shape, 1, NULL), SEGRT_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_and_confidence_follow_mmsegs_rule),
        cmocka_unit_test(threads_label_width_and_stride_change_nothing),
        cmocka_unit_test(memory_does_not_grow_with_the_number_of_rows_of_windows),
        cmocka_unit_test(every_row_loop_gives_the_portable_numbers),
        cmocka_unit_test(strides_that_leave_gaps_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
