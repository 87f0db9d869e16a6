/* linear: every operation that is one matrix over tokens; see reference.h. */
#include "backend/reference/loops.h"

/* y (or y +=) = relu?(rstd?(x) * (weight x) + bias?). */
typedef struct linear {
    weights weight, bias; /* [out][in], [out] or absent */
    int in, out;
    const double *x;        /* [rows][in] */
    double *y;              /* [rows][out] */
    double eps;             /* of the norm before, where `normed` */
    bool normed, add, relu; /* not `add` with one of the others */
} linear;

static void linear_rows(const void *job, int worker, size_t begin, size_t end)
{
    (void)worker;
    const linear *l = job;
    const size_t in = (size_t)l->in, out = (size_t)l->out;
    const bool biased = l->bias.count != 0;
    for (size_t o = 0; o < out; o++) /* outputs outside: a row of weights serves all tokens of the piece */
        for (size_t r = begin; r < end; r++) {
            double *y = l->y + r * out + o;
            *y = (l->add ? *y : 0) + dot(l->x + r * in, l->weight, o * in, in);
        }
    for (size_t r = begin; r < end; r++) {
        const double factor = l->normed ? rstd(l->x + r * in, l->in, l->eps) : 1;
        double *y = l->y + r * out;
        for (size_t o = 0; o < out; o++) {
            y[o] = y[o] * factor + (biased ? weight_at(l->bias, o) : 0);
            if (l->relu && y[o] < 0)
                y[o] = 0;
        }
    }
}

void reference_keys(const network_block *b, int c, const double *y, size_t rows, double *k, double *v, double *shift, segrt_pool *pool)
{
    const linear key = {.weight = b->key, .in = c, .out = c, .x = y, .y = k},
                 value = {.weight = b->value, .in = c, .out = c, .x = y, .y = v};
    for_rows(pool, rows, linear_rows, &key);
    for_rows(pool, rows, linear_rows, &value);
    for (size_t r = 0; shift && r < rows; r++)
        shift[r] = dot(y + r * (size_t)c, b->key_bias, 0, (size_t)c);
}

void reference_query(const network_block *b, int c, const double *x, size_t rows, double *q, segrt_pool *pool)
{
    const linear l = {.weight = b->query, .bias = b->query_bias, .in = c, .out = c, .x = x, .y = q, .normed = true, .eps = b->eps1};
    for_rows(pool, rows, linear_rows, &l);
}

void reference_project(const network_block *b, int c, const double *a, size_t rows, double *x, segrt_pool *pool)
{
    const linear l = {.weight = b->project, .bias = b->out_bias, .in = c, .out = c, .x = a, .y = x, .add = true};
    for_rows(pool, rows, linear_rows, &l);
}

void reference_fc1(const network_block *b, int c, const double *x, size_t rows, double *z, segrt_pool *pool)
{
    const linear l = {.weight = b->fc1, .bias = b->fc1_bias, .in = c, .out = b->hidden, .x = x, .y = z, .normed = true, .eps = b->eps2};
    for_rows(pool, rows, linear_rows, &l);
}

void reference_fc2(const network_block *b, int c, const double *g, size_t rows, double *x, segrt_pool *pool)
{
    const linear l = {.weight = b->fc2, .bias = b->fc2_bias, .in = b->hidden, .out = c, .x = g, .y = x, .add = true};
    for_rows(pool, rows, linear_rows, &l);
}

void reference_level(const network_head *head, int stage, const double *f, size_t rows, double *inner, double *level, segrt_pool *pool)
{
    const int width = head->kind == HEAD_CONV ? head->inner_width : (int)(head->level[stage].count / (size_t)head->width);
    if (head->kind == HEAD_CONV) {
        const int in = (int)(head->inner[stage].count / (size_t)head->inner_width);
        const linear first = {
            .weight = head->inner[stage], .bias = head->inner_bias[stage], .in = in, .out = width, .x = f, .y = inner, .relu = true};
        for_rows(pool, rows, linear_rows, &first);
        f = inner;
    }
    const linear l = {.weight = head->level[stage], .in = width, .out = head->width, .x = f, .y = level};
    for_rows(pool, rows, linear_rows, &l);
}

void reference_classify(const network_head *head, int classes, const double *m, size_t rows, double *logits, segrt_pool *pool)
{
    const linear l = {.weight = head->classifier, .bias = head->classifier_bias, .in = head->width, .out = classes, .x = m, .y = logits};
    for_rows(pool, rows, linear_rows, &l);
}
