/* names: which value a name means.  Formats layer, part of the ONNX reader.
 *
 * Names live in scopes: 0 is the graph, each inlined function or branch has another.  A file made so that
 * its names collide is refused, so looking one up is always fast. */
#ifndef SEGRT_FORMATS_ONNX_NAMES_H
#define SEGRT_FORMATS_ONNX_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct names {
    struct names_entry *entries; /* open addressing, a power of two */
    size_t room, count;
} names;

enum { NAMES_NONE = -2 }; /* -1 means an input that was left out */

/* `text` is borrowed for as long as the names live. */
int32_t names_find(const names *n, uint32_t scope, const char *text, size_t length);

typedef enum names_result { NAMES_OK, NAMES_NO_MEMORY, NAMES_COLLIDE } names_result;

/* Adds a name that is not there yet. */
names_result names_add(names *n, uint32_t scope, const char *text, size_t length, int32_t value);
void names_free(names *n);

#endif
