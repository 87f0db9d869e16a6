/* What segrt.h promises of int8: measured scales or a refusal that says what to do, the same labels whatever the threads, and what the
 * engine file keeps of it. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/inside.h"
#include "model_support.h"
#include "network/engine_file.h"

enum { SIDE = 96 };
static uint8_t pixels[SIDE * SIDE * 3];
static segrt_image picture;

static int draw(void **state)
{
    (void)state;
    uint64_t seed = 5;
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)(random_uniform(&seed) * 256);
    picture = segrt_image_packed(SEGRT_RGB8, pixels, SIDE, SIDE);
    return 0;
}

static segrt_engine *built(const segrt_image *pictures, size_t count, segrt_precision precision, segrt_status wanted, segrt_error *error)
{
    segrt_engine *engine;
    segrt_model *model = random_model_open(&(random_model){.seed = 3});
    assert_non_null(model);
    const segrt_build_options options = {.size = sizeof options, .precision = precision, .calibration = pictures, .calibration_count = count};
    assert_int_equal(segrt_engine_build(&engine, model, &options, error), wanted);
    random_model_close(model);
    return engine;
}

static float *logits_of(const segrt_engine *engine, segrt_precision precision, int threads, bool no_fuse, size_t *count)
{
    segrt_session *session;
    const segrt_session_options options = {.size = sizeof options, .device = "cpu", .precision = precision, .threads = threads};
    segrt_error error = {0};
    if (session_open_inside(&session, engine, &options, (session_inside){.no_fuse = no_fuse}, &error))
        fail_msg("%s", error.message);
    *count = (size_t)engine->net->classes * (SIDE / 4) * (SIDE / 4);
    float *input = calloc((size_t)3 * SIDE * SIDE, sizeof *input), *logits = calloc(*count, sizeof *logits);
    for (size_t i = 0; i < (size_t)3 * SIDE * SIDE; i++)
        input[i] = (float)pixels[i] / 64 - 2;
    assert_int_equal(segrt_session_forward(session, input, 1, SIDE, SIDE, logits, NULL), SEGRT_OK);
    free(input);
    segrt_session_close(session);
    return logits;
}

static double difference(const float *a, const float *b, size_t count)
{
    double above = 0, below = 0;
    for (size_t i = 0; i < count; i++) {
        above += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        below += (double)b[i] * (double)b[i];
    }
    return sqrt(above / below);
}

static size_t int8_operations(const segrt_engine *engine)
{
    size_t count = 0;
    for (size_t i = 0; i < engine->setting_count; i++)
        count += engine->settings[i].precision == SEGRT_INT8;
    return count;
}

static void without_pictures_the_build_says_what_to_do(void **state)
{
    (void)state;
    segrt_error error = {0};
    assert_null(built(NULL, 0, SEGRT_INT8, SEGRT_ARGUMENT, &error));
    assert_non_null(strstr(error.message, "--calibrate"));
}

static void an_engine_without_scales_does_not_run_int8(void **state)
{
    (void)state;
    segrt_error error = {0};
    segrt_session *session;
    segrt_engine *engine = built(NULL, 0, SEGRT_FLOAT32, SEGRT_OK, NULL);
    const segrt_session_options options = {.size = sizeof options, .device = "cpu", .precision = SEGRT_INT8};
    assert_int_equal(segrt_session_open(&session, engine, &options, &error), SEGRT_UNSUPPORTED);
    assert_null(session);
    assert_non_null(strstr(error.message, "--calibrate"));
    segrt_engine_close(engine);
}

static void a_calibrated_engine_is_near_float32_and_the_same_for_any_threads_and_steps(void **state)
{
    (void)state;
    size_t count;
    segrt_error error = {0};
    segrt_engine *engine = built(&picture, 1, SEGRT_INT8, SEGRT_OK, &error);
    assert_true(int8_operations(engine) > 0);
    float *exact = logits_of(engine, SEGRT_FLOAT32, 1, false, &count), *one = logits_of(engine, SEGRT_PRECISION_DEFAULT, 1, false, &count);
    float *three = logits_of(engine, SEGRT_INT8, 3, false, &count), *single = logits_of(engine, SEGRT_INT8, 2, true, &count);
    const double error_of_int8 = difference(one, exact, count);
    assert_true(error_of_int8 > 1e-5); /* integers were at work */
    assert_true(error_of_int8 < 0.15); /* three times the budget: another picture, one that is not like those that were measured */
    assert_memory_equal(one, three, count * sizeof *one);
    assert_true(difference(single, one, count) < 0.05);
    free(single);
    free(three);
    free(one);
    free(exact);
    segrt_engine_close(engine);
}

static void the_file_keeps_scales_and_refuses_bad_ones(void **state)
{
    (void)state;
    char path[] = "/tmp/segrt-int8-XXXXXX";
    const int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    segrt_error error = {0};
    segrt_engine *engine = built(&picture, 1, SEGRT_INT8, SEGRT_OK, NULL), *again;
    assert_int_equal(segrt_engine_save(engine, path, NULL), SEGRT_OK);
    assert_int_equal(segrt_engine_open(&again, path, NULL), SEGRT_OK);
    assert_int_equal(again->setting_count, engine->setting_count);
    for (size_t i = 0; i < engine->setting_count; i++) {
        assert_int_equal(again->settings[i].precision, engine->settings[i].precision);
        assert_true(again->settings[i].input_scale == engine->settings[i].input_scale);
    }
    segrt_engine_close(again);
    size_t some = 0;
    while (engine->settings[some].precision != SEGRT_INT8)
        some++;
    static const float bad[] = {0, -1, 1e-30f, 1e30f, INFINITY, NAN};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        engine->settings[some].input_scale = bad[i];
        error = (segrt_error){0};
        assert_int_equal(segrt_engine_save(engine, path, &error), SEGRT_MALFORMED); /* what reading checks as well */
    }
    segrt_engine_close(engine);
    unlink(path);
}

static void a_bad_picture_is_refused(void **state)
{
    (void)state;
    segrt_error error = {0};
    const segrt_image nothing = {.format = SEGRT_RGB8, .width = 0, .height = 0};
    assert_null(built(&nothing, 1, SEGRT_INT8, SEGRT_ARGUMENT, &error));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_pictures_the_build_says_what_to_do),
        cmocka_unit_test(an_engine_without_scales_does_not_run_int8),
        cmocka_unit_test(a_calibrated_engine_is_near_float32_and_the_same_for_any_threads_and_steps),
        cmocka_unit_test(the_file_keeps_scales_and_refuses_bad_ones),
        cmocka_unit_test(a_bad_picture_is_refused),
    };
    return cmocka_run_group_tests(tests, draw, NULL);
}
