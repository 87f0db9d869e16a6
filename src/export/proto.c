/* proto: see proto.h. */
#include "export/proto.h"

#include <string.h>

#include "base/memory.h"

enum { WIRE_VARINT = 0, WIRE_LENGTH = 2, WIRE_32 = 5 };

void proto_free(proto *p)
{
    memory_free(p->data);
    *p = (proto){0};
}

void proto_append(proto *p, const void *data, size_t size)
{
    if (p->broken || size == 0)
        return;
    if (size > p->room - p->size) {
        size_t room = p->room < 256 ? 256 : p->room;
        while (room - p->size < size && room <= SIZE_MAX / 4)
            room *= 2;
        uint8_t *grown = room - p->size < size ? NULL : memory_get(room);
        if (!grown) {
            p->broken = true;
            return;
        }
        if (p->size)
            memcpy(grown, p->data, p->size);
        memory_free(p->data);
        p->data = grown;
        p->room = room;
    }
    memcpy(p->data + p->size, data, size);
    p->size += size;
}

static void varint(proto *p, uint64_t value)
{
    uint8_t bytes[10];
    size_t count = 0;
    for (; value > 0x7f; value >>= 7)
        bytes[count++] = (uint8_t)(value | 0x80);
    bytes[count++] = (uint8_t)value;
    proto_append(p, bytes, count);
}

static void tag(proto *p, int number, int wire)
{
    varint(p, (uint64_t)number << 3 | (uint64_t)wire);
}

void proto_int(proto *p, int number, int64_t value)
{
    tag(p, number, WIRE_VARINT);
    varint(p, (uint64_t)value);
}

void proto_float(proto *p, int number, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    const uint8_t bytes[] = {(uint8_t)bits, (uint8_t)(bits >> 8), (uint8_t)(bits >> 16), (uint8_t)(bits >> 24)};
    tag(p, number, WIRE_32);
    proto_append(p, bytes, sizeof bytes);
}

void proto_open(proto *p, int number, uint64_t length)
{
    tag(p, number, WIRE_LENGTH);
    varint(p, length);
}

void proto_bytes(proto *p, int number, const void *data, size_t size)
{
    proto_open(p, number, size);
    proto_append(p, data, size);
}

void proto_text(proto *p, int number, const char *text) { proto_bytes(p, number, text, strlen(text)); }

void proto_message(proto *p, int number, const proto *message)
{
    p->broken |= message->broken;
    proto_bytes(p, number, message->data, message->size);
}
