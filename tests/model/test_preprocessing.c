/* How pictures are prepared: what preprocessor_config.json says in its forms, and what each family does where nothing says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "model/preprocessing.h"

static segrt_preprocessing read_text(const char *text)
{
    const file_map file = file_map_of(text, strlen(text));
    segrt_preprocessing p;
    segrt_error error = {0};
    if (model_preprocessing_read(&p, &file, &error))
        fail_msg("%s", error.message);
    return p;
}

static void sizes_are_read_in_each_form(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        segrt_resize resize;
        int32_t width, height;
    } rows[] = {
        {"{\"size\": 640}", SEGRT_RESIZE_EXACT, 640, 640},
        {"{\"size\": {\"height\": 512, \"width\": 1024}}", SEGRT_RESIZE_EXACT, 1024, 512},
        {"{\"size\": {\"shortest_edge\": 360}}", SEGRT_RESIZE_SHORT_SIDE, 360, 360},
        {"{\"do_resize\": false, \"size\": 640}", SEGRT_RESIZE_NONE, 512, 512},
        {"{}", SEGRT_RESIZE_EXACT, 512, 512},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const segrt_preprocessing p = read_text(rows[i].text);
        assert_int_equal(p.resize, rows[i].resize);
        if (p.resize != SEGRT_RESIZE_NONE) {
            assert_int_equal(p.width, rows[i].width);
            assert_int_equal(p.height, rows[i].height);
        }
        assert_int_equal(p.resample, SEGRT_RESAMPLE_PILLOW_BILINEAR);
        assert_true(p.mean[0] == 123.675f && p.deviation[1] == 57.12f);
        assert_false(p.via_input);
    }
}

static void means_are_on_the_scale_of_pixels(void **state)
{
    (void)state;
    segrt_preprocessing p = read_text("{\"image_mean\": [0.5, 0.25, 0], \"image_std\": [0.5, 0.5, 0.5], \"rescale_factor\": 0.0078125}");
    assert_true(p.mean[0] == 64 && p.mean[1] == 32 && p.mean[2] == 0 && p.deviation[0] == 64);
    p = read_text("{\"do_rescale\": false, \"image_mean\": [1, 2, 3], \"image_std\": [4, 5, 6]}");
    assert_true(p.mean[2] == 3 && p.deviation[2] == 6);
    p = read_text("{\"do_normalize\": false, \"rescale_factor\": 0.00390625}");
    assert_true(p.mean[0] == 0 && p.deviation[0] == 256);
}

static void each_family_has_its_published_test_configuration(void **state)
{
    (void)state;
    static const struct {
        const char *family;
        int classes;
        segrt_resize resize;
        int32_t width, height, multiple, window, stride;
        segrt_resample resample;
        bool via_input;
    } rows[] = {
        {"hf", 150, SEGRT_RESIZE_EXACT, 512, 512, 1, 0, 0, SEGRT_RESAMPLE_PILLOW_BILINEAR, false},
        {"nvlabs", 150, SEGRT_RESIZE_FIT, 2048, 512, 32, 0, 0, SEGRT_RESAMPLE_OPENCV_LINEAR, true},
        {"nvlabs", 19, SEGRT_RESIZE_FIT, 2048, 1024, 1, 1024, 768, SEGRT_RESAMPLE_OPENCV_LINEAR, true},
        {"mmseg", 150, SEGRT_RESIZE_FIT, 2048, 512, 32, 0, 0, SEGRT_RESAMPLE_OPENCV_LINEAR, true},
        {"paddle", 19, SEGRT_RESIZE_FIT, 2048, 1024, 1, 1024, 768, SEGRT_RESAMPLE_OPENCV_LINEAR, true},
        {"smp", 19, SEGRT_RESIZE_NONE, 0, 0, 1, 0, 0, SEGRT_RESAMPLE_OPENCV_LINEAR, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const segrt_preprocessing p = model_preprocessing_default(rows[i].family, rows[i].classes, NULL);
        assert_int_equal(p.resize, rows[i].resize);
        assert_int_equal(p.width, rows[i].width);
        assert_int_equal(p.height, rows[i].height);
        assert_int_equal(p.multiple, rows[i].multiple);
        assert_int_equal(p.window, rows[i].window);
        assert_int_equal(p.stride, rows[i].stride);
        assert_int_equal(p.resample, rows[i].resample);
        assert_int_equal(p.via_input, rows[i].via_input);
    }
}

static void the_window_is_taken_from_a_configuration_that_slides(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int32_t window, stride;
    } rows[] = {
        {"model = dict(test_cfg=dict(mode='slide', crop_size=(640, 640), stride=(426, 426)))", 640, 426},
        {"test_cfg = dict(type='TestLoop')\nmodel = dict(test_cfg=dict(crop_size=(\n  640,\n  640,\n), mode='slide', stride=(\n 426, "
         "426)))",
         640, 426},
        {"test_cfg=dict(mode='whole')\ncrop_size=(640, 640)\nstride=(1, 1)\nslide", 0, 0},
        {"test_cfg=dict(mode='slide', crop_size=(64, 64), stride=(65, 65))", 0, 0},
        {"test_cfg=dict(mode='slide', crop_size=(99999999999999999999, 1), stride=(1, 1))", 0, 0},
        {"test_cfg=dict(mode='slide', crop_size=", 0, 0},
        {"test_cfg", 0, 0},
        {"", 0, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const segrt_preprocessing p = model_preprocessing_default("mmseg", 7, rows[i].text);
        assert_int_equal(p.window, rows[i].window);
        assert_int_equal(p.stride, rows[i].stride);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_read_in_each_form),
        cmocka_unit_test(means_are_on_the_scale_of_pixels),
        cmocka_unit_test(each_family_has_its_published_test_configuration),
        cmocka_unit_test(the_window_is_taken_from_a_configuration_that_slides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
