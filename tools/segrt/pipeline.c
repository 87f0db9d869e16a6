/* pipeline: see pipeline.h.  One lock; a place holds one item from its beginning until it was taken.  Every step that ends makes
 * one thing possible and wakes one thread for it. */
#include "pipeline.h"

#include <pthread.h>
#include <stdlib.h>

enum { MOST_THREADS = 1024 };

typedef enum place_state {
    PLACE_EMPTY,
    PLACE_AT_WORK, /* some thread has it */
    PLACE_BEGUN,   /* to be run */
    PLACE_RUN,     /* to be ended */
    PLACE_DONE,    /* to be taken */
} place_state;

typedef struct place {
    place_state state;
    bool fine;
    size_t item, bytes;
} place;

typedef struct flow {
    const pipeline *p;
    pthread_mutex_t lock;
    pthread_cond_t helpers, runners, caller;
    place *places;
    size_t next, taken;             /* item to be begun; items taken */
    size_t bytes, largest, unknown; /* under way; the largest of an item so far; items whose size is not known yet */
    bool short_of_bytes;            /* a helper waits, though there is a place */
    bool stopping;
} flow;

typedef struct flow_thread {
    flow *f;
    int runner; /* -1: a helper */
    pthread_t handle;
} flow_thread;

/* The first item in a state, or NULL. */
static place *find(const flow *f, place_state state)
{
    place *first = NULL;
    for (int i = 0; i < f->p->places; i++)
        if (f->places[i].state == state && (!first || f->places[i].item < first->item))
            first = &f->places[i];
    return first;
}

/* Whether there is a place for the next item, and room for one as large as the largest so far.  Sizes are unknown at first:
 * then one goes ahead. */
static bool may_begin(flow *f)
{
    if (f->stopping || f->next == f->p->count || f->places[f->next % (size_t)f->p->places].state != PLACE_EMPTY)
        return false;
    if (!f->bytes && !f->unknown)
        return true;
    const bool fits = f->largest && f->bytes + (f->unknown + 1) * f->largest <= f->p->most_bytes;
    f->short_of_bytes = f->short_of_bytes || !fits;
    return fits;
}

/* Bytes have become known or free: several may be waiting for them. */
static void wake_waiting(flow *f)
{
    if (f->short_of_bytes)
        pthread_cond_broadcast(&f->helpers);
    f->short_of_bytes = false;
}

/* Ends a step: the item goes on, or to the caller where it failed. */
static void pass_on(flow *f, place *at, bool fine, place_state then)
{
    at->fine = fine;
    at->state = fine ? then : PLACE_DONE;
    if (at->state == PLACE_BEGUN)
        pthread_cond_signal(&f->runners);
    else if (at->state == PLACE_RUN)
        pthread_cond_signal(&f->helpers);
    else if (at->item == f->taken)
        pthread_cond_signal(&f->caller);
}

/* Ending goes before beginning: what is nearly done holds memory. */
static void help(flow *f)
{
    const pipeline *p = f->p;
    place *at;
    for (;;) {
        if ((at = find(f, PLACE_RUN))) {
            at->state = PLACE_AT_WORK;
            pthread_mutex_unlock(&f->lock);
            const bool fine = p->end(p->user, at->item, (int)(at - f->places));
            pthread_mutex_lock(&f->lock);
            pass_on(f, at, fine, PLACE_DONE);
        } else if (may_begin(f)) {
            size_t bytes = 0;
            at = &f->places[f->next % (size_t)p->places];
            *at = (place){.state = PLACE_AT_WORK, .item = f->next++};
            f->unknown++;
            pthread_mutex_unlock(&f->lock);
            const bool fine = p->begin(p->user, at->item, (int)(at - f->places), &bytes);
            pthread_mutex_lock(&f->lock);
            f->unknown--;
            at->bytes = bytes;
            f->bytes += bytes;
            f->largest = bytes > f->largest ? bytes : f->largest;
            pass_on(f, at, fine, PLACE_BEGUN);
            wake_waiting(f);
        } else if (f->stopping || f->taken == p->count)
            return;
        else
            pthread_cond_wait(&f->helpers, &f->lock);
    }
}

