/* engine_file: an engine as one file: portable, versioned, checksummed, its float32 weights used where they are mapped.
 * Network layer.  docs/engine-file.md is the format's specification. */
#ifndef SEGRT_NETWORK_ENGINE_FILE_H
#define SEGRT_NETWORK_ENGINE_FILE_H

#include "network/engine.h"

/* Fills an engine, cleared but for `file` (aligned to 64 bytes), from that; its weights point into the file.  Where it
 * fails the engine holds what segrt_engine_close gives back.
 * Errors: MALFORMED (with the offset: truncated, damaged, numbers out of range), UNSUPPORTED (a newer format), NO_MEMORY. */
segrt_status engine_file_read(segrt_engine *engine, segrt_error *error);

/* Written aside, synced, renamed: `path` holds the whole engine or what it held before, and nothing else is left.
 * Errors: ARGUMENT (float64 weights), IO, NO_MEMORY. */
segrt_status engine_file_write(const segrt_engine *engine, const char *path, segrt_error *error);

/* The same into an open descriptor that can be written at an offset. */
segrt_status engine_file_write_to(const segrt_engine *engine, int file, segrt_error *error);

/* Makes the checksum right for whatever stands in `file`: for tests that change a file on purpose. */
void engine_file_seal(void *file, size_t size);

#endif
