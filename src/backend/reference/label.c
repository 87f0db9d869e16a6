/* label: logits to the labels of a picture: one or two bilinear resizes, argmax, confidence; see
 * reference.h.  Both resizes together are a weighted sum of at most sixteen logits, so nothing of the
 * picture's size exists. */
#include <math.h>

#include "backend/reference/loops.h"

typedef struct labelling {
    const double *logits; /* [n][h * w][classes] */
    int classes;
    grid at;
    int input_h, input_w;
    const label_output *out;
} labelling;

/* What one output coordinate is made of along one side: at most four logits. */
typedef struct side {
    int count, index[4];
    double weight[4];
} side;

static void add_tap(side *s, tap t, double weight)
{
    s->index[s->count] = t.i0;
    s->weight[s->count++] = weight * (1 - t.t);
    s->index[s->count] = t.i1;
    s->weight[s->count++] = weight * t.t;
}

static side side_of(int at, int logits, int input, int output, bool via_input)
{
    side s = {0};
    if (!via_input) {
        add_tap(&s, bilinear_tap(at, logits, output), 1);
        return s;
    }
    const tap t = bilinear_tap(at, input, output);
    add_tap(&s, bilinear_tap(t.i0, logits, input), 1 - t.t);
    add_tap(&s, bilinear_tap(t.i1, logits, input), t.t);
    return s;
}

static double logit(const labelling *l, const double *picture, const side *y, const side *x, int label)
{
    double sum = 0;
    for (int i = 0; i < y->count; i++)
        for (int j = 0; j < x->count; j++)
            sum += y->weight[i] * x->weight[j] *
                   picture[((size_t)y->index[i] * (size_t)l->at.w + (size_t)x->index[j]) * (size_t)l->classes + (size_t)label];
    return sum;
}

/* A row here is one of the label map's. */
static void label_rows(const void *job, int worker, size_t begin, size_t end)
{
    (void)worker;
    const labelling *l = job;
    const label_output *out = l->out;
    for (size_t r = begin; r < end; r++) {
        const size_t n = r / (size_t)out->h, row = r % (size_t)out->h;
        const double *picture = l->logits + n * (size_t)l->at.h * (size_t)l->at.w * (size_t)l->classes;
        const side y = side_of((int)row, l->at.h, l->input_h, out->h, out->via_input);
        for (int column = 0; column < out->w; column++) {
            const side x = side_of(column, l->at.w, l->input_w, out->w, out->via_input);
            int winner = 0;
            double largest = logit(l, picture, &y, &x, 0);
            for (int label = 1; label < l->classes; label++) {
                const double value = logit(l, picture, &y, &x, label);
                if (value > largest) { /* the lowest index wins a tie */
                    largest = value;
                    winner = label;
                }
            }
            const ptrdiff_t at = (ptrdiff_t)n * out->picture_stride + (ptrdiff_t)row * out->stride + column;
            if (out->labels && out->label_bytes == 2)
                ((uint16_t *)out->labels)[at] = (uint16_t)winner;
            else if (out->labels)
                ((uint8_t *)out->labels)[at] = (uint8_t)winner;
            if (out->confidence) {
                double sum = 0;
                for (int label = 0; label < l->classes; label++)
                    sum += exp(logit(l, picture, &y, &x, label) - largest);
                out->confidence[r * (size_t)out->w + (size_t)column] = (uint8_t)lround(255 / sum);
            }
        }
    }
}

void reference_label(const double *logits, int classes, grid at, int h, int w, const label_output *out, segrt_pool *pool)
{
    const labelling job = {.logits = logits, .classes = classes, .at = at, .input_h = h, .input_w = w, .out = out};
    for_rows(pool, (size_t)at.n * (size_t)out->h, label_rows, &job);
}
