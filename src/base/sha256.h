/* sha256: FIPS 180-4's digest, for the provenance of what is made from a file.  Base layer. */
#ifndef SEGRT_BASE_SHA256_H
#define SEGRT_BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

enum { SHA256_BYTES = 32, SHA256_HEX = 65 };

typedef struct sha256 {
    uint32_t state[8];
    uint64_t count;      /* bytes so far */
    uint8_t pending[64]; /* of an unfinished block */
} sha256;

void sha256_start(sha256 *s);
void sha256_add(sha256 *s, const void *data, size_t size);
void sha256_finish(sha256 *s, uint8_t digest[SHA256_BYTES]);

/* The same in lower-case hex with a zero at its end. */
void sha256_finish_hex(sha256 *s, char hex[SHA256_HEX]);

#endif
