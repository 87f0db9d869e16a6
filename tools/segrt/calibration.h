/* calibration: the pictures of a folder, decoded, for an int8 engine.  The program. */
#ifndef SEGRT_PROGRAM_CALIBRATION_H
#define SEGRT_PROGRAM_CALIBRATION_H

#include "codecs/codecs.h"

enum { CALIBRATION_MOST = 64 }; /* pictures; of more, so many evenly spread */

typedef struct calibration {
    codec_picture pictures[CALIBRATION_MOST];
    segrt_image images[CALIBRATION_MOST];
    size_t count;
} calibration;

/* 0, or an exit code after having said why: no picture, or one that can't be read. */
int calibration_open(calibration *c, const char *folder);
void calibration_close(calibration *c);

#endif
