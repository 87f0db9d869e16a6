/* checksum: see checksum.h. */
#include "network/checksum.h"

static const uint64_t factor = 0x9e3779b185ebca87u; /* odd, with well mixed bits */

static inline uint64_t rotated(uint64_t x, unsigned by)
{
    return x << by | x >> (64 - by);
}

static inline uint64_t word_at(const uint8_t *p)
{
    return (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 24 | (uint64_t)p[4] << 32 |
           (uint64_t)p[5] << 40 | (uint64_t)p[6] << 48 | (uint64_t)p[7] << 56;
}

checksum checksum_start(void)
{
    checksum c;
    for (uint64_t i = 0; i < CHECKSUM_LANES; i++)
        c.lane[i] = rotated(factor, (unsigned)(7 * i + 1));
    return c;
}

void checksum_add(checksum *c, const void *data, size_t blocks)
{
    const uint8_t *p = data;
    checksum k = *c; /* in registers */
    for (size_t b = 0; b < blocks; b++, p += CHECKSUM_BLOCK)
        for (size_t i = 0; i < CHECKSUM_LANES; i++)
            k.lane[i] = rotated((k.lane[i] ^ word_at(p + 8 * i)) * factor, 31);
    *c = k;
}

uint64_t checksum_end(const checksum *c)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < CHECKSUM_LANES; i++) {
        sum = (sum ^ c->lane[i]) * factor;
        sum ^= sum >> 32;
    }
    return sum;
}
