/* decode: see codecs.h and decode.h. */
#include "codecs/decode.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LARGEST_SIDE = 65535 };

segrt_status codec_fail(segrt_error *error, segrt_status status, uint64_t offset, const char *format, ...)
{
    if (error && error->status == SEGRT_OK) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(error->message, sizeof error->message, format, arguments);
        va_end(arguments);
        error->status = status;
        error->offset = offset;
    }
    return status;
}

segrt_status codec_fail_in(segrt_error *error, segrt_status status, const char *path)
{
    if (!error || error->status == SEGRT_OK || error->file[0])
        return status;
    const size_t length = strlen(path), room = sizeof error->file - 1;
    if (length <= room)
        memcpy(error->file, path, length + 1);
    else
        snprintf(error->file, sizeof error->file, "...%s", path + length - (room - 3));
    return status;
}

static segrt_status check_size(const decode_input *in, uint64_t width, uint64_t height, unsigned bytes, unsigned most_ratio,
                               segrt_error *error)
{
    if (width < 1 || height < 1)
        return codec_fail(error, SEGRT_MALFORMED, SEGRT_NO_OFFSET, "a picture of %llux%llu pixels", (unsigned long long)width,
                          (unsigned long long)height);
    if (width > LARGEST_SIDE || height > LARGEST_SIDE)
        return codec_fail(error, SEGRT_UNSUPPORTED, SEGRT_NO_OFFSET, "a picture of %llux%llu pixels: sides go up to %d",
                          (unsigned long long)width, (unsigned long long)height, LARGEST_SIDE);
    if (width * height * bytes > in->most_bytes)
        return codec_fail(error, SEGRT_UNSUPPORTED, SEGRT_NO_OFFSET,
                          "a picture of %llux%llu pixels would take %llu MB to decode, the limit is %llu MB", (unsigned long long)width,
                          (unsigned long long)height, (unsigned long long)(width * height * bytes >> 20),
                          (unsigned long long)(in->most_bytes >> 20));
    if (width * height / most_ratio > in->size)
        return codec_fail(error, SEGRT_MALFORMED, in->size, "ends early: %zu bytes cannot hold the %llux%llu pixels that it promises",
                          in->size, (unsigned long long)width, (unsigned long long)height);
    return SEGRT_OK;
}

segrt_status decode_open(codec_picture *out, const decode_input *in, uint64_t width, uint64_t height, unsigned own_bytes,
                         unsigned most_ratio, segrt_error *error)
{
    const segrt_status status = check_size(in, width, height, 3 + own_bytes, most_ratio, error);
    if (status)
        return status;
    *out = (codec_picture){.width = (int)width, .height = (int)height, .rgb = malloc((size_t)(width * height * 3))};
    return out->rgb ? SEGRT_OK
                    : codec_fail(error, SEGRT_NO_MEMORY, SEGRT_NO_OFFSET, "out of memory: a picture of %dx%d", out->width, out->height);
}

segrt_status decode_open_labels(codec_labels *out, const decode_input *in, uint64_t width, uint64_t height, unsigned most_ratio,
                                segrt_error *error)
{
    const segrt_status status = check_size(in, width, height, 4, most_ratio, error);
    if (status)
        return status;
    *out = (codec_labels){.width = (int)width, .height = (int)height, .labels = malloc((size_t)(width * height * 2))};
    return out->labels ? SEGRT_OK
                       : codec_fail(error, SEGRT_NO_MEMORY, SEGRT_NO_OFFSET, "out of memory: labels of %dx%d", out->width, out->height);
}

