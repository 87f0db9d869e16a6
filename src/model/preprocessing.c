/* preprocessing: see preprocessing.h. */
#include "model/preprocessing.h"

#include <string.h>

#include "formats/json.h"

enum { SIDE_CAP = 16384 };

static const float imagenet_mean[3] = {123.675f, 116.28f, 103.53f}, imagenet_deviation[3] = {58.395f, 57.12f, 57.375f};

static segrt_status side(const json_t *value, const char *field, int32_t *out, segrt_error *error)
{
    const json_int_t pixels = json_is_integer(value) ? json_integer_value(value) : 0;
    if (pixels < 1 || pixels > SIDE_CAP)
        return fail_with(error, SEGRT_MALFORMED, "\"%s\" must be a whole number of pixels in 1..%d", field, (int)SIDE_CAP);
    *out = (int32_t)pixels;
    return SEGRT_OK;
}

/* "size": 512, {"height": 512, "width": 512} or {"shortest_edge": 512}. */
static segrt_status read_size(segrt_preprocessing *out, const json_t *size, segrt_error *error)
{
    segrt_status status;
    if (!json_is_object(size)) {
        status = side(size, "size", &out->width, error);
        out->height = out->width;
        return status;
    }
    const json_t *shortest = json_object_get(size, "shortest_edge");
    if (shortest) {
        if (json_object_get(size, "longest_edge"))
            return fail_with(error, SEGRT_UNSUPPORTED,
                             "\"size\" with \"longest_edge\"; known are a number, \"height\" and \"width\", and \"shortest_edge\"");
        out->resize = SEGRT_RESIZE_SHORT_SIDE;
        status = side(shortest, "shortest_edge", &out->width, error);
        out->height = out->width;
        return status;
    }
    status = side(json_object_get(size, "height"), "height", &out->height, error);
    return status ? status : side(json_object_get(size, "width"), "width", &out->width, error);
}

static segrt_status read_resample(segrt_preprocessing *out, const json_t *root, segrt_error *error)
{
    static const struct {
        int pillow; /* PIL.Image.Resampling */
        segrt_resample resample;
    } rows[] = {{2, SEGRT_RESAMPLE_PILLOW_BILINEAR}, {3, SEGRT_RESAMPLE_PILLOW_BICUBIC}, {0, SEGRT_RESAMPLE_NEAREST}};
    const double wanted = json_real_or(root, "resample", 2);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (wanted == rows[i].pillow) {
            out->resample = rows[i].resample;
            return SEGRT_OK;
        }
    return fail_with(error, SEGRT_UNSUPPORTED, "\"resample\" is %g; known are 0 (nearest), 2 (bilinear) and 3 (bicubic)", wanted);
}

/* Per channel, on the scale of the rescaled pixels. */
static segrt_status read_triple(const json_t *root, const char *field, const float standard[3], double rescale, double low, float out[3],
                                segrt_error *error)
{
    const json_t *list = json_object_get(root, field);
    for (size_t c = 0; c < 3; c++) {
        const json_t *item = json_array_get(list, c);
        const double value = json_is_number(item) ? json_number_value(item) : -1;
        if (!list)
            out[c] = standard[c];
        else if (!json_is_number(item) || !(value >= low) || !(value < 1e6) || json_array_size(list) != 3)
            return fail_with(error, SEGRT_MALFORMED, "\"%s\" must be three numbers, at least %g", field, low);
        else
            out[c] = (float)(value / rescale);
    }
    return SEGRT_OK;
}

