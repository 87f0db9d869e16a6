/* decode_webp: lossy and lossless WebP through libwebp; alpha is dropped.  See decode.h. */
#include "codecs/decode.h"

#include <string.h>
#include <webp/decode.h>

enum {
    OWN_BYTES = 5,        /* a lossless picture's 4 bytes a pixel, and tables */
    MOST_RATIO = 1 << 20, /* a lossless picture of one colour has a fixed size: the format knows no bound but its 16383 a side */
};

/* The EXIF chunk of the extended container ("WebP Container Specification", chunks of RIFF). */
static int orientation(const decode_input *in)
{
    size_t at = 12;
    while (in->size - at >= 8) {
        const uint8_t *chunk = in->data + at;
        const size_t size = chunk[4] | (size_t)chunk[5] << 8 | (size_t)chunk[6] << 16 | (size_t)chunk[7] << 24, left = in->size - at - 8;
        if (size > left)
            break;
        if (!memcmp(chunk, "EXIF", 4)) {
            const size_t skipped = size >= 6 && !memcmp(chunk + 8, "Exif\0\0", 6) ? 6 : 0; /* some writers keep JPEG's prefix */
            return exif_orientation(chunk + 8 + skipped, size - skipped);
        }
        if (size + (size & 1) > left)
            break;
        at += 8 + size + (size & 1);
    }
    return 1;
}

segrt_status decode_webp(codec_picture *out, const decode_input *in, segrt_error *error)
{
    const uint8_t *d = in->data;
    const uint64_t riff = 8 + (d[4] | (uint64_t)d[5] << 8 | (uint64_t)d[6] << 16 | (uint64_t)d[7] << 24);
    if (memcmp(d, "RIFF", 4))
        return codec_fail(error, SEGRT_MALFORMED, 0, "WebP: does not begin with RIFF");
    if (riff > in->size)
        return codec_fail(error, SEGRT_MALFORMED, in->size, "WebP: ends early: %zu bytes of %llu", in->size, (unsigned long long)riff);
    WebPBitstreamFeatures facts;
    if (WebPGetFeatures(d, in->size, &facts) != VP8_STATUS_OK)
        return codec_fail(error, SEGRT_MALFORMED, SEGRT_NO_OFFSET, "WebP: the header is damaged");
    if (facts.has_animation)
        return codec_fail(error, SEGRT_UNSUPPORTED, SEGRT_NO_OFFSET, "WebP: is an animation; only single pictures are read");
    const segrt_status status = decode_open(out, in, (uint64_t)facts.width, (uint64_t)facts.height, OWN_BYTES, MOST_RATIO, error);
    if (status)
        return status;
    const size_t bytes = 3 * (size_t)out->width * (size_t)out->height;
    if (!WebPDecodeRGBInto(d, in->size, out->rgb, bytes, 3 * out->width))
        return codec_fail(error, SEGRT_MALFORMED, SEGRT_NO_OFFSET, "WebP: the picture is damaged, or memory ran out");
    return decode_orient(out, orientation(in), in->most_bytes, error);
}
