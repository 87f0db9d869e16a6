/* file_map: a file's bytes, mapped read-only.  Base layer. */
#ifndef SEGRT_BASE_FILE_MAP_H
#define SEGRT_BASE_FILE_MAP_H

#include <stddef.h>

#include "base/error.h"

typedef struct file_map {
    const void *data; /* never NULL while open, also for an empty file */
    size_t size;
    bool mapped;      /* else borrowed from the caller's memory */
} file_map;

/* Maps a regular file.  Errors: IO (missing, a folder, unreadable), named with the operating system's words. */
segrt_status file_map_open(file_map *out, const char *path, segrt_error *error);

/* A view of memory that the caller keeps. */
file_map file_map_of(const void *data, size_t size);

void file_map_close(file_map *map);

#endif
