/* What compare.h promises. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "metrics/compare.h"
#include "model_support.h"

static compare_result compared(const float *a, const float *b, size_t count, size_t piece)
{
    compare *c;
    assert_int_equal(compare_open(&c, NULL), SEGRT_OK);
    for (size_t at = 0; at < count; at += piece)
        compare_add(c, a + at, b + at, count - at < piece ? count - at : piece);
    const compare_result result = compare_read(c);
    compare_close(c);
    return result;
}

static void equal_arrays_are_zero_apart(void **state)
{
    (void)state;
    const float a[] = {1, -2, 3.5f, 0};
    const compare_result r = compared(a, a, 4, 4);
    assert_int_equal(r.count, 4);
    assert_true(r.max == 0 && r.mean == 0 && r.median == 0 && r.p99 == 0 && r.relative == 0);
}

static void differences_of_class_indices_are_exact(void **state)
{
    (void)state;
    const float a[] = {0, 0, 17, 3, 5}, b[] = {0, 0, 0, 1, 5};
    const compare_result r = compared(a, b, 5, 2);
    assert_true(r.max == 17 && r.median == 0 && r.p99 == 17);
    assert_true(fabs(r.mean - 19.0 / 5) < 1e-12);
    assert_true(fabs(r.relative - sqrt(293.0 / 26)) < 1e-12);
}

static int ascending(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void quantiles_are_within_a_thousandth(void **state)
{
    (void)state;
    enum { COUNT = 100003 };
    static float a[COUNT], b[COUNT], sorted[COUNT];
    uint64_t seed = 1;
    random_fill(&seed, a, COUNT);
    random_fill(&seed, b, COUNT);
    for (size_t i = 0; i < COUNT; i++)
        sorted[i] = (float)fabs((double)a[i] - (double)b[i]);
    qsort(sorted, COUNT, sizeof *sorted, ascending);
    const compare_result r = compared(a, b, COUNT, 1000);
    const double median = (double)sorted[COUNT / 2], p99 = (double)sorted[(size_t)ceil(0.99 * COUNT) - 1];
    assert_true(r.median <= median && r.median >= median * 0.999);
    assert_true(r.p99 <= p99 && r.p99 >= p99 * 0.999);
    assert_true(fabs(r.max - (double)sorted[COUNT - 1]) < 1e-6);
}

static void numbers_that_are_not_finite_are_counted_unless_equal(void **state)
{
    (void)state;
    const float a[] = {NAN, INFINITY, 1, INFINITY, NAN}, b[] = {0, INFINITY, 2, -INFINITY, NAN};
    const compare_result r = compared(a, b, 5, 5);
    assert_int_equal(r.not_finite, 2);
    assert_true(r.max == 1);
}

static void a_zero_array_has_no_relative_error(void **state)
{
    (void)state;
    const float a[] = {1}, b[] = {0};
    assert_true(isinf(compared(a, b, 1, 1).relative));
    assert_true(compared(b, b, 1, 1).relative == 0);
    assert_int_equal(compared(a, b, 0, 1).count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_arrays_are_zero_apart),        cmocka_unit_test(differences_of_class_indices_are_exact),
        cmocka_unit_test(quantiles_are_within_a_thousandth),  cmocka_unit_test(numbers_that_are_not_finite_are_counted_unless_equal),
        cmocka_unit_test(a_zero_array_has_no_relative_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
