/* fold_algebra: the few matrix operations that the folds are made of, in double; see fold.h. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "network/fold.h"

/* Not cleared: numbers that are about to be written. */
static double *scratch(fold *f, size_t count)
{
    double *memory = f->scratch_count < FOLD_SCRATCH ? memory_get_array(count, sizeof *memory) : NULL;
    if (memory)
        f->scratch[f->scratch_count++] = memory;
    else
        fail_memory(f->error, count * sizeof *memory, "folding");
    return memory;
}

double *fold_scratch(fold *f, size_t count)
{
    double *memory = scratch(f, count);
    return memory ? memset(memory, 0, count * sizeof *memory) : NULL;
}

void fold_release(fold *f)
{
    while (f->scratch_count)
        memory_free(f->scratch[--f->scratch_count]);
}

double *fold_wide(fold *f, const float *from, size_t count, double missing)
{
    double *wide = scratch(f, count);
    for (size_t i = 0; wide && i < count; i++)
        wide[i] = from ? (double)from[i] : missing;
    return wide;
}

double *fold_wide_conv(fold *f, const model_conv *conv)
{
    const size_t out = (size_t)conv->out, in = (size_t)conv->in, taps = (size_t)conv->kernel * (size_t)conv->kernel;
    double *wide = scratch(f, out * in * taps);
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

/* Index of the first number that is not finite once stored, or count. */
static size_t first_not_finite(weights w)
{
    size_t bad = 0; /* counted without a branch: the usual answer is none */
    for (size_t i = 0; i < w.count; i++)
        bad += w.f32 ? !(fabsf(w.f32[i]) <= FLT_MAX) : !(fabs(w.f64[i]) <= DBL_MAX);
    size_t at = bad ? 0 : w.count;
    while (at < w.count && isfinite(weight_at(w, at)))
        at++;
    return at;
}

segrt_status fold_keep(fold *f, weights *out, const double *values, size_t count, const char *name)
{
    if (!weights_store(&f->net->memory, f->width, out, values, count))
        return fail_memory(f->error, count * sizeof(double), "folded weights");
    const size_t at = first_not_finite(*out);
    return at == count ? SEGRT_OK
                       : fail_with(f->error, SEGRT_MALFORMED,
                                   "stage %d, block %d: weights hold a number that is not finite (folded %s, element %zu)", f->stage,
                                   f->block, name, at);
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
    enum { DEPTH = 4, STRIP = 512 }; /* rows of b at a time, and columns of them: 16 KB that stay in the first cache */
    for (size_t begin = 0; begin < columns; begin += STRIP) {
        const size_t width = columns - begin < STRIP ? columns - begin : STRIP;
        for (size_t k = 0; k + DEPTH <= inner; k += DEPTH) {
            const double *restrict b0 = b + k * columns + begin, *restrict b1 = b0 + columns, *restrict b2 = b1 + columns,
                                   *restrict b3 = b2 + columns;
            for (size_t r = 0; r < rows; r++) {
                const double *f = a + r * inner + k;
                double *restrict to = c + r * columns + begin;
                for (size_t j = 0; j < width; j++)
                    to[j] += (f[0] * b0[j] + f[1] * b1[j]) + (f[2] * b2[j] + f[3] * b3[j]);
            }
        }
        for (size_t k = inner / DEPTH * DEPTH; k < inner; k++)
            for (size_t r = 0; r < rows; r++)
                for (size_t j = 0; j < width; j++)
                    c[r * columns + begin + j] += a[r * inner + k] * b[k * columns + begin + j];
    }
}
