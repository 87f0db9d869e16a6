/* dataset: a folder of pictures and of their labels: CamVid, Cityscapes, ADE20K, or plain ones.  The program. */
#ifndef SEGRT_PROGRAM_DATASET_H
#define SEGRT_PROGRAM_DATASET_H

#include "codecs/codecs.h"
#include "inputs.h"

typedef struct dataset_layout {
    const char *name;
    const char *pictures, *labels;               /* folders below the data set's */
    const char *picture_end, *label_end;         /* what stands before the endings in file names */
    const char *other_label_end;                 /* where label_end's file is missing; or NULL */
    const int16_t *other_ids;                    /* what labels in it become; 256 of them */
    bool reduce;                                 /* labels count from 1, 0 is none */
} dataset_layout;

typedef struct dataset {
    const dataset_layout *layout;
    char *folder;
    inputs pictures;
} dataset;

/* Finds out the layout and the pictures.  False: reported. */
bool dataset_open(dataset *d, const char *folder);
void dataset_close(dataset *d);

/* The labels of picture `index`.  Errors: IO and what codec_read_labels gives. */
segrt_status dataset_labels(const dataset *d, size_t index, codec_labels *out, segrt_error *error);

#endif
