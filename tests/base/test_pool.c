/* What pool.h promises, and the processors that it counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/pool.h"
#include "base/processors.h"

enum { PIECES = 257 };

typedef struct tally {
    atomic_int taken[PIECES];
    atomic_int at_once, most_at_once, wrong_worker;
    int workers;
} tally;

static void count_piece(void *job, int worker, int piece)
{
    tally *t = job;
    const int now = atomic_fetch_add(&t->at_once, 1) + 1;
    int most = atomic_load(&t->most_at_once);
    while (now > most && !atomic_compare_exchange_weak(&t->most_at_once, &most, now))
        ;
    if (worker < 0 || worker >= t->workers)
        atomic_fetch_add(&t->wrong_worker, 1);
    atomic_fetch_add(&t->taken[piece], 1);
    atomic_fetch_sub(&t->at_once, 1);
}

static void every_piece_runs_once_whatever_the_number_of_threads(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 5; threads++) {
        segrt_pool *pool;
        assert_int_equal(pool_open(&pool, threads, NULL), SEGRT_OK);
        assert_int_equal(pool_workers(pool), threads);
        for (int count = 0; count <= PIECES; count += 1 + count / 3) {
            static tally t;
            memset(&t, 0, sizeof t);
            t.workers = threads;
            pool_run(pool, count, count_piece, &t);
            for (int i = 0; i < PIECES; i++)
                assert_int_equal(t.taken[i], i < count);
            assert_int_equal(t.wrong_worker, 0);
            assert_true(t.most_at_once <= threads);
        }
        pool_close(pool);
    }
}

static void no_pool_runs_on_the_callers_thread(void **state)
{
    (void)state;
    static tally t;
    memset(&t, 0, sizeof t);
    t.workers = 1;
    pool_enter(NULL);
    pool_run(NULL, 3, count_piece, &t);
    pool_leave(NULL);
    assert_int_equal(t.taken[0] + t.taken[1] + t.taken[2], 3);
    assert_int_equal(pool_workers(NULL), 1);
    pool_close(NULL);
}

typedef struct exclusive {
    int *cells; /* one a worker: two jobs at once would race on them */
    atomic_int collisions;
    atomic_int busy[8];
} exclusive;

static void take_worker_cell(void *job, int worker, int piece)
{
    exclusive *e = job;
    (void)piece;
    if (atomic_exchange(&e->busy[worker], 1))
        atomic_fetch_add(&e->collisions, 1);
    e->cells[worker]++;
    atomic_store(&e->busy[worker], 0);
}

typedef struct caller {
    segrt_pool *pool;
    exclusive *shared;
} caller;

static void *call_many_times(void *argument)
{
    caller *c = argument;
    for (int i = 0; i < 200; i++) {
        pool_enter(c->pool);
        pool_run(c->pool, 1 + i % 9, take_worker_cell, c->shared);
        pool_run(c->pool, 7, take_worker_cell, c->shared);
        pool_leave(c->pool);
    }
    return NULL;
}

static void callers_from_several_threads_take_turns(void **state)
{
    (void)state;
    int cells[8] = {0};
    exclusive shared = {.cells = cells};
    caller c = {.shared = &shared};
    assert_int_equal(pool_open(&c.pool, 3, NULL), SEGRT_OK);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, call_many_times, &c), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    pool_close(c.pool);
    int expected = 0, sum = 0;
    for (int i = 0; i < 200; i++)
        expected += 4 * (1 + i % 9 + 7);
    for (int i = 0; i < 8; i++)
        sum += cells[i];
    assert_int_equal(sum, expected);
    assert_int_equal(shared.collisions, 0);
}

static void a_pool_that_never_ran_closes(void **state)
{
    (void)state;
    segrt_pool *pool;
    for (int i = 0; i < 20; i++) {
        assert_int_equal(pool_open(&pool, 4, NULL), SEGRT_OK);
        pool_close(pool);
    }
}

static void impossible_thread_counts_are_refused(void **state)
{
    (void)state;
    segrt_pool *pool = (segrt_pool *)&pool;
    segrt_error error = {0};
    assert_int_equal(pool_open(&pool, -1, &error), SEGRT_ARGUMENT);
    assert_null(pool);
    assert_non_null(strstr(error.message, "-1 threads"));
}

static void *refuse_second(void *user, size_t bytes, size_t alignment)
{
    int *left = user;
    return (*left)-- > 0 ? aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment) : NULL;
}

static void release(void *user, void *memory)
{
    (void)user;
    free(memory);
}

static void a_failed_allocation_is_survived(void **state)
{
    (void)state;
    for (int allowed = 0; allowed < 2; allowed++) {
        int left = allowed;
        segrt_set_allocator(&(segrt_allocator){.user = &left, .allocate = refuse_second, .release = release});
        segrt_pool *pool;
        assert_int_equal(pool_open(&pool, 2, NULL), SEGRT_NO_MEMORY);
        assert_null(pool);
        segrt_set_allocator(NULL);
    }
}

static void put(const char *root, const char *name, const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", root, name);
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void the_least_cgroup_quota_of_the_way_up_counts(void **state)
{
    (void)state;
    char root[] = "/tmp/segrt-cgroup-XXXXXX", command[64];
    assert_non_null(mkdtemp(root));
    assert_int_equal(processors_quota(root), 0);
    put(root, "proc/self/cgroup", "0::/user/job\n");
    put(root, "sys/fs/cgroup/user/job/cpu.max", "max 100000\n");
    assert_int_equal(processors_quota(root), 0);
    put(root, "sys/fs/cgroup/user/cpu.max", "350000 100000\n");
    assert_int_equal(processors_quota(root), 4);
    put(root, "sys/fs/cgroup/user/job/cpu.max", "150000 100000\n");
    assert_int_equal(processors_quota(root), 2);
    put(root, "proc/self/cgroup", "5:memory:/x\n3:cpu,cpuacct:/job\n");
    put(root, "sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "-1\n");
    put(root, "sys/fs/cgroup/cpu/job/cpu.cfs_period_us", "100000\n");
    assert_int_equal(processors_quota(root), 0);
    put(root, "sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "250000\n");
    assert_int_equal(processors_quota(root), 3);
    put(root, "proc/self/cgroup", "garbage\n::\n:::\n");
    processors_quota(root);
    snprintf(command, sizeof command, "rm -r %s", root);
    assert_int_equal(system(command), 0);
    assert_true(pool_processors() >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_piece_runs_once_whatever_the_number_of_threads),
        cmocka_unit_test(no_pool_runs_on_the_callers_thread),
        cmocka_unit_test(callers_from_several_threads_take_turns),
        cmocka_unit_test(a_pool_that_never_ran_closes),
        cmocka_unit_test(impossible_thread_counts_are_refused),
        cmocka_unit_test(a_failed_allocation_is_survived),
        cmocka_unit_test(the_least_cgroup_quota_of_the_way_up_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
