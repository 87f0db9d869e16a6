/* patch: the two convolutions over tokens: into a stage, and the reduction before keys and values; see
 * reference.h.  A kernel's row is one contiguous run of its input, so both are sums of such runs. */
#include "backend/reference/loops.h"

typedef struct convolution {
    weights weight;   /* [out][kernel][kernel][in] */
    weights tap_bias; /* [kernel * kernel][out], or absent */
    weights bias;     /* [out] */
    int in, out, kernel, stride, pad;
    int from_h, from_w, to_h, to_w;
    const double *x;             /* [n][from_h * from_w][in] */
    double *y;                   /* [n][to_h * to_w][out] */
    const network_patch *patch;  /* what follows: norm, affine, centring; or */
    const network_block *reduce; /* norm */
} convolution;

/* All outputs of pixel `row` (counted over pictures). */
static void convolve(const convolution *v, size_t row)
{
    const size_t in = (size_t)v->in, out = (size_t)v->out, kernel = (size_t)v->kernel, pixels = (size_t)v->to_h * (size_t)v->to_w;
    const int at = (int)(row % pixels), y0 = at / v->to_w * v->stride - v->pad, x0 = at % v->to_w * v->stride - v->pad;
    const int first = x0 < 0 ? -x0 : 0, last = x0 + v->kernel > v->from_w ? v->from_w - x0 : v->kernel; /* taps inside, [first, last) */
    const double *picture = v->x + row / pixels * (size_t)v->from_h * (size_t)v->from_w * in;
    for (size_t o = 0; o < out; o++) {
        double sum = weight_at(v->bias, o);
        for (int ky = 0; ky < v->kernel; ky++) {
            if (y0 + ky < 0 || y0 + ky >= v->from_h)
                continue;
            const double *run = picture + ((size_t)(y0 + ky) * (size_t)v->from_w + (size_t)(x0 + first)) * in;
            sum += dot(run, v->weight, ((o * kernel + (size_t)ky) * kernel + (size_t)first) * in, (size_t)(last - first) * in);
            for (int kx = first; v->tap_bias.count && kx < last; kx++)
                sum += weight_at(v->tap_bias, ((size_t)ky * kernel + (size_t)kx) * out + o);
        }
        v->y[row * out + o] = sum;
    }
}

static void patch_rows(const void *job, int worker, size_t begin, size_t end)
{
    (void)worker;
    const convolution *v = job;
    for (size_t r = begin; r < end; r++) {
        convolve(v, r);
        double *y = v->y + r * (size_t)v->out, mean = 0;
        const double factor = rstd(y, v->out, v->patch->eps);
        for (int o = 0; o < v->out; o++) {
            y[o] = y[o] * factor * weight_at(v->patch->gamma, (size_t)o) + weight_at(v->patch->beta, (size_t)o);
            mean += y[o] / v->out;
        }
        for (int o = 0; o < v->out; o++)
            y[o] -= mean;
    }
}

static void reduce_rows(const void *job, int worker, size_t begin, size_t end)
{
    (void)worker;
    const convolution *v = job;
    for (size_t r = begin; r < end; r++) {
        convolve(v, r);
        double *y = v->y + r * (size_t)v->out;
        const double factor = v->reduce->reduce_plain ? 1 : rstd(y, v->out, v->reduce->reduce_eps);
        for (int o = 0; o < v->out; o++)
            y[o] *= factor;
    }
}

void reference_patch(const network_patch *p, const double *in, grid from, double *x, segrt_pool *pool)
{
    const convolution v = {.weight = p->weight,
                           .tap_bias = p->tap_bias,
                           .bias = p->bias,
                           .in = p->in,
                           .out = p->out,
                           .kernel = p->kernel,
                           .stride = p->stride,
                           .pad = p->pad,
                           .from_h = from.h,
                           .from_w = from.w,
                           .to_h = (from.h + 2 * p->pad - p->kernel) / p->stride + 1,
                           .to_w = (from.w + 2 * p->pad - p->kernel) / p->stride + 1,
                           .x = in,
                           .y = x,
                           .patch = p};
    for_rows(pool, (size_t)from.n * (size_t)v.to_h * (size_t)v.to_w, patch_rows, &v);
}

typedef struct norm_job {
    const double *x;
    double *y, eps;
    int c;
} norm_job;

static void norm_rows(const void *job, int worker, size_t begin, size_t end)
{
    (void)worker;
    const norm_job *j = job;
    for (size_t r = begin; r < end; r++) {
        const double *x = j->x + r * (size_t)j->c, factor = rstd(x, j->c, j->eps);
        for (int c = 0; c < j->c; c++)
            j->y[r * (size_t)j->c + (size_t)c] = x[c] * factor;
    }
}

void reference_norm(double eps, int c, const double *x, size_t rows, double *y, segrt_pool *pool)
{
    const norm_job job = {.x = x, .y = y, .eps = eps, .c = c};
    for_rows(pool, rows, norm_rows, &job);
}

void reference_reduce(const network_block *b, int c, int r, const double *x, grid at, double *normed, double *y, segrt_pool *pool)
{
    reference_norm(b->eps1, c, x, grid_rows(at), normed, pool);
    const convolution v = {.weight = b->reduce,
                           .bias = b->reduce_bias,
                           .in = c,
                           .out = c,
                           .kernel = r,
                           .stride = r,
                           .from_h = at.h,
                           .from_w = at.w,
                           .to_h = at.h / r,
                           .to_w = at.w / r,
                           .x = normed,
                           .y = y,
                           .reduce = b};
    for_rows(pool, (size_t)at.n * (size_t)v.to_h * (size_t)v.to_w, reduce_rows, &v);
}
