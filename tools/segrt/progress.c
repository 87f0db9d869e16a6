/* progress: see progress.h. */
#include "progress.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

progress progress_begin(size_t total, const char *unit)
{
    const double now = seconds_now();
    return (progress){.shown = isatty(STDERR_FILENO) && total != 1, .total = total, .begin = now, .last = now, .unit = unit};
}

void progress_step(progress *p)
{
    enum { BAR = 24 };
    const double now = seconds_now();
    p->done++;
    if (!p->shown || (now - p->last < 0.1 && p->done != p->total))
        return;
    p->last = now;
    const double rate = (double)p->done / (now - p->begin + 1e-9);
    fprintf(stderr, "\r\033[K");
    if (p->total) {
        const size_t filled = p->done * BAR / p->total;
        const unsigned left = (unsigned)((double)(p->total - p->done) / rate + 0.5);
        fprintf(stderr, "[%.*s%.*s] %zu of %zu, %.1f %s a second, %u:%02u left", (int)filled, "########################", (int)(BAR - filled),
                "------------------------", p->done, p->total, rate, p->unit, left / 60, left % 60);
    } else
        fprintf(stderr, "%zu, %.1f %s a second", p->done, rate, p->unit);
    fflush(stderr);
}

void progress_clear(const progress *p)
{
    if (p->shown) {
        fprintf(stderr, "\r\033[K");
        fflush(stderr);
    }
}
