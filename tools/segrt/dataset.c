/* dataset: see dataset.h. */
#include "dataset.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "report.h"

/* Cityscapes: labelIds to trainIds, by its published table; all others are 255, "void". */
#define V 255
static const int16_t cityscapes_train_ids[256] = {V, V, V, V, V, V, V, 0, 1, V, V, 2, 3, 4, V, V, V, 5, V, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, V, V, 16, 17, 18,
                                                  V};
#undef V
enum { CITYSCAPES_IDS = 34, VOID = 255 };

static const dataset_layout layouts[] = {
    {.name = "Cityscapes", .pictures = "leftImg8bit/val", .labels = "gtFine/val", .picture_end = "_leftImg8bit", .label_end = "_gtFine_labelTrainIds",
     .other_label_end = "_gtFine_labelIds", .other_ids = cityscapes_train_ids},
    {.name = "ADE20K", .pictures = "images/validation", .labels = "annotations/validation", .reduce = true},
    {.name = "CamVid", .pictures = "images", .labels = "labels"},
    {.name = "images and annotations", .pictures = "images", .labels = "annotations"},
    {.name = "images and masks", .pictures = "images", .labels = "masks"},
};

static bool is_folder(const char *folder, const char *below)
{
    struct stat facts;
    char *path = text_of("%s/%s", folder, below);
    const bool is = !stat(path, &facts) && S_ISDIR(facts.st_mode);
    free(path);
    return is;
}

bool dataset_open(dataset *d, const char *folder)
{
    *d = (dataset){0};
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts && !d->layout; i++)
        if (is_folder(folder, layouts[i].pictures) && is_folder(folder, layouts[i].labels))
            d->layout = &layouts[i];
    if (!d->layout) {
        report("%s: no data set is known by its folders; expected one of:", folder);
        for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++)
            report("    %s/ and %s/ (%s)", layouts[i].pictures, layouts[i].labels, layouts[i].name);
        return false;
    }
    d->folder = text_of("%s/%s", folder, d->layout->labels);
    char *pictures = text_of("%s/%s", folder, d->layout->pictures);
    const bool fine = inputs_collect(&d->pictures, &pictures, 1);
    free(pictures);
    return fine && d->pictures.count > 0;
}

void dataset_close(dataset *d)
{
    inputs_free(&d->pictures);
    free(d->folder);
    *d = (dataset){0};
}

/* "city/x_leftImg8bit" -> "FOLDER/city/x_gtFine_labelIds.png". */
static char *label_path(const dataset *d, const char *stem, const char *label_end)
{
    const char *end = d->layout->picture_end;
    size_t length = strlen(stem);
    if (end && length > strlen(end) && !strcmp(stem + length - strlen(end), end))
        length -= strlen(end);
    return text_of("%s/%.*s%s.png", d->folder, (int)length, stem, label_end ? label_end : "");
}

segrt_status dataset_labels(const dataset *d, size_t index, codec_labels *out, segrt_error *error)
{
    const char *stem = d->pictures.list[index].stem;
    char *path = label_path(d, stem, d->layout->label_end);
    const int16_t *ids = NULL;
    if (d->layout->other_label_end && access(path, F_OK)) {
        char *other = label_path(d, stem, d->layout->other_label_end);
        free(path);
        path = other;
        ids = d->layout->other_ids;
    }
    const segrt_status status = codec_read_labels(out, path, CODEC_MOST_BYTES, error);
    if (!status && ids)
        for (size_t i = 0; i < (size_t)out->width * (size_t)out->height; i++)
            out->labels[i] = out->labels[i] < CITYSCAPES_IDS ? (uint16_t)ids[out->labels[i]] : VOID;
    free(path);
    return status;
}
