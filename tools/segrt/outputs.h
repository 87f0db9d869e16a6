/* outputs: what a segmented picture becomes: mask, overlay, confidence, shares of classes.  The program. */
#ifndef SEGRT_PROGRAM_OUTPUTS_H
#define SEGRT_PROGRAM_OUTPUTS_H

#include "target.h"

enum { PALETTE_ROOM = 256 };

/* A picture's labels, and memory that only grows. */
typedef struct labelled {
    int32_t width, height;
    uint8_t *rgb;        /* [height][width][3]: borrowed; the overlay is painted into it */
    void *labels;        /* [height][width] of label_bytes */
    uint8_t *confidence; /* [height][width], or NULL */
    int label_bytes;
    size_t room; /* pixels */
} labelled;

/* Room for a picture's labels (and confidences).  Errors: NO_MEMORY. */
segrt_status labelled_room(labelled *l, int32_t width, int32_t height, bool confidence, segrt_error *error);
/* label_bytes stays. */
void labelled_free(labelled *l);

/* Pixels of each class: counts [classes]. */
void labelled_count(const labelled *l, uint64_t *counts, int32_t classes);

/* Which files are wanted, and where: names are STEM.mask.png, STEM.overlay.jpg, STEM.confidence.png. */
typedef struct outputs {
    const char *folder; /* NULL: here */
    bool overlay, confidence;
    uint8_t palette[PALETTE_ROOM][3];
    int colors;
} outputs;

outputs outputs_for(const target *t, const char *folder, bool overlay, bool confidence);

/* A file of one picture: written, or the reason why not. */
typedef struct output_file {
    const char *key; /* "mask", "confidence", "overlay" */
    char *path;      /* NULL: not wanted */
    segrt_error error;
} output_file;

enum { OUTPUT_FILES = 3 };

/* Writes the files of one picture; `files` holds them in the order in which they were written.  False: one failed at least. */
bool outputs_write(const outputs *o, const char *stem, labelled *l, output_file files[OUTPUT_FILES]);
void outputs_free(output_file files[OUTPUT_FILES]);

#endif
