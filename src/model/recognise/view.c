/* view: see view.h. */
#include "model/recognise/view.h"

static void add_piece(view *v, piece p)
{
    if (p.size != 1 && v->count < VIEW_PIECES)
        v->pieces[v->count++] = p;
}

view view_of(const extents *e, int rank, const axis *order)
{
    view v = {.rank = rank};
    for (int i = 0; i < rank; i++) {
        add_piece(&v, (piece){order[i], 1, e->of[order[i]]});
        v.end[i] = v.count;
    }
    return v;
}

int64_t view_size(const view *v, int dim)
{
    int64_t size = 1;
    for (int i = view_begin(v, dim); i < v->end[dim]; i++)
        size *= v->pieces[i].size;
    return size;
}

void view_join(view *v)
{
    view joined = {.rank = v->rank};
    for (int d = 0; d < v->rank; d++) {
        const int begin = joined.count;
        for (int i = view_begin(v, d); i < v->end[d]; i++) {
            const piece p = v->pieces[i];
            piece *last = joined.count > begin ? &joined.pieces[joined.count - 1] : 0;
            if (last && last->axis == p.axis && last->inner == p.inner * p.size)
                *last = (piece){p.axis, p.inner, p.size * last->size};
            else
                add_piece(&joined, p);
        }
        joined.end[d] = joined.count;
    }
    *v = joined;
}

bool view_reshape(view *v, int rank, const int64_t *dims)
{
    view out = {.rank = rank};
    int next = 0;
    piece rest = {.size = 1};
    if (rank > VIEW_RANK)
        return false;
    for (int d = 0; d < rank; d++) {
        int64_t wanted = dims[d];
        while (wanted > 1) {
            if (rest.size == 1) {
                if (next == v->count)
                    return false;
                rest = v->pieces[next++];
            }
            if (out.count == VIEW_PIECES)
                return false;
            if (wanted % rest.size == 0) {
                wanted /= rest.size;
                add_piece(&out, rest);
                rest.size = 1;
            } else if (rest.size % wanted == 0) {
                const int64_t inner = rest.size / wanted;
                add_piece(&out, (piece){rest.axis, rest.inner * inner, wanted});
                rest.size = inner;
                wanted = 1;
            } else {
                return false;
            }
        }
        if (wanted != 1)
            return false;
        out.end[d] = out.count;
    }
    if (rest.size != 1 || next != v->count)
        return false;
    *v = out;
    view_join(v);
    return true;
}

bool view_transpose(view *v, int rank, const int64_t *order)
{
    view out = {.rank = rank};
    if (rank != v->rank)
        return false;
    for (int d = 0; d < rank; d++) {
        if (order[d] < 0 || order[d] >= rank)
            return false;
        for (int i = view_begin(v, (int)order[d]); i < v->end[order[d]]; i++)
            add_piece(&out, v->pieces[i]);
        out.end[d] = out.count;
    }
    if (out.count != v->count)
        return false;
    *v = out;
    return true;
}

void view_swap(view *v, int a, int b)
{
    int64_t order[VIEW_RANK];
    for (int i = 0; i < v->rank; i++)
        order[i] = i == a ? b : i == b ? a : i;
    view_transpose(v, v->rank, order);
}

bool view_shows(const view *v, const extents *e, int dim, int count, const axis *axes)
{
    int at = view_begin(v, dim);
    for (int i = 0; i < count; i++) {
        const int64_t size = e->of[axes[i]];
        if (size == 1)
            continue;
        if (at == v->end[dim] || v->pieces[at].axis != axes[i] || v->pieces[at].inner != 1 || v->pieces[at].size != size)
            return false;
        at++;
    }
    return at == v->end[dim];
}

bool view_is_image(const view *v, const extents *e)
{
    return v->rank == 4 && view_is_axis(v, e, 0, AXIS_N) && view_is_axis(v, e, 1, AXIS_C) && view_is_axis(v, e, 2, AXIS_H) &&
           view_is_axis(v, e, 3, AXIS_W);
}

bool view_same_dim(const view *a, int dim_a, const view *b, int dim_b)
{
    int i = view_begin(a, dim_a), j = view_begin(b, dim_b);
    for (; i < a->end[dim_a] && j < b->end[dim_b]; i++, j++) {
        const piece *p = &a->pieces[i], *q = &b->pieces[j];
        if (p->axis != q->axis || p->inner != q->inner || p->size != q->size)
            return false;
    }
    return i == a->end[dim_a] && j == b->end[dim_b];
}

bool view_same(const view *a, const view *b)
{
    if (a->rank != b->rank)
        return false;
    for (int d = 0; d < a->rank; d++)
        if (!view_same_dim(a, d, b, d))
            return false;
    return true;
}

void view_replace(view *v, int dim, piece by)
{
    view out = {.rank = v->rank};
    for (int d = 0; d < v->rank; d++) {
        if (d == dim)
            add_piece(&out, by);
        for (int i = view_begin(v, d); d != dim && i < v->end[d]; i++)
            add_piece(&out, v->pieces[i]);
        out.end[d] = out.count;
    }
    *v = out;
}

void view_relabel(view *v, int dim, axis h, axis w)
{
    for (int i = view_begin(v, dim); i < v->end[dim]; i++) {
        piece *p = &v->pieces[i];
        p->axis = p->axis == AXIS_H ? h : p->axis == AXIS_W ? w : p->axis;
    }
}
