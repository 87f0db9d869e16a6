/* pool: see pool.h.
 *
 * One job at a time.  It is published under the lock with a new generation number; a worker that sees
 * the number change joins under the lock, takes pieces by an atomic counter and leaves under the lock.
 * The caller takes pieces too, then closes the job and waits for those who joined, so no latecomer can
 * ever touch a job that is over. */
#include "base/pool.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "base/memory.h"

enum {
    MOST_THREADS = 1024,
    SPINS = 2000, /* about 20 to 40 us of pauses: a step of the network is longer than that, a wake-up from sleep costs 5 to 50 */
};

struct segrt_pool {
    pthread_mutex_t turn; /* held by the caller whose job runs */
    pthread_mutex_t lock; /* guards what follows, up to the atomics */
    pthread_cond_t work, done;
    pool_piece_fn *piece;
    void *job;
    int count;
    int joined; /* workers inside the job */
    bool open;  /* the job may be joined */
    bool closing;
    int workers; /* threads started, plus the caller */
    atomic_uint generation;
    atomic_int next;    /* piece */
    atomic_int entered; /* brackets open: idle workers spin a little */
    atomic_int inside;  /* copy of `joined` that the caller spins on */
    struct pool_thread {
        segrt_pool *pool;
        pthread_t handle;
        int worker;
    } *threads;
};

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void take_pieces(segrt_pool *pool, int worker, pool_piece_fn *piece, void *job, int count)
{
    for (;;) {
        const int i = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed);
        if (i >= count)
            return;
        piece(job, worker, i);
    }
}

static void *worker_main(void *argument)
{
    struct pool_thread *self = argument;
    segrt_pool *pool = self->pool;
    unsigned seen = 0;
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        while (!pool->closing && atomic_load(&pool->generation) == seen) {
            if (atomic_load(&pool->entered) > 0) {
                pthread_mutex_unlock(&pool->lock);
                for (int i = 0; i < SPINS && atomic_load_explicit(&pool->generation, memory_order_relaxed) == seen; i++)
                    relax();
                pthread_mutex_lock(&pool->lock);
                if (atomic_load(&pool->generation) != seen || pool->closing)
                    break;
            }
            pthread_cond_wait(&pool->work, &pool->lock);
        }
        if (pool->closing)
            break;
        seen = atomic_load(&pool->generation);
        if (!pool->open)
            continue;
        pool->joined++;
        atomic_store(&pool->inside, pool->joined);
        pool_piece_fn *piece = pool->piece;
        void *job = pool->job;
        const int count = pool->count;
        pthread_mutex_unlock(&pool->lock);
        take_pieces(pool, self->worker, piece, job, count);
        pthread_mutex_lock(&pool->lock);
        pool->joined--;
        atomic_store(&pool->inside, pool->joined);
        if (!pool->joined && !pool->open)
            pthread_cond_signal(&pool->done);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

void pool_run(segrt_pool *pool, int count, pool_piece_fn *piece, void *job)
{
    if (!pool || pool->workers == 1 || count <= 1) {
        if (pool)
            pthread_mutex_lock(&pool->turn); /* worker 0's workspace is one caller's at a time */
        for (int i = 0; i < count; i++)
            piece(job, 0, i);
        if (pool)
            pthread_mutex_unlock(&pool->turn);
        return;
    }
    pthread_mutex_lock(&pool->turn);
    pthread_mutex_lock(&pool->lock);
    pool->piece = piece;
    pool->job = job;
    pool->count = count;
    pool->open = true;
    atomic_store(&pool->next, 0);
    atomic_fetch_add(&pool->generation, 1);
    if (count >= pool->workers)
        pthread_cond_broadcast(&pool->work);
    else
        for (int i = 1; i < count; i++)
            pthread_cond_signal(&pool->work);
    pthread_mutex_unlock(&pool->lock);

    take_pieces(pool, 0, piece, job, count);

    for (int i = 0; i < SPINS && atomic_load_explicit(&pool->inside, memory_order_relaxed) > 0; i++)
        relax();
    pthread_mutex_lock(&pool->lock);
    pool->open = false;
    while (pool->joined > 0)
        pthread_cond_wait(&pool->done, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
    pthread_mutex_unlock(&pool->turn);
}

void pool_enter(segrt_pool *pool)
{
    if (pool)
        atomic_fetch_add(&pool->entered, 1);
}

void pool_leave(segrt_pool *pool)
{
    if (pool)
        atomic_fetch_sub(&pool->entered, 1);
}

int pool_workers(const segrt_pool *pool) { return pool ? pool->workers : 1; }

/* Signals are the host program's business: our threads block them all. */
static int start_quietly(struct pool_thread *thread)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int refused = pthread_create(&thread->handle, NULL, worker_main, thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return refused;
}

segrt_status pool_open(segrt_pool **out, int threads, segrt_error *error)
{
    *out = NULL;
    if (threads < 0 || threads > MOST_THREADS)
        return fail_with(error, SEGRT_ARGUMENT, "%d threads: give 0 (as many as there are processors) to %d", threads, MOST_THREADS);
    if (threads == 0) {
        const int processors = pool_processors();
        threads = processors < MOST_THREADS ? processors : MOST_THREADS;
    }
    segrt_status status;
    segrt_pool *pool = memory_get_cleared(1, sizeof *pool);
    if (!pool)
        return fail_memory(error, sizeof *pool, "a thread pool");
    pthread_mutex_init(&pool->turn, NULL);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    pthread_cond_init(&pool->done, NULL);
    pool->workers = 1;
    pool->threads = memory_get_cleared((size_t)threads, sizeof *pool->threads);
    if (!pool->threads) {
        status = fail_memory(error, (size_t)threads * sizeof *pool->threads, "a thread pool");
        goto fail;
    }
    for (int i = 1; i < threads; i++) {
        struct pool_thread *thread = &pool->threads[i - 1];
        *thread = (struct pool_thread){.pool = pool, .worker = i};
        if (start_quietly(thread)) {
            status = fail_with(error, SEGRT_NO_MEMORY, "cannot start thread %d of %d: ask for fewer threads or raise the process's limit", i, threads);
            goto fail;
        }
        pthread_mutex_lock(&pool->lock);
        pool->workers++;
        pthread_mutex_unlock(&pool->lock);
    }
    *out = pool;
    return SEGRT_OK;
fail:
    pool_close(pool);
    return status;
}

void pool_close(segrt_pool *pool)
{
    if (!pool)
        return;
    pthread_mutex_lock(&pool->lock);
    pool->closing = true;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    for (int i = 0; i + 1 < pool->workers; i++)
        pthread_join(pool->threads[i].handle, NULL);
    pthread_cond_destroy(&pool->done);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->lock);
    pthread_mutex_destroy(&pool->turn);
    memory_free(pool->threads);
    memory_free(pool);
}
