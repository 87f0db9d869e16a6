/* FIPS 180-4's own examples. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/sha256.h"

static void the_standards_examples_come_out(void **state)
{
    (void)state;
    static const struct {
        const char *text, *hex;
    } rows[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        sha256 s;
        char hex[SHA256_HEX];
        sha256_start(&s);
        sha256_add(&s, rows[i].text, strlen(rows[i].text));
        sha256_finish_hex(&s, hex);
        assert_string_equal(hex, rows[i].hex);
    }
}

static void a_million_letters_in_uneven_pieces(void **state)
{
    (void)state;
    char letters[97];
    memset(letters, 'a', sizeof letters);
    sha256 s;
    char hex[SHA256_HEX];
    sha256_start(&s);
    for (size_t left = 1000000; left;) {
        const size_t piece = left < sizeof letters ? left : sizeof letters;
        sha256_add(&s, letters, piece);
        left -= piece;
    }
    sha256_finish_hex(&s, hex);
    assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_standards_examples_come_out),
        cmocka_unit_test(a_million_letters_in_uneven_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
