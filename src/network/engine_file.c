/* engine_file: reading; see engine_file.h.  From the outside in: header, checksum, table of sections, fields, and last the
 * weights, whose places follow from the network's structure alone. */
#include "network/engine_file.h"

#include <string.h>

#include "network/checksum.h"
#include "network/engine_sections.h"
#include "network/weights_list.h"

/* Bytes of the file, and where each section lies; offset 0: absent. */
typedef struct reader {
    const uint8_t *data;
    size_t size;
    struct {
        uint64_t offset, size;
    } section[ENGINE_SECTIONS];
    segrt_error *error;
} reader;

static uint64_t sum_of(const uint8_t *data, size_t size)
{
    uint8_t header[ENGINE_HEADER_BYTES];
    memcpy(header, data, sizeof header);
    memset(header + ENGINE_CHECKSUM_AT, 0, 8);
    checksum sum = checksum_start();
    checksum_add(&sum, header, 1);
    checksum_add(&sum, data + ENGINE_HEADER_BYTES, size / CHECKSUM_BLOCK - 1);
    return checksum_end(&sum);
}

void engine_file_seal(void *file, size_t size)
{
    if (size < ENGINE_HEADER_BYTES)
        return;
    const uint64_t sum = sum_of(file, size);
    for (size_t i = 0; i < 8; i++)
        ((uint8_t *)file)[ENGINE_CHECKSUM_AT + i] = (uint8_t)(sum >> (8 * i));
}

static segrt_status read_header(const reader *r, uint32_t *sections)
{
    bytes b = bytes_of(r->data, r->size);
    const size_t known = r->size < sizeof engine_magic ? r->size : sizeof engine_magic;
    if (r->size == 0 || memcmp(r->data, engine_magic, known))
        return fail_at(r->error, SEGRT_MALFORMED, 0, "not a segrt engine: it does not begin with the engine's mark");
    bytes_take(&b, sizeof engine_magic);
    const uint32_t version = bytes_u32(&b);
    *sections = bytes_u32(&b);
    const uint64_t size = bytes_u64(&b);
    if (r->size < ENGINE_HEADER_BYTES)
        return fail_at(r->error, SEGRT_MALFORMED, r->size, "truncated: %zu bytes are less than an engine's header", r->size);
    if (version > ENGINE_VERSION)
        return fail_at(
            r->error, SEGRT_UNSUPPORTED, 8,
            "engine format %u is newer than this segrt, which reads up to %d: update segrt, or build the engine again from its model",
            version, ENGINE_VERSION);
    if (version < 1)
        return fail_at(r->error, SEGRT_MALFORMED, 8, "engine format 0 does not exist");
    if (size != r->size)
        return fail_at(r->error, SEGRT_MALFORMED, 16, "%s: the file has %zu bytes, its header says %llu",
                       r->size < size ? "truncated" : "bytes behind the end", r->size, (unsigned long long)size);
    if (size % ENGINE_ALIGNMENT)
        return fail_at(r->error, SEGRT_MALFORMED, 16, "the size %llu is not a multiple of %d", (unsigned long long)size, ENGINE_ALIGNMENT);
    b.at = ENGINE_CHECKSUM_AT;
    if (sum_of(r->data, r->size) != bytes_u64(&b))
        return fail_at(r->error, SEGRT_MALFORMED, ENGINE_CHECKSUM_AT,
                       "damaged: the checksum does not fit the contents; copy the file again, or build it again from its model");
    return SEGRT_OK;
}

/* Sections stand in ascending order, aligned, inside the file. */
static segrt_status read_table(reader *r, uint32_t count)
{
    if (count > ENGINE_SECTIONS_CAP || ENGINE_HEADER_BYTES + (uint64_t)count * ENGINE_ENTRY_BYTES > r->size)
        return fail_at(r->error, SEGRT_MALFORMED, 12, "a table of %u sections", count);
    bytes b = bytes_of(r->data, r->size);
    b.at = ENGINE_HEADER_BYTES;
    uint64_t end = ENGINE_HEADER_BYTES + (uint64_t)count * ENGINE_ENTRY_BYTES;
    for (uint32_t i = 0; i < count; i++) {
        const size_t at = b.at;
        const char *name = (const char *)bytes_take(&b, 4);
        const uint32_t optional = bytes_u32(&b) & 1;
        const uint64_t offset = bytes_u64(&b), size = bytes_u64(&b);
        bytes_u64(&b); /* reserved */
        if (offset % ENGINE_ALIGNMENT || offset < end || offset > r->size || size > r->size - offset)
            return fail_at(r->error, SEGRT_MALFORMED, at, "section %u lies outside the file, across another or unaligned", i);
        end = offset + size;
        int which = 0;
        while (which < ENGINE_SECTIONS && memcmp(name, engine_section_name[which], 4))
            which++;
        if (which == ENGINE_SECTIONS && !optional)
            return fail_at(r->error, SEGRT_UNSUPPORTED, at,
                           "section %u is of a kind that this segrt does not know: update segrt, or build the engine again from its model",
                           i);
        if (which == ENGINE_SECTIONS)
            continue;
        if (r->section[which].offset)
            return fail_at(r->error, SEGRT_MALFORMED, at, "section %s stands there twice", engine_section_name[which]);
        r->section[which].offset = offset;
        r->section[which].size = size;
    }
    for (int which = 0; which < ENGINE_SECTIONS; which++)
        if (!r->section[which].offset)
            return fail_at(r->error, SEGRT_MALFORMED, ENGINE_HEADER_BYTES, "section %s is missing", engine_section_name[which]);
    return SEGRT_OK;
}

