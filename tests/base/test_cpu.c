/* What cpu.h promises. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/cpu.h"

static void every_machine_has_the_portable_level(void **state)
{
    (void)state;
    assert_true(cpu_levels() & 1u << CPU_PORTABLE);
}

static void a_limit_keeps_that_level_and_those_below(void **state)
{
    (void)state;
    unsigned levels = (1u << CPU_NEON) - 1;
    assert_int_equal(cpu_limit(&levels, "avx512", NULL), SEGRT_OK);
    assert_int_equal(levels, 1u << CPU_PORTABLE | 1u << CPU_AVX2 | 1u << CPU_AVXVNNI | 1u << CPU_AVX512);
    assert_int_equal(cpu_highest(levels), CPU_AVX512);
    assert_int_equal(cpu_limit(&levels, "portable", NULL), SEGRT_OK);
    assert_int_equal(levels, 1u << CPU_PORTABLE);
}

static void a_limit_never_adds_a_level(void **state)
{
    (void)state;
    unsigned levels = 1u << CPU_PORTABLE;
    assert_int_equal(cpu_limit(&levels, "amx", NULL), SEGRT_OK);
    assert_int_equal(levels, 1u << CPU_PORTABLE);
}

static void no_limit_leaves_all(void **state)
{
    (void)state;
    unsigned levels = 7;
    assert_int_equal(cpu_limit(&levels, NULL, NULL), SEGRT_OK);
    assert_int_equal(cpu_limit(&levels, "", NULL), SEGRT_OK);
    assert_int_equal(levels, 7);
}

static void an_unknown_limit_is_refused_with_the_names(void **state)
{
    (void)state;
    unsigned levels = 7;
    segrt_error error = {0};
    assert_int_equal(cpu_limit(&levels, "sse9", &error), SEGRT_ARGUMENT);
    assert_non_null(strstr(error.message, "sse9"));
    assert_non_null(strstr(error.message, "avx2"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_machine_has_the_portable_level),  cmocka_unit_test(a_limit_keeps_that_level_and_those_below),
        cmocka_unit_test(a_limit_never_adds_a_level),            cmocka_unit_test(no_limit_leaves_all),
        cmocka_unit_test(an_unknown_limit_is_refused_with_the_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
