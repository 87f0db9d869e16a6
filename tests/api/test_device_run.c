/* segrt_session_run_device where there is no GPU: what it refuses, and in which words.  With one: bench/cuda/device_check.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "model_support.h"
#include "segrt/segrt.h"

static const uint8_t pixels[64 * 64 * 3];
static uint8_t labels[64 * 64];

typedef struct fixture {
    segrt_model *model;
    segrt_engine *engine;
    segrt_session *session;
} fixture;

static int open_all(void **state)
{
    static fixture f;
    const segrt_session_options options = {.size = sizeof options, .device = "cpu", .threads = 1};
    f.model = random_model_open(&(random_model){.seed = 3});
    *state = &f;
    return !f.model ||
           segrt_engine_build(&f.engine, f.model, &(segrt_build_options){.size = sizeof(segrt_build_options), .max = {1, 64, 64}}, NULL) ||
           segrt_session_open(&f.session, f.engine, &options, NULL);
}

static int close_all(void **state)
{
    fixture *f = *state;
    segrt_session_close(f->session);
    segrt_engine_close(f->engine);
    random_model_close(f->model);
    return 0;
}

static segrt_device_run usual(void)
{
    return (segrt_device_run){.size = sizeof(segrt_device_run), .width = 64, .height = 64, .pixels = pixels, .labels = labels};
}

static void a_session_on_a_processor_says_what_it_runs_on(void **state)
{
    const fixture *f = *state;
    segrt_error error = {0};
    const segrt_device_run run = usual();
    assert_int_equal(segrt_session_run_device(f->session, &run, &error), SEGRT_UNSUPPORTED);
    assert_non_null(strstr(error.message, "cuda"));
    assert_non_null(strstr(error.message, segrt_session_device(f->session)));
}

static void what_makes_no_sense_is_refused_first(void **state)
{
    const fixture *f = *state;
    segrt_device_run runs[11];
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++)
        runs[i] = usual();
    runs[0].size = 0;
    runs[1].pixels = NULL;
    runs[2].labels = NULL;
    runs[3].n = -1;
    runs[4].width = 0;
    runs[5].label_bytes = 4;
    runs[6].stride = 64 * 3 - 1;
    runs[7].stride = PTRDIFF_MAX;
    runs[8].label_stride = -64;
    runs[9].picture_stride = 64 * 64 * 3 - 1;
    runs[10].label_picture_stride = PTRDIFF_MAX;
    assert_int_equal(segrt_session_run_device(f->session, NULL, NULL), SEGRT_ARGUMENT);
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        segrt_error error = {0};
        assert_int_equal(segrt_session_run_device(f->session, &runs[i], &error), SEGRT_ARGUMENT);
        assert_true(error.message[0]);
    }
}

static void a_picture_outside_the_profile_is_a_shape_error(void **state)
{
    const fixture *f = *state;
    segrt_device_run run = usual();
    run.height = 63;
    assert_int_equal(segrt_session_run_device(f->session, &run, NULL), SEGRT_SHAPE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session_on_a_processor_says_what_it_runs_on),
        cmocka_unit_test(what_makes_no_sense_is_refused_first),
        cmocka_unit_test(a_picture_outside_the_profile_is_a_shape_error),
    };
    return cmocka_run_group_tests_name("device run", tests, open_all, close_all);
}
