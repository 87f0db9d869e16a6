/* npy_support: see npy_support.h. */
#include "npy_support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void read_exactly(FILE *file, void *to, size_t size, const char *name)
{
    if (fread(to, 1, size, file) != size)
        fail_msg("%s ends too early", name);
}

npy npy_read(const char *name)
{
    char path[1024];
    snprintf(path, sizeof path, *name == '/' ? "%.0s%s" : "%s/%s", TEST_DATA, name);
    FILE *file = fopen(path, "rb");
    if (!file)
        fail_msg("cannot open %s", path);
    unsigned char start[10];
    read_exactly(file, start, sizeof start, path);
    if (memcmp(start, "\x93NUMPY\x01", 7))
        fail_msg("%s is not a .npy file of format 1", path);
    const size_t length = start[8] | (size_t)start[9] << 8;
    char *header = calloc(1, length + 1);
    read_exactly(file, header, length, path);
    npy a = {.count = 1};
    const char *type = strstr(header, "'descr': '"), *shape = strstr(header, "'shape': (");
    if (!type || !shape || !strstr(header, "'fortran_order': False"))
        fail_msg("%s: unexpected header %s", path, header);
    memcpy(a.type, type + 10, 3);
    for (char *at = (char *)shape + 10; *at != ')';) {
        if (*at == ',' || *at == ' ') {
            at++;
            continue;
        }
        if (a.rank == NPY_RANK)
            fail_msg("%s: too many dimensions", path);
        a.shape[a.rank] = strtoul(at, &at, 10);
        a.count *= a.shape[a.rank++];
    }
    free(header);
    const size_t bytes = a.count * (size_t)(a.type[2] - '0');
    a.data = malloc(bytes ? bytes : 1);
    read_exactly(file, a.data, bytes, path);
    fclose(file);
    return a;
}

npy npy_read_as(const char *name, const char *type)
{
    npy a = npy_read(name);
    if (strcmp(a.type, type))
        fail_msg("%s holds %s, not %s", name, a.type, type);
    return a;
}

void npy_free(npy *array)
{
    free(array->data);
    *array = (npy){0};
}