segrt_status decode_orient(codec_picture *picture, int orientation, uint64_t most_bytes, segrt_error *error)
{
    if (orientation < 2 || orientation > 8)
        return SEGRT_OK;
    const size_t w = (size_t)picture->width, h = (size_t)picture->height;
    if (6 * (uint64_t)w * h > most_bytes)
        return codec_fail(error, SEGRT_UNSUPPORTED, SEGRT_NO_OFFSET,
                          "turning a picture of %zux%zu pixels takes %llu MB, the limit is %llu MB", w, h,
                          (unsigned long long)(6 * (uint64_t)w * h >> 20), (unsigned long long)(most_bytes >> 20));
    uint8_t *turned = malloc(3 * w * h);
    if (!turned)
        return codec_fail(error, SEGRT_NO_MEMORY, SEGRT_NO_OFFSET, "out of memory: a picture of %zux%zu", w, h);
    /* Where stored pixel (0, 0) goes, and how far the next column and row are from it. */
    const bool swapped = orientation >= 5, from_right = orientation == 2 || orientation == 3 || orientation == 6 || orientation == 7,
               from_bottom = orientation == 3 || orientation == 4 || orientation == 7 || orientation == 8;
    const size_t new_w = swapped ? h : w, new_h = swapped ? w : h;
    const ptrdiff_t right = from_right ? -1 : 1, below = from_bottom ? -(ptrdiff_t)new_w : (ptrdiff_t)new_w;
    const ptrdiff_t start = (from_right ? (ptrdiff_t)new_w - 1 : 0) + (from_bottom ? (ptrdiff_t)((new_h - 1) * new_w) : 0);
    const ptrdiff_t column_step = swapped ? below : right, row_step = swapped ? right : below;
    const uint8_t *from = picture->rgb;
    for (size_t y = 0; y < h; y++) {
        uint8_t *to = turned + 3 * (start + (ptrdiff_t)y * row_step);
        for (size_t x = 0; x < w; x++, from += 3, to += 3 * column_step)
            memcpy(to, from, 3);
    }
    free(picture->rgb);
    *picture = (codec_picture){.width = (int)new_w, .height = (int)new_h, .rgb = turned};
    return SEGRT_OK;
}

typedef segrt_status decode_fn(codec_picture *out, const decode_input *in, segrt_error *error);
typedef segrt_status decode_labels_fn(codec_labels *out, const decode_input *in, segrt_error *error);

/* What a file's first bytes say.  Without a decoder: known, but not read. */
static const struct kind {
    const char *name;
    const char *bytes;
    size_t at, size;
    decode_fn *decode;
    decode_labels_fn *labels;
} kinds[] = {
    {"JPEG", "\xff\xd8\xff", 0, 3, decode_jpeg, NULL},
    {"PNG", "\x89PNG\r\n\x1a\n", 0, 8, decode_png, decode_png_labels},
    {"WebP", "WEBP", 8, 4, decode_webp, NULL},
    {"PNM", "P4", 0, 2, decode_pnm, decode_pnm_labels},
    {"PNM", "P5", 0, 2, decode_pnm, decode_pnm_labels},
    {"PNM", "P6", 0, 2, decode_pnm, NULL},
    {"a PNM in its text form", "P1", 0, 2, NULL, NULL},
    {"a PNM in its text form", "P2", 0, 2, NULL, NULL},
    {"a PNM in its text form", "P3", 0, 2, NULL, NULL},
    {"a PAM", "P7", 0, 2, NULL, NULL},
    {"a GIF", "GIF8", 0, 4, NULL, NULL},
    {"a TIFF", "II*\0", 0, 4, NULL, NULL},
    {"a TIFF", "MM\0*", 0, 4, NULL, NULL},
    {"a BMP", "BM", 0, 2, NULL, NULL},
    {"an AVIF", "ftypavif", 4, 8, NULL, NULL},
    {"a HEIF", "ftyp", 4, 4, NULL, NULL},
    {"a JPEG 2000", "\0\0\0\x0cjP", 0, 6, NULL, NULL},
    {"a JPEG XL", "\xff\x0a", 0, 2, NULL, NULL},
    {"a JPEG XL", "\0\0\0\x0cJXL", 0, 7, NULL, NULL},
    {"a PDF", "%PDF", 0, 4, NULL, NULL},
};

static const struct kind *kind_of(const void *data, size_t size)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (size >= kinds[i].at + kinds[i].size && !memcmp((const char *)data + kinds[i].at, kinds[i].bytes, kinds[i].size))
            return &kinds[i];
    return NULL;
}

const char *codec_kind(const void *data, size_t size)
{
    const struct kind *kind = kind_of(data, size);
    return kind && kind->decode ? kind->name : NULL;
}

static segrt_status unknown(const struct kind *kind, size_t size, segrt_error *error)
{
    if (size == 0)
        return codec_fail(error, SEGRT_MALFORMED, 0, "is empty");
    if (kind)
        return codec_fail(error, SEGRT_UNSUPPORTED, 0, "is %s: only JPEG, PNG, WebP and binary PNM are read", kind->name);
    return codec_fail(error, SEGRT_UNSUPPORTED, 0, "is no picture: it begins like neither JPEG nor PNG, WebP or PNM");
}

