/* calibration: see calibration.h. */
#include "calibration.h"

#include <stdlib.h>

#include "command.h"
#include "inputs.h"
#include "report.h"

int calibration_open(calibration *c, const char *folder)
{
    inputs in = {0};
    char *operand = text_of("%s", folder);
    int result = EXIT_SOME_FAILED;
    if (!inputs_collect(&in, &operand, 1) || in.failed)
        goto done;
    const size_t wanted = in.count < CALIBRATION_MOST ? in.count : CALIBRATION_MOST;
    for (; c->count < wanted; c->count++) {
        segrt_error error = {0};
        const char *path = in.list[c->count * in.count / wanted].path;
        codec_picture *picture = &c->pictures[c->count];
        if (codec_read(picture, path, CODEC_MOST_BYTES, &error)) {
            report_error(path, &error);
            goto done;
        }
        c->images[c->count] = segrt_image_packed(SEGRT_RGB8, picture->rgb, picture->width, picture->height);
    }
    result = EXIT_DONE;
done:
    inputs_free(&in);
    free(operand);
    return result;
}

void calibration_close(calibration *c)
{
    for (size_t i = 0; i < c->count; i++)
        codec_picture_free(&c->pictures[i]);
    c->count = 0;
}
