/* record: one description of a section's fields for both ways, so that what is written is what is read.  Little-endian,
 * without gaps.  Network layer, for engine files. */
#ifndef SEGRT_NETWORK_RECORD_H
#define SEGRT_NETWORK_RECORD_H

#include "base/bytes.h"
#include "base/memory.h"

enum { RECORD_TEXT_CAP = 1 << 16 }; /* bytes of a text; longer ones are cut when written, refused when read */

typedef enum record_mode { RECORD_COUNT, RECORD_WRITE, RECORD_READ } record_mode;

typedef struct record {
    record_mode mode;
    uint8_t *out;  /* RECORD_WRITE: room for what RECORD_COUNT counted */
    size_t size;   /* bytes counted or written so far */
    bytes in;      /* RECORD_READ; broken where the section is too short or a text is malformed */
    arena *memory; /* RECORD_READ: where texts go */
    bool no_memory;
} record;

/* Each writes *value, or reads into it (zero where the section ends too early). */
void record_u32(record *r, uint32_t *value);
void record_u64(record *r, uint64_t *value);
void record_int(record *r, int32_t *value);
void record_f32(record *r, float *value);
void record_f64(record *r, double *value);
void record_raw(record *r, void *data, size_t count); /* bytes as they are */

/* Length and bytes; NULL is written as "".  Read into r->memory; "" where that fails. */
void record_text(record *r, const char **text);

#endif
