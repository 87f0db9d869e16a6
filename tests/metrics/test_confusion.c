/* What confusion.h promises. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "metrics/confusion.h"

static bool near(double a, double b)
{
    return fabs(a - b) < 1e-12;
}

static confusion counted(const uint8_t *truth, const uint8_t *prediction, size_t pixels, int classes, int ignore, bool reduce)
{
    confusion c;
    assert_int_equal(confusion_open(&c, classes, NULL), SEGRT_OK);
    confusion_add(&c, (label_map){truth, 1}, (label_map){prediction, 1}, pixels, ignore, reduce);
    return c;
}

static void scores_follow_the_definitions(void **state)
{
    (void)state;
    const uint8_t truth[] = {0, 0, 0, 1, 1, 2}, prediction[] = {0, 0, 1, 1, 0, 2};
    confusion c = counted(truth, prediction, 6, 3, CONFUSION_IGNORE_NONE, false);
    assert_true(near(confusion_iou(&c, 0), 2.0 / 4));
    assert_true(near(confusion_iou(&c, 1), 1.0 / 3));
    assert_true(near(confusion_iou(&c, 2), 1));
    assert_true(near(confusion_accuracy(&c, 0), 2.0 / 3));
    const confusion_scores s = confusion_read(&c);
    assert_true(near(s.miou, (0.5 + 1.0 / 3 + 1) / 3));
    assert_true(near(s.macc, (2.0 / 3 + 0.5 + 1) / 3));
    assert_true(near(s.aacc, 4.0 / 6));
    confusion_close(&c);
}

static void ignored_pixels_count_nowhere(void **state)
{
    (void)state;
    const uint8_t truth[] = {255, 0, 255}, prediction[] = {1, 0, 0};
    confusion c = counted(truth, prediction, 3, 2, 255, false);
    const confusion_scores s = confusion_read(&c);
    assert_int_equal(c.ignored, 2);
    assert_int_equal(s.pixels, 1);
    assert_true(near(s.miou, 1) && isnan(confusion_iou(&c, 1))); /* class 1 was predicted on an ignored pixel only */
    confusion_close(&c);
}

static void reduced_labels_count_from_one(void **state)
{
    (void)state;
    const uint8_t truth[] = {0, 1, 2, 255}, prediction[] = {0, 0, 1, 1};
    confusion c = counted(truth, prediction, 4, 2, 255, true);
    assert_int_equal(c.ignored, 2);
    assert_true(near(confusion_read(&c).aacc, 1));
    confusion_close(&c);
}

static void a_class_that_is_only_predicted_scores_zero_and_an_absent_one_nothing(void **state)
{
    (void)state;
    const uint8_t truth[] = {0, 0}, prediction[] = {0, 1};
    confusion c = counted(truth, prediction, 2, 3, CONFUSION_IGNORE_NONE, false);
    assert_true(confusion_iou(&c, 1) == 0 && isnan(confusion_accuracy(&c, 1)) && isnan(confusion_iou(&c, 2)));
    assert_true(near(confusion_read(&c).miou, 0.25)); /* of 1/2 and 0 */
    confusion_close(&c);
}

static void labels_outside_the_classes_are_told_apart(void **state)
{
    (void)state;
    const uint8_t truth[] = {9, 0}, prediction[] = {0, 200};
    confusion c = counted(truth, prediction, 2, 2, 255, false);
    assert_int_equal(c.unknown, 1);
    assert_true(confusion_accuracy(&c, 0) == 0);
    confusion_close(&c);
}

static void two_byte_labels_and_merged_matrices_count_the_same(void **state)
{
    (void)state;
    const uint16_t truth[] = {300, 1}, prediction[] = {300, 300};
    confusion a, b;
    assert_int_equal(confusion_open(&a, 400, NULL), SEGRT_OK);
    assert_int_equal(confusion_open(&b, 400, NULL), SEGRT_OK);
    confusion_add(&a, (label_map){truth, 2}, (label_map){prediction, 2}, 1, 65535, false);
    confusion_add(&b, (label_map){truth + 1, 2}, (label_map){prediction + 1, 2}, 1, 65535, false);
    confusion_merge(&a, &b);
    assert_true(near(confusion_iou(&a, 300), 0.5));
    confusion_close(&a);
    confusion_close(&b);
}

static void nothing_counted_scores_not_a_number(void **state)
{
    (void)state;
    confusion c;
    assert_int_equal(confusion_open(&c, 2, NULL), SEGRT_OK);
    assert_true(isnan(confusion_read(&c).miou) && isnan(confusion_read(&c).aacc));
    confusion_close(&c);
    assert_int_equal(confusion_open(&c, 0, NULL), SEGRT_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_follow_the_definitions),
        cmocka_unit_test(ignored_pixels_count_nowhere),
        cmocka_unit_test(reduced_labels_count_from_one),
        cmocka_unit_test(a_class_that_is_only_predicted_scores_zero_and_an_absent_one_nothing),
        cmocka_unit_test(labels_outside_the_classes_are_told_apart),
        cmocka_unit_test(two_byte_labels_and_merged_matrices_count_the_same),
        cmocka_unit_test(nothing_counted_scores_not_a_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
