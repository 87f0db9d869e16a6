/* decode_jpeg: JPEG through libjpeg-turbo.  See decode.h.
 *
 * Its errors come by longjmp; nothing else here may be left behind by one.  Corrupt data is an error, not a
 * picture with a grey lower half; remarks that leave the pixels sound are let pass. */
#include <setjmp.h>
#include <stddef.h> /* jpeglib.h wants both of these before it */
#include <stdio.h>

#include <jpeglib.h>

#include <jerror.h>
#include <stdlib.h>
#include <string.h>

#include "codecs/decode.h"

enum {
    MOST_SCANS = 100,  /* encoders make about ten; each costs a pass over the picture */
    MOST_RATIO = 1024, /* two components that are sampled 4x1 and 1x4: 1024 pixels for 8 blocks of one bit at least */
};

typedef struct decoder {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_source_mgr source;
    struct jpeg_progress_mgr progress;
    jmp_buf failed;
    const decode_input *in;
    segrt_error *error;
    segrt_status status;
    int orientation;
} decoder;

static _Noreturn void stop(decoder *d, segrt_status status, const char *what)
{
    const uint64_t offset = d->source.next_input_byte ? (uint64_t)(d->source.next_input_byte - d->in->data) : SEGRT_NO_OFFSET;
    d->status = codec_fail(d->error, status, offset, "JPEG: %s", what);
    longjmp(d->failed, 1);
}

static _Noreturn void on_error(j_common_ptr jpeg)
{
    char what[JMSG_LENGTH_MAX];
    jpeg->err->format_message(jpeg, what);
    stop(jpeg->client_data, jpeg->err->msg_code == JERR_OUT_OF_MEMORY ? SEGRT_NO_MEMORY : SEGRT_MALFORMED, what);
}

static void on_message(j_common_ptr jpeg, int level)
{
    if (level >= 0) /* a trace */
        return;
    switch (jpeg->err->msg_code) {
    case JWRN_EXTRANEOUS_DATA: /* stuffing between segments */
    case JWRN_ADOBE_XFORM:
    case JWRN_JFIF_MAJOR:
    case JWRN_BOGUS_PROGRESSION:
        return;
    default:
        on_error(jpeg);
    }
}

static void on_output(j_common_ptr jpeg)
{
    (void)jpeg;
}

static void on_progress(j_common_ptr jpeg)
{
    if (((j_decompress_ptr)jpeg)->input_scan_number > MOST_SCANS)
        stop(jpeg->client_data, SEGRT_UNSUPPORTED, "has more than 100 scans: made to cost time");
}

static void on_source(j_decompress_ptr jpeg)
{
    (void)jpeg;
}

static boolean on_empty(j_decompress_ptr jpeg)
{
    stop(jpeg->client_data, SEGRT_MALFORMED, "ends early");
}

static void on_skip(j_decompress_ptr jpeg, long count)
{
    struct jpeg_source_mgr *source = jpeg->src;
    if (count <= 0)
        return;
    if ((size_t)count > source->bytes_in_buffer)
        on_empty(jpeg);
    source->next_input_byte += count;
    source->bytes_in_buffer -= (size_t)count;
}

static int orientation(const decoder *d)
{
    enum { PREFIX = 6 };
    for (jpeg_saved_marker_ptr m = d->jpeg.marker_list; m; m = m->next)
        if (m->marker == JPEG_APP0 + 1 && m->data_length > PREFIX && !memcmp(m->data, "Exif\0", PREFIX - 1))
            return exif_orientation(m->data + PREFIX, m->data_length - PREFIX);
    return 1;
}

/* Adobe's CMYK is stored inverted, and there is no other in the wild (Pillow takes it so as well): the
 * stored numbers are what is left of each light.  a * b / 255, rounded. */
static uint8_t scaled(unsigned a, unsigned b)
{
    const unsigned t = a * b + 128;
    return (uint8_t)(((t >> 8) + t) >> 8);
}

static void rgb_of_cmyk(const uint8_t *cmyk, size_t width, uint8_t *rgb)
{
    for (size_t x = 0; x < width; x++, cmyk += 4, rgb += 3)
        for (size_t c = 0; c < 3; c++)
            rgb[c] = (uint8_t)(cmyk[3] - scaled(255u - cmyk[c], cmyk[3]));
}

static void decode(decoder *d, codec_picture *out)
{
    struct jpeg_decompress_struct *jpeg = &d->jpeg;
    jpeg_save_markers(jpeg, JPEG_APP0 + 1, 0xffff);
    jpeg_read_header(jpeg, TRUE);
    d->orientation = orientation(d);
    if (jpeg->num_components != 1 && jpeg->num_components != 3 && jpeg->num_components != 4)
        stop(d, SEGRT_UNSUPPORTED, "is neither grey nor RGB nor CMYK");
    if (jpeg->data_precision != 8)
        stop(d, SEGRT_UNSUPPORTED, "has samples of other than 8 bits");
    /* Several scans are kept as coefficients of 2 bytes until the last is read. */
    const unsigned own_bytes = jpeg_has_multiple_scans(jpeg) ? 2 * (unsigned)jpeg->num_components : 0;
    d->status = decode_open(out, d->in, jpeg->image_width, jpeg->image_height, own_bytes, MOST_RATIO, d->error);
    if (d->status)
        longjmp(d->failed, 1);
    const bool cmyk = jpeg->num_components == 4;
    jpeg->out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
    jpeg_start_decompress(jpeg);
    const size_t width = (size_t)out->width;
    JSAMPARRAY ink = cmyk ? jpeg->mem->alloc_sarray((j_common_ptr)jpeg, JPOOL_IMAGE, 4 * (JDIMENSION)width, 1) : NULL;
    while (jpeg->output_scanline < jpeg->output_height) {
        JSAMPROW row = out->rgb + 3 * width * jpeg->output_scanline;
        if (cmyk) {
            jpeg_read_scanlines(jpeg, ink, 1);
            rgb_of_cmyk(ink[0], width, row);
        } else
            jpeg_read_scanlines(jpeg, &row, 1);
    }
    jpeg_finish_decompress(jpeg);
}

segrt_status decode_jpeg(codec_picture *out, const decode_input *in, segrt_error *error)
{
    decoder *d = calloc(1, sizeof *d);
    if (!d)
        return codec_fail(error, SEGRT_NO_MEMORY, SEGRT_NO_OFFSET, "out of memory: a JPEG decoder");
    d->in = in;
    d->error = error;
    d->jpeg.err = jpeg_std_error(&d->errors);
    d->errors.error_exit = on_error;
    d->errors.emit_message = on_message;
    d->errors.output_message = on_output;
    d->jpeg.client_data = d;
    if (!setjmp(d->failed)) {
        jpeg_create_decompress(&d->jpeg);
        d->progress.progress_monitor = on_progress;
        d->jpeg.progress = &d->progress;
        d->source = (struct jpeg_source_mgr){.next_input_byte = in->data,
                                             .bytes_in_buffer = in->size,
                                             .init_source = on_source,
                                             .fill_input_buffer = on_empty,
                                             .skip_input_data = on_skip,
                                             .resync_to_restart = jpeg_resync_to_restart,
                                             .term_source = on_source};
        d->jpeg.src = &d->source;
        decode(d, out);
    }
    const segrt_status status = d->status;
    const int turn = d->orientation;
    jpeg_destroy_decompress(&d->jpeg);
    free(d);
    return status ? status : decode_orient(out, turn, in->most_bytes, error);
}
