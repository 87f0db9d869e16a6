/* text_index: from names to positions, for tables that come from hostile files.  Base layer.
 *
 * A sorted array and not a hash table: nobody can choose names that make it slow. */
#ifndef SEGRT_BASE_TEXT_INDEX_H
#define SEGRT_BASE_TEXT_INDEX_H

#include <stdbool.h>
#include <stddef.h>

#include "base/memory.h"

enum { TEXT_INDEX_NONE = -1 };

typedef struct text_entry {
    const char *text; /* borrowed */
    size_t position;  /* what the owner calls it, usually an index of an array */
} text_entry;

typedef struct text_index {
    text_entry *entries; /* sorted by text, then by position */
    size_t count;
} text_index;

/* Sorts `entries` (the caller's, kept by it) in place: O(n log n), no memory. */
text_index text_index_of(text_entry *entries, size_t count);

/* The position of `text`, or TEXT_INDEX_NONE; of several the one with the smallest position. */
ptrdiff_t text_index_find(const text_index *index, const char *text);

/* A text that stands there more than once, or NULL. */
const char *text_index_duplicate(const text_index *index);

#endif
