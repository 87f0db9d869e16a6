/* spent: where the time of a job of many pictures went, and what bounds it.  The program. */
#ifndef SEGRT_PROGRAM_SPENT_H
#define SEGRT_PROGRAM_SPENT_H

#include <jansson.h>

#include "scene.h"

typedef struct spent {
    double wall;                                                        /* seconds from begin to end */
    int threads, sessions;                                              /* threads 0: one thread did everything in turn */
    double decode, prepare, network, copy_in, compute, copy_out, write; /* seconds of all pictures; copies and compute lie inside network */
} spent;

/* Adds a picture. */
void spent_add(spent *total, const scene *s);

/* What bounds the job: the larger part of whichever is busier, the threads (decode, write) or the sessions (prepare, copy, compute,
 * and what the host does around them: "launch"; "network" where a device does not tell). */
const char *spent_bound(const spent *s);

/* One line: "bound by compute: 3 sessions 97 % busy (prepare 1, ...), 13 threads 41 % busy (decode 12, write 29)". */
void spent_print(const spent *s, FILE *to);
json_t *spent_json(const spent *s);

#endif
