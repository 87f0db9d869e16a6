/* What palette.h promises. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "image/palette.h"

static void lists_are_found_by_name_and_are_whole(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int count;
        const char *first, *last;
        uint8_t rgb[3]; /* of the last */
    } rows[] = {
        {"ade20k", 150, "wall", "flag", {92, 0, 255}},
        {"cityscapes", 19, "road", "bicycle", {119, 11, 32}},
        {"camvid", 11, "sky", "bicyclist", {119, 11, 32}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const palette_list *list = palette_named(rows[i].name);
        assert_non_null(list);
        assert_int_equal(list->count, rows[i].count);
        assert_string_equal(list->class_names[0], rows[i].first);
        assert_string_equal(list->class_names[list->count - 1], rows[i].last);
        assert_memory_equal(list->rgb[list->count - 1], rows[i].rgb, 3);
        for (int c = 0; c < list->count; c++)
            assert_true(list->class_names[c] && *list->class_names[c]);
    }
    assert_null(palette_named("imagenet"));
}

static void names_are_known_whatever_their_case_and_punctuation(void **state)
{
    (void)state;
    const palette_list *list = palette_named("cityscapes");
    const char *names[19];
    memcpy(names, list->class_names, sizeof names);
    names[0] = " Road";
    names[6] = "traffic_light";
    assert_ptr_equal(palette_find(names, 19), list);
    assert_null(palette_find(names, 18));
    names[3] = "walls";
    assert_null(palette_find(names, 19));
    names[3] = NULL;
    assert_null(palette_find(names, 19));
}

static void other_indices_get_pascals_colours(void **state)
{
    (void)state;
    static const struct {
        int index;
        uint8_t rgb[3];
    } rows[] = {{0, {0, 0, 0}}, {1, {128, 0, 0}}, {2, {0, 128, 0}}, {3, {128, 128, 0}}, {15, {192, 128, 128}}, {20, {0, 64, 128}}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t rgb[3];
        palette_color(rows[i].index, rgb);
        assert_memory_equal(rgb, rows[i].rgb, 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_are_found_by_name_and_are_whole),
        cmocka_unit_test(names_are_known_whatever_their_case_and_punctuation),
        cmocka_unit_test(other_indices_get_pascals_colours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
