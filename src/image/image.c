/* image: see image.h. */
#include "image/image.h"

#include <string.h>

#include "image/yuv.h"

enum { LARGEST_SIDE = 65535 };

/* What a format's planes hold: bytes a sample, and whether they are at half size (rounded up). */
static const struct format_facts {
    const char *name;
    int planes;
    struct {
        int bytes;
        bool half;
    } plane[3];
} formats[] = {
    [SEGRT_RGB8] = {"RGB", 1, {{3, false}}},
    [SEGRT_BGR8] = {"BGR", 1, {{3, false}}},
    [SEGRT_RGBA8] = {"RGBA", 1, {{4, false}}},
    [SEGRT_BGRA8] = {"BGRA", 1, {{4, false}}},
    [SEGRT_GRAY8] = {"grey", 1, {{1, false}}},
    [SEGRT_NV12] = {"NV12", 2, {{1, false}, {2, true}}},
    [SEGRT_I420] = {"I420", 3, {{1, false}, {1, true}, {1, true}}},
};

static int half_up(int side)
{
    return (side + 1) / 2;
}

segrt_status image_check(const segrt_image *image, segrt_error *error)
{
    if (!image)
        return fail_with(error, SEGRT_ARGUMENT, "no picture was given");
    if ((unsigned)image->format >= sizeof formats / sizeof *formats)
        return fail_with(error, SEGRT_ARGUMENT, "picture format %d is not one of segrt_format", (int)image->format);
    if (image->width < 1 || image->height < 1 || image->width > LARGEST_SIDE || image->height > LARGEST_SIDE)
        return fail_with(error, SEGRT_ARGUMENT, "a picture of %dx%d: each side must lie in 1..%d", (int)image->width, (int)image->height,
                         LARGEST_SIDE);
    const struct format_facts *facts = &formats[image->format];
    for (int i = 0; i < facts->planes; i++) {
        const ptrdiff_t row = (ptrdiff_t)facts->plane[i].bytes * (facts->plane[i].half ? half_up(image->width) : image->width);
        if (!image->plane[i])
            return fail_with(error, SEGRT_ARGUMENT, "plane %d of the %s picture is NULL", i, facts->name);
        if (image->stride[i] < row && image->stride[i] > -row)
            return fail_with(error, SEGRT_ARGUMENT, "plane %d of the %s picture has a stride of %td bytes, but a row of it has %td", i,
                             facts->name, image->stride[i], row);
    }
    return SEGRT_OK;
}

/* Interleaved samples, `step` bytes a pixel, with red at `r` and blue at `b`. */
static inline void packed_row(const uint8_t *from, int step, int r, int g, int b, int width, uint8_t *rgb)
{
    for (size_t x = 0; x < (size_t)width; x++) {
        rgb[3 * x] = from[x * (size_t)step + (size_t)r];
        rgb[3 * x + 1] = from[x * (size_t)step + (size_t)g];
        rgb[3 * x + 2] = from[x * (size_t)step + (size_t)b];
    }
}

void image_to_rgb(const segrt_image *image, int begin, int end, uint8_t *rgb)
{
    const int width = image->width;
    yuv_row_fn *yuv_row = yuv_row_best();
    for (int row = begin; row < end; row++, rgb += 3 * (size_t)width) {
        const uint8_t *first = image->plane[0] + row * image->stride[0];
        switch (image->format) {
        case SEGRT_RGB8:
            memcpy(rgb, first, 3 * (size_t)width);
            break;
        case SEGRT_BGR8:
            packed_row(first, 3, 2, 1, 0, width, rgb);
            break;
        case SEGRT_RGBA8:
            packed_row(first, 4, 0, 1, 2, width, rgb);
            break;
        case SEGRT_BGRA8:
            packed_row(first, 4, 2, 1, 0, width, rgb);
            break;
        case SEGRT_GRAY8:
            packed_row(first, 1, 0, 0, 0, width, rgb);
            break;
        case SEGRT_NV12: {
            const uint8_t *uv = image->plane[1] + row / 2 * image->stride[1];
            yuv_row(first, uv, uv + 1, 2, width, rgb);
            break;
        }
        case SEGRT_I420:
            yuv_row(first, image->plane[1] + row / 2 * image->stride[1], image->plane[2] + row / 2 * image->stride[2], 1, width, rgb);
            break;
        }
    }
}

static int at_least_1(double side)
{
    return side < 1 ? 1 : side > LARGEST_SIDE ? LARGEST_SIDE : (int)side;
}

/* mmcv's rescale_size: the largest scale that keeps both sides inside the box, either way round; each
 * side rounded half up. */
static void fit(int box_w, int box_h, int w, int h, int *fit_w, int *fit_h)
{
    const double box_long = box_w > box_h ? box_w : box_h, box_short = box_w > box_h ? box_h : box_w;
    const double by_long = box_long / (w > h ? w : h), by_short = box_short / (w > h ? h : w);
    const double scale = by_long < by_short ? by_long : by_short;
    *fit_w = at_least_1(w * scale + 0.5);
    *fit_h = at_least_1(h * scale + 0.5);
}

static int up_to_multiple(int side, int multiple)
{
    return multiple > 1 ? (side + multiple - 1) / multiple * multiple : side;
}

void image_fit_size(const segrt_preprocessing *p, int w, int h, int *fit_w, int *fit_h)
{
    if (p->resize == SEGRT_RESIZE_FIT)
        fit(p->width, p->height, w, h, fit_w, fit_h);
    else
        image_input_size(p, w, h, fit_w, fit_h);
}

void image_input_size(const segrt_preprocessing *p, int w, int h, int *input_w, int *input_h)
{
    *input_w = w;
    *input_h = h;
    switch (p->resize) {
    case SEGRT_RESIZE_MODEL: /* resolved before; as it is otherwise */
    case SEGRT_RESIZE_NONE:
        break;
    case SEGRT_RESIZE_EXACT:
        *input_w = p->width;
        *input_h = p->height;
        break;
    case SEGRT_RESIZE_SHORT_SIDE: /* transformers' get_resize_output_image_size: the longer side rounded down */
        if (w <= h) {
            *input_w = p->width;
            *input_h = at_least_1((double)((int64_t)p->width * h / w));
        } else {
            *input_h = p->width;
            *input_w = at_least_1((double)((int64_t)p->width * w / h));
        }
        break;
    case SEGRT_RESIZE_FIT:
        fit(p->width, p->height, w, h, input_w, input_h);
        *input_w = up_to_multiple(*input_w, p->multiple);
        *input_h = up_to_multiple(*input_h, p->multiple);
        break;
    }
}

void image_overlay(uint8_t *rgb, const uint8_t *labels, size_t pixels, const uint8_t (*palette)[3], int classes, int alpha)
{
    for (size_t i = 0; i < pixels; i++) {
        if (labels[i] >= classes)
            continue;
        const uint8_t *color = palette[labels[i]];
        for (size_t c = 0; c < 3; c++)
            rgb[3 * i + c] = (uint8_t)((rgb[3 * i + c] * (256 - alpha) + color[c] * alpha + 128) >> 8);
    }
}

int image_window_starts(int side, int window, int stride, int *starts, int room)
{
    const int count = side <= window ? 1 : (side - window + stride - 1) / stride + 1;
    for (int i = 0; i < count && i < room; i++) {
        const int64_t start = (int64_t)i * stride, last = side > window ? side - window : 0;
        starts[i] = (int)(start < last ? start : last);
    }
    return count;
}
