/* What resample.h promises: the bytes of Pillow and of OpenCV, whoever computes them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "image/resample.h"
#include "image/resample_kernels.h"
#include "npy_support.h"

enum { DRAWN_W = 157, DRAWN_H = 103 };

/* A golden picture [h][w][3]; free with npy_free. */
static npy picture(const char *name, int w, int h)
{
    char path[64];
    snprintf(path, sizeof path, "preprocess/%s.npy", name);
    const npy pixels = npy_read_as(path, "|u1");
    assert_int_equal(pixels.rank, 3);
    assert_int_equal(pixels.shape[0], h);
    assert_int_equal(pixels.shape[1], w);
    assert_int_equal(pixels.shape[2], 3);
    return pixels;
}

static uint8_t *resized(segrt_resample method, const uint8_t *from, int w, int h, int to_w, int to_h, segrt_pool *pool)
{
    resampler *r;
    segrt_error error = {0};
    assert_int_equal(resampler_open(&r, method, w, h, to_w, to_h, &error), SEGRT_OK);
    uint8_t *to = calloc((size_t)to_w * (size_t)to_h, 3);
    assert_non_null(to);
    resampler_run(r, from, to, pool);
    resampler_close(r);
    return to;
}

static void the_goldens_of_pillow_and_opencv_are_met_to_the_bit(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        segrt_resample method;
        int w, h;
    } rows[] = {
        {"pillow_bilinear_64x64", SEGRT_RESAMPLE_PILLOW_BILINEAR, 64, 64},
        {"pillow_bilinear_96x200", SEGRT_RESAMPLE_PILLOW_BILINEAR, 96, 200},
        {"pillow_bilinear_33x400", SEGRT_RESAMPLE_PILLOW_BILINEAR, 33, 400},
        {"pillow_bilinear_200x20", SEGRT_RESAMPLE_PILLOW_BILINEAR, 200, 20}, /* columns first */
        {"pillow_bicubic_64x64", SEGRT_RESAMPLE_PILLOW_BICUBIC, 64, 64},
        {"opencv_linear_64x64", SEGRT_RESAMPLE_OPENCV_LINEAR, 64, 64},
        {"opencv_linear_96x200", SEGRT_RESAMPLE_OPENCV_LINEAR, 96, 200},
        {"opencv_linear_33x400", SEGRT_RESAMPLE_OPENCV_LINEAR, 33, 400},
    };
    npy drawn = picture("opencv_linear_157x103", DRAWN_W, DRAWN_H);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        npy expected = picture(rows[i].name, rows[i].w, rows[i].h);
        uint8_t *got = resized(rows[i].method, drawn.u8, DRAWN_W, DRAWN_H, rows[i].w, rows[i].h, NULL);
        assert_memory_equal(got, expected.u8, 3 * (size_t)rows[i].w * (size_t)rows[i].h);
        npy_free(&expected);
        free(got);
    }
    npy_free(&drawn);
}

static uint8_t *noise(int w, int h, uint32_t seed)
{
    const size_t bytes = 3 * (size_t)w * (size_t)h;
    uint8_t *pixels = malloc(bytes);
    assert_non_null(pixels);
    for (size_t i = 0; i < bytes; i++) {
        seed = seed * 1664525 + 1013904223;
        pixels[i] = (uint8_t)(seed >> 24 < 64 ? 0 : seed >> 24 > 192 ? 255 : seed >> 16); /* many extremes: they overflow first */
    }
    return pixels;
}

static const struct {
    int w, h, to_w, to_h;
} sizes[] = {
    {1, 1, 1, 1},    {1, 1, 50, 30},  {50, 30, 1, 1},   {64, 48, 32, 24}, {3, 200, 200, 3}, {200, 3, 3, 200},  {97, 65, 31, 127},
    {40, 40, 40, 9}, {40, 40, 9, 40}, {40, 40, 40, 99}, {2, 2, 333, 2},   {640, 5, 7, 3},   {130, 70, 64, 64}, {75, 91, 74, 92},
};

