/* npy_support: see npy_support.h. */
#include "npy_support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

uint8_t *npy_rgb(const char *name, int w, int h)
{
    char path[512], header[256], shape[64];
    snprintf(path, sizeof path, "%s/preprocess/%s.npy", TEST_DATA, name);
    snprintf(shape, sizeof shape, "'shape': (%d, %d, 3)", h, w);
    FILE *file = fopen(path, "rb");
    if (!file)
        fail_msg("cannot open %s", path);
    unsigned char start[10];
    assert_int_equal(fread(start, 1, sizeof start, file), sizeof start);
    assert_memory_equal(start, "\x93NUMPY\1", 7);
    const size_t length = start[8] | (size_t)start[9] << 8, bytes = 3 * (size_t)w * (size_t)h;
    assert_true(length < sizeof header);
    assert_int_equal(fread(header, 1, length, file), length);
    header[length] = 0;
    assert_non_null(strstr(header, "'descr': '|u1'"));
    assert_non_null(strstr(header, shape));
    uint8_t *data = malloc(bytes);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, bytes, file), bytes);
    fclose(file);
    return data;
}
