/* bytes: see bytes.h. */
#include "base/bytes.h"

const uint8_t *bytes_take(bytes *b, size_t count)
{
    if (count > bytes_left(b)) { /* compared this way round: at + count could wrap */
        b->broken = true;
        return NULL;
    }
    const uint8_t *taken = b->begin + b->at;
    b->at += count;
    return taken;
}

static uint64_t little_endian(bytes *b, size_t width)
{
    const uint8_t *p = bytes_take(b, width);
    uint64_t value = 0;
    for (size_t i = 0; p && i < width; i++)
        value |= (uint64_t)p[i] << (8 * i);
    return value;
}

uint16_t bytes_u16(bytes *b) { return (uint16_t)little_endian(b, 2); }
uint32_t bytes_u32(bytes *b) { return (uint32_t)little_endian(b, 4); }
uint64_t bytes_u64(bytes *b) { return little_endian(b, 8); }

uint64_t bytes_varint(bytes *b)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        const uint8_t *p = bytes_take(b, 1);
        if (!p)
            return 0;
        if (shift == 63 && *p > 1) /* only one bit is left for the tenth byte */
            break;
        value |= (uint64_t)(*p & 0x7f) << shift;
        if (!(*p & 0x80))
            return value;
    }
    b->broken = true;
    return 0;
}

bytes bytes_sub(bytes *b, size_t count)
{
    const uint8_t *p = bytes_take(b, count);
    return p ? bytes_of(p, count) : (bytes){.broken = true};
}
