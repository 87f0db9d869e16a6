/* memory: see memory.h. */
#include "base/memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "segrt/segrt.h"

static void *standard_allocate(void *user, size_t bytes, size_t alignment)
{
    (void)user;
    const size_t rounded = (bytes + alignment - 1) / alignment * alignment; /* aligned_alloc wants a multiple */
    return rounded < bytes ? NULL : aligned_alloc(alignment, rounded ? rounded : alignment);
}

static void standard_release(void *user, void *memory)
{
    (void)user;
    free(memory);
}

/* One of the two process-wide variables of the library (the other is the log), set before anything runs. */
static segrt_allocator allocator = {.allocate = standard_allocate, .release = standard_release};

void segrt_set_allocator(const segrt_allocator *replacement)
{
    allocator = replacement ? *replacement : (segrt_allocator){.allocate = standard_allocate, .release = standard_release};
}

void *memory_get(size_t bytes) { return allocator.allocate(allocator.user, bytes ? bytes : 1, MEMORY_ALIGNMENT); }

void *memory_get_array(size_t count, size_t size)
{
    return size && count > SIZE_MAX / size ? NULL : memory_get(count * size);
}

void *memory_get_cleared(size_t count, size_t size)
{
    void *memory = memory_get_array(count, size);
    if (memory)
        memset(memory, 0, count * size);
    return memory;
}

char *memory_copy_text(const char *text)
{
    const size_t bytes = strlen(text) + 1;
    char *copy = memory_get(bytes);
    return copy ? memcpy(copy, text, bytes) : NULL;
}

void memory_free(void *memory)
{
    if (memory)
        allocator.release(allocator.user, memory);
}

enum { ARENA_BLOCK_BYTES = 16384, ARENA_ALIGNMENT = 16 };

struct arena_block {
    struct arena_block *before;
    size_t used, size;
    _Alignas(ARENA_ALIGNMENT) unsigned char data[];
};

void *arena_get_uncleared(arena *a, size_t count, size_t size)
{
    if (size && count > (SIZE_MAX / 2) / size)
        return NULL;
    const size_t bytes = (count * size + ARENA_ALIGNMENT - 1) / ARENA_ALIGNMENT * ARENA_ALIGNMENT;
    if (!a->last || bytes > a->last->size - a->last->used) {
        const size_t room = bytes > ARENA_BLOCK_BYTES ? bytes : ARENA_BLOCK_BYTES;
        struct arena_block *block = memory_get(sizeof *block + room);
        if (!block)
            return NULL;
        *block = (struct arena_block){.before = a->last, .size = room};
        a->last = block;
    }
    void *taken = a->last->data + a->last->used;
    a->last->used += bytes;
    return taken;
}

void *arena_get(arena *a, size_t count, size_t size)
{
    void *taken = arena_get_uncleared(a, count, size);
    return taken ? memset(taken, 0, count * size) : NULL;
}

char *arena_copy_text(arena *a, const char *text, size_t length)
{
    char *copy = length == SIZE_MAX ? NULL : arena_get(a, length + 1, 1);
    return copy ? memcpy(copy, text, length) : NULL;
}

void arena_free(arena *a)
{
    while (a->last) {
        struct arena_block *block = a->last;
        a->last = block->before;
        memory_free(block);
    }
}
