/* proto: Protocol Buffers' wire format, written.  Export layer; the other direction is formats/onnx.
 *
 * A proto is a growing run of bytes.  A failed allocation marks it as broken and it takes nothing more,
 * so a writer asks once at the end. */
#ifndef SEGRT_EXPORT_PROTO_H
#define SEGRT_EXPORT_PROTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct proto {
    uint8_t *data;
    size_t size, room;
    bool broken;
} proto;

void proto_free(proto *p);

void proto_append(proto *p, const void *data, size_t size);

/* Field `number` of a message: an integer, a float, and length-delimited bytes, text or message. */
void proto_int(proto *p, int number, int64_t value);
void proto_float(proto *p, int number, float value);
void proto_bytes(proto *p, int number, const void *data, size_t size);
void proto_text(proto *p, int number, const char *text);
void proto_message(proto *p, int number, const proto *message);

/* Tag and length of a length-delimited field whose bytes follow by another way. */
void proto_open(proto *p, int number, uint64_t length);

#endif
