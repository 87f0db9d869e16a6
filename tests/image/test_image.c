/* What image.h promises: pixels of every format, the sizes of preprocessing, overlays, windows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "image/image.h"
#include "image/yuv.h"

static void every_packed_format_becomes_rgb(void **state)
{
    (void)state;
    const uint8_t rgb[] = {1, 2, 3, 4, 5, 6}, bgr[] = {3, 2, 1, 6, 5, 4}, rgba[] = {1, 2, 3, 9, 4, 5, 6, 0},
                  bgra[] = {3, 2, 1, 9, 6, 5, 4, 0}, gray[] = {7, 8}, gray_rgb[] = {7, 7, 7, 8, 8, 8};
    static const ptrdiff_t strides[] = {6, 6, 8, 8, 2};
    const uint8_t *const pixels[] = {rgb, bgr, rgba, bgra, gray};
    for (int format = SEGRT_RGB8; format <= SEGRT_GRAY8; format++) {
        uint8_t got[6];
        const segrt_image image = {
            .format = (segrt_format)format, .width = 2, .height = 1, .plane = {pixels[format]}, .stride = {strides[format]}};
        assert_int_equal(image_check(&image, NULL), SEGRT_OK);
        image_to_rgb(&image, 0, 1, got);
        assert_memory_equal(got, format == SEGRT_GRAY8 ? gray_rgb : rgb, 6);
    }
}

static void rows_may_have_gaps_and_be_stored_bottom_up(void **state)
{
    (void)state;
    const uint8_t stored[] = {7, 8, 9, 0xee, 4, 5, 6, 0xee, 1, 2, 3, 0xee}; /* three rows of one pixel, the last first */
    const uint8_t expected[] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    const segrt_image image = {.format = SEGRT_RGB8, .width = 1, .height = 3, .plane = {stored + 8}, .stride = {-4}};
    uint8_t got[9];
    assert_int_equal(image_check(&image, NULL), SEGRT_OK);
    image_to_rgb(&image, 0, 3, got);
    assert_memory_equal(got, expected, 9);
    memset(got, 0, sizeof got);
    image_to_rgb(&image, 1, 2, got); /* a band of rows */
    assert_memory_equal(got, expected + 3, 3);
    assert_int_equal(got[3], 0);
}

static void nv12_and_i420_give_opencvs_colours_at_odd_sizes_too(void **state)
{
    (void)state;
    /* 3x3; expected: cv2.cvtColor(COLOR_YUV2RGB_I420) of the same samples in a 4x4 frame. */
    const uint8_t y[] = {16, 235, 81, 145, 41, 0, 255, 128, 200}, u[] = {128, 90, 240, 54}, v[] = {128, 240, 110, 34};
    const uint8_t uv[] = {128, 128, 90, 240, 240, 110, 54, 34};
    static const uint8_t expected[] = {0,  0,   0, 255, 255, 255, 254, 0,   0,   150, 150, 150, 29, 29,
                                       29, 179, 0, 0,   249, 249, 255, 102, 101, 255, 64,  255, 65};
    const segrt_image i420 = {.format = SEGRT_I420, .width = 3, .height = 3, .plane = {y, u, v}, .stride = {3, 2, 2}};
    const segrt_image nv12 = {.format = SEGRT_NV12, .width = 3, .height = 3, .plane = {y, uv}, .stride = {3, 4}};
    uint8_t got[27];
    assert_int_equal(image_check(&i420, NULL), SEGRT_OK);
    image_to_rgb(&i420, 0, 3, got);
    assert_memory_equal(got, expected, 27);
    assert_int_equal(image_check(&nv12, NULL), SEGRT_OK);
    image_to_rgb(&nv12, 0, 3, got);
    assert_memory_equal(got, expected, 27);
}

static void every_yuv_kernel_gives_the_portable_bytes_and_no_more(void **state)
{
    (void)state;
    for (int width = 1; width < 100; width++)
        for (int step = 1; step <= 2; step++) {
            const size_t half = (size_t)(width + 1) / 2;
            uint8_t *y = malloc((size_t)width), *chroma = malloc(2 * half),
                    *got[2]; /* blocks of their own: nothing may be read behind them */
            assert_true(y && chroma);
            for (int i = 0; i < width; i++)
                y[i] = (uint8_t)(i * 37 + width);
            for (size_t i = 0; i < 2 * half; i++)
                chroma[i] = (uint8_t)(i % 3 ? i * 91 : i % 2 * 255);
            yuv_row_fn *const kernels[] = {yuv_row_portable, yuv_row_best()};
            for (int k = 0; k < 2; k++) {
                got[k] = malloc(3 * (size_t)width + 1);
                assert_non_null(got[k]);
                got[k][3 * width] = 0x5a;
                kernels[k](y, chroma, chroma + (step == 2 ? 1 : half), step, width, got[k]);
            }
            assert_memory_equal(got[0], got[1], 3 * (size_t)width + 1);
            free(y);
            free(chroma);
            free(got[0]);
            free(got[1]);
        }
}

