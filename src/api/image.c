/* image: views of pixels that follow each other without a gap.  API layer. */
#include "segrt/segrt.h"

segrt_image segrt_image_packed(segrt_format format, const uint8_t *pixels, int32_t width, int32_t height)
{
    static const ptrdiff_t channels[] = {[SEGRT_RGB8] = 3,  [SEGRT_BGR8] = 3, [SEGRT_RGBA8] = 4, [SEGRT_BGRA8] = 4,
                                         [SEGRT_GRAY8] = 1, [SEGRT_NV12] = 1, [SEGRT_I420] = 1};
    segrt_image image = {.format = format, .width = width, .height = height, .plane[0] = pixels};
    image.stride[0] = (size_t)format < sizeof channels / sizeof *channels ? width * channels[format] : 0;
    const ptrdiff_t half_width = ((ptrdiff_t)width + 1) / 2, half_height = ((ptrdiff_t)height + 1) / 2;
    if (format == SEGRT_NV12) {
        image.plane[1] = pixels + (ptrdiff_t)width * height;
        image.stride[1] = 2 * half_width;
    } else if (format == SEGRT_I420) {
        image.plane[1] = pixels + (ptrdiff_t)width * height;
        image.plane[2] = image.plane[1] + half_width * half_height;
        image.stride[1] = image.stride[2] = half_width;
    }
    return image;
}