static void any_number_of_threads_gives_the_same_bytes(void **state)
{
    (void)state;
    segrt_pool *pool;
    assert_int_equal(pool_open(&pool, 3, NULL), SEGRT_OK);
    for (int method = SEGRT_RESAMPLE_PILLOW_BILINEAR; method <= SEGRT_RESAMPLE_NEAREST; method++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            uint8_t *from = noise(sizes[i].w, sizes[i].h, 1);
            uint8_t *alone = resized((segrt_resample)method, from, sizes[i].w, sizes[i].h, sizes[i].to_w, sizes[i].to_h, NULL);
            uint8_t *shared = resized((segrt_resample)method, from, sizes[i].w, sizes[i].h, sizes[i].to_w, sizes[i].to_h, pool);
            assert_memory_equal(alone, shared, 3 * (size_t)sizes[i].to_w * (size_t)sizes[i].to_h);
            free(from);
            free(alone);
            free(shared);
        }
    pool_close(pool);
}

static void a_plain_picture_stays_plain(void **state)
{
    (void)state;
    for (int method = SEGRT_RESAMPLE_PILLOW_BILINEAR; method <= SEGRT_RESAMPLE_NEAREST; method++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            const size_t from_bytes = 3 * (size_t)sizes[i].w * (size_t)sizes[i].h,
                         to_bytes = 3 * (size_t)sizes[i].to_w * (size_t)sizes[i].to_h;
            uint8_t *from = malloc(from_bytes);
            assert_non_null(from);
            memset(from, 255, from_bytes);
            uint8_t *to = resized((segrt_resample)method, from, sizes[i].w, sizes[i].h, sizes[i].to_w, sizes[i].to_h, NULL);
            for (size_t k = 0; k < to_bytes; k++)
                assert_int_equal(to[k], 255);
            free(from);
            free(to);
        }
}

static void the_same_size_gives_the_same_picture(void **state)
{
    (void)state;
    uint8_t *from = noise(33, 21, 5);
    for (int method = SEGRT_RESAMPLE_PILLOW_BILINEAR; method <= SEGRT_RESAMPLE_NEAREST; method++) {
        uint8_t *to = resized((segrt_resample)method, from, 33, 21, 33, 21, NULL);
        assert_memory_equal(from, to, 33 * 21 * 3);
        free(to);
    }
    free(from);
}

static void opencv_halves_by_the_mean_of_four(void **state)
{
    (void)state;
    const uint8_t from[] = {0, 10, 255, 1, 10, 255, /**/ 1, 10, 254, 0, 13, 253}; /* 2x2 */
    uint8_t *to = resized(SEGRT_RESAMPLE_OPENCV_LINEAR, from, 2, 2, 1, 1, NULL);
    assert_int_equal(to[0], 1); /* (0 + 1 + 1 + 0 + 2) / 4, rounded down */
    assert_int_equal(to[1], 11);
    assert_int_equal(to[2], 254);
    free(to);
}

static void a_resampler_knows_what_it_was_prepared_for(void **state)
{
    (void)state;
    resampler *r;
    assert_int_equal(resampler_open(&r, SEGRT_RESAMPLE_NEAREST, 4, 5, 6, 7, NULL), SEGRT_OK);
    assert_true(resampler_fits(r, SEGRT_RESAMPLE_NEAREST, 4, 5, 6, 7));
    assert_false(resampler_fits(r, SEGRT_RESAMPLE_NEAREST, 4, 5, 7, 6));
    assert_false(resampler_fits(r, SEGRT_RESAMPLE_OPENCV_LINEAR, 4, 5, 6, 7));
    assert_false(resampler_fits(NULL, SEGRT_RESAMPLE_NEAREST, 4, 5, 6, 7));
    resampler_close(r);
    resampler_close(NULL);
}

static void sides_out_of_range_and_unknown_methods_are_refused(void **state)
{
    (void)state;
    resampler *r;
    segrt_error error = {0};
    assert_int_equal(resampler_open(&r, SEGRT_RESAMPLE_NEAREST, 4, 5, 6, 0, &error), SEGRT_ARGUMENT);
    assert_null(r);
    assert_int_equal(resampler_open(&r, SEGRT_RESAMPLE_NEAREST, 65536, 5, 6, 7, NULL), SEGRT_ARGUMENT);
    assert_int_equal(resampler_open(&r, SEGRT_RESAMPLE_MODEL, 4, 5, 6, 7, NULL), SEGRT_ARGUMENT);
}

