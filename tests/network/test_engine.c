/* What segrt.h promises of engines built in memory. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/engine.h"
#include "model_support.h"

static segrt_status built(segrt_engine **engine, const segrt_build_options *options, segrt_error *error)
{
    segrt_model *model = random_model_open(&(random_model){.seed = 3});
    assert_non_null(model);
    const segrt_status status = segrt_engine_build(engine, model, options, error);
    random_model_close(model); /* an engine outlives its model */
    return status;
}

static void without_options_it_is_float32_and_takes_any_shape(void **state)
{
    (void)state;
    segrt_engine *engine;
    segrt_build_options profile = {.size = sizeof profile};
    segrt_model_info info = {.size = sizeof info};
    assert_int_equal(built(&engine, NULL, NULL), SEGRT_OK);
    segrt_engine_profile(engine, &profile);
    segrt_engine_describe(engine, &info);
    assert_int_equal(profile.precision, SEGRT_FLOAT32);
    assert_int_equal(profile.max.n, 0);
    assert_int_equal(info.classes, 7);
    assert_string_equal(info.family, "hf");
    assert_string_equal(segrt_engine_class_name(engine, 3), "class 3");
    assert_null(segrt_engine_class_name(engine, 7));
    assert_int_equal(engine_check_shape(engine, 100, 100, 100, NULL), SEGRT_OK);
    segrt_engine_close(engine);
}

static void one_shape_makes_a_static_engine(void **state)
{
    (void)state;
    segrt_engine *engine;
    segrt_error error = {0};
    assert_int_equal(built(&engine, &(segrt_build_options){.size = sizeof(segrt_build_options), .opt = {1, 64, 96}}, NULL), SEGRT_OK);
    assert_int_equal(engine_check_shape(engine, 1, 64, 96, NULL), SEGRT_OK);
    assert_int_equal(engine_check_shape(engine, 1, 64, 97, &error), SEGRT_SHAPE);
    assert_non_null(strstr(error.message, "columns from 96 to 96"));
    segrt_engine_close(engine);
}

static void a_profile_that_falls_or_is_too_small_is_refused(void **state)
{
    (void)state;
    segrt_engine *engine;
    segrt_build_options options = {.size = sizeof options, .min = {1, 64, 64}, .opt = {1, 32, 64}, .max = {2, 128, 128}};
    assert_int_equal(built(&engine, &options, NULL), SEGRT_ARGUMENT);
    assert_null(engine);
    options = (segrt_build_options){.size = sizeof options, .min = {1, 8, 64}, .opt = {1, 64, 64}, .max = {1, 64, 64}};
    assert_int_equal(built(&engine, &options, NULL), SEGRT_SHAPE);
    options = (segrt_build_options){.size = 0};
    assert_int_equal(built(&engine, &options, NULL), SEGRT_ARGUMENT);
}

static void stage_outputs_are_centred_whatever_the_precision(void **state)
{
    (void)state;
    segrt_engine *engine;
    double largest = 0;
    assert_int_equal(built(&engine, NULL, NULL), SEGRT_OK); /* a session may choose 16 bits later */
    for (int i = 0; i < STAGES; i++)
        for (size_t c = 0; c < (size_t)engine->net->stages[i].width; c++)
            largest = fmax(largest, fabs(weight_at(engine->net->stages[i].offset, c)));
    assert_true(largest > 0.1 && largest < 10); /* means of normalised channels */
    segrt_engine_close(engine);
}

static void a_backbone_builds_too(void **state)
{
    (void)state;
    segrt_engine *engine;
    segrt_model *model = random_model_open(&(random_model){.backbone = true});
    assert_int_equal(
        segrt_engine_build(&engine, model, &(segrt_build_options){.size = sizeof(segrt_build_options), .precision = SEGRT_FLOAT16}, NULL),
        SEGRT_OK);
    assert_int_equal(engine->info.classes, 0);
    segrt_engine_close(engine);
    random_model_close(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_options_it_is_float32_and_takes_any_shape),
        cmocka_unit_test(one_shape_makes_a_static_engine),
        cmocka_unit_test(a_profile_that_falls_or_is_too_small_is_refused),
        cmocka_unit_test(stage_outputs_are_centred_whatever_the_precision),
        cmocka_unit_test(a_backbone_builds_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
