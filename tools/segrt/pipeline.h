/* pipeline: work on a list of items in three steps that overlap: helper threads begin and end items (decode, encode), runner
 * threads run them in between (one session each), the caller's thread takes the results in the list's order.  The program.
 *
 * An item's place is `item % places`: at most so many are under way, and their bytes are bounded too. */
#ifndef SEGRT_PROGRAM_PIPELINE_H
#define SEGRT_PROGRAM_PIPELINE_H

#include <stdbool.h>
#include <stddef.h>

typedef struct pipeline {
    size_t count;         /* items */
    int helpers, runners; /* threads; helpers 0: everything happens on the caller's, item by item */
    int places;           /* items under way at most */
    size_t most_bytes;    /* of all that are under way, as begin() tells them; a single item may have more */
    void *user;           /* passed on */
    /* On a helper.  False: the item failed, and goes to done() at once. */
    bool (*begin)(void *user, size_t item, int place, size_t *bytes);
    /* On runner 0..runners-1; runner 0 is the caller's thread where there are no helpers. */
    bool (*run)(void *user, size_t item, int place, int runner);
    /* On a helper. */
    bool (*end)(void *user, size_t item, int place);
    /* On the caller's thread, in order, with what the steps before came to.  False: what is left is not begun. */
    bool (*done)(void *user, size_t item, int place, bool fine);
    /* On a runner's thread, before its first item.  False: this runner does nothing (never for runner 0); NULL: nothing to do. */
    bool (*prepare)(void *user, int runner);
} pipeline;

/* How many threads there were in the end: fewer than asked for where they could not be started. */
typedef struct pipeline_threads {
    int helpers, runners;
} pipeline_threads;

/* Returns when all is done or done() said to stop, and all threads have ended. */
pipeline_threads pipeline_run(const pipeline *p);

/* Places that keep all threads busy: each has an item at hand and the next waiting. */
int pipeline_places(int helpers, int runners);

#endif
