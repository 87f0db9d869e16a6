/* sized: reading and writing the public structures that begin with a `size` field.  Base layer. */
#ifndef SEGRT_BASE_SIZED_H
#define SEGRT_BASE_SIZED_H

#include <string.h>

#include "base/error.h"

/* Copies the caller's structure (NULL: all defaults) into ours of `room` bytes, whose `size` becomes `room`; what the
 * caller was compiled without is zero.  Errors: ARGUMENT where `size` was not set. */
static inline segrt_status sized_read(void *into, size_t room, const void *from, const char *what, segrt_error *error)
{
    size_t size = sizeof size;
    if (from)
        memcpy(&size, from, sizeof size);
    if (size < sizeof size)
        return fail_with(error, SEGRT_ARGUMENT, "%s.size is not set: write sizeof of the structure there", what);
    memset(into, 0, room);
    if (from)
        memcpy(into, from, size < room ? size : room);
    memcpy(into, &room, sizeof room);
    return SEGRT_OK;
}

/* Copies ours of `room` bytes out to the caller's, as far as it goes; its `size` stays. */
static inline void sized_write(void *out, const void *from, size_t room)
{
    size_t size;
    memcpy(&size, out, sizeof size);
    if (size > room)
        size = room;
    if (size > sizeof size)
        memcpy((char *)out + sizeof size, (const char *)from + sizeof size, size - sizeof size);
}

#endif
