/* engine_save: writing; see engine_file.h.  All sizes are known before the first byte goes out, so the file is written
 * from front to back, the checksum last. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "network/checksum.h"
#include "network/engine_file.h"
#include "network/engine_sections.h"
#include "network/weights_list.h"

typedef struct writer {
    int file;
    uint64_t at;
    checksum sum;
    segrt_status status; /* sticks */
    segrt_error *error;
} writer;

static void put(writer *w, const void *data, size_t size)
{
    const uint8_t *from = data;
    while (!w->status && size) {
        const ssize_t done = pwrite(w->file, from, size, (off_t)w->at);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0) {
            w->status = fail_with(w->error, SEGRT_IO, "cannot write the engine: %s", strerror(done ? errno : ENOSPC));
            return;
        }
        from += done;
        size -= (size_t)done;
        w->at += (uint64_t)done;
    }
}

/* Numbers of an array, then zeros up to the next block. */
static void put_padded(writer *w, const void *data, size_t size)
{
    const size_t whole = size / CHECKSUM_BLOCK * CHECKSUM_BLOCK, rest = size - whole;
    uint8_t block[CHECKSUM_BLOCK] = {0};
    checksum_add(&w->sum, data, whole / CHECKSUM_BLOCK);
    put(w, data, whole);
    if (!rest)
        return;
    memcpy(block, (const uint8_t *)data + whole, rest);
    checksum_add(&w->sum, block, 1);
    put(w, block, sizeof block);
}

static void measure(void *user, weights *array, uint64_t count)
{
    (void)array;
    *(uint64_t *)user += engine_padded(count);
}

static void put_weights(void *user, weights *array, uint64_t count)
{
    if (array->count == count && array->f32)
        put_padded(user, array->f32, (size_t)count * sizeof(float));
    else
        ((writer *)user)->status =
            fail_with(((writer *)user)->error, SEGRT_ARGUMENT, "the network's weights do not fit its shapes, or are float64");
}

/* The fields of the small sections, to be counted or written. */
static void put_fields(record *r, engine_section which, struct segrt_engine *engine)
{
    if (which == SECTION_NETWORK)
        engine_record_network(r, engine->net);
    else if (which == SECTION_MODEL)
        engine_record_model(r, engine);
    else
        engine_record_operations(r, engine);
}

