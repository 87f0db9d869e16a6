/* npy: see npy.h. */
#include "npy.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST_HEADER = 65536, PIECE = 4096 };

static segrt_status wrong(segrt_error *error, segrt_status status, const char *format, ...) __attribute__((format(printf, 3, 4)));
static segrt_status wrong(segrt_error *error, segrt_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    *error = (segrt_error){.status = status, .offset = SEGRT_NO_OFFSET};
    vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    return status;
}

#define CONVERT(name, type)                                   \
    static void name(const void *from, size_t n, float *to)   \
    {                                                         \
        for (size_t i = 0; i < n; i++) {                      \
            type value;                                       \
            memcpy(&value, (const char *)from + i * sizeof value, sizeof value); \
            to[i] = (float)value;                             \
        }                                                     \
    }
CONVERT(from_f32, float)
CONVERT(from_f64, double)
CONVERT(from_i8, int8_t)
CONVERT(from_u8, uint8_t)
CONVERT(from_i16, int16_t)
CONVERT(from_u16, uint16_t)
CONVERT(from_i32, int32_t)
CONVERT(from_u32, uint32_t)
CONVERT(from_i64, int64_t)
CONVERT(from_u64, uint64_t)

static const struct type {
    const char *name;
    size_t bytes;
    bool whole;
    void (*convert)(const void *from, size_t n, float *to);
} types[] = {
    {"<f4", 4, false, from_f32}, {"<f8", 8, false, from_f64}, {"|i1", 1, true, from_i8},  {"|u1", 1, true, from_u8}, {"|b1", 1, true, from_u8},
    {"<i2", 2, true, from_i16},  {"<u2", 2, true, from_u16},  {"<i4", 4, true, from_i32}, {"<u4", 4, true, from_u32}, {"<i8", 8, true, from_i64},
    {"<u8", 8, true, from_u64},
};

/* What follows 'key': in the header's dictionary; NULL where it is absent. */
static const char *field(const char *header, const char *key)
{
    const char *at = strstr(header, key);
    at = at ? strchr(at, ':') : NULL;
    return at ? at + 1 + strspn(at + 1, " ") : NULL;
}

static segrt_status read_header(FILE *file, npy *out, const struct type **type, segrt_error *error)
{
    uint8_t begin[12];
    if (fread(begin, 1, 10, file) != 10 || memcmp(begin, "\x93NUMPY", 6) != 0)
        return wrong(error, SEGRT_MALFORMED, "is no .npy file: it does not begin with \\x93NUMPY");
    size_t length = begin[8] | (size_t)begin[9] << 8;
    if (begin[6] > 1) {
        if (fread(begin + 10, 1, 2, file) != 2)
            return wrong(error, SEGRT_MALFORMED, "ends within its header");
        length |= (size_t)begin[10] << 16 | (size_t)begin[11] << 24;
    }
    if (length > LONGEST_HEADER)
        return wrong(error, SEGRT_MALFORMED, "has a header of %zu bytes; at most %d are read", length, LONGEST_HEADER);
    char *header = calloc(length + 1, 1);
    if (!header)
        return wrong(error, SEGRT_NO_MEMORY, "out of memory for its header");
    segrt_status status = SEGRT_OK;
    const char *descr = NULL, *order = NULL, *shape = NULL;
    if (fread(header, 1, length, file) == length) {
        descr = field(header, "'descr'");
        order = field(header, "'fortran_order'");
        shape = field(header, "'shape'");
    }
    for (size_t i = 0; descr && i < sizeof types / sizeof *types; i++)
        if (*descr == '\'' && !strncmp(descr + 1, types[i].name, 3) && descr[4] == '\'')
            *type = &types[i];
    if (!descr || !order || !shape || *shape != '(')
        status = wrong(error, SEGRT_MALFORMED, "its header tells no type, order or shape");
    else if (!*type)
        status = wrong(error, SEGRT_UNSUPPORTED, "holds numbers of type %.8s; float32, float64 and integers are read", descr);
    else if (strncmp(order, "False", 5) != 0)
        status = wrong(error, SEGRT_UNSUPPORTED, "is in Fortran order; save it with numpy.ascontiguousarray");
    out->count = 1;
    for (const char *at = status ? "" : shape + 1; *at >= '0' && *at <= '9' && !status;) {
        char *end;
        const unsigned long long side = strtoull(at, &end, 10);
        if (out->rank == NPY_RANK || (side && out->count > SIZE_MAX / sizeof(float) / side))
            status = wrong(error, SEGRT_UNSUPPORTED, "has more than %d dimensions or too many numbers", NPY_RANK);
        else {
            out->shape[out->rank++] = (size_t)side;
            out->count *= (size_t)side;
        }
        at = end + strspn(end, ", ");
    }
    free(header);
    return status;
}

segrt_status npy_read(npy *out, const char *path, segrt_error *error)
{
    *out = (npy){0};
    const struct type *type = NULL;
    FILE *file = fopen(path, "rb");
    if (!file)
        return wrong(error, SEGRT_IO, "cannot open: %s", strerror(errno));
    segrt_status status = read_header(file, out, &type, error);
    const long begin = ftell(file);
    if (!status) { /* the size that is promised must be there before memory is taken for it */
        const bool sized = begin >= 0 && !fseek(file, 0, SEEK_END);
        const long end = sized ? ftell(file) : -1;
        if (end < begin || (size_t)(end - begin) / type->bytes < out->count || fseek(file, begin, SEEK_SET))
            status = wrong(error, SEGRT_MALFORMED, "ends early: its header promises %zu numbers", out->count);
    }
    if (!status) {
        out->whole = type->whole;
        out->values = malloc(out->count * sizeof(float) + 1);
        if (!out->values)
            status = wrong(error, SEGRT_NO_MEMORY, "out of memory for %zu numbers", out->count);
    }
    for (size_t at = 0; !status && at < out->count;) {
        char piece[PIECE * 8];
        const size_t n = out->count - at < PIECE ? out->count - at : PIECE;
        if (fread(piece, type->bytes, n, file) != n)
            status = wrong(error, SEGRT_IO, "cannot read: %s", strerror(errno));
        else
            type->convert(piece, n, out->values + at);
        at += n;
    }
    fclose(file);
    if (status)
        npy_free(out);
    return status;
}

void npy_free(npy *n)
{
    free(n->values);
    *n = (npy){0};
}
