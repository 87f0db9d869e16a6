/* frames: uncompressed video from a stream, frame by frame: raw RGB24, or YUV4MPEG2 (Y4M) with 4:2:0
 * chroma or grey.  Beside the codecs, for the program's `-`.
 *
 * Y4M's frames are views as they came (SEGRT_I420 or SEGRT_GRAY8): the library turns them into RGB. */
#ifndef SEGRT_TOOLS_FRAMES_H
#define SEGRT_TOOLS_FRAMES_H

#include "segrt/segrt.h"

typedef struct frames frames;

/* Reads Y4M's header from a file descriptor, which stays the caller's; behind `begun` bytes (a few) that were read of
 * it already, to see what it is.  Errors: IO, MALFORMED, UNSUPPORTED
 * (chroma other than 4:2:0, more than 8 bits, full range). */
segrt_status frames_open_y4m(frames **out, int descriptor, const void *begin, size_t begun, segrt_error *error);

/* Raw R G B frames of a size that the caller knows.  Errors: ARGUMENT, NO_MEMORY. */
segrt_status frames_open_rgb(frames **out, int descriptor, int width, int height, segrt_error *error);

/* The next frame, valid until the next call; *end where the stream ended between frames.  Errors: IO;
 * MALFORMED with the stream's offset, where it ended within one. */
segrt_status frames_next(frames *f, segrt_image *frame, bool *end, segrt_error *error);

/* Frames a second as the header tells, 0 where it does not. */
double frames_rate(const frames *f);

void frames_close(frames *f);

#endif
