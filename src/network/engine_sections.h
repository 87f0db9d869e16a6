/* engine_sections: what stands in the small sections of an engine file, and the checks that hold for an engine whether
 * it is written or was read.  Private to the engine file; docs/engine-file.md is the specification. */
#ifndef SEGRT_NETWORK_ENGINE_SECTIONS_H
#define SEGRT_NETWORK_ENGINE_SECTIONS_H

#include "network/engine.h"
#include "network/record.h"

enum {
    ENGINE_VERSION = 1,
    ENGINE_ALIGNMENT = 64,
    ENGINE_HEADER_BYTES = 64,
    ENGINE_ENTRY_BYTES = 32,
    ENGINE_CHECKSUM_AT = 56,
    ENGINE_SECTIONS_CAP = 64
};

extern const uint8_t engine_magic[8];

typedef enum engine_section { SECTION_NETWORK, SECTION_MODEL, SECTION_OPERATIONS, SECTION_WEIGHTS, ENGINE_SECTIONS } engine_section;

extern const char engine_section_name[ENGINE_SECTIONS][5];

/* The fields of a section in one order, for reading and writing.  Reading: `engine` is filled; lists are allocated
 * after their counts were held against the bytes that are left. */
void engine_record_network(record *r, network *net);
void engine_record_model(record *r, struct segrt_engine *engine);
void engine_record_operations(record *r, struct segrt_engine *engine);

/* Every number of the network's structure is in its range and fits its neighbour: nothing computed from them
 * overflows, and every array has at least one element.  Errors: MALFORMED, naming the field. */
segrt_status engine_check_network(const network *net, segrt_error *error);

/* Profile, preprocessing, classes and settings fit the network.  Errors: MALFORMED. */
segrt_status engine_check_rest(const struct segrt_engine *engine, segrt_error *error);

/* Bytes that an array of float32 takes in the file. */
static inline uint64_t engine_padded(uint64_t count)
{
    return (count * sizeof(float) + ENGINE_ALIGNMENT - 1) / ENGINE_ALIGNMENT * ENGINE_ALIGNMENT;
}

#endif
