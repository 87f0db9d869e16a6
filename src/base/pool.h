/* pool: our own worker threads, shared by any number of sessions.  Base layer.
 *
 * A job is `count` independent pieces; whoever is free takes the next.  Results never depend on who
 * took what, so they are bit-identical for any number of threads.  Nobody spins after the work is
 * done; a caller may itself be a thread of another pool. */
#ifndef SEGRT_BASE_POOL_H
#define SEGRT_BASE_POOL_H

#include "base/error.h"

/* worker in [0, pool_workers()): index of a private workspace; piece in [0, count). */
typedef void pool_piece_fn(void *job, int worker, int piece);

segrt_status pool_open(segrt_pool **out, int threads, segrt_error *error);
void pool_close(segrt_pool *pool);

/* Workers that may run at once, the caller counted; at least 1.  A NULL pool has 1. */
int pool_workers(const segrt_pool *pool);

/* Runs all pieces and returns when the last is done.  A NULL pool runs them on the caller's thread.
 * Calls from several threads at once take turns.  Not from within a piece. */
void pool_run(segrt_pool *pool, int count, pool_piece_fn *piece, void *job);

/* Brackets a sequence of jobs that follow each other closely (the steps of a forward pass): between
 * them idle workers look for the next one for some microseconds before they sleep.  Optional; nests;
 * a NULL pool is accepted.  Each pool_enter needs its pool_leave. */
void pool_enter(segrt_pool *pool);
void pool_leave(segrt_pool *pool);

/* Processors that this process may use: affinity mask and cgroup quota; at least 1. */
int pool_processors(void);

#endif
