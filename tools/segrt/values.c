/* values: see values.h. */
#include "values.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { LARGEST_SIDE = 65535 };

/* A whole number in [least, most] at *text; moves *text behind it. */
static bool whole(const char **text, long least, long most, int32_t *into)
{
    char *end;
    if (**text < '0' || **text > '9')
        return false;
    errno = 0;
    const long value = strtol(*text, &end, 10);
    if (errno || value < least || value > most)
        return false;
    *into = (int32_t)value;
    *text = end;
    return true;
}

const char *value_text(const char *text, void *into)
{
    *(const char **)into = text;
    return NULL;
}

const char *value_count(const char *text, void *into)
{
    return whole(&text, 1, 1000000, into) && !*text ? NULL : "a whole number from 1";
}

const char *value_label(const char *text, void *into)
{
    return whole(&text, 0, 65535, into) && !*text ? NULL : "a label from 0 to 65535";
}

const char *value_number(const char *text, void *into)
{
    char *end;
    const double value = strtod(text, &end);
    if (end == text || *end || !(value >= 0) || value > 1e300)
        return "a number that is not negative";
    *(double *)into = value;
    return NULL;
}

static const struct {
    const char *name, *shown;
    segrt_precision precision;
} precisions[] = {
    {"f32", "float32", SEGRT_FLOAT32}, {"float32", "float32", SEGRT_FLOAT32},    {"tf32", "tf32", SEGRT_TF32},
    {"bf16", "bfloat16", SEGRT_BFLOAT16}, {"bfloat16", "bfloat16", SEGRT_BFLOAT16}, {"f16", "float16", SEGRT_FLOAT16},
    {"fp16", "float16", SEGRT_FLOAT16}, {"float16", "float16", SEGRT_FLOAT16},   {"int8", "int8", SEGRT_INT8},
};

const char *value_precision(const char *text, void *into)
{
    for (size_t i = 0; i < sizeof precisions / sizeof *precisions; i++)
        if (!strcmp(precisions[i].name, text)) {
            *(segrt_precision *)into = precisions[i].precision;
            return NULL;
        }
    return "f32, tf32, bf16, f16 or int8";
}

const char *precision_name(segrt_precision precision)
{
    for (size_t i = 0; i < sizeof precisions / sizeof *precisions; i++)
        if (precisions[i].precision == precision)
            return precisions[i].shown;
    return "default";
}

const char *value_shape(const char *text, void *into)
{
    static const char *const expected = "HxW, NxHxW or Nx3xHxW";
    int32_t side[4];
    int count = 0;
    do {
        if (count == 4 || !whole(&text, 1, LARGEST_SIDE, &side[count++]))
            return expected;
    } while (*text == 'x' && *++text);
    if (*text || count < 2 || (count == 4 && side[1] != 3))
        return expected;
    *(segrt_shape *)into = (segrt_shape){.n = count > 2 ? side[0] : 1, .h = side[count - 2], .w = side[count - 1]};
    return NULL;
}

const char *value_resize(const char *text, void *into)
{
    segrt_preprocessing *p = into;
    int32_t width, height;
    if (!strcmp(text, "none")) {
        p->resize = SEGRT_RESIZE_NONE;
        return NULL;
    }
    if (!strncmp(text, "short=", 6)) {
        text += 6;
        if (whole(&text, 1, LARGEST_SIDE, &width) && !*text) {
            p->resize = SEGRT_RESIZE_SHORT_SIDE;
            p->width = p->height = width;
            return NULL;
        }
    } else if (whole(&text, 1, LARGEST_SIDE, &width) && *text++ == 'x' && whole(&text, 1, LARGEST_SIDE, &height) && !*text) {
        p->resize = SEGRT_RESIZE_EXACT;
        p->width = width;
        p->height = height;
        return NULL;
    }
    return "WIDTHxHEIGHT, none or short=N";
}

const char *value_resample(const char *text, void *into)
{
    static const struct {
        const char *name;
        segrt_resample resample;
    } rows[] = {
        {"pillow", SEGRT_RESAMPLE_PILLOW_BILINEAR},
        {"pillow-bicubic", SEGRT_RESAMPLE_PILLOW_BICUBIC},
        {"opencv", SEGRT_RESAMPLE_OPENCV_LINEAR},
        {"nearest", SEGRT_RESAMPLE_NEAREST},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!strcmp(rows[i].name, text)) {
            *(segrt_resample *)into = rows[i].resample;
            return NULL;
        }
    return "pillow, pillow-bicubic, opencv or nearest";
}