segrt_status codec_decode(codec_picture *out, const void *data, size_t size, uint64_t most_bytes, segrt_error *error)
{
    *out = (codec_picture){0};
    const struct kind *kind = kind_of(data, size);
    if (!kind || !kind->decode)
        return unknown(kind, size, error);
    const decode_input in = {.data = data, .size = size, .most_bytes = most_bytes < CODEC_MOST_BYTES ? most_bytes : CODEC_MOST_BYTES};
    const segrt_status status = kind->decode(out, &in, error);
    if (status)
        codec_picture_free(out);
    return status;
}

segrt_status codec_decode_labels(codec_labels *out, const void *data, size_t size, uint64_t most_bytes, segrt_error *error)
{
    *out = (codec_labels){0};
    const struct kind *kind = kind_of(data, size);
    if (!kind || !kind->labels)
        return size == 0 ? unknown(kind, size, error)
                         : codec_fail(error, SEGRT_UNSUPPORTED, 0, "is no label map: those are indexed or grey PNGs, or grey binary PNMs");
    const decode_input in = {.data = data, .size = size, .most_bytes = most_bytes < CODEC_MOST_BYTES ? most_bytes : CODEC_MOST_BYTES};
    const segrt_status status = kind->labels(out, &in, error);
    if (status)
        codec_labels_free(out);
    return status;
}

void codec_picture_free(codec_picture *picture)
{
    free(picture->rgb);
    *picture = (codec_picture){0};
}

void codec_labels_free(codec_labels *labels)
{
    free(labels->labels);
    *labels = (codec_labels){0};
}

/* The whole of a regular file.  Read, not mapped: a file that is cut while it is decoded must not end the program. */
static segrt_status read_file(uint8_t **data, size_t *size, const char *path, uint64_t most_bytes, segrt_error *error)
{
    *data = NULL;
    *size = 0;
    struct stat facts;
    segrt_status status = SEGRT_OK;
    const int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* O_NONBLOCK: a pipe of that name must not hang */
    if (file < 0 || fstat(file, &facts))
        status = codec_fail(error, SEGRT_IO, SEGRT_NO_OFFSET, "cannot open: %s", strerror(errno));
    else if (!S_ISREG(facts.st_mode))
        status = codec_fail(error, SEGRT_IO, SEGRT_NO_OFFSET, S_ISDIR(facts.st_mode) ? "is a folder, not a file" : "is not a regular file");
    else if ((uint64_t)facts.st_size > most_bytes)
        status = codec_fail(error, SEGRT_UNSUPPORTED, SEGRT_NO_OFFSET, "has %lld MB, the limit is %llu MB",
                            (long long)(facts.st_size >> 20), (unsigned long long)(most_bytes >> 20));
    else if (!(*data = malloc((size_t)facts.st_size + 1)))
        status = codec_fail(error, SEGRT_NO_MEMORY, SEGRT_NO_OFFSET, "out of memory: %lld bytes for the file", (long long)facts.st_size);
    for (size_t wanted = status ? 0 : (size_t)facts.st_size; *size < wanted;) {
        const ssize_t got = read(file, *data + *size, wanted - *size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            status = codec_fail(error, SEGRT_IO, *size, "cannot read: %s", strerror(errno));
        if (got <= 0)
            break;
        *size += (size_t)got;
    }
    if (file >= 0)
        close(file);
    return status;
}

segrt_status codec_read(codec_picture *out, const char *path, uint64_t most_bytes, segrt_error *error)
{
    *out = (codec_picture){0};
    uint8_t *data;
    size_t size;
    segrt_status status = read_file(&data, &size, path, CODEC_MOST_BYTES, error);
    if (!status)
        status = codec_decode(out, data, size, most_bytes, error);
    free(data);
    return codec_fail_in(error, status, path);
}

segrt_status codec_read_labels(codec_labels *out, const char *path, uint64_t most_bytes, segrt_error *error)
{
    *out = (codec_labels){0};
    uint8_t *data;
    size_t size;
    segrt_status status = read_file(&data, &size, path, CODEC_MOST_BYTES, error);
    if (!status)
        status = codec_decode_labels(out, data, size, most_bytes, error);
    free(data);
    return codec_fail_in(error, status, path);
}
