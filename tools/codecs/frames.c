/* frames: see frames.h.  Y4M: mjpegtools, yuv4mpeg(5). */
#include "codecs/frames.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "codecs/decode.h"

enum {
    LARGEST_SIDE = 65535,
    MOST_LINE = 1024, /* a header's or a frame's line; real ones have less than 200 bytes */
    BUFFER = 1 << 16,
};

struct frames {
    int descriptor;
    bool y4m;
    segrt_format format;
    int width, height;
    double rate;
    uint8_t *pixels;
    size_t bytes; /* of a frame */
    uint64_t offset, count;
    size_t at, filled; /* in buffer */
    uint8_t buffer[BUFFER];
};

/* Up to `wanted` bytes; *got less only at the end of the stream. */
static segrt_status take(frames *f, uint8_t *to, size_t wanted, size_t *got, segrt_error *error)
{
    *got = 0;
    while (*got < wanted) {
        if (f->at < f->filled) {
            const size_t there = f->filled - f->at, n = there < wanted - *got ? there : wanted - *got;
            memcpy(to + *got, f->buffer + f->at, n);
            f->at += n;
            *got += n;
            f->offset += n;
            continue;
        }
        /* What is larger than the buffer goes past it. */
        const bool direct = wanted - *got >= BUFFER;
        const ssize_t n = direct ? read(f->descriptor, to + *got, wanted - *got) : read(f->descriptor, f->buffer, BUFFER);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return codec_fail(error, SEGRT_IO, f->offset, "cannot read the stream: %s", strerror(errno));
        if (n == 0)
            break;
        if (direct) {
            *got += (size_t)n;
            f->offset += (uint64_t)n;
        } else {
            f->at = 0;
            f->filled = (size_t)n;
        }
    }
    return SEGRT_OK;
}

/* A line without its newline; *end where the stream ended before its first byte. */
static segrt_status take_line(frames *f, char line[MOST_LINE], bool *end, segrt_error *error)
{
    *end = false;
    for (size_t length = 0; length < MOST_LINE; length++) {
        size_t got;
        const segrt_status status = take(f, (uint8_t *)line + length, 1, &got, error);
        if (status)
            return status;
        if (!got && length == 0) {
            *end = true;
            return SEGRT_OK;
        }
        if (!got)
            return codec_fail(error, SEGRT_MALFORMED, f->offset, "Y4M: the stream ends within a header");
        if (line[length] == '\n') {
            line[length] = 0;
            return SEGRT_OK;
        }
    }
    return codec_fail(error, SEGRT_MALFORMED, f->offset, "Y4M: a header line of more than %d bytes", MOST_LINE);
}

static bool starts(const char *text, const char *with)
{
    return !strncmp(text, with, strlen(with));
}

static int side(const char *digits)
{
    char *rest;
    errno = 0;
    const long value = strtol(digits, &rest, 10);
    return *rest || rest == digits || errno || value < 1 || value > LARGEST_SIDE ? 0 : (int)value;
}

static const struct chroma {
    const char *name;
    segrt_format format;
} chromas[] = {{"420", SEGRT_I420},
               {"420jpeg", SEGRT_I420},
               {"420mpeg2", SEGRT_I420}, /* they differ by a part of a pixel */
               {"420paldv", SEGRT_I420},
               {"mono", SEGRT_GRAY8}};