static segrt_status read_fields(segrt_preprocessing *out, const json_t *root, segrt_error *error)
{
    static const char *const refused[] = {"do_center_crop", "do_pad"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (json_flag(root, refused[i], false))
            return fail_with(error, SEGRT_UNSUPPORTED, "\"%s\" is set; SegFormer's processors only resize, rescale and normalise",
                             refused[i]);
    segrt_status status = read_resample(out, root, error);
    if (!status && !json_flag(root, "do_resize", true))
        out->resize = SEGRT_RESIZE_NONE;
    else if (!status && json_object_get(root, "size"))
        status = read_size(out, json_object_get(root, "size"), error);
    if (status)
        return status;
    const double rescale = json_flag(root, "do_rescale", true) ? json_real_or(root, "rescale_factor", 1.0 / 255) : 1;
    if (!(rescale >= 1e-6 && rescale <= 1e6))
        return fail_with(error, SEGRT_MALFORMED, "\"rescale_factor\" is %g", rescale);
    if (!json_flag(root, "do_normalize", true)) {
        for (int c = 0; c < 3; c++)
            out->mean[c] = 0, out->deviation[c] = (float)(1 / rescale);
        return SEGRT_OK;
    }
    status = read_triple(root, "image_mean", imagenet_mean, rescale, -1e6, out->mean, error);
    return status ? status : read_triple(root, "image_std", imagenet_deviation, rescale, 1e-6, out->deviation, error);
}

segrt_status model_preprocessing_read(segrt_preprocessing *out, const file_map *file, segrt_error *error)
{
    json_t *root = NULL;
    segrt_status status = json_parse_object(&root, file->data, file->size, 0, error);
    if (status)
        return status;
    *out = model_preprocessing_default("hf", 0, NULL);
    status = read_fields(out, root, error);
    json_decref(root);
    return status;
}

/* The number behind `key` in text[0 .. length), such as "crop_size=(1024, 1024)"; 0: none. */
static int number_after(const char *text, size_t length, const char *key)
{
    const char *at = memmem(text, length, key, strlen(key)), *end = text + length;
    if (!at)
        return 0;
    for (at += strlen(key); at < end && strchr(" =([\n", *at); at++) {
    }
    long number = 0;
    for (; at < end && *at >= '0' && *at <= '9' && number <= SIDE_CAP; at++)
        number = 10 * number + (*at - '0');
    return number <= SIDE_CAP ? (int)number : 0;
}

/* Length of the text up to the bracket that closes the first one in it. */
static size_t bracketed(const char *text)
{
    size_t at = 0;
    int depth = 0;
    for (; text[at]; at++) {
        depth += (text[at] == '(') - (text[at] == ')');
        if (text[at] == ')' && depth <= 0)
            break;
    }
    return at;
}

/* test_cfg=dict(mode='slide', crop_size=(1024, 1024), stride=(768, 768)), somewhere in a configuration written as Python. */
static void set_window(segrt_preprocessing *p, const char *config_text)
{
    static const char key[] = "test_cfg";
    for (const char *test = config_text; test && (test = strstr(test, key)) != NULL;) {
        test += sizeof key - 1;
        const size_t length = bracketed(test);
        const int window = number_after(test, length, "crop_size"), stride = number_after(test, length, "stride");
        if (memmem(test, length, "slide", 5) && window && stride && stride <= window)
            p->window = window, p->stride = stride;
    }
}

segrt_preprocessing model_preprocessing_default(const char *family, int classes, const char *config_text)
{
    segrt_preprocessing p = {.size = sizeof p, .multiple = 1};
    memcpy(p.mean, imagenet_mean, sizeof p.mean);
    memcpy(p.deviation, imagenet_deviation, sizeof p.deviation);
    if (!strcmp(family, "hf") || !strcmp(family, "onnx")) { /* SegformerImageProcessor's defaults */
        p.resize = SEGRT_RESIZE_EXACT;
        p.width = p.height = 512;
        p.resample = SEGRT_RESAMPLE_PILLOW_BILINEAR;
        return p;
    }
    p.resample = SEGRT_RESAMPLE_OPENCV_LINEAR;
    p.via_input = true;
    if (!strcmp(family, "smp")) { /* the library resizes nothing; its encoders want sides of whole reductions */
        p.resize = SEGRT_RESIZE_NONE;
        return p;
    }
    p.resize = SEGRT_RESIZE_FIT;
    p.width = 2048;
    if (classes == 19) { /* Cityscapes: pictures of 2048x1024 in windows */
        p.height = 1024;
        p.window = 1024;
        p.stride = 768;
    } else { /* ADE20K and whatever is trained after its recipe */
        p.height = 512;
        p.multiple = 32;
    }
    set_window(&p, config_text);
    return p;
}
