/* report: see report.h. */
#include "report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codecs/codecs.h"

void report_error(const char *subject, const segrt_error *error)
{
    const char *file = error->file[0] ? error->file : subject;
    fprintf(stderr, "segrt: %s%s%s", file ? file : "", file ? ": " : "", error->message[0] ? error->message : segrt_status_text(error->status));
    if (error->offset != SEGRT_NO_OFFSET && error->status == SEGRT_MALFORMED)
        fprintf(stderr, " (at byte %" PRIu64 ")", error->offset);
    fputc('\n', stderr);
}

void report(const char *format, ...)
{
    va_list arguments;
    fputs("segrt: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

segrt_status failed(segrt_error *error, segrt_status status, const char *file, const char *format, ...)
{
    va_list arguments;
    if (error->status)
        return status;
    *error = (segrt_error){.status = status, .offset = SEGRT_NO_OFFSET};
    const size_t length = file ? strlen(file) : 0, room = sizeof error->file - 1;
    snprintf(error->file, sizeof error->file, "%s", file ? file + (length > room ? length - room : 0) : "");
    va_start(arguments, format);
    vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    return status;
}

int exit_code_of(segrt_status status)
{
    switch (status) {
    case SEGRT_OK:
        return EXIT_DONE;
    case SEGRT_DEVICE:
        return EXIT_DEVICE;
    case SEGRT_ARGUMENT:
        return EXIT_USAGE;
    default:
        return EXIT_MODEL;
    }
}

bool report_json(json_t *value, const char *path)
{
    char *text = value ? json_dumps(value, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(value);
    if (!text) {
        report("out of memory for the JSON report");
        return false;
    }
    bool written;
    segrt_error error = {0};
    if (!strcmp(path, "-"))
        written = puts(text) >= 0 && report_flush();
    else {
        written = !codec_write(path, text, strlen(text), &error);
        if (!written)
            report_error(path, &error);
    }
    free(text);
    return written;
}

bool report_flush(void)
{
    if (!fflush(stdout) && !ferror(stdout))
        return true;
    report("stdout: cannot write: %s", strerror(errno));
    return false;
}
