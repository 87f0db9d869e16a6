/* outputs: see outputs.h. */
#include "outputs.h"

#include <stdlib.h>
#include <string.h>

#include "codecs/codecs.h"
#include "image/image.h"
#include "inputs.h"
#include "report.h"

enum { OVERLAY_ALPHA = 144 /* of 256 */, OVERLAY_QUALITY = 92 };

segrt_status labelled_room(labelled *l, int32_t width, int32_t height, bool confidence, segrt_error *error)
{
    const size_t pixels = (size_t)width * (size_t)height;
    l->width = width;
    l->height = height;
    if (pixels <= l->room)
        return SEGRT_OK;
    free(l->labels);
    free(l->confidence);
    l->labels = malloc(pixels * (size_t)l->label_bytes);
    l->confidence = confidence ? malloc(pixels) : NULL;
    l->room = l->labels && (l->confidence || !confidence) ? pixels : 0;
    return l->room ? SEGRT_OK : failed(error, SEGRT_NO_MEMORY, NULL, "out of memory for the labels of %dx%d pixels", width, height);
}

void labelled_free(labelled *l)
{
    free(l->labels);
    free(l->confidence);
    *l = (labelled){.label_bytes = l->label_bytes};
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

/* Writes an encoded file and frees it. */
static bool finish(output_file *out, segrt_status status, codec_file *file)
{
    if (!status)
        status = make_folders_for(out->path, &out->error);
    if (!status)
        status = codec_write(out->path, file->data, file->size, &out->error);
    codec_file_free(file);
    return !status;
}

static bool write_mask(const outputs *o, labelled *l, output_file *out)
{
    codec_file file = {0};
    const segrt_status status = l->label_bytes == 1
                                    ? codec_png_labels(&file, l->labels, l->width, l->height, o->palette, o->colors, &out->error)
                                    : codec_png_gray16(&file, l->labels, l->width, l->height, &out->error);
    return finish(out, status, &file);
}

static bool write_confidence(const outputs *o, labelled *l, output_file *out)
{
    codec_file file = {0};
    (void)o;
    return finish(out, codec_png_gray8(&file, l->confidence, l->width, l->height, &out->error), &file);
}

static bool write_overlay(const outputs *o, labelled *l, output_file *out)
{
    codec_file file = {0};
    const size_t pixels = (size_t)l->width * (size_t)l->height;
    if (l->label_bytes == 2) /* in place, front to back: colours of classes beyond the palette repeat */
        for (size_t i = 0; i < pixels; i++)
            ((uint8_t *)l->labels)[i] = (uint8_t)(((const uint16_t *)l->labels)[i] % PALETTE_ROOM);
    image_overlay(l->rgb, l->labels, pixels, o->palette, o->colors, OVERLAY_ALPHA);
    return finish(out, codec_jpeg_rgb(&file, l->rgb, l->width, l->height, OVERLAY_QUALITY, &out->error), &file);
}

bool outputs_write(const outputs *o, const char *stem, labelled *l, output_file files[OUTPUT_FILES])
{
    const struct {
        const char *key, *ending;
        bool wanted;
        bool (*write)(const outputs *o, labelled *l, output_file *out);
    } rows[OUTPUT_FILES] = {
        {"mask", "mask.png", true, write_mask},
        {"confidence", "confidence.png", o->confidence, write_confidence},
        {"overlay", "overlay.jpg", o->overlay, write_overlay}, /* last: it paints over the pixels */
    };
    bool fine = true;
    for (int i = 0; i < OUTPUT_FILES; i++) {
        files[i] = (output_file){.key = rows[i].key};
        if (rows[i].wanted) {
            files[i].path = text_of("%s%s%s.%s", o->folder ? o->folder : "", o->folder ? "/" : "", stem, rows[i].ending);
            fine = rows[i].write(o, l, &files[i]) && fine;
        }
    }
    return fine;
}

void outputs_free(output_file files[OUTPUT_FILES])
{
    for (int i = 0; i < OUTPUT_FILES; i++) {
        free(files[i].path);
        files[i] = (output_file){0};
    }
}
