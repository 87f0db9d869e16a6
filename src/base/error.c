/* error: see error.h. */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static segrt_status record(segrt_error *error, segrt_status status, uint64_t offset, const char *format, va_list arguments)
{
    if (error && error->status == SEGRT_OK) {
        vsnprintf(error->message, sizeof error->message, format, arguments);
        error->status = status;
        error->offset = offset;
    }
    return status;
}

segrt_status fail_with(segrt_error *error, segrt_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    record(error, status, SEGRT_NO_OFFSET, format, arguments);
    va_end(arguments);
    return status;
}

segrt_status fail_at(segrt_error *error, segrt_status status, uint64_t offset, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    record(error, status, offset, format, arguments);
    va_end(arguments);
    return status;
}

void error_in_file(segrt_error *error, const char *file)
{
    if (!error || error->status == SEGRT_OK || error->file[0])
        return;
    const size_t length = strlen(file), room = sizeof error->file - 1;
    if (length <= room)
        memcpy(error->file, file, length + 1);
    else
        snprintf(error->file, sizeof error->file, "...%s", file + length - (room - 3));
}

segrt_status fail_memory(segrt_error *error, size_t bytes, const char *what)
{
    return fail_with(error, SEGRT_NO_MEMORY, "out of memory: %zu bytes for %s", bytes, what);
}

const char *segrt_status_text(segrt_status status)
{
    static const char *const texts[] = {
        [SEGRT_OK] = "ok",
        [SEGRT_ARGUMENT] = "wrong argument",
        [SEGRT_NO_MEMORY] = "out of memory",
        [SEGRT_IO] = "input/output error",
        [SEGRT_MALFORMED] = "malformed file",
        [SEGRT_UNSUPPORTED] = "unsupported",
        [SEGRT_NOT_SEGFORMER] = "not a SegFormer",
        [SEGRT_SHAPE] = "shape out of range",
        [SEGRT_DEVICE] = "device error",
        [SEGRT_CANCELLED] = "cancelled",
    };
    return (size_t)status < sizeof texts / sizeof *texts ? texts[status] : "unknown status";
}

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

const char *segrt_version(void)
{
    return TEXT(SEGRT_VERSION_MAJOR) "." TEXT(SEGRT_VERSION_MINOR) "." TEXT(SEGRT_VERSION_PATCH);
}
