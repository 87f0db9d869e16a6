/* What bytes.h promises, one promise a test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/error.h"

static void integers_are_little_endian(void **state)
{
    (void)state;
    const uint8_t data[] = {1, 2, 3, 4, 5, 6, 7, 8};
    bytes b = bytes_of(data, sizeof data);
    assert_int_equal(bytes_u16(&b), 0x0201);
    assert_int_equal(bytes_u32(&b), 0x06050403);
    assert_int_equal(bytes_left(&b), 2);
}

static void a_short_read_reads_nothing_and_breaks_the_cursor(void **state)
{
    (void)state;
    const uint8_t data[] = {9, 9, 9};
    bytes b = bytes_of(data, sizeof data);
    assert_int_equal(bytes_u32(&b), 0);
    assert_false(bytes_ok(&b));
    assert_null(bytes_take(&b, 1)); /* stays broken, though three bytes are there */
}

static void a_count_near_the_largest_does_not_wrap(void **state)
{
    (void)state;
    const uint8_t data[4] = {0};
    bytes b = bytes_of(data, sizeof data);
    bytes_take(&b, 2);
    assert_null(bytes_take(&b, SIZE_MAX - 1));
}

static void varints_of_every_length_are_read_and_overlong_ones_refused(void **state)
{
    (void)state;
    static const struct { uint8_t data[11]; size_t size; uint64_t value; bool ok; } rows[] = {
        {{0x00}, 1, 0, true},
        {{0xac, 0x02}, 2, 300, true},
        {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, 10, UINT64_MAX, true},
        {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02}, 10, 0, false}, /* 65 bits */
        {{0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01}, 11, 0, false},
        {{0x80}, 1, 0, false}, /* ends in the middle */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bytes b = bytes_of(rows[i].data, rows[i].size);
        assert_int_equal(bytes_varint(&b), rows[i].value);
        assert_int_equal(bytes_ok(&b), rows[i].ok);
    }
}

static void the_first_cause_of_a_failure_is_kept(void **state)
{
    (void)state;
    segrt_error error = {0};
    fail_at(&error, SEGRT_MALFORMED, 12, "tensor '%s' ends past the file", "patch_embed1.proj.weight");
    assert_int_equal(fail_with(&error, SEGRT_IO, "cannot load model"), SEGRT_IO);
    assert_int_equal(error.offset, 12);
    assert_string_equal(error.message, "tensor 'patch_embed1.proj.weight' ends past the file");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_are_little_endian),
        cmocka_unit_test(a_short_read_reads_nothing_and_breaks_the_cursor),
        cmocka_unit_test(a_count_near_the_largest_does_not_wrap),
        cmocka_unit_test(varints_of_every_length_are_read_and_overlong_ones_refused),
        cmocka_unit_test(the_first_cause_of_a_failure_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
