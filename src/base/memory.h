/* memory: every allocation of the library, through the caller's allocator.  Base layer. */
#ifndef SEGRT_BASE_MEMORY_H
#define SEGRT_BASE_MEMORY_H

#include <stddef.h>

enum { MEMORY_ALIGNMENT = 64 }; /* a cache line, and the widest vector */

/* `bytes` bytes aligned to MEMORY_ALIGNMENT, not cleared, or NULL.  0 bytes give a pointer too. */
void *memory_get(size_t bytes);

/* count * size bytes, cleared, or NULL (also where the product overflows). */
void *memory_get_cleared(size_t count, size_t size);

/* count * size bytes, not cleared, or NULL (also where the product overflows). */
void *memory_get_array(size_t count, size_t size);

/* A copy of a string, or NULL. */
char *memory_copy_text(const char *text);

/* Gives back; NULL is accepted. */
void memory_free(void *memory);

/* Arena: many small objects with one lifetime, freed together.  Zero-initialised is empty. */
typedef struct arena {
    struct arena_block *last;
} arena;

/* Cleared, aligned to 16, or NULL. */
void *arena_get(arena *a, size_t count, size_t size);
void *arena_get_uncleared(arena *a, size_t count, size_t size); /* for what is written whole */
char *arena_copy_text(arena *a, const char *text, size_t length);
void arena_free(arena *a);

#endif