static record record_of(const reader *r, engine_section which, arena *memory)
{
    return (record){
        .mode = RECORD_READ, .in = bytes_of(r->data + r->section[which].offset, (size_t)r->section[which].size), .memory = memory};
}

/* A section's fields were read to its end, and nothing was left over. */
static segrt_status ended(const reader *r, engine_section which, const record *fields)
{
    const uint64_t offset = r->section[which].offset;
    if (fields->no_memory)
        return fail_memory(r->error, (size_t)r->section[which].size, "the engine's description");
    if (!bytes_ok(&fields->in))
        return fail_at(r->error, SEGRT_MALFORMED, offset + fields->in.at, "section %s ends too early or holds a malformed text",
                       engine_section_name[which]);
    if (bytes_left(&fields->in))
        return fail_at(r->error, SEGRT_MALFORMED, offset + fields->in.at, "section %s has %zu bytes too many", engine_section_name[which],
                       bytes_left(&fields->in));
    return SEGRT_OK;
}

typedef struct binder {
    const uint8_t *data; /* of the section */
    uint64_t size, at;
} binder;

static void measure(void *user, weights *w, uint64_t count)
{
    (void)w;
    ((binder *)user)->at += engine_padded(count); /* within 2^64: at most 2^16 arrays of 2^33 numbers */
}

static void bind(void *user, weights *w, uint64_t count)
{
    binder *b = user;
    *w = (weights){.f32 = (const float *)(const void *)(b->data + b->at), .count = (size_t)count};
    b->at += engine_padded(count);
}

static segrt_status bind_weights(const reader *r, network *net)
{
    binder b = {.data = r->data + r->section[SECTION_WEIGHTS].offset, .size = r->section[SECTION_WEIGHTS].size};
    weights_visit(net, measure, &b);
    if (b.at != b.size)
        return fail_at(r->error, SEGRT_MALFORMED, r->section[SECTION_WEIGHTS].offset,
                       "weights of %llu bytes; the network's shapes need %llu", (unsigned long long)b.size, (unsigned long long)b.at);
    b.at = 0;
    weights_visit(net, bind, &b);
    return SEGRT_OK;
}

static bool stores_little_endian(void)
{
    const uint16_t one = 1;
    uint8_t first;
    memcpy(&first, &one, 1);
    return first == 1;
}

static segrt_status read_sections(const reader *r, segrt_engine *engine)
{
    engine->net = memory_get_cleared(1, sizeof *engine->net);
    if (!engine->net)
        return fail_memory(r->error, sizeof *engine->net, "the network");
    record fields = record_of(r, SECTION_NETWORK, &engine->memory);
    engine_record_network(&fields, engine->net);
    segrt_status status = ended(r, SECTION_NETWORK, &fields);
    if (!status)
        status = engine_check_network(engine->net, r->error);
    if (!status)
        status = bind_weights(r, engine->net);
    if (!status) {
        fields = record_of(r, SECTION_MODEL, &engine->memory);
        engine_record_model(&fields, engine);
        status = ended(r, SECTION_MODEL, &fields);
    }
    if (!status) {
        fields = record_of(r, SECTION_OPERATIONS, &engine->memory);
        engine_record_operations(&fields, engine);
        status = ended(r, SECTION_OPERATIONS, &fields);
    }
    if (status)
        return status;
    for (int i = 0; i < STAGES; i++) {
        engine->info.width[i] = engine->net->stages[i].width;
        engine->info.depth[i] = engine->net->stages[i].depth;
        engine->info.heads[i] = engine->net->stages[i].heads;
        engine->info.reduction[i] = engine->net->stages[i].reduction;
    }
    return engine_check_rest(engine, r->error);
}

segrt_status engine_file_read(segrt_engine *engine, segrt_error *error)
{
    reader r = {.data = engine->file.data, .size = engine->file.size, .error = error};
    uint32_t sections = 0;
    segrt_status status = read_header(&r, &sections);
    if (!status && !stores_little_endian())
        status = fail_with(error, SEGRT_UNSUPPORTED, "engine files are little-endian and used in place; this machine is not");
    if (!status)
        status = read_table(&r, sections);
    return status ? status : read_sections(&r, engine);
}
