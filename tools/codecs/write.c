/* write: a file appears whole or not at all.  See codecs.h. */
#include "codecs/decode.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int write_all(int file, const uint8_t *data, size_t size)
{
    while (size > 0) {
        const ssize_t done = write(file, data, size);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return errno;
        data += done;
        size -= (size_t)done;
    }
    return 0;
}

/* A pipe or a device: nothing to rename there. */
static int write_straight(const char *path, const void *data, size_t size)
{
    const int file = open(path, O_WRONLY | O_CLOEXEC);
    if (file < 0)
        return errno;
    const int failed = write_all(file, data, size);
    return close(file) && !failed ? errno : failed;
}

static int write_aside(const char *path, const void *data, size_t size)
{
    char aside[PATH_MAX];
    int file = -1;
    for (unsigned n = 0; file < 0 && n < 1000; n++) { /* another process or thread may be at the same path */
        if ((size_t)snprintf(aside, sizeof aside, "%s.%ld-%u.part", path, (long)getpid(), n) >= sizeof aside)
            return ENAMETOOLONG;
        file = open(aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (file < 0 && errno != EEXIST)
            return errno;
    }
    if (file < 0)
        return EEXIST;
    int failed = write_all(file, data, size);
    if (close(file) && !failed)
        failed = errno; /* where quotas and network file systems tell */
    if (!failed && rename(aside, path))
        failed = errno;
    if (failed)
        unlink(aside);
    return failed;
}

segrt_status codec_write(const char *path, const void *data, size_t size, segrt_error *error)
{
    struct stat facts;
    char *real = realpath(path, NULL); /* the file that a link leads to, not the link, is replaced */
    const bool special = !stat(path, &facts) && !S_ISREG(facts.st_mode);
    const int failed = special ? write_straight(path, data, size) : write_aside(real ? real : path, data, size);
    free(real);
    return failed ? codec_fail_in(error, codec_fail(error, SEGRT_IO, SEGRT_NO_OFFSET, "cannot write: %s", strerror(failed)), path)
                  : SEGRT_OK;
}
