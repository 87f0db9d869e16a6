/* fold_algebra: the few matrix operations that the folds are made of, in double; see fold.h. */
#include <math.h>
#include <string.h>

#include "network/fold.h"

double *fold_scratch(fold *f, size_t count)
{
    double *memory = arena_get(&f->scratch, count, sizeof *memory);
    if (!memory)
        fail_memory(f->error, count * sizeof *memory, "folding");
    return memory;
}

double *fold_wide(fold *f, const float *from, size_t count, double missing)
{
    double *wide = fold_scratch(f, count);
    for (size_t i = 0; wide && i < count; i++)
        wide[i] = from ? (double)from[i] : missing;
    return wide;
}

double *fold_wide_conv(fold *f, const model_conv *conv)
{
    const size_t out = (size_t)conv->out, in = (size_t)conv->in, taps = (size_t)conv->kernel * (size_t)conv->kernel;
    double *wide = fold_scratch(f, out * in * taps);
    if (!wide)
        return NULL;
    for (size_t o = 0; o < out; o++)
        for (size_t i = 0; i < in; i++)
            for (size_t t = 0; t < taps; t++)
                wide[(o * taps + t) * in + i] = (double)conv->weight[(o * in + i) * taps + t];
    return wide;
}

bool weights_store(arena *memory, network_width width, weights *out, const double *values, size_t count)
{
    void *kept = arena_get(memory, count, width == NETWORK_F32 ? sizeof(float) : sizeof(double));
    if (!kept)
        return false;
    if (width == NETWORK_F32) {
        float *narrow = kept;
        for (size_t i = 0; i < count; i++)
            narrow[i] = (float)values[i];
        *out = (weights){.f32 = narrow, .count = count};
    } else {
        memcpy(kept, values, count * sizeof *values);
        *out = (weights){.f64 = kept, .count = count};
    }
    return true;
}

segrt_status fold_keep(fold *f, weights *out, const double *values, size_t count, const char *name)
{
    const double limit = f->width == NETWORK_F32 ? 3.4028234663852886e38 : 1.7976931348623157e308;
    for (size_t i = 0; i < count; i++)
        if (!(fabs(values[i]) <= limit)) /* false for NaN too */
            return fail_with(f->error, SEGRT_MALFORMED, "stage %d, block %d: weights hold a number that is not finite (folded %s, element %zu)",
                             f->stage, f->block, name, i);
    return weights_store(&f->net->memory, f->width, out, values, count) ? SEGRT_OK
                                                                        : fail_memory(f->error, count * sizeof(double), "folded weights");
}

void scale_rows(double *m, size_t rows, size_t columns, const double *by)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < columns; c++)
            m[r * columns + c] *= by[r];
}

void scale_columns(double *m, size_t rows, size_t columns, const double *by)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < columns; c++)
            m[r * columns + c] *= by[c];
}

void centre_rows(double *m, size_t rows, size_t columns)
{
    enum { STRIP = 256 }; /* columns summed at a time: whole rows are read, the sums stay on the stack */
    for (size_t begin = 0; begin < columns; begin += STRIP) {
        const size_t end = columns - begin < STRIP ? columns : begin + STRIP;
        double mean[STRIP] = {0};
        for (size_t r = 0; r < rows; r++)
            for (size_t c = begin; c < end; c++)
                mean[c - begin] += m[r * columns + c];
        for (size_t c = begin; c < end; c++)
            mean[c - begin] /= (double)rows;
        for (size_t r = 0; r < rows; r++)
            for (size_t c = begin; c < end; c++)
                m[r * columns + c] -= mean[c - begin];
    }
}

void add_product(double *y, const double *m, const double *x, size_t rows, size_t columns)
{
    for (size_t r = 0; r < rows; r++) {
        double sum = 0;
        for (size_t c = 0; c < columns; c++)
            sum += m[r * columns + c] * x[c];
        y[r] += sum;
    }
}

void add_matrix_product(double *c, const double *a, const double *b, size_t rows, size_t inner, size_t columns)
{
    enum { ROWS = 4 }; /* of a and c at a time: each row of b is read a quarter as often */
    for (size_t begin = 0; begin < rows; begin += ROWS) {
        const size_t end = rows - begin < ROWS ? rows : begin + ROWS;
        for (size_t k = 0; k < inner; k++)
            for (size_t r = begin; r < end; r++) {
                const double factor = a[r * inner + k];
                const double *restrict from = b + k * columns;
                double *restrict to = c + r * columns;
                for (size_t j = 0; j < columns; j++)
                    to[j] += factor * from[j];
            }
    }
}
