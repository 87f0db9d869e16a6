/* zip: see zip.h. */
#include "formats/torch/zip.h"

#include <string.h>

#include "base/bytes.h"

enum {
    SIGNATURE_LOCAL = 0x04034b50,
    SIGNATURE_CENTRAL = 0x02014b50,
    SIGNATURE_END = 0x06054b50,
    SIGNATURE_END64 = 0x06064b50,
    SIGNATURE_LOCATOR64 = 0x07064b50,
    END_BYTES = 22,
    LOCATOR64_BYTES = 20,
    CENTRAL_BYTES = 46,
    LOCAL_BYTES = 30,
    COMMENT_CAP = 65535,
    EXTRA_ZIP64 = 1,
    FLAG_ENCRYPTED = 1,
    ENTRY_CAP = 1 << 18,
};

/* Where the central directory is and how much it holds. */
typedef struct directory {
    uint64_t count, size, offset;
} directory;

bool zip_sniff(const void *data, size_t size)
{
    return size >= 4 && (!memcmp(data, "PK\3\4", 4) || !memcmp(data, "PK\5\6", 4));
}

static bytes at(const file_map *file, uint64_t offset)
{
    bytes b = bytes_of(file->data, file->size);
    if (offset > file->size)
        b.broken = true;
    else
        b.at = (size_t)offset;
    return b;
}

static segrt_status read_end64(directory *out, const file_map *file, uint64_t end, segrt_error *error)
{
    bytes b = at(file, end < LOCATOR64_BYTES ? UINT64_MAX : end - LOCATOR64_BYTES);
    const uint32_t signature = bytes_u32(&b);
    bytes_u32(&b); /* disk of the record */
    const uint64_t offset = bytes_u64(&b);
    if (!bytes_ok(&b) || signature != SIGNATURE_LOCATOR64)
        return fail_at(error, SEGRT_MALFORMED, end, "the zip archive needs a zip64 locator before its end record; there is none");
    b = at(file, offset);
    const uint32_t record = bytes_u32(&b);
    bytes_take(&b, 8 + 2 + 2 + 4 + 4 + 8); /* size, versions, disks, entries on this disk */
    *out = (directory){.count = bytes_u64(&b)};
    out->size = bytes_u64(&b);
    out->offset = bytes_u64(&b);
    return bytes_ok(&b) && record == SIGNATURE_END64
               ? SEGRT_OK
               : fail_at(error, SEGRT_MALFORMED, offset, "no zip64 end record at the place that its locator names");
}

/* The end record stands last, followed by a comment of its own length. */
static segrt_status find_directory(directory *out, const file_map *file, segrt_error *error)
{
    const uint8_t *const begin = file->data, *candidate = NULL;
    const size_t low = file->size > END_BYTES + COMMENT_CAP ? file->size - END_BYTES - COMMENT_CAP : 0;
    size_t end = file->size < END_BYTES ? 0 : file->size - END_BYTES + 1;
    for (; end > low && (candidate = memrchr(begin + low, 'P', end - low)) != NULL; end = (size_t)(candidate - begin)) {
        const uint64_t start = (uint64_t)(candidate - begin);
        bytes b = at(file, start);
        if (bytes_u32(&b) != SIGNATURE_END)
            continue;
        const uint16_t disk = bytes_u16(&b), first_disk = bytes_u16(&b), here = bytes_u16(&b), count = bytes_u16(&b);
        *out = (directory){.count = count};
        out->size = bytes_u32(&b);
        out->offset = bytes_u32(&b);
        const uint16_t comment = bytes_u16(&b);
        if (!bytes_ok(&b) || comment != bytes_left(&b))
            continue;
        if (count == UINT16_MAX || out->size == UINT32_MAX || out->offset == UINT32_MAX)
            return read_end64(out, file, start, error);
        return disk || first_disk || here != count ? fail_at(error, SEGRT_UNSUPPORTED, start, "a zip archive in several parts") : SEGRT_OK;
    }
    return fail_at(error, SEGRT_MALFORMED, file->size, "the zip archive has no end record: the file is truncated");
}

/* Sizes and offset that do not fit 32 bits stand in an extra field, only those that are needed, in this order. */
static bool read_zip64_extra(bytes extra, uint64_t *size, uint64_t *packed, uint64_t *offset)
{
    uint64_t *const wide[] = {size, packed, offset};
    if (*size != UINT32_MAX && *packed != UINT32_MAX && *offset != UINT32_MAX)
        return true;
    while (bytes_left(&extra) >= 4) {
        const uint16_t kind = bytes_u16(&extra), length = bytes_u16(&extra);
        bytes field = bytes_sub(&extra, length);
        if (kind != EXTRA_ZIP64)
            continue;
        for (size_t i = 0; i < sizeof wide / sizeof *wide; i++)
            if (*wide[i] == UINT32_MAX)
                *wide[i] = bytes_u64(&field);
        return bytes_ok(&field);
    }
    return false;
}

