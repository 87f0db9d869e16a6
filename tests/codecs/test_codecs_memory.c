/* Every allocation of decoding and encoding, those inside libjpeg, libspng and libwebp too, is failed once: an error, or a
 * picture that did without; never a crash, and nothing is left behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "codecs/codecs.h"

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);
void __libc_free(void *memory);

static struct {
    bool armed;
    long left; /* allocations until the one that fails */
    long held;
} failing;

/* Whether this allocation is to fail. */
static bool fails(void)
{
    return failing.armed && failing.left-- == 0;
}

static void *counted(void *memory)
{
    failing.held += failing.armed && memory;
    return memory;
}

/* In a program these stand before the C library's, for every library it uses. */
#pragma GCC visibility push(default)
void *malloc(size_t size)
{
    return fails() ? NULL : counted(__libc_malloc(size));
}
void *calloc(size_t count, size_t size)
{
    return fails() ? NULL : counted(__libc_calloc(count, size));
}

void *realloc(void *memory, size_t size)
{
    if (fails())
        return NULL;
    return memory ? __libc_realloc(memory, size) : counted(__libc_realloc(NULL, size));
}

void free(void *memory)
{
    failing.held -= failing.armed && memory;
    __libc_free(memory);
}
#pragma GCC visibility pop

/* Runs `once` with the n-th allocation failing, for every n, until it needs no more than n. */
static void fail_each(segrt_status (*once)(void *user, segrt_error *error), void *user)
{
    for (long n = 0; n < 100000; n++) {
        segrt_error error = {0};
        failing.left = n;
        failing.held = 0;
        failing.armed = true;
        const segrt_status status = once(user, &error);
        failing.armed = false;
        assert_int_equal(failing.held, 0);
        assert_int_equal(status, error.status);
        if (failing.left >= 0) { /* none failed */
            assert_int_equal(status, SEGRT_OK);
            return;
        }
    }
    fail_msg("it never ends");
}

typedef struct stored {
    uint8_t data[8192];
    size_t size;
} stored;

static segrt_status decode_once(void *user, segrt_error *error)
{
    const stored *file = user;
    codec_picture picture;
    const segrt_status status = codec_decode(&picture, file->data, file->size, CODEC_MOST_BYTES, error);
    codec_picture_free(&picture);
    return status;
}

static segrt_status labels_once(void *user, segrt_error *error)
{
    const stored *file = user;
    codec_labels labels;
    const segrt_status status = codec_decode_labels(&labels, file->data, file->size, CODEC_MOST_BYTES, error);
    codec_labels_free(&labels);
    return status;
}

static void load(const char *name, stored *file)
{
    char path[512];
    snprintf(path, sizeof path, "%s/pictures/%s", TEST_DATA, name);
    FILE *f = fopen(path, "rb");
    if (!f)
        fail_msg("cannot open %s", path);
    file->size = fread(file->data, 1, sizeof file->data, f);
    assert_true(feof(f));
    fclose(f);
}

static void decoding_survives_every_failed_allocation(void **state)
{
    (void)state;
    /* No lossless WebP: libwebp 1.2 falls over one failed allocation of its own, of 512 bytes (the larger ones are sound). */
    static const char *const names[] = {"420.jpg",      "progressive.jpg",       "cmyk.jpg",          "orientation_6.jpg", "rgb8.png",
                                        "palette4.png", "rgba16_interlaced.png", "orientation_6.png", "lossy.webp",        "gray16.pgm"};
    stored file;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        load(names[i], &file);
        fail_each(decode_once, &file);
    }
    load("palette4.png", &file);
    fail_each(labels_once, &file);
}

enum { W = 200, H = 150 };
static uint8_t pixels[3 * W * H];

static segrt_status png_once(void *user, segrt_error *error)
{
    codec_file file;
    const segrt_status status = codec_png_labels(&file, pixels, W, H, user, 256, error);
    codec_file_free(&file);
    return status;
}

static segrt_status jpeg_once(void *user, segrt_error *error)
{
    (void)user;
    codec_file file;
    const segrt_status status = codec_jpeg_rgb(&file, pixels, W, H, 100, error);
    codec_file_free(&file);
    return status;
}

static void encoding_survives_every_failed_allocation(void **state)
{
    (void)state;
    static uint8_t palette[256][3];
    uint32_t seed = 1;
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)((seed = seed * 1664525 + 1013904223) >> 24); /* noise: the JPEG outgrows its first buffer */
    fail_each(png_once, palette);
    fail_each(jpeg_once, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decoding_survives_every_failed_allocation),
        cmocka_unit_test(encoding_survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int main(void)
{
    printf("skipped: a sanitizer has the allocator\n");
    return 77;
}

#endif
