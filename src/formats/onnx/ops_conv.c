/* ops_conv: Conv of two spatial dimensions, any group, and com.microsoft.FusedConv.  Formats layer; see op.h.
 *
 * Depthwise convolutions run directly; the others as products with the input's windows written out as
 * columns (im2col), a band of output rows at a time. */
#include <string.h>

#include "formats/onnx/op.h"

typedef struct conv {
    int64_t kernel[2], stride[2], dilation[2], before[2], after[2], groups;
    int64_t channels, height, width, filters, out_height, out_width; /* in, out; channels and filters of all groups */
} conv;

static segrt_status pair(op *o, const char *name, int64_t least, int64_t otherwise, int64_t out[2])
{
    const int64_t *list = NULL;
    const size_t count = onnx_attribute_ints(o->node, name, &list);
    for (size_t d = 0; d < 2; d++) {
        out[d] = list ? (count == 2 ? list[d] : least - 1) : otherwise;
        if (out[d] < least || out[d] > INT32_MAX)
            return op_fail(o, SEGRT_MALFORMED, "its %s are not two numbers of at least %lld", name, (long long)least);
    }
    return SEGRT_OK;
}

static segrt_status set_padding(op *o, conv *c)
{
    const int64_t *pads = NULL;
    const size_t count = onnx_attribute_ints(o->node, "pads", &pads);
    const char *automatic = onnx_attribute_text(o->node, "auto_pad", "NOTSET");
    const bool same = !strcmp(automatic, "SAME_UPPER") || !strcmp(automatic, "SAME_LOWER");
    if (!same && strcmp(automatic, "NOTSET") != 0 && strcmp(automatic, "VALID") != 0)
        return op_fail(o, SEGRT_MALFORMED, "with auto_pad '%.40s'", automatic);
    if (pads && count != 4)
        return op_fail(o, SEGRT_MALFORMED, "%zu pads for two dimensions", count);
    for (int d = 0; d < 2; d++) {
        const int64_t in = d ? c->width : c->height, reach = (c->kernel[d] - 1) * c->dilation[d] + 1;
        int64_t *out = d ? &c->out_width : &c->out_height;
        *out = ONNX_UNKNOWN;
        if (pads && !same) {
            c->before[d] = pads[d];
            c->after[d] = pads[d + 2];
        } else if (same && in >= 0) {
            const int64_t steps = (in + c->stride[d] - 1) / c->stride[d], total = (steps - 1) * c->stride[d] + reach - in, positive = total > 0 ? total : 0;
            c->before[d] = strcmp(automatic, "SAME_UPPER") == 0 ? positive / 2 : positive - positive / 2;
            c->after[d] = positive - c->before[d];
        }
        if (c->before[d] < 0 || c->after[d] < 0 || c->before[d] > INT32_MAX || c->after[d] > INT32_MAX)
            return op_fail(o, SEGRT_MALFORMED, "has negative pads");
        if (in < 0)
            continue;
        if (in > INT32_MAX || in + c->before[d] + c->after[d] < reach)
            return op_fail(o, SEGRT_MALFORMED, "its kernel of %lld does not fit %lld pixels", (long long)reach, (long long)in);
        *out = (in + c->before[d] + c->after[d] - reach) / c->stride[d] + 1;
    }
    return SEGRT_OK;
}

static segrt_status conv_of(op *o, conv *c)
{
    const onnx_shape *x = &o->in[0]->shape, *w = &o->in[1]->shape;
    *c = (conv){.groups = onnx_attribute_int(o->node, "group", 1)};
    if (x->rank != 4 || w->rank != 4)
        return op_fail(o, SEGRT_UNSUPPORTED, "of tensors of rank %d and %d; only pictures are convolved", (int)x->rank, (int)w->rank);
    segrt_status status = pair(o, "kernel_shape", 1, 1, c->kernel);
    for (int d = 0; d < 2 && !status; d++) {
        if (w->dims[2 + d] >= 0 && onnx_attribute_find(o->node, "kernel_shape") && c->kernel[d] != w->dims[2 + d])
            status = op_fail(o, SEGRT_MALFORMED, "its kernel_shape is not its weight's");
        c->kernel[d] = w->dims[2 + d] >= 0 ? w->dims[2 + d] : c->kernel[d];
        if (!status && (c->kernel[d] < 1 || c->kernel[d] > 65536))
            status = op_fail(o, SEGRT_MALFORMED, "its kernel is %lld wide", (long long)c->kernel[d]);
    }
    status = status ? status : pair(o, "strides", 1, 1, c->stride);
    status = status ? status : pair(o, "dilations", 1, 1, c->dilation);
    if (status)
        return status;
    c->channels = x->dims[1];
    c->height = x->dims[2];
    c->width = x->dims[3];
    c->filters = w->dims[0];
    if (c->groups < 1 || (c->filters >= 0 && c->filters % c->groups) || (c->channels >= 0 && c->channels % c->groups))
        return op_fail(o, SEGRT_MALFORMED, "%lld groups of %lld channels and %lld filters", (long long)c->groups, (long long)c->channels, (long long)c->filters);
    if (c->channels >= 0 && w->dims[1] >= 0 && c->channels / c->groups != w->dims[1])
        return op_fail(o, SEGRT_MALFORMED, "its weight takes %lld channels in each of %lld groups, its input has %lld", (long long)w->dims[1], (long long)c->groups, (long long)c->channels);
    return set_padding(o, c);
}

