/* slide: labels of a picture from the logits of windows that slide over it, in bounded memory.  Image
 * layer; the API runs the network on the windows.
 *
 * mmsegmentation's rule, in float32: each window's logits are resized bilinearly (align_corners =
 * false) to the window, added up, divided by how many windows cover the pixel, resized to the picture's
 * own size where that differs, and the largest wins (the lowest class at a tie).  Windows come in rows
 * from the top; as soon as a row of them is complete, the labels that no later window touches are
 * written, and the memory of windows that are done with is used again. */
#ifndef SEGRT_IMAGE_SLIDE_H
#define SEGRT_IMAGE_SLIDE_H

#include "base/error.h"
#include "base/pool.h"

typedef struct slide slide;

typedef struct slide_shape {
    int classes;
    int w, h;           /* of the network's whole input, which the windows cover */
    int window, stride; /* as in image_window_starts; a window is smaller where a side of the input is */
    int out_w, out_h;   /* of the labels */
} slide_shape;

typedef struct slide_output {
    void *labels;        /* [out_h][stride] of label_bytes each, or NULL */
    int label_bytes;     /* 1 or 2 */
    ptrdiff_t stride;    /* elements */
    uint8_t *confidence; /* [out_h][out_w], round(255 * softmax probability of the winner), or NULL */
} slide_output;

/* Everything that later calls need, for pools of up to `workers` workers.  Errors: ARGUMENT, NO_MEMORY. */
segrt_status slide_open(slide **out, const slide_shape *shape, int workers, segrt_error *error);
bool slide_fits(const slide *s, const slide_shape *shape, int workers);
void slide_close(slide *s);
size_t slide_memory(const slide *s);

/* Rows and columns of windows; the size of each. */
void slide_grid(const slide *s, int *rows, int *columns, int *window_w, int *window_h);

/* Top left corner of a window in the input. */
void slide_corner(const slide *s, int row, int column, int *x, int *y);

/* Where a row's logits go: [columns][classes][ceil(window_h / 4)][ceil(window_w / 4)].  Rows are to be
 * filled in their order, each followed by slide_row_done. */
float *slide_logits(slide *s, int row);

/* Writes all labels that are settled once this row's logits are there; returns how many rows of the
 * output are complete now. */
int slide_row_done(slide *s, int row, const slide_output *output, segrt_pool *pool);

#endif