static segrt_status read_entry(zip_entry *out, arena *memory, const file_map *file, bytes *central, uint64_t base, segrt_error *error)
{
    const uint64_t start = base + central->at;
    const uint32_t signature = bytes_u32(central);
    bytes_take(central, 4); /* versions */
    const uint16_t flags = bytes_u16(central), method = bytes_u16(central);
    bytes_take(central, 4 + 4); /* time, checksum */
    uint64_t packed = bytes_u32(central), size = bytes_u32(central);
    const uint16_t name_length = bytes_u16(central), extra_length = bytes_u16(central), comment_length = bytes_u16(central);
    bytes_take(central, 2 + 2 + 4); /* disk, attributes */
    uint64_t offset = bytes_u32(central);
    const uint8_t *name = bytes_take(central, name_length);
    const bytes extra = bytes_sub(central, extra_length);
    bytes_take(central, comment_length);
    if (!bytes_ok(central) || signature != SIGNATURE_CENTRAL || !read_zip64_extra(extra, &size, &packed, &offset))
        return fail_at(error, SEGRT_MALFORMED, start, "a broken entry of the zip archive's directory");
    if (memchr(name, 0, name_length))
        return fail_at(error, SEGRT_MALFORMED, start, "a zip entry's name holds a zero byte");
    out->name = arena_copy_text(memory, (const char *)name, name_length);
    if (!out->name)
        return fail_memory(error, (size_t)name_length + 1, "a zip entry's name");
    if (flags & FLAG_ENCRYPTED)
        return fail_at(error, SEGRT_UNSUPPORTED, start, "zip entry '%.100s' is encrypted", out->name);
    if (method || packed != size)
        return fail_at(error, SEGRT_UNSUPPORTED, start,
                       "zip entry '%.100s' is compressed; torch.save stores: unpack the archive and pack it with `zip -0`", out->name);
    bytes local = at(file, offset);
    const uint32_t local_signature = bytes_u32(&local);
    bytes_take(&local, LOCAL_BYTES - 4 - 4);
    const uint16_t local_name = bytes_u16(&local), local_extra = bytes_u16(&local);
    bytes_take(&local, (size_t)local_name + local_extra);
    out->offset = local.at;
    out->size = (size_t)size;
    out->data = bytes_take(&local, (size_t)size);
    if (!bytes_ok(&local) || local_signature != SIGNATURE_LOCAL)
        return fail_at(error, SEGRT_MALFORMED, start, "zip entry '%.100s' does not lie in the file at byte %llu", out->name,
                       (unsigned long long)offset);
    return SEGRT_OK;
}

segrt_status zip_read(zip_archive *out, arena *memory, const file_map *file, segrt_error *error)
{
    *out = (zip_archive){0};
    directory d = {0};
    segrt_status status = find_directory(&d, file, error);
    if (status)
        return status;
    bytes whole = at(file, d.offset);
    bytes central = bytes_sub(&whole, d.size > SIZE_MAX ? SIZE_MAX : (size_t)d.size);
    if (!bytes_ok(&central) || d.count > d.size / CENTRAL_BYTES)
        return fail_at(error, SEGRT_MALFORMED, d.offset,
                       "the zip archive's directory of %llu bytes and %llu entries does not lie in the file", (unsigned long long)d.size,
                       (unsigned long long)d.count);
    if (d.count > ENTRY_CAP)
        return fail_at(error, SEGRT_UNSUPPORTED, d.offset, "a zip archive of %llu entries; at most %d are read",
                       (unsigned long long)d.count, (int)ENTRY_CAP);
    const size_t count = (size_t)d.count;
    out->entries = arena_get(memory, count, sizeof *out->entries);
    text_entry *names = arena_get(memory, count, sizeof *names);
    if (!out->entries || !names)
        return fail_memory(error, count * (sizeof *out->entries + sizeof *names), "the zip archive's directory");
    for (; !status && out->count < count; out->count++) {
        status = read_entry(&out->entries[out->count], memory, file, &central, d.offset, error);
        names[out->count] = (text_entry){.text = out->entries[out->count].name, .position = out->count};
    }
    if (status)
        return status;
    out->names = text_index_of(names, count);
    const char *twice = text_index_duplicate(&out->names);
    return twice ? fail_at(error, SEGRT_MALFORMED, d.offset, "the zip archive holds '%.100s' twice", twice) : SEGRT_OK;
}

const zip_entry *zip_find(const zip_archive *z, const char *name)
{
    const ptrdiff_t found = text_index_find(&z->names, name);
    return found < 0 ? NULL : &z->entries[found];
}
