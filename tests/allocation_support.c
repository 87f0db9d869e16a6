/* allocation_support: see allocation_support.h. */
#include "allocation_support.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "segrt/segrt.h"

/* Stands before every block; as large as the strictest alignment asked for. */
enum { PREFIX = 64 };

static struct {
    atomic_size_t asked, alive, bytes, peak;
    size_t fail_at;
    bool once;
} counts;

static bool must_fail(void)
{
    const size_t number = atomic_fetch_add(&counts.asked, 1);
    return counts.once ? number == counts.fail_at : number >= counts.fail_at;
}

static void *get(void *user, size_t bytes, size_t alignment)
{
    (void)user;
    if (must_fail() || alignment > PREFIX || bytes > SIZE_MAX - 2 * PREFIX)
        return NULL;
    char *block = aligned_alloc(PREFIX, (bytes + 2 * PREFIX - 1) / PREFIX * PREFIX);
    if (!block)
        return NULL;
    *(size_t *)(void *)block = bytes;
    atomic_fetch_add(&counts.alive, 1);
    const size_t now = atomic_fetch_add(&counts.bytes, bytes) + bytes;
    size_t peak = atomic_load(&counts.peak);
    while (now > peak && !atomic_compare_exchange_weak(&counts.peak, &peak, now)) {
    }
    return block + PREFIX;
}

static void release(void *user, void *memory)
{
    (void)user;
    char *block = (char *)memory - PREFIX;
    atomic_fetch_sub(&counts.alive, 1);
    atomic_fetch_sub(&counts.bytes, *(size_t *)(void *)block);
    free(block);
}

static void *json_get(size_t bytes)
{
    return get(NULL, bytes, 16);
}
static void json_release(void *memory)
{
    if (memory)
        release(NULL, memory);
}

static void start(size_t fail_at, bool once)
{
    static const segrt_allocator allocator = {.allocate = get, .release = release};
    counts.fail_at = fail_at;
    counts.once = once;
    atomic_store(&counts.asked, 0);
    atomic_store(&counts.peak, atomic_load(&counts.bytes));
    segrt_set_allocator(&allocator);
    json_set_alloc_funcs(json_get, json_release);
}

void allocation_start(size_t fail_at)
{
    start(fail_at, false);
}
size_t allocation_count(void)
{
    return atomic_load(&counts.asked);
}
size_t allocation_alive(void)
{
    return atomic_load(&counts.alive);
}
size_t allocation_bytes_peak(void)
{
    return atomic_load(&counts.peak);
}

void allocation_stop(void)
{
    segrt_set_allocator(NULL);
    json_set_alloc_funcs(malloc, free);
}

static size_t fail_each(int (*attempt)(void *user), void *user, bool once)
{
    for (size_t n = 0;; n++) {
        start(n, once);
        const int failed = attempt(user);
        const size_t alive = allocation_alive(), asked = allocation_count();
        allocation_stop();
        if (alive)
            fail_msg("allocation %zu failed: %zu blocks were not given back", n, alive);
        if (failed && asked <= n)
            fail_msg("an attempt failed though each of its %zu allocations was served", asked);
        if (asked <= n)
            return n;
        if (!failed && !once)
            fail_msg("an attempt succeeded though allocation %zu and all after it failed", n);
    }
}

size_t allocation_fail_each(int (*attempt)(void *user), void *user)
{
    return fail_each(attempt, user, false);
}
size_t allocation_fail_each_once(int (*attempt)(void *user), void *user)
{
    return fail_each(attempt, user, true);
}
