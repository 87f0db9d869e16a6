/* Buffers that end at a page nobody may touch, with marks before their beginning. */
#ifndef TESTS_GUARD_SUPPORT_H
#define TESTS_GUARD_SUPPORT_H

#include <stdbool.h>
#include <stddef.h>

typedef struct guarded {
    void *data; /* [bytes], poisoned with 0xff (NaN as float and as bfloat16) */
    size_t bytes;
    char *pages;
    size_t page_bytes;
} guarded;

guarded guarded_open(size_t bytes);
/* Whether the marks before the buffer are whole. */
bool guarded_whole(const guarded *g);
void guarded_close(guarded *g);

#endif
