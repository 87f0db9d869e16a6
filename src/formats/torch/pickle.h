/* pickle: reads Python's pickles (protocols 2 to 5) as inert data.  Formats layer.
 *
 * Source: pickletools.py's description of the opcodes.  Nothing is ever called: a global is a pair of names, calling it makes an
 * object that remembers what would have been called with what, and whoever reads the result decides what it knows.  The machine
 * does not recurse; the graph it builds may be deep, shared or cyclic, so its readers must look down a fixed number of levels. */
#ifndef SEGRT_FORMATS_TORCH_PICKLE_H
#define SEGRT_FORMATS_TORCH_PICKLE_H

#include "base/bytes.h"
#include "base/error.h"
#include "base/memory.h"

typedef enum pickle_kind {
    PICKLE_NONE,
    PICKLE_BOOL,
    PICKLE_INTEGER,
    PICKLE_REAL,
    PICKLE_TEXT,
    PICKLE_BYTES,
    PICKLE_TUPLE,
    PICKLE_LIST, /* also sets */
    PICKLE_DICT,
    PICKLE_GLOBAL,
    PICKLE_OBJECT,     /* a call that was not made: `callable` of `arguments`, with `state` */
    PICKLE_PERSISTENT, /* a reference into the container: `arguments` says which */
    PICKLE_OTHER,      /* whole numbers beyond 64 bits */
} pickle_kind;

typedef struct pickle_value pickle_value;
struct pickle_value {
    pickle_kind kind;
    bool pairs; /* of an object: items are keys and values */
    union {
        int64_t integer; /* and booleans */
        double real;
        struct {
            const char *data; /* in the file, or the arena; not ended by a zero */
            size_t size;
        } text; /* and bytes */
        struct {
            const char *module, *name;
        } global;
        struct {
            const pickle_value *callable, *arguments, *state;
        } object;
    };
    pickle_value **items; /* [count]: elements; of a dictionary keys and values in turn; of an object what was added to it */
    size_t count, room;
};

typedef struct pickle {
    arena *memory, *kept;
    const pickle_value *root;
    const pickle_value **persistent; /* [persistent_count]: every reference in the order read */
    size_t persistent_count, persistent_room;
} pickle;

/* Reads one pickle at the cursor, which then stands behind it.  `base`: offset in the file of the cursor's first byte.  Values live in
 * `memory` and point into the bytes; bytes that had to be decoded live in `kept`, so that tensors may outlive the values.  Errors:
 * MALFORMED, UNSUPPORTED (an opcode that state dictionaries do not need, too many values), NO_MEMORY. */
segrt_status pickle_read(pickle *out, arena *memory, arena *kept, bytes *from, uint64_t base, segrt_error *error);

/* All of these take NULL, and any kind. */
bool pickle_is_text(const pickle_value *v, const char *text);
bool pickle_is_global(const pickle_value *v, const char *module, const char *name); /* module NULL: any */
bool pickle_calls(const pickle_value *v, const char *module, const char *name);     /* an object made by calling this global */

/* The i-th element of a tuple, list or of an object's added items, or NULL. */
const pickle_value *pickle_item(const pickle_value *v, size_t i);
size_t pickle_length(const pickle_value *v);

/* Dictionaries and what behaves as one (OrderedDict): number of pairs, and the i-th. */
bool pickle_is_mapping(const pickle_value *v);
size_t pickle_pairs(const pickle_value *v);
void pickle_pair(const pickle_value *v, size_t i, const pickle_value **key, const pickle_value **value);
const pickle_value *pickle_get(const pickle_value *mapping, const char *key);

/* Whole number in [low, high], else `otherwise`. */
int64_t pickle_integer_or(const pickle_value *v, int64_t low, int64_t high, int64_t otherwise);

#endif
