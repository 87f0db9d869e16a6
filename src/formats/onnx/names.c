/* names: see names.h. */
#include "formats/onnx/names.h"

#include <string.h>

#include "base/memory.h"

struct names_entry {
    const char *text; /* NULL: free */
    size_t length;
    uint64_t hash;
    uint32_t scope;
    int32_t value;
};

/* At a load of at most one half, linear probing over a good hash needs chains of some tens at worst for a
 * million names; longer ones are made on purpose. */
enum { FIRST_ROOM = 256, LONGEST_CHAIN = 512 };

static uint64_t hash_of(uint32_t scope, const char *text, size_t length)
{
    uint64_t h = 0x9e3779b97f4a7c15u ^ ((uint64_t)scope * 0xff51afd7ed558ccdu);
    for (size_t i = 0; i < length; i++)
        h = (h ^ (uint8_t)text[i]) * 0x100000001b3u; /* FNV-1a, finished by a mixer: its low bits alone cluster */
    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93u;
    return h ^ h >> 32;
}

static bool is(const struct names_entry *e, uint64_t hash, uint32_t scope, const char *text, size_t length)
{
    return e->hash == hash && e->scope == scope && e->length == length && !memcmp(e->text, text, length);
}

int32_t names_find(const names *n, uint32_t scope, const char *text, size_t length)
{
    if (!n->room)
        return NAMES_NONE;
    const uint64_t hash = hash_of(scope, text, length);
    for (size_t at = hash & (n->room - 1);; at = (at + 1) & (n->room - 1)) {
        const struct names_entry *e = &n->entries[at];
        if (!e->text)
            return NAMES_NONE;
        if (is(e, hash, scope, text, length))
            return e->value;
    }
}

static names_result put(names *n, const struct names_entry *entry)
{
    size_t at = entry->hash & (n->room - 1), steps = 0;
    for (; n->entries[at].text; at = (at + 1) & (n->room - 1))
        if (++steps > LONGEST_CHAIN)
            return NAMES_COLLIDE;
    n->entries[at] = *entry;
    n->count++;
    return NAMES_OK;
}

names_result names_add(names *n, uint32_t scope, const char *text, size_t length, int32_t value)
{
    if (n->count * 2 >= n->room) {
        names bigger = {.room = n->room ? n->room * 2 : FIRST_ROOM};
        bigger.entries = memory_get_cleared(bigger.room, sizeof *bigger.entries);
        if (!bigger.entries)
            return NAMES_NO_MEMORY;
        for (size_t i = 0; i < n->room; i++)
            if (n->entries[i].text && put(&bigger, &n->entries[i]) != NAMES_OK) {
                memory_free(bigger.entries);
                return NAMES_COLLIDE;
            }
        memory_free(n->entries);
        *n = bigger;
    }
    return put(n, &(struct names_entry){text, length, hash_of(scope, text, length), scope, value});
}

void names_free(names *n)
{
    memory_free(n->entries);
    *n = (names){0};
}