segrt_status op_infer_conv(op *o)
{
    conv c;
    if (o->in[0]->shape.rank < 0 || o->in[1]->shape.rank < 0)
        return op_output_unknown(o, o->in[0]->type);
    segrt_status status = conv_of(o, &c);
    if (!status)
        op_output(o, 0, o->in[0]->type, &(onnx_shape){.rank = 4, .dims = {o->in[0]->shape.dims[0], c.filters, c.out_height, c.out_width}});
    return status;
}

/* --- directly, one channel in and one out -------------------------------------------------------------- */

typedef struct depth_job {
    const conv *c;
    const float *x, *w;
    float *y; /* holds the bias already */
} depth_job;

static void depth_plane(void *context, int worker, int plane)
{
    (void)worker;
    const depth_job *job = context;
    const conv *c = job->c;
    const int64_t image = plane / c->filters, filter = plane % c->filters, channel = filter / (c->filters / c->groups);
    const float *x = job->x + (image * c->channels + channel) * c->height * c->width, *w = job->w + filter * c->kernel[0] * c->kernel[1];
    float *y = job->y + (int64_t)plane * c->out_height * c->out_width;
    for (int64_t row = 0; row < c->out_height; row++)
        for (int64_t ky = 0; ky < c->kernel[0]; ky++) {
            const int64_t from = row * c->stride[0] - c->before[0] + ky * c->dilation[0];
            if (from < 0 || from >= c->height)
                continue;
            for (int64_t kx = 0; kx < c->kernel[1]; kx++) {
                const int64_t shift = kx * c->dilation[1] - c->before[1], step = c->stride[1];
                const int64_t first = shift < 0 ? (-shift + step - 1) / step : 0, last = c->width - 1 - shift < 0 ? -1 : (c->width - 1 - shift) / step;
                const int64_t end = last + 1 < c->out_width ? last + 1 : c->out_width;
                const float weight = w[ky * c->kernel[1] + kx], *in = x + from * c->width + shift;
                float *out = y + row * c->out_width;
                if (step == 1)
                    for (int64_t n = first; n < end; n++)
                        out[n] += weight * in[n];
                else
                    for (int64_t n = first; n < end; n++)
                        out[n] += weight * in[n * step];
            }
        }
}

/* --- as a product --------------------------------------------------------------------------------------- */

typedef struct column_job {
    const conv *c;
    const float *x; /* of one group of one picture */
    float *columns; /* [channel][ky][kx][rows * out_width] */
    int64_t first, rows;
} column_job;

static void write_columns(void *context, int worker, int line)
{
    (void)worker;
    const column_job *job = context;
    const conv *c = job->c;
    const int64_t kx = line % c->kernel[1], ky = line / c->kernel[1] % c->kernel[0], channel = line / c->kernel[1] / c->kernel[0];
    const float *x = job->x + channel * c->height * c->width;
    float *to = job->columns + (int64_t)line * job->rows * c->out_width;
    for (int64_t row = job->first; row < job->first + job->rows; row++, to += c->out_width) {
        const int64_t from = row * c->stride[0] - c->before[0] + ky * c->dilation[0];
        for (int64_t n = 0; n < c->out_width; n++) {
            const int64_t at = n * c->stride[1] - c->before[1] + kx * c->dilation[1];
            to[n] = from < 0 || from >= c->height || at < 0 || at >= c->width ? 0.0f : x[from * c->width + at];
        }
    }
}

