/* encode: masks, confidences and overlays to PNG and JPEG.  See codecs.h. */
#include <setjmp.h>
#include <stddef.h> /* jpeglib.h wants both of these before it */
#include <stdio.h>

#include <jpeglib.h>

#include <jerror.h>
#include <spng.h>
#include <stdlib.h>
#include <string.h>

#include "codecs/decode.h"

void codec_file_free(codec_file *file)
{
    free(file->data);
    *file = (codec_file){0};
}

static segrt_status check(int width, int height, segrt_error *error)
{
    if (width < 1 || height < 1)
        return codec_fail(error, SEGRT_ARGUMENT, SEGRT_NO_OFFSET, "cannot write a picture of %dx%d", width, height);
    return SEGRT_OK;
}

/* pixels: rows without gaps, 16 bits in this machine's order. */
static segrt_status encode_png(codec_file *out, const void *pixels, size_t bytes, struct spng_ihdr header, struct spng_plte *palette,
                               segrt_error *error)
{
    enum {
        LEVEL = 6
    }; /* label maps: level 9 takes five times as long for a file a quarter smaller; 3 a third of the time, half as large again */
    *out = (codec_file){0};
    spng_ctx *png = spng_ctx_new(SPNG_CTX_ENCODER);
    int code = png ? 0 : SPNG_EMEM;
    if (!code)
        code = spng_set_option(png, SPNG_ENCODE_TO_BUFFER, 1);
    if (!code)
        code = spng_set_option(png, SPNG_IMG_COMPRESSION_LEVEL, LEVEL);
    if (!code)
        code = spng_set_ihdr(png, &header);
    if (!code && palette)
        code = spng_set_plte(png, palette);
    if (!code)
        code = spng_encode_image(png, pixels, bytes, SPNG_FMT_PNG, SPNG_ENCODE_FINALIZE);
    if (!code)
        out->data = spng_get_png_buffer(png, &out->size, &code);
    spng_ctx_free(png);
    if (code == SPNG_EMEM || (!code && !out->data))
        return codec_fail(error, SEGRT_NO_MEMORY, SEGRT_NO_OFFSET, "out of memory: a PNG of %ux%u", header.width, header.height);
    return code ? codec_fail(error, SEGRT_ARGUMENT, SEGRT_NO_OFFSET, "cannot write a PNG: %s", spng_strerror(code)) : SEGRT_OK;
}

segrt_status codec_png_labels(codec_file *out, const uint8_t *labels, int width, int height, const uint8_t (*palette)[3], int colors,
                              segrt_error *error)
{
    *out = (codec_file){0};
    if (check(width, height, error))
        return SEGRT_ARGUMENT;
    if (colors < 1 || colors > 256)
        return codec_fail(error, SEGRT_ARGUMENT, SEGRT_NO_OFFSET, "an indexed PNG holds 1 to 256 colours, not %d", colors);
    struct spng_plte entries = {.n_entries = (uint32_t)colors};
    for (int i = 0; i < colors; i++)
        entries.entries[i] = (struct spng_plte_entry){palette[i][0], palette[i][1], palette[i][2], 255};
    const struct spng_ihdr header = {
        .width = (uint32_t)width, .height = (uint32_t)height, .bit_depth = 8, .color_type = SPNG_COLOR_TYPE_INDEXED};
    return encode_png(out, labels, (size_t)width * (size_t)height, header, &entries, error);
}

static segrt_status encode_plain(codec_file *out, const void *pixels, int width, int height, int depth, int color_type, int sample_bytes,
                                 segrt_error *error)
{
    *out = (codec_file){0};
    if (check(width, height, error))
        return SEGRT_ARGUMENT;
    const struct spng_ihdr header = {
        .width = (uint32_t)width, .height = (uint32_t)height, .bit_depth = (uint8_t)depth, .color_type = (uint8_t)color_type};
    return encode_png(out, pixels, (size_t)width * (size_t)height * (size_t)sample_bytes, header, NULL, error);
}

segrt_status codec_png_gray8(codec_file *out, const uint8_t *gray, int width, int height, segrt_error *error)
{
    return encode_plain(out, gray, width, height, 8, SPNG_COLOR_TYPE_GRAYSCALE, 1, error);
}