static uint32_t drawn(uint32_t *seed)
{
    return (*seed = *seed * 1664525 + 1013904223) >> 8;
}

/* Weights of a position: random, of both signs, their sum 2^22 and small enough that no sum of 255s leaves 32 bits. */
static void draw_weights(resample_axis *axis, int x, uint32_t *seed)
{
    const int groups = (axis->taps + 3) / 4, count = axis->count[x];
    int32_t *weight = axis->weight + x * axis->taps, rest = 1 << PILLOW_BITS;
    int16_t *split = axis->split + x * groups * 8;
    for (int k = 0; k < axis->taps; k++) {
        weight[k] = k + 1 < count ? (int32_t)(drawn(seed) % (1 << 20)) - (1 << 18) : k + 1 == count ? rest : 0;
        rest -= weight[k];
    }
    for (int k = 0; k < groups * 4; k++) {
        const int32_t w = k < axis->taps ? weight[k] : 0;
        split[k / 4 * 8 + k % 4] = (int16_t)(w >> SPLIT_BITS);
        split[k / 4 * 8 + k % 4 + 4] = (int16_t)(w & SPLIT_MASK);
    }
}

enum { AXIS_FROM = 61, AXIS_TO = 83, AXIS_TAPS = 7, GUARD = 0x5a };

static const resample_kernels *fastest(void)
{
    const resample_kernels *best = resample_kernels_best();
    print_message("%s against %s\n", best->name, resample_kernels_portable.name);
    return best;
}

static void every_row_kernel_gives_the_portable_bytes_and_no_more(void **state)
{
    (void)state;
    const resample_kernels *kernels[] = {&resample_kernels_portable, fastest()};
    static int32_t start[AXIS_TO], count[AXIS_TO], weight[AXIS_TO * AXIS_TAPS];
    static int16_t split[AXIS_TO * 16];
    uint32_t seed = 3;
    for (int to = 1; to <= AXIS_TO; to++) {
        resample_axis axis = {
            .from = AXIS_FROM, .to = to, .taps = AXIS_TAPS, .start = start, .count = count, .weight = weight, .split = split};
        for (int x = 0; x < to; x++) {
            count[x] = 1 + (int)(drawn(&seed) % AXIS_TAPS);
            start[x] = (int)(drawn(&seed) % (uint32_t)(AXIS_FROM - count[x] + 1));
            draw_weights(&axis, x, &seed);
        }
        uint8_t *from = noise(AXIS_FROM, 1, (uint32_t)to), *got[2]; /* a block of its own: nothing may be read behind it */
        for (int k = 0; k < 2; k++) {
            got[k] = malloc(3 * (size_t)to + 1);
            assert_non_null(got[k]);
            got[k][3 * to] = GUARD;
            kernels[k]->pillow_row(&axis, from, 3 * AXIS_FROM, got[k]);
        }
        assert_memory_equal(got[0], got[1], 3 * (size_t)to + 1);
        free(got[0]);
        free(got[1]);

        axis.taps = 2;
        for (int x = 0; x < to; x++) {
            start[x] = (int)(drawn(&seed) % AXIS_FROM);
            count[x] = start[x] + 1 < AXIS_FROM ? 2 : 1;
            split[2 * x + 1] = (int16_t)(count[x] == 2 ? drawn(&seed) % 2049 : 0);
            split[2 * x] = (int16_t)(2048 - split[2 * x + 1]);
            weight[2 * x] = split[2 * x];
            weight[2 * x + 1] = split[2 * x + 1];
        }
        int16_t *sums[2];
        for (int k = 0; k < 2; k++) {
            sums[k] = malloc((3 * (size_t)to + 1) * sizeof *sums[k]);
            assert_non_null(sums[k]);
            sums[k][3 * to] = GUARD;
            kernels[k]->opencv_row(&axis, from, 3 * AXIS_FROM, sums[k]);
        }
        assert_memory_equal(sums[0], sums[1], (3 * (size_t)to + 1) * sizeof *sums[0]);
        free(sums[0]);
        free(sums[1]);
        free(from);
    }
}

