/* Tensors as float32: every type, every stride. */
#include <setjmp.h>
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "formats/checkpoint.h"

/* By the definition of the format, not by its bits. */
static double half_value(uint16_t half)
{
    const int exponent = half >> 10 & 31, fraction = half & 1023;
    const double magnitude = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
    return half & 0x8000 ? -magnitude : magnitude;
}

static void every_half_becomes_its_float(void **state)
{
    (void)state;
    static uint16_t halves[65536];
    for (size_t i = 0; i < 65536; i++)
        halves[i] = (uint16_t)i;
    const tensor t = {.type = TENSOR_F16, .rank = 1, .shape = {65536}, .stride = {1}, .data = (const uint8_t *)halves};
    arena memory = {0};
    const float *floats = tensor_floats(&t, &memory);
    for (size_t i = 0; i < 65536; i++)
        if ((i & 0x7c00) == 0x7c00)
            assert_true(i & 1023 ? isnan(floats[i]) : isinf(floats[i]) && !signbit(floats[i]) == !(i & 0x8000));
        else
            assert_true((double)floats[i] == half_value((uint16_t)i) && !signbit(floats[i]) == !(i & 0x8000));
    arena_free(&memory);
}

static void each_type_is_read_at_any_address(void **state)
{
    (void)state;
    static const struct {
        tensor_type type;
        uint8_t data[17]; /* of -1.5 and 2, behind one byte */
    } rows[] = {
        {TENSOR_F32, {0, 0, 0, 0xc0, 0xbf, 0, 0, 0, 0x40}},
        {TENSOR_F16, {0, 0x00, 0xbe, 0x00, 0x40}},
        {TENSOR_BF16, {0, 0xc0, 0xbf, 0x00, 0x40}},
        {TENSOR_F64, {0, 0, 0, 0, 0, 0, 0, 0xf8, 0xbf, 0, 0, 0, 0, 0, 0, 0, 0x40}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const tensor t = {.type = rows[i].type, .rank = 1, .shape = {2}, .stride = {1}, .data = rows[i].data + 1};
        arena memory = {0};
        const float *floats = tensor_floats(&t, &memory);
        assert_true(floats[0] == -1.5f && floats[1] == 2);
        arena_free(&memory);
    }
}

static void strides_are_followed(void **state)
{
    (void)state;
    static const float data[] = {0, 1, 2, 3, 4, 5, 6, 7};
    static const struct {
        tensor t;
        float expected[8];
    } rows[] = {
        {{.rank = 2, .shape = {2, 3}, .stride = {1, 2}}, {0, 2, 4, 1, 3, 5}}, /* transposed */
        {{.rank = 2, .shape = {2, 3}, .stride = {4, 1}}, {0, 1, 2, 4, 5, 6}}, /* rows of a wider one */
        {{.rank = 2, .shape = {2, 2}, .stride = {0, 1}}, {0, 1, 0, 1}},       /* expanded */
        {{.rank = 3, .shape = {2, 2, 2}, .stride = {1, 4, 2}}, {0, 2, 4, 6, 1, 3, 5, 7}},
        {{.rank = 3, .shape = {2, 1, 2}, .stride = {2, 99, 1}}, {0, 1, 2, 3}}, /* dense: the 99 says nothing */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        tensor t = rows[i].t;
        t.type = TENSOR_F32;
        t.data = (const uint8_t *)data;
        arena memory = {0};
        assert_memory_equal(tensor_floats(&t, &memory), rows[i].expected, (size_t)tensor_elements(&t) * sizeof(float));
        arena_free(&memory);
    }
}

static void dense_floats_are_not_copied(void **state)
{
    (void)state;
    static const float data[6];
    tensor t = {.type = TENSOR_F32, .rank = 2, .shape = {2, 3}, .data = (const uint8_t *)data};
    tensor_set_dense(&t);
    arena memory = {0};
    assert_true(tensor_is_mapped(&t));
    assert_ptr_equal(tensor_floats(&t, &memory), data);
    assert_null(memory.last);
}

static void counts_that_overflow_are_not_counts(void **state)
{
    (void)state;
    const tensor huge = {.rank = 3, .shape = {INT64_C(1) << 31, INT64_C(1) << 31, 4}},
                 none = {.rank = 3, .shape = {INT64_MAX, INT64_MAX, 0}}, scalar = {.rank = 0};
    assert_int_equal(tensor_elements(&huge), -1);
    assert_int_equal(tensor_elements(&none), 0);
    assert_int_equal(tensor_elements(&scalar), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_half_becomes_its_float),
        cmocka_unit_test(each_type_is_read_at_any_address),
        cmocka_unit_test(strides_are_followed),
        cmocka_unit_test(dense_floats_are_not_copied),
        cmocka_unit_test(counts_that_overflow_are_not_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
