/* progress: a line on the terminal that tells how far long work is, its rate and what remains.  The program.
 * Where stderr is no terminal, nothing is shown. */
#ifndef SEGRT_PROGRAM_PROGRESS_H
#define SEGRT_PROGRAM_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct progress {
    bool shown;
    size_t done, total; /* total 0: not known */
    double begin, last; /* seconds */
    const char *unit;   /* "pictures" */
} progress;

progress progress_begin(size_t total, const char *unit);
void progress_step(progress *p);
/* Takes the line away: before another line is printed, and at the end. */
void progress_clear(const progress *p);

/* Seconds of a clock that only goes forward. */
double seconds_now(void);

#endif