static void every_column_kernel_gives_the_portable_bytes_and_no_more(void **state)
{
    (void)state;
    const resample_kernels *kernels[] = {&resample_kernels_portable, fastest()};
    uint32_t seed = 4;
    for (int w = 1; w < 60; w++) {
        const size_t bytes = 3 * (size_t)w;
        for (int count = 1; count <= AXIS_TAPS; count++) {
            static int32_t weight[AXIS_TAPS], one = AXIS_TAPS;
            static int16_t split[16];
            one = count;
            draw_weights(&(resample_axis){.taps = AXIS_TAPS, .count = &one, .weight = weight, .split = split}, 0, &seed);
            uint8_t *from = noise(w, count, seed), *got[2];
            for (int k = 0; k < 2; k++) {
                got[k] = malloc(bytes + 1);
                assert_non_null(got[k]);
                got[k][bytes] = GUARD;
                kernels[k]->pillow_column(from, bytes, count, weight, bytes, got[k]);
            }
            assert_memory_equal(got[0], got[1], bytes + 1);
            free(from);
            free(got[0]);
            free(got[1]);
        }
        int16_t *rows = malloc(2 * bytes * sizeof *rows);
        uint8_t *got[2];
        assert_non_null(rows);
        for (size_t i = 0; i < 2 * bytes; i++)
            rows[i] = (int16_t)(drawn(&seed) % (255 * 128 + 1));
        for (int k = 0; k < 2; k++) {
            got[k] = malloc(bytes + 1);
            assert_non_null(got[k]);
            got[k][bytes] = GUARD;
            kernels[k]->opencv_column(rows, rows + bytes, 2048 - w * 16, w * 16, bytes, got[k]);
        }
        assert_memory_equal(got[0], got[1], bytes + 1);
        free(rows);
        free(got[0]);
        free(got[1]);
    }
}

/* An allocator that fails the n-th request. */
static struct {
    int left, held;
} failing;

static void *allocate_or_fail(void *user, size_t bytes, size_t alignment)
{
    (void)user;
    if (failing.left-- == 0)
        return NULL;
    failing.held++;
    return aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
}

static void release(void *user, void *memory)
{
    (void)user;
    failing.held--;
    free(memory);
}

static void every_failed_allocation_is_an_error_without_a_leak_and_a_run_allocates_nothing(void **state)
{
    (void)state;
    segrt_set_allocator(&(segrt_allocator){.allocate = allocate_or_fail, .release = release});
    uint8_t *from = noise(20, 30, 9), to[3 * 10 * 12];
    for (int method = SEGRT_RESAMPLE_PILLOW_BILINEAR; method <= SEGRT_RESAMPLE_NEAREST; method++) {
        resampler *r = NULL;
        for (int n = 0; !r; n++) {
            segrt_error error = {0};
            failing.left = n;
            if (resampler_open(&r, (segrt_resample)method, 20, 30, 10, 12, &error)) {
                assert_int_equal(error.status, SEGRT_NO_MEMORY);
                assert_null(r);
                assert_int_equal(failing.held, 0);
            }
        }
        failing.left = 0; /* the next one would fail */
        resampler_run(r, from, to, NULL);
        assert_int_equal(failing.left, 0);
        resampler_close(r);
        assert_int_equal(failing.held, 0);
    }
    segrt_set_allocator(NULL);
    free(from);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_goldens_of_pillow_and_opencv_are_met_to_the_bit),
        cmocka_unit_test(any_number_of_threads_gives_the_same_bytes),
        cmocka_unit_test(a_plain_picture_stays_plain),
        cmocka_unit_test(the_same_size_gives_the_same_picture),
        cmocka_unit_test(opencv_halves_by_the_mean_of_four),
        cmocka_unit_test(a_resampler_knows_what_it_was_prepared_for),
        cmocka_unit_test(sides_out_of_range_and_unknown_methods_are_refused),
        cmocka_unit_test(every_row_kernel_gives_the_portable_bytes_and_no_more),
        cmocka_unit_test(every_column_kernel_gives_the_portable_bytes_and_no_more),
        cmocka_unit_test(every_failed_allocation_is_an_error_without_a_leak_and_a_run_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
