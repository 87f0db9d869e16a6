/* text_index: see text_index.h. */
#include "base/text_index.h"

#include <string.h>

static int compare(const text_entry *a, const text_entry *b)
{
    const int by_text = strcmp(a->text, b->text);
    return by_text ? by_text : (a->position > b->position) - (a->position < b->position);
}

static void swap(text_entry *a, text_entry *b)
{
    const text_entry kept = *a;
    *a = *b;
    *b = kept;
}

/* Heap sort: no recursion, no memory, and no order of the input that makes it quadratic. */
static void sift_down(text_entry *entries, size_t root, size_t count)
{
    for (size_t child = 2 * root + 1; child < count; root = child, child = 2 * root + 1) {
        if (child + 1 < count && compare(&entries[child], &entries[child + 1]) < 0)
            child++;
        if (compare(&entries[root], &entries[child]) >= 0)
            return;
        swap(&entries[root], &entries[child]);
    }
}

text_index text_index_of(text_entry *entries, size_t count)
{
    for (size_t root = count / 2; root-- > 0;)
        sift_down(entries, root, count);
    for (size_t last = count; last-- > 1;) {
        swap(&entries[0], &entries[last]);
        sift_down(entries, 0, last);
    }
    return (text_index){.entries = entries, .count = count};
}

ptrdiff_t text_index_find(const text_index *index, const char *text)
{
    size_t low = 0, high = index->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (strcmp(index->entries[middle].text, text) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    const bool found = low < index->count && !strcmp(index->entries[low].text, text);
    return found ? (ptrdiff_t)index->entries[low].position : TEXT_INDEX_NONE;
}

const char *text_index_duplicate(const text_index *index)
{
    for (size_t i = 1; i < index->count; i++)
        if (!strcmp(index->entries[i - 1].text, index->entries[i].text))
            return index->entries[i].text;
    return NULL;
}
