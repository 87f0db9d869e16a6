/* attend: weights are 2^score over their sum (log2 e is in the scores already); see reference.h. */
#include <math.h>

#include "backend/reference/loops.h"

typedef struct attention {
    int heads, c;
    const double *q, *k, *v; /* q [n][tokens][c]; k, v [n][keys][c] */
    size_t tokens, keys;
    double *out;              /* [n][tokens][c] */
    double *scores;           /* [workers][keys] */
    const network_block *one; /* one head with folded products: q is x, out too, and what is written is added */
    const double *shift;      /* [n][keys]; one head only */
} attention;

/* Scores of a query become their weights; their largest is taken away first, so that none overflows. */
static void weigh(double *scores, size_t keys)
{
    double largest = scores[0], sum = 0;
    for (size_t j = 1; j < keys; j++)
        largest = scores[j] > largest ? scores[j] : largest;
    for (size_t j = 0; j < keys; j++)
        sum += scores[j] = exp2(scores[j] - largest);
    for (size_t j = 0; j < keys; j++)
        scores[j] /= sum;
}

static void attend_rows(const void *job, int worker, size_t begin, size_t end)
{
    const attention *a = job;
    const size_t c = (size_t)a->c, d = c / (size_t)a->heads;
    double *scores = a->scores + (size_t)worker * a->keys;
    for (size_t r = begin; r < end; r++) {
        const size_t first_key = r / a->tokens * a->keys;
        const double *q = a->q + r * c, factor = a->one ? rstd(q, a->c, a->one->eps1) : 1;
        for (size_t head = 0; head < (size_t)a->heads; head++) {
            const weights k = {.f64 = a->k};
            for (size_t j = 0; j < a->keys; j++) {
                scores[j] = factor * dot(q + head * d, k, (first_key + j) * c + head * d, d);
                if (a->one)
                    scores[j] += a->shift[first_key + j];
            }
            weigh(scores, a->keys);
            double *restrict out = a->out + r * c + head * d;
            for (size_t i = 0; !a->one && i < d; i++)
                out[i] = 0;
            for (size_t j = 0; j < a->keys; j++) {
                const double *restrict v = a->v + (first_key + j) * c + head * d, p = scores[j];
                for (size_t i = 0; i < d; i++)
                    out[i] += p * v[i];
            }
        }
        for (size_t i = 0; a->one && i < c; i++)
            a->out[r * c + i] += weight_at(a->one->out_bias, i);
    }
}

void reference_attend(int heads, int c, const double *q, const double *k, const double *v, int n, size_t tokens, size_t keys, double *a,
                      double *scores, segrt_pool *pool)
{
    const attention job = {.heads = heads, .c = c, .q = q, .k = k, .v = v, .tokens = tokens, .keys = keys, .out = a, .scores = scores};
    for_rows(pool, (size_t)n * tokens, attend_rows, &job);
}

void reference_attend_one(const network_block *b, int c, double *x, const double *k, const double *v, const double *shift, int n,
                          size_t tokens, size_t keys, double *scores, segrt_pool *pool)
{
    const attention job = {
        .heads = 1, .c = c, .q = x, .k = k, .v = v, .tokens = tokens, .keys = keys, .out = x, .scores = scores, .one = b, .shift = shift};
    for_rows(pool, (size_t)n * tokens, attend_rows, &job);
}
