/* zip: the entries of a zip archive whose contents are stored, as torch.save writes it.  Formats layer.
 *
 * Source: PKWARE's APPNOTE 6.3, sections 4.3 to 4.5.  The central directory is the truth: sizes in local headers may be
 * missing (data descriptors); a local header only tells where its data begins. */
#ifndef SEGRT_FORMATS_TORCH_ZIP_H
#define SEGRT_FORMATS_TORCH_ZIP_H

#include "base/error.h"
#include "base/file_map.h"
#include "base/text_index.h"

typedef struct zip_entry {
    const char *name;
    const uint8_t *data; /* in the file */
    size_t size;
    uint64_t offset; /* of data */
} zip_entry;

typedef struct zip_archive {
    zip_entry *entries;
    size_t count;
    text_index names;
} zip_archive;

bool zip_sniff(const void *data, size_t size);

/* Lists go into the arena.  Errors: MALFORMED, UNSUPPORTED (compressed, encrypted, in several parts), NO_MEMORY. */
segrt_status zip_read(zip_archive *out, arena *memory, const file_map *file, segrt_error *error);

/* NULL where there is none. */
const zip_entry *zip_find(const zip_archive *z, const char *name);

#endif
