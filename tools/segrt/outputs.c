/* outputs: see outputs.h. */
#include "outputs.h"

#include <stdlib.h>
#include <string.h>

#include "codecs/codecs.h"
#include "image/image.h"
#include "inputs.h"
#include "report.h"

enum { OVERLAY_ALPHA = 144 /* of 256 */, OVERLAY_QUALITY = 92 };

bool labelled_room(labelled *l, int32_t width, int32_t height, bool confidence)
{
    const size_t pixels = (size_t)width * (size_t)height;
    l->width = width;
    l->height = height;
    if (pixels <= l->room)
        return true;
    free(l->labels);
    free(l->confidence);
    l->labels = malloc(pixels * (size_t)l->label_bytes);
    l->confidence = confidence ? malloc(pixels) : NULL;
    l->room = l->labels && (l->confidence || !confidence) ? pixels : 0;
    if (!l->room)
        report("out of memory for the labels of %dx%d pixels", width, height);
    return l->room > 0;
}

void labelled_free(labelled *l)
{
    free(l->labels);
    free(l->confidence);
    *l = (labelled){0};
}

void labelled_count(const labelled *l, uint64_t *counts, int32_t classes)
{
    const size_t pixels = (size_t)l->width * (size_t)l->height;
    memset(counts, 0, (size_t)classes * sizeof *counts);
    if (l->label_bytes == 1)
        for (size_t i = 0; i < pixels; i++)
            counts[((const uint8_t *)l->labels)[i]]++;
    else
        for (size_t i = 0; i < pixels; i++)
            counts[((const uint16_t *)l->labels)[i]]++;
}

outputs outputs_for(const target *t, const char *folder, bool overlay, bool confidence)
{
    outputs o = {.folder = folder, .overlay = overlay, .confidence = confidence};
    o.colors = t->info.classes < PALETTE_ROOM ? t->info.classes : PALETTE_ROOM;
    for (int i = 0; i < o.colors; i++)
        target_class_color(t, i, o.palette[i]);
    return o;
}

/* Writes an encoded file as DIR/STEM.what and frees it. */
static bool finish(const outputs *o, const char *stem, const char *what, const char *key, codec_file *file, segrt_status status, segrt_error *error,
                   json_t *entry)
{
    char *path = text_of("%s%s%s.%s", o->folder ? o->folder : "", o->folder ? "/" : "", stem, what);
    bool fine = !status && make_folders_for(path);
    if (fine)
        status = codec_write(path, file->data, file->size, error);
    if (status) {
        report_error(path, error);
        fine = false;
    }
    if (fine && entry)
        json_object_set_new(entry, key, json_string(path));
    codec_file_free(file);
    free(path);
    return fine;
}

static bool write_mask(const outputs *o, const char *stem, const labelled *l, json_t *entry)
{
    codec_file file = {0};
    segrt_error error = {0};
    const segrt_status status = l->label_bytes == 1
                                    ? codec_png_labels(&file, l->labels, l->width, l->height, o->palette, o->colors, &error)
                                    : codec_png_gray16(&file, l->labels, l->width, l->height, &error);
    return finish(o, stem, "mask.png", "mask", &file, status, &error, entry);
}

static bool write_overlay(const outputs *o, const char *stem, labelled *l, json_t *entry)
{
    codec_file file = {0};
    segrt_error error = {0};
    const size_t pixels = (size_t)l->width * (size_t)l->height;
    if (l->label_bytes == 2) /* in place, front to back: colours of classes beyond the palette repeat */
        for (size_t i = 0; i < pixels; i++)
            ((uint8_t *)l->labels)[i] = (uint8_t)(((const uint16_t *)l->labels)[i] % PALETTE_ROOM);
    image_overlay(l->rgb, l->labels, pixels, o->palette, o->colors, OVERLAY_ALPHA);
    const segrt_status status = codec_jpeg_rgb(&file, l->rgb, l->width, l->height, OVERLAY_QUALITY, &error);
    return finish(o, stem, "overlay.jpg", "overlay", &file, status, &error, entry);
}

static bool write_confidence(const outputs *o, const char *stem, const labelled *l, json_t *entry)
{
    codec_file file = {0};
    segrt_error error = {0};
    const segrt_status status = codec_png_gray8(&file, l->confidence, l->width, l->height, &error);
    return finish(o, stem, "confidence.png", "confidence", &file, status, &error, entry);
}

bool outputs_write(const outputs *o, const char *stem, labelled *l, json_t *entry)
{
    bool fine = write_mask(o, stem, l, entry);
    if (o->confidence)
        fine = write_confidence(o, stem, l, entry) && fine;
    if (o->overlay) /* last: it paints over the pixels */
        fine = write_overlay(o, stem, l, entry) && fine;
    return fine;
}
