/* fuzz_y4m: streams of frames; the first byte chooses between Y4M and raw frames of a size. */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "codecs/frames.h"
#include "entry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const int file = memfd_create("frames", 0);
    if (file < 0 || size < 1 || write(file, data + 1, size - 1) != (ssize_t)size - 1 || lseek(file, 0, SEEK_SET) != 0) {
        if (file >= 0)
            close(file);
        return 0;
    }
    frames *f;
    segrt_error error = {0};
    segrt_status status = data[0] & 1 ? frames_open_rgb(&f, file, 1 + (data[0] >> 4), 1 + (data[0] >> 1 & 7), &error)
                                      : frames_open_y4m(&f, file, NULL, 0, &error);
    bool end = false;
    for (int count = 0; !status && !end && count < 1000; count++) {
        segrt_image frame;
        status = frames_next(f, &frame, &end, &error);
        if (!status && !end && (frame.width < 1 || frame.height < 1 || !frame.plane[0]))
            abort();
    }
    if (status != error.status || (status && !error.message[0]))
        abort();
    frames_close(f);
    close(file);
    return 0;
}
