/* palette: colours and names of the well-known class lists.  Image layer. */
#ifndef SEGRT_IMAGE_PALETTE_H
#define SEGRT_IMAGE_PALETTE_H

#include <stdint.h>

typedef struct palette_list {
    const char *name; /* "ade20k", "cityscapes", "camvid" */
    int count;
    const char *const *class_names;
    const uint8_t (*rgb)[3];
} palette_list;

/* The list whose class names are these (case and punctuation do not matter), or NULL. */
const palette_list *palette_find(const char *const *class_names, int count);

/* A list by name, or NULL. */
const palette_list *palette_named(const char *name);

/* A colour for any index where nothing else is known (Pascal VOC's bit pattern). */
void palette_color(int index, uint8_t rgb[3]);

#endif