static void views_that_break_the_contract_are_refused(void **state)
{
    (void)state;
    const uint8_t pixel[12] = {0};
    static const struct {
        segrt_format format;
        int w, h, planes;
        ptrdiff_t stride;
    } rows[] = {
        {(segrt_format)7, 1, 1, 3, 3}, {(segrt_format)-1, 1, 1, 3, 3}, {SEGRT_RGB8, 0, 1, 3, 3},  {SEGRT_RGB8, 1, -1, 3, 3},
        {SEGRT_RGB8, 65536, 1, 3, 3},  {SEGRT_RGB8, 2, 1, 3, 5},       {SEGRT_RGB8, 2, 1, 3, -5}, {SEGRT_RGB8, 1, 1, 3, 0},
        {SEGRT_RGB8, 1, 1, 0, 3},      {SEGRT_NV12, 1, 1, 1, 2},       {SEGRT_I420, 1, 1, 2, 1},  {SEGRT_NV12, 1, 1, 2, 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        segrt_image image = {.format = rows[i].format, .width = rows[i].w, .height = rows[i].h};
        for (int p = 0; p < rows[i].planes; p++) {
            image.plane[p] = pixel;
            image.stride[p] = rows[i].stride;
        }
        segrt_error error = {0};
        assert_int_equal(image_check(&image, &error), SEGRT_ARGUMENT);
        assert_true(strlen(error.message) > 10);
    }
    assert_int_equal(image_check(NULL, NULL), SEGRT_ARGUMENT);
}

static void input_sizes_round_as_transformers_and_mmcv_do(void **state)
{
    (void)state;
    static const struct {
        segrt_resize resize;
        int width, height, multiple, w, h, fit_w, fit_h, input_w, input_h;
    } rows[] = {
        {SEGRT_RESIZE_NONE, 9, 9, 0, 640, 480, 640, 480, 640, 480},
        {SEGRT_RESIZE_EXACT, 512, 384, 0, 640, 480, 512, 384, 512, 384},
        {SEGRT_RESIZE_SHORT_SIDE, 512, 0, 0, 640, 480, 682, 512, 682, 512}, /* 682.67 rounded down */
        {SEGRT_RESIZE_SHORT_SIDE, 512, 0, 0, 480, 641, 512, 683, 512, 683}, /* 683.73 */
        {SEGRT_RESIZE_SHORT_SIDE, 512, 0, 0, 700, 700, 512, 512, 512, 512},
        {SEGRT_RESIZE_FIT, 2048, 512, 0, 683, 512, 683, 512, 683, 512},
        {SEGRT_RESIZE_FIT, 2048, 512, 32, 683, 512, 683, 512, 704, 512},
        {SEGRT_RESIZE_FIT, 512, 2048, 32, 300, 400, 512, 683, 512, 704},    /* the box either way round; 682.67 rounded to nearest */
        {SEGRT_RESIZE_FIT, 2048, 512, 32, 4000, 500, 2048, 256, 2048, 256}, /* the long side decides */
        {SEGRT_RESIZE_FIT, 2048, 512, 32, 65535, 1, 2048, 1, 2048, 32},     /* never 0 */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const segrt_preprocessing p = {
            .resize = rows[i].resize, .width = rows[i].width, .height = rows[i].height, .multiple = rows[i].multiple};
        int w, h;
        image_input_size(&p, rows[i].w, rows[i].h, &w, &h);
        assert_int_equal(w, rows[i].input_w);
        assert_int_equal(h, rows[i].input_h);
        image_fit_size(&p, rows[i].w, rows[i].h, &w, &h);
        assert_int_equal(w, rows[i].fit_w);
        assert_int_equal(h, rows[i].fit_h);
    }
}

static void overlays_blend_and_leave_what_has_no_class(void **state)
{
    (void)state;
    uint8_t rgb[] = {0, 100, 200, 0, 100, 200, 0, 100, 200};
    const uint8_t labels[] = {0, 1, 255}, palette[][3] = {{255, 0, 0}, {10, 20, 30}};
    image_overlay(rgb, labels, 3, palette, 2, 128);
    assert_memory_equal(rgb, ((uint8_t[]){128, 50, 100, 5, 60, 115, 0, 100, 200}), 9);
    image_overlay(rgb, labels, 3, palette, 2, 256);
    assert_memory_equal(rgb, ((uint8_t[]){255, 0, 0, 10, 20, 30, 0, 100, 200}), 9);
}

static void windows_cover_a_side_and_the_last_ends_at_it(void **state)
{
    (void)state;
    static const struct {
        int side, window, stride, count, starts[4];
    } rows[] = {
        {2048, 1024, 768, 3, {0, 768, 1024}}, {1024, 1024, 768, 1, {0}}, {500, 1024, 768, 1, {0}}, {1025, 1024, 768, 2, {0, 1}},
        {2560, 1024, 768, 3, {0, 768, 1536}}, {96, 64, 48, 2, {0, 32}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int starts[4] = {-1, -1, -1, -1};
        assert_int_equal(image_window_starts(rows[i].side, rows[i].window, rows[i].stride, starts, 4), rows[i].count);
        for (int k = 0; k < rows[i].count; k++)
            assert_int_equal(starts[k], rows[i].starts[k]);
    }
    int two[2];
    assert_int_equal(image_window_starts(10000, 10, 1, two, 2), 9991); /* counts what it has no room for */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_packed_format_becomes_rgb),
        cmocka_unit_test(rows_may_have_gaps_and_be_stored_bottom_up),
        cmocka_unit_test(nv12_and_i420_give_opencvs_colours_at_odd_sizes_too),
        cmocka_unit_test(every_yuv_kernel_gives_the_portable_bytes_and_no_more),
        cmocka_unit_test(views_that_break_the_contract_are_refused),
        cmocka_unit_test(input_sizes_round_as_transformers_and_mmcv_do),
        cmocka_unit_test(overlays_blend_and_leave_what_has_no_class),
        cmocka_unit_test(windows_cover_a_side_and_the_last_ends_at_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
