/* checksum: 64 bits over blocks of 64 bytes, as fast as memory.  It finds damage, not intent: a change within any
 * eight aligned bytes always shows, other changes with a chance of 2^-64 to be missed.  Network layer, for engine files.
 *
 * Eight lanes take a little-endian word each: lane = rotate((lane ^ word) * odd), a bijection of word and lane. */
#ifndef SEGRT_NETWORK_CHECKSUM_H
#define SEGRT_NETWORK_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

enum { CHECKSUM_BLOCK = 64, CHECKSUM_LANES = 8 };

typedef struct checksum {
    uint64_t lane[CHECKSUM_LANES];
} checksum;

checksum checksum_start(void);
void checksum_add(checksum *c, const void *data, size_t blocks);
uint64_t checksum_end(const checksum *c);

#endif
