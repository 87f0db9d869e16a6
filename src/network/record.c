/* record: see record.h. */
#include "network/record.h"

#include <string.h>

static void number(record *r, uint64_t *value, size_t width)
{
    if (r->mode == RECORD_READ)
        *value = width == 4 ? bytes_u32(&r->in) : bytes_u64(&r->in);
    for (size_t i = 0; r->mode == RECORD_WRITE && i < width; i++)
        r->out[r->size + i] = (uint8_t)(*value >> (8 * i));
    r->size += width;
}

void record_u64(record *r, uint64_t *value)
{
    number(r, value, 8);
}

void record_u32(record *r, uint32_t *value)
{
    uint64_t wide = *value;
    number(r, &wide, 4);
    *value = (uint32_t)wide;
}

void record_int(record *r, int32_t *value)
{
    uint32_t raw;
    memcpy(&raw, value, sizeof raw);
    record_u32(r, &raw);
    memcpy(value, &raw, sizeof raw);
}

void record_f32(record *r, float *value)
{
    uint32_t raw;
    memcpy(&raw, value, sizeof raw);
    record_u32(r, &raw);
    memcpy(value, &raw, sizeof raw);
}

void record_f64(record *r, double *value)
{
    uint64_t raw;
    memcpy(&raw, value, sizeof raw);
    record_u64(r, &raw);
    memcpy(value, &raw, sizeof raw);
}

void record_raw(record *r, void *data, size_t count)
{
    if (r->mode == RECORD_READ) {
        const uint8_t *from = bytes_take(&r->in, count);
        if (from)
            memcpy(data, from, count);
        else
            memset(data, 0, count);
    } else if (r->mode == RECORD_WRITE) {
        memcpy(r->out + r->size, data, count);
    }
    r->size += count;
}

static const char *read_text(record *r, size_t length)
{
    const uint8_t *from = length > RECORD_TEXT_CAP ? NULL : bytes_take(&r->in, length);
    if (!from || memchr(from, 0, length)) {
        r->in.broken = true;
        return "";
    }
    const char *text = arena_copy_text(r->memory, (const char *)from, length);
    r->no_memory = r->no_memory || !text;
    return text ? text : "";
}

void record_text(record *r, const char **text)
{
    const size_t whole = r->mode == RECORD_READ || !*text ? 0 : strlen(*text);
    uint32_t length = whole > RECORD_TEXT_CAP ? RECORD_TEXT_CAP : (uint32_t)whole;
    record_u32(r, &length);
    if (r->mode == RECORD_READ) {
        *text = read_text(r, length);
        return;
    }
    if (r->mode == RECORD_WRITE && length)
        memcpy(r->out + r->size, *text, length);
    r->size += length;
}
