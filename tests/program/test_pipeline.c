/* The pipeline under `segrt segment`: every item goes through its steps once, results come in order, what is under way is bounded,
 * what fails fails alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "pipeline.h"

enum { ITEMS = 500, HELPERS = 5, RUNNERS = 3 };

typedef struct job {
    atomic_int begun[ITEMS], run[ITEMS], ended[ITEMS];
    int done[ITEMS];
    bool fine[ITEMS];
    size_t order[ITEMS], taken;
    atomic_int under_way, most_under_way, at_runner[RUNNERS];
    atomic_size_t bytes, most_bytes;
    size_t each_bytes, stop_at;            /* stop_at 0: never */
    int fails_begin, fails_run, fails_end; /* every so many-th item; 0: none */
    bool only_first_runner, places_mixed;
    int places;
    pthread_t caller;
    atomic_bool elsewhere;
} job;

static void see(job *j)
{
    if (!pthread_equal(pthread_self(), j->caller))
        atomic_store(&j->elsewhere, true);
    sched_yield();
}

static bool falls(int every, size_t item)
{
    return every && item % (size_t)every == (size_t)every - 1;
}

static bool begin(void *user, size_t item, int place, size_t *bytes)
{
    job *j = user;
    see(j);
    const int now = atomic_fetch_add(&j->under_way, 1) + 1;
    if (now > atomic_load(&j->most_under_way))
        atomic_store(&j->most_under_way, now);
    if (place != (int)(item % (size_t)j->places))
        j->places_mixed = true;
    atomic_fetch_add(&j->begun[item], 1);
    *bytes = falls(j->fails_begin, item) ? 0 : j->each_bytes;
    const size_t held = atomic_fetch_add(&j->bytes, *bytes) + *bytes;
    if (held > atomic_load(&j->most_bytes))
        atomic_store(&j->most_bytes, held);
    return !falls(j->fails_begin, item);
}

static bool run(void *user, size_t item, int place, int runner)
{
    job *j = user;
    (void)place;
    see(j);
    atomic_fetch_add(&j->at_runner[runner], 1);
    atomic_fetch_add(&j->run[item], 1);
    return !falls(j->fails_run, item);
}

static bool end(void *user, size_t item, int place)
{
    job *j = user;
    (void)place;
    see(j);
    atomic_fetch_add(&j->ended[item], 1);
    return !falls(j->fails_end, item);
}

static bool done(void *user, size_t item, int place, bool fine)
{
    job *j = user;
    (void)place;
    j->order[j->taken++] = item;
    j->done[item]++;
    j->fine[item] = fine;
    atomic_fetch_sub(&j->under_way, 1);
    if (!falls(j->fails_begin, item))
        atomic_fetch_sub(&j->bytes, j->each_bytes);
    return !j->stop_at || j->taken < j->stop_at;
}

static bool prepare(void *user, int runner)
{
    return !((job *)user)->only_first_runner || runner == 0;
}

static pipeline_threads go(job *j, int helpers, size_t most_bytes)
{
    j->caller = pthread_self();
    j->places = helpers ? pipeline_places(helpers, RUNNERS) : 1;
    const pipeline p = {.count = ITEMS,
                        .helpers = helpers,
                        .runners = RUNNERS,
                        .places = j->places,
                        .most_bytes = most_bytes,
                        .user = j,
                        .begin = begin,
                        .run = run,
                        .end = end,
                        .done = done,
                        .prepare = prepare};
    return pipeline_run(&p);
}

static void every_item_takes_its_steps_once_and_comes_out_in_order(void **state)
{
    (void)state;
    static job jobs[2];
    for (int threads = 0; threads < 2; threads++) {
        job *j = &jobs[threads];
        *j = (job){.each_bytes = 1};
        go(j, threads ? HELPERS : 0, SIZE_MAX / 2);
        assert_int_equal(j->taken, ITEMS);
        assert_int_equal(atomic_load(&j->elsewhere), threads); /* without helpers nothing leaves the caller's thread */
        assert_false(j->places_mixed);
        assert_true(atomic_load(&j->most_under_way) <= j->places);
        for (size_t i = 0; i < ITEMS; i++) {
            assert_int_equal(j->order[i], i);
            assert_int_equal(atomic_load(&j->begun[i]), 1);
            assert_int_equal(atomic_load(&j->run[i]), 1);
            assert_int_equal(atomic_load(&j->ended[i]), 1);
            assert_int_equal(j->done[i], 1);
            assert_true(j->fine[i]);
        }
    }
}

static void what_fails_skips_its_later_steps_and_nobody_elses(void **state)
{
    (void)state;
    static job jobs[2];
    for (int threads = 0; threads < 2; threads++) {
        job *j = &jobs[threads];
        *j = (job){.each_bytes = 1, .fails_begin = 7, .fails_run = 11, .fails_end = 13};
        go(j, threads ? HELPERS : 0, SIZE_MAX / 2);
        assert_int_equal(j->taken, ITEMS);
        for (size_t i = 0; i < ITEMS; i++) {
            const bool begun = !falls(7, i), ran = begun && !falls(11, i);
            assert_int_equal(j->order[i], i);
            assert_int_equal(atomic_load(&j->run[i]), begun);
            assert_int_equal(atomic_load(&j->ended[i]), ran);
            assert_int_equal(j->fine[i], ran && !falls(13, i));
        }
    }
}

static void bytes_under_way_are_bounded(void **state)
{
    (void)state;
    static job few, large;
    few = (job){.each_bytes = 10};
    go(&few, HELPERS, 35);
    assert_int_equal(few.taken, ITEMS);
    assert_true(atomic_load(&few.most_bytes) <= 35);
    large = (job){.each_bytes = 100}; /* each is more than the bound: one at a time */
    go(&large, HELPERS, 35);
    assert_int_equal(large.taken, ITEMS);
    assert_int_equal(atomic_load(&large.most_bytes), 100);
}

static void stopping_begins_nothing_more(void **state)
{
    (void)state;
    static job j;
    j = (job){.each_bytes = 1, .stop_at = 20};
    go(&j, HELPERS, SIZE_MAX / 2);
    assert_int_equal(j.taken, 20);
    for (size_t i = 20 + (size_t)j.places; i < ITEMS; i++)
        assert_int_equal(atomic_load(&j.begun[i]), 0);
}

static void a_runner_that_cannot_be_prepared_leaves_the_work_to_the_others(void **state)
{
    (void)state;
    static job j;
    j = (job){.each_bytes = 1, .only_first_runner = true};
    go(&j, HELPERS, SIZE_MAX / 2);
    assert_int_equal(j.taken, ITEMS);
    assert_int_equal(atomic_load(&j.at_runner[0]), ITEMS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_item_takes_its_steps_once_and_comes_out_in_order),
        cmocka_unit_test(what_fails_skips_its_later_steps_and_nobody_elses),
        cmocka_unit_test(bytes_under_way_are_bounded),
        cmocka_unit_test(stopping_begins_nothing_more),
        cmocka_unit_test(a_runner_that_cannot_be_prepared_leaves_the_work_to_the_others),
    };
    return cmocka_run_group_tests_name("pipeline", tests, NULL, NULL);
}
