/* file_map: see file_map.h. */
#include "base/file_map.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

segrt_status file_map_open(file_map *out, const char *path, segrt_error *error)
{
    *out = (file_map){0};
    segrt_status status = SEGRT_OK;
    struct stat facts;
    const int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* O_NONBLOCK: a pipe of that name must not hang */
    if (file < 0)
        status = fail_with(error, SEGRT_IO, "cannot open: %s", strerror(errno));
    else if (fstat(file, &facts))
        status = fail_with(error, SEGRT_IO, "cannot read its size: %s", strerror(errno));
    else if (!S_ISREG(facts.st_mode))
        status = fail_with(error, SEGRT_IO, S_ISDIR(facts.st_mode) ? "is a folder, not a file" : "is not a regular file");
    else if (facts.st_size == 0)
        *out = file_map_of("", 0);
    else {
        void *data = mmap(NULL, (size_t)facts.st_size, PROT_READ, MAP_PRIVATE, file, 0);
        if (data == MAP_FAILED)
            status = fail_with(error, SEGRT_IO, "cannot map: %s", strerror(errno));
        else
            *out = (file_map){.data = data, .size = (size_t)facts.st_size, .mapped = true};
    }
    if (file >= 0)
        close(file);
    if (status)
        error_in_file(error, path);
    return status;
}

file_map file_map_of(const void *data, size_t size) { return (file_map){.data = data, .size = size}; }

void file_map_close(file_map *map)
{
    if (map->mapped)
        munmap((void *)map->data, map->size);
    *map = (file_map){0};
}
