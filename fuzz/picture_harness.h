/* picture_harness: what every decoder of pictures must hold to, whatever the bytes: a whole picture, or an error and
 * nothing. */
#ifndef SEGRT_FUZZ_PICTURE_HARNESS_H
#define SEGRT_FUZZ_PICTURE_HARNESS_H

#include <stdlib.h>
#include <string.h>

#include "codecs/codecs.h"
#include "entry.h"

enum { PICTURE_BYTES = 32 << 20 }; /* what decoding may take: small, so that sizes just below it are met often */

static inline void require(bool holds)
{
    if (!holds)
        abort();
}

/* Decodes what its first bytes say is of this kind. */
static inline int picture_harness(const char *kind, const uint8_t *data, size_t size)
{
    const char *own = codec_kind(data, size);
    if (!own || strcmp(own, kind) != 0)
        return 0;
    codec_picture picture;
    segrt_error error = {0};
    const segrt_status status = codec_decode(&picture, data, size, PICTURE_BYTES, &error);
    require(status == error.status);
    if (status) {
        require(!picture.rgb && error.message[0]);
        require(error.offset == SEGRT_NO_OFFSET || error.offset <= size);
    } else {
        require(picture.rgb && picture.width >= 1 && picture.height >= 1);
    }
    codec_picture_free(&picture);

    codec_labels labels;
    error = (segrt_error){0};
    if (!codec_decode_labels(&labels, data, size, PICTURE_BYTES, &error))
        require(labels.labels && labels.width >= 1 && labels.height >= 1);
    else
        require(!labels.labels && error.status);
    codec_labels_free(&labels);
    return 0;
}

#endif
