/* decode: what the decoders share.  Private to this folder. */
#ifndef SEGRT_TOOLS_DECODE_H
#define SEGRT_TOOLS_DECODE_H

#include "codecs/codecs.h"

/* Records a failure unless one is recorded; returns `status`.  offset: SEGRT_NO_OFFSET where unknown. */
segrt_status codec_fail(segrt_error *error, segrt_status status, uint64_t offset, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 4, 5)))
#endif
    ;

/* Names the file that a recorded failure is about. */
segrt_status codec_fail_in(segrt_error *error, segrt_status status, const char *path);

typedef struct decode_input {
    const uint8_t *data;
    size_t size;
    uint64_t most_bytes;
} decode_input;

/* Checks a picture's size, then takes memory for its pixels.  `own_bytes`: what the decoder needs for each
 * pixel beside them.  `most_ratio`: pixels that one byte of a sound file can stand for at most: a file
 * that promises more is refused before anything is taken. */
segrt_status decode_open(codec_picture *out, const decode_input *in, uint64_t width, uint64_t height, unsigned own_bytes,
                         unsigned most_ratio, segrt_error *error);

/* Turns a picture as EXIF's orientation 1..8 says (others: not at all). */
segrt_status decode_orient(codec_picture *picture, int orientation, uint64_t most_bytes, segrt_error *error);

/* The orientation in a TIFF structure (what follows "Exif\0\0" in a JPEG), 1 where there is none. */
int exif_orientation(const uint8_t *tiff, size_t size);

segrt_status decode_jpeg(codec_picture *out, const decode_input *in, segrt_error *error);
segrt_status decode_png(codec_picture *out, const decode_input *in, segrt_error *error);
segrt_status decode_webp(codec_picture *out, const decode_input *in, segrt_error *error);
segrt_status decode_pnm(codec_picture *out, const decode_input *in, segrt_error *error);

segrt_status decode_png_labels(codec_labels *out, const decode_input *in, segrt_error *error);
segrt_status decode_pnm_labels(codec_labels *out, const decode_input *in, segrt_error *error);

/* Memory for labels, checked as in decode_open. */
segrt_status decode_open_labels(codec_labels *out, const decode_input *in, uint64_t width, uint64_t height, unsigned most_ratio,
                                segrt_error *error);

#endif
