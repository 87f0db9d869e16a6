/* fold: the exact algebra that turns a model into the folded network, a part a file.  Private to the
 * network layer; network_fold is the entrance.
 *
 * Everything is computed in double from the model's float32 numbers and rounded once, in fold_keep. */
#ifndef SEGRT_NETWORK_FOLD_H
#define SEGRT_NETWORK_FOLD_H

#include "network/network.h"

enum { FOLD_SCRATCH = 64 }; /* arrays that the largest part, the head, takes at once: 32 */

typedef struct fold {
    network *net;
    const segrt_model *model;
    network_width width;
    double *scratch[FOLD_SCRATCH]; /* the doubles of the part at hand; emptied after each part */
    int scratch_count;
    segrt_error *error;
    int stage, block; /* what is being folded, for messages; -1: none */
} fold;

/* `count` doubles, zero, until the part ends; NULL (with the error recorded) where memory is short. */
double *fold_scratch(fold *f, size_t count);

/* Gives all of it back. */
void fold_release(fold *f);

/* The model's numbers as doubles in scratch; all `missing` where `from` is NULL. */
double *fold_wide(fold *f, const float *from, size_t count, double missing);

/* Convolution weights [out][in][k][k] as [out][k][k][in]. */
double *fold_wide_conv(fold *f, const model_conv *conv);

/* Rounds to the network's width and keeps.  Errors: NO_MEMORY; MALFORMED where a number is not finite. */
segrt_status fold_keep(fold *f, weights *out, const double *values, size_t count, const char *name);

/* Stores `values` in `memory` as float32 (NETWORK_F32) or float64.  False: no memory. */
bool weights_store(arena *memory, network_width width, weights *out, const double *values, size_t count);

/* m [rows][columns]: m *= by[row], m *= by[column]. */
void scale_rows(double *m, size_t rows, size_t columns, const double *by);
void scale_columns(double *m, size_t rows, size_t columns, const double *by);

/* Takes each column's mean over the rows away: what the map gives then has zero mean over its outputs. */
void centre_rows(double *m, size_t rows, size_t columns);

/* y [rows] += m [rows][columns] x [columns]. */
void add_product(double *y, const double *m, const double *x, size_t rows, size_t columns);

/* c [rows][columns] += a [rows][inner] b [inner][columns]. */
void add_matrix_product(double *c, const double *a, const double *b, size_t rows, size_t inner, size_t columns);

/* The parts, each of one stage or block: f->stage and f->block say which. */
segrt_status fold_patch(fold *f);
segrt_status fold_attention(fold *f, const model_block *from, network_block *to);
segrt_status fold_feed_forward(fold *f, const model_block *from, network_block *to);
segrt_status fold_head(fold *f);

#endif