segrt_status codec_png_gray16(codec_file *out, const uint16_t *gray, int width, int height, segrt_error *error)
{
    return encode_plain(out, gray, width, height, 16, SPNG_COLOR_TYPE_GRAYSCALE, 2, error);
}

segrt_status codec_png_rgb(codec_file *out, const uint8_t *rgb, int width, int height, segrt_error *error)
{
    return encode_plain(out, rgb, width, height, 8, SPNG_COLOR_TYPE_TRUECOLOR, 3, error);
}

typedef struct encoder {
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_destination_mgr destination;
    jmp_buf failed;
    uint8_t *data; /* [room]; ours, because jpeg_mem_dest loses its buffer when it fails */
    size_t room;
    segrt_error *error;
    segrt_status status;
} encoder;

static _Noreturn void stop(encoder *e, segrt_status status, const char *what)
{
    e->status = codec_fail(e->error, status, SEGRT_NO_OFFSET, "cannot write a JPEG: %s", what);
    longjmp(e->failed, 1);
}

static _Noreturn void on_error(j_common_ptr jpeg)
{
    char what[JMSG_LENGTH_MAX];
    jpeg->err->format_message(jpeg, what);
    stop(jpeg->client_data, jpeg->err->msg_code == JERR_OUT_OF_MEMORY ? SEGRT_NO_MEMORY : SEGRT_ARGUMENT, what);
}

static void on_message(j_common_ptr jpeg, int level)
{
    (void)jpeg;
    (void)level;
}

/* Doubles the room; called where it is full, and at the start. */
static boolean on_full(j_compress_ptr jpeg)
{
    encoder *e = jpeg->client_data;
    const size_t used = e->room, room = used ? 2 * used : (size_t)1 << 16;
    uint8_t *data = realloc(e->data, room);
    if (!data)
        stop(e, SEGRT_NO_MEMORY, "out of memory");
    e->data = data;
    e->room = room;
    e->destination.next_output_byte = data + used;
    e->destination.free_in_buffer = room - used;
    return TRUE;
}

static void on_start(j_compress_ptr jpeg)
{
    on_full(jpeg);
}

static void on_end(j_compress_ptr jpeg)
{
    (void)jpeg;
}

segrt_status codec_jpeg_rgb(codec_file *out, const uint8_t *rgb, int width, int height, int quality, segrt_error *error)
{
    *out = (codec_file){0};
    if (check(width, height, error))
        return SEGRT_ARGUMENT;
    encoder *e = calloc(1, sizeof *e);
    if (!e)
        return codec_fail(error, SEGRT_NO_MEMORY, SEGRT_NO_OFFSET, "out of memory: a JPEG encoder");
    e->error = error;
    e->jpeg.err = jpeg_std_error(&e->errors);
    e->errors.error_exit = on_error;
    e->errors.emit_message = on_message;
    e->jpeg.client_data = e;
    if (!setjmp(e->failed)) {
        jpeg_create_compress(&e->jpeg);
        e->destination =
            (struct jpeg_destination_mgr){.init_destination = on_start, .empty_output_buffer = on_full, .term_destination = on_end};
        e->jpeg.dest = &e->destination;
        e->jpeg.image_width = (JDIMENSION)width;
        e->jpeg.image_height = (JDIMENSION)height;
        e->jpeg.input_components = 3;
        e->jpeg.in_color_space = JCS_RGB;
        jpeg_set_defaults(&e->jpeg);
        jpeg_set_quality(&e->jpeg, quality, TRUE);
        jpeg_start_compress(&e->jpeg, TRUE);
        while (e->jpeg.next_scanline < e->jpeg.image_height) {
            JSAMPROW row = (JSAMPROW)(rgb + 3 * (size_t)width * e->jpeg.next_scanline);
            jpeg_write_scanlines(&e->jpeg, &row, 1);
        }
        jpeg_finish_compress(&e->jpeg);
    }
    const segrt_status status = e->status;
    jpeg_destroy_compress(&e->jpeg);
    if (status)
        free(e->data);
    else
        *out = (codec_file){.data = e->data, .size = e->room - e->destination.free_in_buffer};
    free(e);
    return status;
}