static void run(flow *f, int runner)
{
    const pipeline *p = f->p;
    pthread_mutex_unlock(&f->lock);
    const bool ready = !p->prepare || p->prepare(p->user, runner);
    pthread_mutex_lock(&f->lock);
    while (ready && !f->stopping && f->taken < p->count) {
        place *at = find(f, PLACE_BEGUN);
        if (!at) {
            pthread_cond_wait(&f->runners, &f->lock);
            continue;
        }
        at->state = PLACE_AT_WORK;
        pthread_mutex_unlock(&f->lock);
        const bool fine = p->run(p->user, at->item, (int)(at - f->places), runner);
        pthread_mutex_lock(&f->lock);
        pass_on(f, at, fine, PLACE_RUN);
    }
}

static void *thread_main(void *data)
{
    const flow_thread *t = data;
    pthread_mutex_lock(&t->f->lock);
    if (t->runner >= 0)
        run(t->f, t->runner);
    else
        help(t->f);
    pthread_mutex_unlock(&t->f->lock);
    return NULL;
}

/* The caller's part: results in order. */
static void take_all(flow *f)
{
    const pipeline *p = f->p;
    pthread_mutex_lock(&f->lock);
    while (f->taken < p->count && !f->stopping) {
        place *at = &f->places[f->taken % (size_t)p->places];
        if (at->state != PLACE_DONE || at->item != f->taken) {
            pthread_cond_wait(&f->caller, &f->lock);
            continue;
        }
        pthread_mutex_unlock(&f->lock);
        const bool on = p->done(p->user, at->item, (int)(at - f->places), at->fine);
        pthread_mutex_lock(&f->lock);
        f->bytes -= at->bytes;
        at->state = PLACE_EMPTY;
        f->taken++;
        f->stopping = !on;
        pthread_cond_signal(&f->helpers); /* for the place */
        wake_waiting(f);
    }
    pthread_cond_broadcast(&f->helpers);
    pthread_cond_broadcast(&f->runners);
    pthread_mutex_unlock(&f->lock);
}

/* All on one thread: the same steps in the same order. */
static void run_alone(const pipeline *p)
{
    bool on = true;
    for (size_t item = 0; on && item < p->count; item++) {
        size_t bytes;
        const bool fine = p->begin(p->user, item, 0, &bytes) && p->run(p->user, item, 0, 0) && p->end(p->user, item, 0);
        on = p->done(p->user, item, 0, fine);
    }
}

pipeline_threads pipeline_run(const pipeline *p)
{
    pipeline_threads started = {0};
    flow f = {.p = p};
    flow_thread threads[MOST_THREADS];
    int count = 0;
    f.places = p->helpers > 0 && p->runners > 0 && p->places > 1 ? calloc((size_t)p->places, sizeof *f.places) : NULL;
    if (!f.places) {
        run_alone(p);
        return started;
    }
    pthread_mutex_init(&f.lock, NULL);
    pthread_cond_init(&f.helpers, NULL);
    pthread_cond_init(&f.runners, NULL);
    pthread_cond_init(&f.caller, NULL);
    pthread_mutex_lock(&f.lock); /* nobody begins before it is known whether there are both kinds */
    for (int i = 0; i < p->runners + p->helpers && count < MOST_THREADS; i++) {
        threads[count] = (flow_thread){.f = &f, .runner = i == 0 ? 0 : i <= p->helpers ? -1 : i - p->helpers};
        if (pthread_create(&threads[count].handle, NULL, thread_main, &threads[count]))
            break;
        started.runners += threads[count].runner >= 0;
        started.helpers += threads[count].runner < 0;
        count++;
    }
    const bool both = started.runners && started.helpers;
    f.stopping = !both;
    pthread_mutex_unlock(&f.lock);
    if (both)
        take_all(&f);
    for (int i = 0; i < count; i++)
        pthread_join(threads[i].handle, NULL);
    pthread_cond_destroy(&f.caller);
    pthread_cond_destroy(&f.runners);
    pthread_cond_destroy(&f.helpers);
    pthread_mutex_destroy(&f.lock);
    free(f.places);
    if (!both) {
        run_alone(p);
        return (pipeline_threads){0};
    }
    return started;
}

int pipeline_places(int helpers, int runners)
{
    return 2 * (helpers + runners);
}
