/* bytes: a cursor over untrusted bytes that cannot leave them.  Base layer; every reader of a model
 * file stands on it.
 *
 * A read that would pass the end reads nothing, returns zero and marks the cursor as broken; from
 * then on every read does.  A parser may therefore read a whole record and ask `bytes_ok` once. */
#ifndef SEGRT_BASE_BYTES_H
#define SEGRT_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct bytes {
    const uint8_t *begin; /* borrowed: the caller keeps it alive */
    size_t size;
    size_t at;            /* next byte to read, at <= size */
    bool broken;
} bytes;

static inline bytes bytes_of(const void *data, size_t size) { return (bytes){.begin = data, .size = size}; }
static inline bool bytes_ok(const bytes *b) { return !b->broken; }
static inline size_t bytes_left(const bytes *b) { return b->broken ? 0 : b->size - b->at; }

/* The next `count` bytes without copying them, or NULL (and broken) where fewer are left. */
const uint8_t *bytes_take(bytes *b, size_t count);

/* Little-endian integers. */
uint16_t bytes_u16(bytes *b);
uint32_t bytes_u32(bytes *b);
uint64_t bytes_u64(bytes *b);

/* A base-128 varint as in Protocol Buffers (encoding specification, "Base 128 Varints"): at most ten
 * bytes, the tenth at most 1, else broken. */
uint64_t bytes_varint(bytes *b);

/* A part of the rest as a cursor of its own; what is read there does not move `b` further.  `count`
 * beyond the rest breaks `b` and gives an empty, broken cursor. */
bytes bytes_sub(bytes *b, size_t count);

#endif
