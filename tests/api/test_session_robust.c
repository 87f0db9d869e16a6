/* Sessions under stress: memory that runs out, a steady state, cancelling, a pool shared by threads. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "allocation_support.h"
#include "segrt/segrt.h"

enum { W = 50, H = 41 };

static const char *const devices[] = {"cpu", "reference"};
enum { DEVICES = sizeof devices / sizeof *devices };

static uint8_t pixels[H][W][4];

static void draw(void)
{
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++)
            for (int c = 0; c < 3; c++)
                pixels[y][x][c] = (uint8_t)(x * 7 + y * 5 * (c + 1) + (x / 6 ^ y / 9) * 41);
}

static segrt_image picture(void) { return segrt_image_packed(SEGRT_BGRA8, &pixels[0][0][0], W, H); }

/* A resize, a plain run and a sliding one: everything that takes memory. */
static segrt_status segment_all_ways(segrt_session *session, uint8_t labels[H][W], segrt_error *error)
{
    const segrt_image view = picture();
    static uint8_t confidence[H][W];
    segrt_preprocessing resized = {
        .size = sizeof resized, .resize = SEGRT_RESIZE_EXACT, .width = 64, .height = 48, .resample = SEGRT_RESAMPLE_PILLOW_BILINEAR};
    segrt_preprocessing sliding = {.size = sizeof sliding, .resize = SEGRT_RESIZE_NONE, .window = 32, .stride = 24};
    segrt_result result = {.size = sizeof result, .labels = labels, .confidence = &confidence[0][0]};
    segrt_status status = segrt_session_segment(session, &view, &resized, &result, error);
    if (!status)
        status = segrt_session_segment(session, &view, &sliding, &result, error);
    return status;
}

struct life {
    const char *device;
    bool once; /* memory is short for a moment only */
};

/* From the file to labels and back, as a user would. */
static int whole_life(void *user)
{
    const struct life *life = user;
    static uint8_t labels[H][W];
    segrt_error error = {0};
    segrt_model *model = NULL;
    segrt_engine *engine = NULL;
    segrt_session *session = NULL;
    const segrt_session_options options = {.size = sizeof options, .device = life->device, .threads = 1};
    segrt_status status = segrt_model_open(&model, TEST_DATA "/hf", NULL, &error);
    if (!status)
        status = segrt_engine_build(&engine, model, NULL, &error);
    if (!status)
        status = segrt_session_open(&session, engine, &options, &error);
    if (!status)
        status = segment_all_ways(session, labels, &error);
    /* jansson takes some failed allocations for bad text, and drops a byte where one fails and the next does not. */
    if (status && status != SEGRT_NO_MEMORY && status != SEGRT_MALFORMED && !life->once)
        fail_msg("status %d: %s: %s", (int)status, error.file, error.message);
    segrt_session_close(session);
    segrt_engine_close(engine);
    segrt_model_close(model);
    return (int)status;
}

static void every_failed_allocation_is_survived_without_a_leak(void **state)
{
    (void)state;
#if defined(__SANITIZE_THREAD__)
    skip(); /* one thread only, and thousands of lives: minutes there */
#endif
    for (size_t i = 0; i < DEVICES; i++) {
        struct life life = {.device = devices[i]};
        const size_t attempts = allocation_fail_each(whole_life, &life);
        life.once = true;
        const size_t once = i == 0 ? allocation_fail_each_once(whole_life, &life) : 0;
        print_message("%s: %zu and %zu allocations failed\n", devices[i], attempts, once);
        assert_true(attempts > 20);
    }
}

typedef struct opened {
    segrt_model *model;
    segrt_engine *engine;
} opened;

static opened open_engine(void)
{
    opened o = {0};
    segrt_error error = {0};
    if (segrt_model_open(&o.model, TEST_DATA "/hf", NULL, &error) || segrt_engine_build(&o.engine, o.model, NULL, &error))
        fail_msg("%s", error.message);
    return o;
}

static void close_engine(opened *o)
{
    segrt_engine_close(o->engine);
    segrt_model_close(o->model);
}

static segrt_session *open_session(const opened *o, const char *device, segrt_pool *pool, int threads)
{
    segrt_session *session;
    segrt_error error = {0};
    const segrt_session_options options = {.size = sizeof options, .device = device, .pool = pool, .threads = threads};
    if (segrt_session_open(&session, o->engine, &options, &error))
        fail_msg("%s", error.message);
    return session;
}

