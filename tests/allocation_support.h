/* allocation_support: an allocator that counts what is alive and fails the n-th allocation, for the library and for jansson alike. */
#ifndef SEGRT_TESTS_ALLOCATION_SUPPORT_H
#define SEGRT_TESTS_ALLOCATION_SUPPORT_H

#include <stddef.h>

/* Installs the allocator; allocation number `fail_at` (from 0) and all after it until allocation_reset fail.  fail_at SIZE_MAX: none. */
void allocation_start(size_t fail_at);

size_t allocation_count(void);      /* asked for since allocation_start */
size_t allocation_alive(void);      /* blocks not given back */
size_t allocation_bytes_peak(void); /* most bytes alive at once since allocation_start */

/* Back to the C library's; to be called when nothing is alive. */
void allocation_stop(void);

/* Runs `attempt` with the n-th allocation failing, for n = 0, 1, ... until it succeeds.  `attempt` returns 0 on success, having given
 * back all; another value on failure.  The test fails where an attempt leaves a block alive.  Returns the number of failed attempts. */
size_t allocation_fail_each(int (*attempt)(void *user), void *user);

/* The same with only the n-th failing and those after it succeeding. */
size_t allocation_fail_each_once(int (*attempt)(void *user), void *user);

#endif
