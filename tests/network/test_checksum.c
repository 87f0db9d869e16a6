/* The engine file's checksum is the one of docs/engine-file.md, on every machine and for ever. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "network/checksum.h"

static uint64_t sum_of(const uint8_t *data, size_t blocks, size_t piece)
{
    checksum c = checksum_start();
    for (size_t at = 0; at < blocks; at += piece)
        checksum_add(&c, data + at * CHECKSUM_BLOCK, blocks - at < piece ? blocks - at : piece);
    return checksum_end(&c);
}

/* Values from a program in Python written after the specification alone. */
static void known_contents_have_known_sums_however_they_are_cut(void **state)
{
    (void)state;
    uint8_t data[10 * CHECKSUM_BLOCK] = {0};
    assert_true(sum_of(data, 0, 1) == 0xb07b92beb8c1d91cu);
    assert_true(sum_of(data, 1, 1) == 0x17c8ead54c78a4c4u);
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i % 251);
    for (size_t piece = 1; piece <= 10; piece++)
        assert_true(sum_of(data, 10, piece) == 0x1f7edde5053f5f1eu);
}

static void swapped_words_and_blocks_show(void **state)
{
    (void)state;
    uint8_t data[2 * CHECKSUM_BLOCK] = {0};
    data[0] = 1;
    const uint64_t first = sum_of(data, 2, 2);
    data[0] = 0;
    data[8] = 1; /* the same word in the next lane */
    assert_true(sum_of(data, 2, 2) != first);
    data[8] = 0;
    data[CHECKSUM_BLOCK] = 1; /* and in the next block */
    assert_true(sum_of(data, 2, 2) != first);
}

static void two_flips_of_the_highest_bit_in_one_lane_do_not_cancel(void **state)
{
    (void)state;
    uint8_t data[3 * CHECKSUM_BLOCK] = {0};
    const uint64_t before = sum_of(data, 3, 3);
    data[7] ^= 0x80;
    data[CHECKSUM_BLOCK + 7] ^= 0x80;
    assert_true(sum_of(data, 3, 3) != before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_contents_have_known_sums_however_they_are_cut),
        cmocka_unit_test(swapped_words_and_blocks_show),
        cmocka_unit_test(two_flips_of_the_highest_bit_in_one_lane_do_not_cancel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
