/* view: how a tensor of the graph shows the axes of what it means.  Part of the recogniser.
 *
 * A canonical node's result has labelled axes: picture, channel, row, column (and, in attention, row and
 * column of the key).  A value of the graph is such a result seen through Reshapes and Transposes: each of
 * its dimensions is a product of pieces of axes.  [n][h*w][heads][c/heads] is
 *
 *     {N} {H W} {C: inner c/heads, size heads} {C: inner 1, size c/heads}
 *
 * so every way of writing a layout gives the same view, and what is left are the operations. */
#ifndef SEGRT_MODEL_RECOGNISE_VIEW_H
#define SEGRT_MODEL_RECOGNISE_VIEW_H

#include <stdbool.h>
#include <stdint.h>

typedef enum axis { AXIS_N, AXIS_C, AXIS_H, AXIS_W, AXIS_KEY_H, AXIS_KEY_W, AXES } axis;

typedef struct extents {
    int64_t of[AXES]; /* 1 where a result has no such axis */
} extents;

/* index / inner % size of an axis: all of it where inner is 1 and size its extent. */
typedef struct piece {
    axis axis;
    int64_t inner, size;
} piece;

enum { VIEW_RANK = 8, VIEW_PIECES = 16 };

typedef struct view {
    int rank, count;
    piece pieces[VIEW_PIECES]; /* of all dimensions in order; none of size 1 */
    int end[VIEW_RANK];        /* dimension i's are pieces[end[i - 1]] .. pieces[end[i] - 1] */
} view;

static inline int view_begin(const view *v, int dim) { return dim ? v->end[dim - 1] : 0; }

/* Whole axes, one a dimension, in the order given. */
view view_of(const extents *e, int rank, const axis *order);

/* Size of a dimension. */
int64_t view_size(const view *v, int dim);

/* Each returns false where the result is no view (a size that cuts through a piece unevenly). */
bool view_reshape(view *v, int rank, const int64_t *dims);
bool view_transpose(view *v, int rank, const int64_t *order);

void view_swap(view *v, int a, int b);

/* Does the dimension show exactly these whole axes, in order? */
bool view_shows(const view *v, const extents *e, int dim, int count, const axis *axes);
static inline bool view_is_axis(const view *v, const extents *e, int dim, axis a) { return view_shows(v, e, dim, 1, &a); }

/* [n][c][h][w]. */
bool view_is_image(const view *v, const extents *e);

/* Do a dimension of `a` and one of `b` show the same pieces? */
bool view_same_dim(const view *a, int dim_a, const view *b, int dim_b);
bool view_same(const view *a, const view *b);

/* Replaces the dimension's pieces by one (none where its size is 1). */
void view_replace(view *v, int dim, piece by);

/* Gives the rows and columns of a dimension other labels. */
void view_relabel(view *v, int dim, axis h, axis w);

/* Joins pieces of a dimension that continue each other; done by all functions above. */
void view_join(view *v);

#endif