static void a_steady_state_allocates_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < DEVICES; i++) {
        allocation_start(SIZE_MAX);
        opened o = open_engine();
        segrt_session *session = open_session(&o, devices[i], NULL, 2);
        const segrt_image view = picture();
        static uint8_t labels[H][W];
        segrt_result result = {.size = sizeof result, .labels = labels};
        assert_int_equal(segrt_session_segment(session, &view, NULL, &result, NULL), SEGRT_OK);
        const size_t before = allocation_count(), held = segrt_session_memory(session);
        for (int run = 0; run < 3; run++)
            assert_int_equal(segrt_session_segment(session, &view, NULL, &result, NULL), SEGRT_OK);
        assert_int_equal(allocation_count(), before);
        assert_int_equal(segrt_session_memory(session), held);
        segrt_session_close(session);
        close_engine(&o);
        assert_int_equal(allocation_alive(), 0);
        allocation_stop();
    }
}

struct runner {
    segrt_session *session;
    segrt_status status;
    _Atomic bool done;
};

static void *run_large(void *user)
{
    struct runner *r = user;
    static float input[3 * 512 * 512], logits[7 * 128 * 128];
    r->status = segrt_session_forward(r->session, input, 1, 512, 512, logits, NULL);
    r->done = true;
    return NULL;
}

static void a_run_is_cancelled_from_another_thread_and_the_session_goes_on(void **state)
{
    (void)state;
    opened o = open_engine();
    for (size_t i = 0; i < DEVICES; i++) {
        struct runner r = {.session = open_session(&o, devices[i], NULL, 2)};
        static uint8_t labels[H][W];
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, run_large, &r), 0);
        while (!r.done)
            segrt_session_cancel(r.session);
        pthread_join(thread, NULL);
        assert_int_equal(r.status, SEGRT_CANCELLED);
        assert_int_equal(segment_all_ways(r.session, labels, NULL), SEGRT_OK);
        segrt_session_close(r.session);
    }
    close_engine(&o);
}

enum { THREADS = 4 };

struct sharer {
    segrt_session *session;
    uint8_t labels[H][W];
    segrt_status status;
};

static void *share(void *user)
{
    struct sharer *s = user;
    for (int run = 0; run < 2 && !s->status; run++)
        s->status = segment_all_ways(s->session, s->labels, NULL);
    return NULL;
}

static void sessions_of_several_threads_share_one_pool_and_agree_bit_by_bit(void **state)
{
    (void)state;
    opened o = open_engine();
    for (size_t i = 0; i < DEVICES; i++) {
        static struct sharer sharers[THREADS];
        segrt_pool *pool;
        pthread_t threads[THREADS];
        static uint8_t alone[H][W];
        assert_int_equal(segrt_pool_open(&pool, 3, NULL), SEGRT_OK);
        for (int t = 0; t < THREADS; t++)
            sharers[t] = (struct sharer){.session = open_session(&o, devices[i], pool, 0)};
        for (int t = 0; t < THREADS; t++)
            assert_int_equal(pthread_create(&threads[t], NULL, share, &sharers[t]), 0);
        for (int t = 0; t < THREADS; t++)
            pthread_join(threads[t], NULL);
        segrt_session *single = open_session(&o, devices[i], NULL, 1);
        assert_int_equal(segment_all_ways(single, alone, NULL), SEGRT_OK);
        segrt_session_close(single);
        for (int t = 0; t < THREADS; t++) {
            assert_int_equal(sharers[t].status, SEGRT_OK);
            assert_memory_equal(sharers[t].labels, alone, sizeof alone);
            segrt_session_close(sharers[t].session);
        }
        segrt_pool_close(pool);
    }
    close_engine(&o);
}

int main(void)
{
    draw();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_steady_state_allocates_nothing),
        cmocka_unit_test(a_run_is_cancelled_from_another_thread_and_the_session_goes_on),
        cmocka_unit_test(sessions_of_several_threads_share_one_pool_and_agree_bit_by_bit),
        cmocka_unit_test(every_failed_allocation_is_survived_without_a_leak),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
