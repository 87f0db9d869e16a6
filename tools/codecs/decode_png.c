/* decode_png: PNG through libspng.  See decode.h.
 *
 * Alpha and transparent colours are dropped, not blended; of 16 bits the higher 8 are taken; fewer than 8 are
 * scaled to 0..255. */
#include "codecs/decode.h"

#include <spng.h>
#include <stdlib.h>
#include <string.h>

enum {
    MOST_RATIO = 8 * 1032,  /* deflate makes at most 1032 bytes of one ("deflate" in zlib's technical notes), each of 8 pixels */
    CHUNK_BYTES = 64 << 20, /* texts and profiles; none is needed here */
};

static segrt_status fail_png(segrt_error *error, int code)
{
    if (code == SPNG_EMEM)
        return codec_fail(error, SEGRT_NO_MEMORY, SEGRT_NO_OFFSET, "out of memory: a PNG decoder");
    if (code == SPNG_IO_EOF)
        return codec_fail(error, SEGRT_MALFORMED, SEGRT_NO_OFFSET, "PNG: ends early");
    return codec_fail(error, SEGRT_MALFORMED, SEGRT_NO_OFFSET, "PNG: %s", spng_strerror(code));
}

/* Walks over the chunks: a file that was cut anywhere is known before a pixel of it is decoded. */
static segrt_status check_end(const decode_input *in, segrt_error *error)
{
    enum { SIGNATURE = 8, FRAME = 12 }; /* a chunk's length, type and checksum */
    for (size_t at = SIGNATURE; in->size - at >= FRAME;) {
        const uint8_t *chunk = in->data + at;
        const size_t length = (size_t)chunk[0] << 24 | (size_t)chunk[1] << 16 | (size_t)chunk[2] << 8 | chunk[3];
        if (!memcmp(chunk + 4, "IEND", 4))
            return SEGRT_OK;
        if (length > in->size - at - FRAME)
            break;
        at += FRAME + length;
    }
    return codec_fail(error, SEGRT_MALFORMED, in->size, "PNG: ends early: %zu bytes without an end", in->size);
}

static segrt_status open_png(spng_ctx **out, struct spng_ihdr *header, const decode_input *in, segrt_error *error)
{
    *out = NULL;
    if (check_end(in, error))
        return SEGRT_MALFORMED;
    spng_ctx *png = *out = spng_ctx_new(0);
    if (!png)
        return fail_png(error, SPNG_EMEM);
    int code = spng_set_crc_action(png, SPNG_CRC_ERROR, SPNG_CRC_DISCARD);
    if (!code)
        code = spng_set_chunk_limits(png, CHUNK_BYTES, CHUNK_BYTES);
    if (!code)
        code = spng_set_png_buffer(png, in->data, in->size);
    if (!code)
        code = spng_get_ihdr(png, header);
    return code ? fail_png(error, code) : SEGRT_OK;
}

segrt_status decode_png(codec_picture *out, const decode_input *in, segrt_error *error)
{
    spng_ctx *png;
    struct spng_ihdr header;
    int turn = 1, code = 0;
    segrt_status status = open_png(&png, &header, in, error);
    if (!status)
        status = decode_open(out, in, header.width, header.height, 0, MOST_RATIO, error);
    if (!status) {
        code = spng_decode_image(png, out->rgb, 3 * (size_t)out->width * (size_t)out->height, SPNG_FMT_RGB8, 0);
        if (!code)
            code = spng_decode_chunks(png); /* up to the end: a file that was cut there is not whole */
        struct spng_exif exif;
        if (!code && !spng_get_exif(png, &exif))
            turn = exif_orientation((const uint8_t *)exif.data, exif.length);
        if (code)
            status = fail_png(error, code);
    }
    spng_ctx_free(png);
    return status ? status : decode_orient(out, turn, in->most_bytes, error);
}

segrt_status decode_png_labels(codec_labels *out, const decode_input *in, segrt_error *error)
{
    spng_ctx *png;
    struct spng_ihdr header;
    uint8_t *raw = NULL;
    size_t bytes = 0;
    segrt_status status = open_png(&png, &header, in, error);
    if (!status && header.color_type != SPNG_COLOR_TYPE_GRAYSCALE && header.color_type != SPNG_COLOR_TYPE_INDEXED)
        status = codec_fail(error, SEGRT_UNSUPPORTED, SEGRT_NO_OFFSET, "PNG: a label map is indexed or grey, this has colours or alpha");
    if (!status)
        status = decode_open_labels(out, in, header.width, header.height, MOST_RATIO, error);
    if (!status) {
        int code = spng_decoded_image_size(png, SPNG_FMT_RAW, &bytes);
        if (!code && !(raw = malloc(bytes)))
            code = SPNG_EMEM;
        if (!code)
            code = spng_decode_image(png, raw, bytes, SPNG_FMT_RAW, 0);
        if (!code)
            code = spng_decode_chunks(png);
        if (code)
            status = fail_png(error, code);
    }
    const size_t depth = header.bit_depth, row_bytes = status ? 0 : bytes / header.height;
    for (size_t y = 0; !status && y < header.height; y++)
        for (size_t x = 0; x < header.width; x++) {
            const uint8_t *row = raw + y * row_bytes;
            const size_t bit = x * depth;
            out->labels[y * header.width + x] = depth == 16 ? (uint16_t)(row[2 * x] << 8 | row[2 * x + 1])
                                                            : (uint16_t)(row[bit / 8] >> (8 - depth - bit % 8) & ((1u << depth) - 1));
        }
    free(raw);
    spng_ctx_free(png);
    return status;
}
