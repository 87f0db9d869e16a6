/* wire: the fields of a Protocol Buffers message, one after the other.  Formats layer, under the ONNX
 * reader; source: the Protocol Buffers encoding specification.
 *
 * Nothing here recurses: a reader that descends into a message does so in its own code, as deep as that
 * code is written. */
#ifndef SEGRT_FORMATS_ONNX_WIRE_H
#define SEGRT_FORMATS_ONNX_WIRE_H

#include "base/bytes.h"
#include "base/error.h"

typedef enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 } wire_type;

typedef struct wire_field {
    uint32_t number;
    wire_type type;
    uint64_t value;    /* VARINT, FIXED64, FIXED32 */
    bytes part;        /* BYTES: text, a message, or packed numbers */
    const uint8_t *at; /* the field's first byte, its tag */
} wire_field;

/* A message that is being read: `base` is the file's first byte, for offsets in errors. */
typedef struct wire {
    bytes rest;
    const uint8_t *base;
    const char *message; /* "NodeProto", for errors */
    segrt_error *error;
    bool failed;
} wire;

wire wire_of(bytes message, const uint8_t *base, const char *name, segrt_error *error);

/* Reads the next field; false at the end of the message and on a failure (wire_status tells which). */
bool wire_next(wire *w, wire_field *field);

/* OK, or MALFORMED if a field of the message could not be read. */
segrt_status wire_status(const wire *w);

/* Is it of this wire type?  If not, fails the message with the field's number. */
bool wire_is(wire *w, const wire_field *field, wire_type type);

/* Repeated numbers, packed or one by one: how many `field` holds (varints by their last bytes); fails the
 * message where a packed part does not consist of whole numbers.  type: how one of them is written. */
size_t wire_numbers(wire *w, const wire_field *field, wire_type type);

/* Reads the next of them; at: a cursor that wire_first made. */
bytes wire_first(const wire_field *field);
uint64_t wire_number(bytes *at, const wire_field *field, wire_type type);

uint64_t wire_offset(const wire *w, const void *at);

#endif