static segrt_status parse_header(frames *f, char *line, segrt_error *error)
{
    if (!starts(line, "YUV4MPEG2") || (line[9] != ' ' && line[9] != 0))
        return codec_fail(error, SEGRT_MALFORMED, 0, "is no Y4M stream: it does not begin with YUV4MPEG2");
    f->format = SEGRT_I420;
    char *rest = NULL;
    for (const char *word = strtok_r(line + 9, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        if (*word == 'W')
            f->width = side(word + 1);
        else if (*word == 'H')
            f->height = side(word + 1);
        else if (*word == 'F') {
            long above, below;
            if (sscanf(word + 1, "%9ld:%9ld", &above, &below) == 2 && above > 0 && below > 0)
                f->rate = (double)above / (double)below;
        } else if (*word == 'C') {
            size_t i = 0;
            while (i < sizeof chromas / sizeof *chromas && strcmp(word + 1, chromas[i].name) != 0)
                i++;
            if (i == sizeof chromas / sizeof *chromas)
                return codec_fail(error, SEGRT_UNSUPPORTED, SEGRT_NO_OFFSET,
                                  "Y4M: colour format %.32s: only 420 and mono of 8 bits are read (ffmpeg: -pix_fmt yuv420p)", word + 1);
            f->format = chromas[i].format;
        } else if (!strcmp(word, "XCOLORRANGE=FULL"))
            return codec_fail(error, SEGRT_UNSUPPORTED, SEGRT_NO_OFFSET,
                              "Y4M: full-range colours: only limited range is read (ffmpeg: -vf scale=out_range=tv)");
    }
    if (!f->width || !f->height)
        return codec_fail(error, SEGRT_MALFORMED, SEGRT_NO_OFFSET, "Y4M: the header wants W and H in 1..%d", LARGEST_SIDE);
    return SEGRT_OK;
}

static segrt_status get_pixels(frames *f, segrt_error *error)
{
    const size_t w = (size_t)f->width, h = (size_t)f->height;
    f->bytes = f->format == SEGRT_RGB8 ? 3 * w * h : f->format == SEGRT_GRAY8 ? w * h : w * h + 2 * ((w + 1) / 2) * ((h + 1) / 2);
    if (f->bytes > CODEC_MOST_BYTES)
        return codec_fail(error, SEGRT_UNSUPPORTED, SEGRT_NO_OFFSET, "frames of %zux%zu take %zu MB, the limit is %llu MB", w, h,
                          f->bytes >> 20, (unsigned long long)(CODEC_MOST_BYTES >> 20));
    f->pixels = malloc(f->bytes);
    return f->pixels ? SEGRT_OK : codec_fail(error, SEGRT_NO_MEMORY, SEGRT_NO_OFFSET, "out of memory: a frame of %zux%zu", w, h);
}

segrt_status frames_open_y4m(frames **out, int descriptor, const void *begin, size_t begun, segrt_error *error)
{
    *out = NULL;
    frames *f = calloc(1, sizeof *f);
    if (!f)
        return codec_fail(error, SEGRT_NO_MEMORY, SEGRT_NO_OFFSET, "out of memory: a stream of frames");
    f->descriptor = descriptor;
    f->y4m = true;
    f->filled = begun < BUFFER ? begun : BUFFER;
    if (f->filled)
        memcpy(f->buffer, begin, f->filled);
    char line[MOST_LINE];
    bool end;
    segrt_status status = take_line(f, line, &end, error);
    if (!status && end)
        status = codec_fail(error, SEGRT_MALFORMED, 0, "the stream is empty");
    if (!status)
        status = parse_header(f, line, error);
    if (!status)
        status = get_pixels(f, error);
    if (status) {
        frames_close(f);
        return status;
    }
    *out = f;
    return SEGRT_OK;
}

segrt_status frames_open_rgb(frames **out, int descriptor, int width, int height, segrt_error *error)
{
    *out = NULL;
    if (width < 1 || height < 1 || width > LARGEST_SIDE || height > LARGEST_SIDE)
        return codec_fail(error, SEGRT_ARGUMENT, SEGRT_NO_OFFSET, "frames of %dx%d: each side must lie in 1..%d", width, height,
                          LARGEST_SIDE);
    frames *f = calloc(1, sizeof *f);
    if (!f)
        return codec_fail(error, SEGRT_NO_MEMORY, SEGRT_NO_OFFSET, "out of memory: a stream of frames");
    f->descriptor = descriptor;
    f->format = SEGRT_RGB8;
    f->width = width;
    f->height = height;
    const segrt_status status = get_pixels(f, error);
    if (status) {
        frames_close(f);
        return status;
    }
    *out = f;
    return SEGRT_OK;
}

segrt_status frames_next(frames *f, segrt_image *frame, bool *end, segrt_error *error)
{
    *end = false;
    if (f->y4m) {
        char line[MOST_LINE];
        const segrt_status status = take_line(f, line, end, error);
        if (status || *end)
            return status;
        if (!starts(line, "FRAME") || (line[5] != ' ' && line[5] != 0))
            return codec_fail(error, SEGRT_MALFORMED, f->offset, "Y4M: frame %llu does not begin with FRAME", (unsigned long long)f->count);
    }
    size_t got;
    const segrt_status status = take(f, f->pixels, f->bytes, &got, error);
    if (status)
        return status;
    if (got == 0 && !f->y4m) {
        *end = true;
        return SEGRT_OK;
    }
    if (got < f->bytes)
        return codec_fail(error, SEGRT_MALFORMED, f->offset, "the stream ends within frame %llu: %zu of %zu bytes",
                          (unsigned long long)f->count, got, f->bytes);
    f->count++;
    const ptrdiff_t w = f->width, half = (w + 1) / 2;
    const uint8_t *u = f->pixels + (size_t)w * (size_t)f->height, *v = u + (size_t)half * (((size_t)f->height + 1) / 2);
    *frame = (segrt_image){.format = f->format, .width = f->width, .height = f->height, .plane = {f->pixels}, .stride = {w}};
    if (f->format == SEGRT_RGB8)
        frame->stride[0] = 3 * w;
    if (f->format == SEGRT_I420) {
        frame->plane[1] = u;
        frame->plane[2] = v;
        frame->stride[1] = frame->stride[2] = half;
    }
    return SEGRT_OK;
}

double frames_rate(const frames *f)
{
    return f->rate;
}

void frames_close(frames *f)
{
    if (!f)
        return;
    free(f->pixels);
    free(f);
}
