/* json: JSON texts of hostile files, through jansson.  Formats layer.
 *
 * jansson stops at 2048 levels of nesting and holds at most about a hundred bytes for each byte of the
 * text; the cap on the text's size therefore bounds its memory. */
#ifndef SEGRT_FORMATS_JSON_H
#define SEGRT_FORMATS_JSON_H

#include <jansson.h>

#include "base/error.h"

enum { JSON_TEXT_CAP = 4 << 20 }; /* bytes; the largest header of a published SegFormer has 150 KB */

/* Parses an object; release with json_decref.  `base` is the offset in the file at which the text begins.
 * Errors: MALFORMED with the offset (not JSON, not an object, a name twice), UNSUPPORTED (above the cap), NO_MEMORY (which
 * jansson does not tell from a broken text where its scanner ran out). */
segrt_status json_parse_object(json_t **out, const void *text, size_t size, uint64_t base, segrt_error *error);

/* Fields of an object that may be absent: the value, or `otherwise`. */
bool json_flag(const json_t *object, const char *field, bool otherwise);
double json_real_or(const json_t *object, const char *field, double otherwise);
const char *json_text_or(const json_t *object, const char *field, const char *otherwise);

/* An array of exactly `count` integers in [low, high].  False, out untouched: absent or null.
 * Anything else there is an error: MALFORMED, naming the field. */
segrt_status json_integers(const json_t *object, const char *field, int count, int low, int high, int *out, bool *present,
                           segrt_error *error);

#endif