static segrt_status conv_group(op *o, const conv *c, const float *x, const float *w, float *y)
{
    const int64_t filters = c->filters / c->groups, depth = c->channels / c->groups * c->kernel[0] * c->kernel[1], out = c->out_height * c->out_width;
    const bool plain = c->kernel[0] == 1 && c->kernel[1] == 1 && c->stride[0] == 1 && c->stride[1] == 1 && !c->before[0] && !c->before[1] && !c->after[0] && !c->after[1];
    gemm g = {.m = (size_t)filters, .n = (size_t)out, .k = (size_t)depth, .a = w, .b = x, .c = y, .a_row = (size_t)depth, .a_column = 1, .b_row = (size_t)out,
              .b_column = 1, .ldc = (size_t)out, .keep = true};
    if (plain)
        return op_gemm(o, &g);
    enum { BAND = 1 << 22 }; /* floats of columns at a time */
    if (depth > INT32_MAX)
        return op_fail(o, SEGRT_UNSUPPORTED, "a window of %lld elements", (long long)depth);
    const int64_t line = depth * c->out_width;
    int64_t rows = BAND / (line > 0 ? line : 1);
    rows = rows < 1 ? 1 : rows > c->out_height ? c->out_height : rows;
    column_job job = {.c = c, .x = x, .columns = op_scratch(o, (size_t)depth * (size_t)rows * (size_t)c->out_width)};
    segrt_status status = job.columns ? SEGRT_OK : o->error->status;
    for (job.first = 0; job.first < c->out_height && !status; job.first += rows) {
        job.rows = c->out_height - job.first < rows ? c->out_height - job.first : rows;
        pool_run(o->pool, (int)depth, write_columns, &job);
        g.b = job.columns;
        g.n = g.b_row = (size_t)(job.rows * c->out_width);
        g.c = y + job.first * c->out_width;
        status = op_gemm(o, &g);
    }
    op_scratch_free(o, job.columns);
    return status;
}

/* com.microsoft.FusedConv: an addend of the result's shape, then an activation. */
static segrt_status finish_fused(op *o)
{
    const char *activation = onnx_attribute_text(o->node, "activation", "");
    const operand *sum = *o->node->domain ? op_in(o, 3) : NULL;
    operand *y = o->out[0];
    if (*activation && strcmp(activation, "Relu") != 0)
        return op_fail(o, SEGRT_UNSUPPORTED, "with the activation '%.40s'", activation);
    if (sum && sum->count != y->count)
        return op_fail(o, SEGRT_MALFORMED, "its addend has %zu elements for %zu", sum->count, y->count);
    for (size_t n = 0; n < y->count && sum; n++)
        y->f[n] += sum->f[n];
    for (size_t n = 0; n < y->count && *activation; n++)
        y->f[n] = y->f[n] < 0 ? 0 : y->f[n];
    return SEGRT_OK;
}

segrt_status op_run_conv(op *o)
{
    conv c;
    const operand *x = o->in[0], *w = o->in[1], *bias = op_in(o, 2);
    operand *y = o->out[0];
    segrt_status status = conv_of(o, &c);
    if (status)
        return status;
    if (bias && bias->count != (size_t)c.filters)
        return op_fail(o, SEGRT_MALFORMED, "its bias has %zu elements for %lld filters", bias->count, (long long)c.filters);
    const int64_t images = x->shape.dims[0], out = c.out_height * c.out_width;
    for (int64_t plane = 0; plane < images * c.filters; plane++)
        for (int64_t n = 0; n < out; n++)
            y->f[plane * out + n] = bias ? bias->f[plane % c.filters] : 0.0f;
    if (!y->count)
        return SEGRT_OK;
    if (c.groups == c.channels) {
        depth_job job = {&c, x->f, w->f, y->f};
        if (images * c.filters > INT32_MAX)
            return op_fail(o, SEGRT_UNSUPPORTED, "has too many planes");
        status = op_work(o, y->count * (uint64_t)(c.kernel[0] * c.kernel[1]));
        if (!status)
            pool_run(o->pool, (int)(images * c.filters), depth_plane, &job);
        return status ? status : finish_fused(o);
    }
    for (int64_t n = 0; n < images * c.groups && !status; n++) {
        const int64_t group = n % c.groups, filters = c.filters / c.groups, channels = c.channels / c.groups;
        status = conv_group(o, &c, x->f + n * channels * c.height * c.width, w->f + group * filters * channels * c.kernel[0] * c.kernel[1], y->f + n * filters * out);
    }
    return status ? status : finish_fused(o);
}
