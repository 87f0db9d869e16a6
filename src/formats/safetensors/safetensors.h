/* safetensors: reads a .safetensors file.  Formats layer.
 *
 * Source: the format's README, "Format": 8 bytes with the header's length, a JSON header of
 * {name: {dtype, shape, data_offsets}}, the tensors' bytes. */
#ifndef SEGRT_FORMATS_SAFETENSORS_H
#define SEGRT_FORMATS_SAFETENSORS_H

#include "formats/checkpoint.h"

/* Could this be one?  Looks at the first nine bytes. */
bool safetensors_sniff(const void *data, size_t size);

/* Adds the file's tensors to `out`; they point into `file`.  Errors: MALFORMED, UNSUPPORTED, NO_MEMORY. */
segrt_status safetensors_read(checkpoint *out, const file_map *file, segrt_error *error);

#endif
