/* log: see log.h. */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

static struct {
    segrt_log_fn *log;
    void *user;
} sink; /* process-wide, set before anything runs */

void segrt_set_log(segrt_log_fn *log, void *user)
{
    sink.log = log;
    sink.user = user;
}

void log_line(segrt_log_level level, const char *format, ...)
{
    if (!sink.log)
        return;
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    sink.log(sink.user, level, line);
}