static void put_number(uint8_t *to, uint64_t value, size_t width)
{
    for (size_t i = 0; i < width; i++)
        to[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t aligned(uint64_t at)
{
    return (at + ENGINE_ALIGNMENT - 1) / ENGINE_ALIGNMENT * ENGINE_ALIGNMENT;
}

/* Header, table and small sections in one buffer of *size bytes; NULL without memory. */
static uint8_t *front_of(struct segrt_engine *engine, uint64_t *size)
{
    uint64_t offset[ENGINE_SECTIONS], length[ENGINE_SECTIONS] = {0},
                                      at = aligned(ENGINE_HEADER_BYTES + ENGINE_SECTIONS * ENGINE_ENTRY_BYTES);
    for (engine_section which = 0; which < ENGINE_SECTIONS; which++) {
        record count = {.mode = RECORD_COUNT};
        if (which == SECTION_WEIGHTS)
            weights_visit(engine->net, measure, &length[which]);
        else
            put_fields(&count, which, engine);
        length[which] += count.size;
        offset[which] = at;
        at = aligned(at + length[which]);
    }
    *size = offset[SECTION_WEIGHTS]; /* the last */
    uint8_t *front = memory_get_cleared((size_t)*size, 1);
    if (!front)
        return NULL;
    memcpy(front, engine_magic, sizeof engine_magic);
    put_number(front + 8, ENGINE_VERSION, 4);
    put_number(front + 12, ENGINE_SECTIONS, 4);
    put_number(front + 16, at, 8);
    for (engine_section which = 0; which < ENGINE_SECTIONS; which++) {
        uint8_t *entry = front + ENGINE_HEADER_BYTES + (size_t)which * ENGINE_ENTRY_BYTES;
        memcpy(entry, engine_section_name[which], 4);
        put_number(entry + 8, offset[which], 8);
        put_number(entry + 16, length[which], 8);
        record r = {.mode = RECORD_WRITE, .out = front + offset[which]};
        if (which != SECTION_WEIGHTS)
            put_fields(&r, which, engine);
    }
    return front;
}

segrt_status engine_file_write_to(const segrt_engine *engine, int file, segrt_error *error)
{
    struct segrt_engine *source = (struct segrt_engine *)engine; /* the shared walks take what they could fill; writing changes nothing */
    const uint16_t one = 1;
    uint8_t first;
    memcpy(&first, &one, 1);
    if (!first)
        return fail_with(error, SEGRT_UNSUPPORTED, "engine files are little-endian and used in place; this machine is not");
    segrt_status status = engine_check_network(source->net, error);
    if (!status)
        status = engine_check_rest(source, error);
    if (status)
        return status;
    uint64_t size;
    uint8_t *front = front_of(source, &size);
    if (!front)
        return fail_memory(error, (size_t)size, "the engine's front");
    writer w = {.file = file, .sum = checksum_start(), .error = error};
    put_padded(&w, front, (size_t)size);
    memory_free(front);
    weights_visit(source->net, put_weights, &w);
    uint8_t sum[8];
    put_number(sum, checksum_end(&w.sum), sizeof sum);
    w.at = ENGINE_CHECKSUM_AT;
    put(&w, sum, sizeof sum);
    return w.status;
}

/* A new file beside `path`, its name in *name; -1 with the error recorded. */
static int open_aside(const char *path, char **name, segrt_error *error)
{
    enum { TRIES = 100 };
    const size_t room = strlen(path) + 64;
    *name = memory_get(room);
    if (!*name) {
        fail_memory(error, room, "a file name");
        return -1;
    }
    for (int i = 0; i < TRIES; i++) {
        snprintf(*name, room, "%s.%ld-%d.tmp", path, (long)getpid(), i);
        const int file = open(*name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (file >= 0 || errno != EEXIST) {
            if (file < 0)
                fail_with(error, SEGRT_IO, "cannot create '%s': %s", *name, strerror(errno));
            return file;
        }
    }
    fail_with(error, SEGRT_IO, "cannot create '%s': it exists", *name);
    return -1;
}

/* The rename itself becomes durable; a file system that can't do that is no reason to fail. */
static void sync_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = memory_copy_text(slash ? path : ".");
    if (!folder)
        return;
    if (slash)
        folder[slash == path ? 1 : slash - path] = 0;
    const int file = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (file >= 0) {
        fsync(file);
        close(file);
    }
    memory_free(folder);
}

segrt_status engine_file_write(const segrt_engine *engine, const char *path, segrt_error *error)
{
    struct stat facts;
    char *name = NULL;
    segrt_status status = SEGRT_OK;
    int file = -1;
    if (!stat(path, &facts) && !S_ISREG(facts.st_mode)) { /* a device must not be renamed over */
        status = fail_with(error, SEGRT_IO, S_ISDIR(facts.st_mode) ? "is a folder, not a file" : "is not a regular file");
    } else {
        file = open_aside(path, &name, error);
        status = file < 0 ? (name ? SEGRT_IO : SEGRT_NO_MEMORY) : engine_file_write_to(engine, file, error);
    }
    if (file >= 0) {
        if (!status && fsync(file))
            status = fail_with(error, SEGRT_IO, "cannot sync the engine: %s", strerror(errno));
        if (close(file) && !status)
            status = fail_with(error, SEGRT_IO, "cannot close the engine: %s", strerror(errno));
        if (!status && rename(name, path))
            status = fail_with(error, SEGRT_IO, "cannot rename '%s': %s", name, strerror(errno));
        if (status)
            unlink(name);
        else
            sync_folder(path);
    }
    memory_free(name);
    if (status)
        error_in_file(error, path);
    return status;
}
