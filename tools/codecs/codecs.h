/* codecs: pictures from and to files in memory: JPEG, PNG, WebP, PNM.  Beside the library, for its
 * program.
 *
 * Files are hostile: a picture's size is checked before memory is taken, a file that ends early is an
 * error.  Functions are free of state and may run on any number of threads.  What a decoder gives for
 * each kind of file, next to Pillow, stands in docs/pictures.md. */
#ifndef SEGRT_TOOLS_CODECS_H
#define SEGRT_TOOLS_CODECS_H

#include "segrt/segrt.h"

/* What decoding may use in all: the pixels and the decoder's own buffers.  Enough for baseline JPEGs of
 * 350 megapixels. */
#define CODEC_MOST_BYTES ((uint64_t)1 << 30)

typedef struct codec_picture {
    int width, height; /* 1..65535, as it is to be looked at: orientation applied */
    uint8_t *rgb;      /* [height][width][3] */
} codec_picture;

/* Decodes a file in memory; what kind it is, its first bytes say.  `most_bytes`: CODEC_MOST_BYTES, or
 * less.  Errors: MALFORMED (with the offset where it is known), UNSUPPORTED (another kind of file, too
 * many pixels, an animation), NO_MEMORY. */
segrt_status codec_decode(codec_picture *out, const void *data, size_t size, uint64_t most_bytes, segrt_error *error);

/* The same from a file.  Errors: also IO. */
segrt_status codec_read(codec_picture *out, const char *path, uint64_t most_bytes, segrt_error *error);

/* "JPEG", "PNG", "WebP", "PNM", or NULL where codec_decode would not know it.  The first 16 bytes are enough. */
const char *codec_kind(const void *data, size_t size);

void codec_picture_free(codec_picture *picture);

/* ---------------------------------------------------------------------------------- encoding */

/* An encoded file. */
typedef struct codec_file {
    void *data;
    size_t size;
} codec_file;

void codec_file_free(codec_file *file);

/* A label map: pixel value = class; 8 bits with `colors` palette entries (1..256).  labels [height][width]. */
segrt_status codec_png_labels(codec_file *out, const uint8_t *labels, int width, int height, const uint8_t (*palette)[3], int colors,
                              segrt_error *error);

/* Grey of 8 bits (a confidence), or of 16 (labels beyond 255). */
segrt_status codec_png_gray8(codec_file *out, const uint8_t *gray, int width, int height, segrt_error *error);
segrt_status codec_png_gray16(codec_file *out, const uint16_t *gray, int width, int height, segrt_error *error);

segrt_status codec_png_rgb(codec_file *out, const uint8_t *rgb, int width, int height, segrt_error *error);
segrt_status codec_jpeg_rgb(codec_file *out, const uint8_t *rgb, int width, int height, int quality, segrt_error *error);

/* Writes a file aside and renames it: `path` holds the whole of it, or what it held before.  Errors: IO, with the
 * operating system's words (a full disk too). */
segrt_status codec_write(const char *path, const void *data, size_t size, segrt_error *error);

/* The class indices of a label PNG as they are stored: indexed or grey, 1..16 bits, without its palette; or the
 * values of an 8- or 16-bit grey PNM.  labels [height][width], to be freed with codec_labels_free. */
typedef struct codec_labels {
    int width, height;
    uint16_t *labels;
} codec_labels;

segrt_status codec_read_labels(codec_labels *out, const char *path, uint64_t most_bytes, segrt_error *error);
segrt_status codec_decode_labels(codec_labels *out, const void *data, size_t size, uint64_t most_bytes, segrt_error *error);
void codec_labels_free(codec_labels *labels);

#endif
