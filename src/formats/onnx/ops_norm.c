/* ops_norm: LayerNormalization and its relatives, BatchNormalization, GELU.  Formats layer; see op.h. */
#include <math.h>
#include <string.h>

#include "formats/onnx/op.h"

/* x [rows][width] -> y = (x - mean) / sqrt(variance + eps) * gamma + beta; without a mean for the RMS forms. */
typedef struct norm_job {
    const float *x, *gamma, *beta; /* beta may be NULL */
    float *y, *mean, *inverse;     /* the last two [rows], may be NULL */
    size_t width;
    float epsilon;
    bool centred;
} norm_job;

static void norm_row(void *context, int worker, int row)
{
    (void)worker;
    const norm_job *job = context;
    const size_t width = job->width;
    const float *x = job->x + (size_t)row * width;
    float *y = job->y + (size_t)row * width;
    double sum = 0, squares = 0;
    for (size_t n = 0; n < width; n++)
        sum += (double)x[n];
    const double mean = job->centred ? sum / (double)width : 0;
    for (size_t n = 0; n < width; n++)
        squares += ((double)x[n] - mean) * ((double)x[n] - mean);
    const double inverse = 1.0 / sqrt(squares / (double)width + (double)job->epsilon);
    for (size_t n = 0; n < width; n++)
        y[n] = (float)(((double)x[n] - mean) * inverse * (double)job->gamma[n] + (job->beta ? (double)job->beta[n] : 0.0));
    if (job->mean)
        job->mean[row] = (float)mean;
    if (job->inverse)
        job->inverse[row] = (float)inverse;
}

/* Is it one of the forms without a mean? */
static bool is_rms(const op *o) { return strstr(o->node->op, "Simplified") || !strcmp(o->node->op, "RMSNormalization"); }

static segrt_status norm_axis(op *o, int32_t *axis)
{
    return op_axis(o, onnx_attribute_int(o->node, "axis", -1), o->in[0]->shape.rank, axis);
}

segrt_status op_infer_layer_norm(op *o)
{
    const onnx_shape *in = &o->in[0]->shape;
    int32_t axis = 0;
    if (in->rank < 0)
        return op_output_unknown(o, o->in[0]->type);
    segrt_status status = norm_axis(o, &axis);
    if (status)
        return status;
    onnx_shape statistics = *in;
    for (int32_t d = axis; d < in->rank; d++)
        statistics.dims[d] = 1;
    op_output(o, 0, o->in[0]->type, in);
    op_output(o, 1, ONNX_FLOAT, &statistics);
    op_output(o, 2, ONNX_FLOAT, &statistics);
    return SEGRT_OK;
}

static segrt_status normalise(op *o, norm_job *job, size_t rows)
{
    if (rows > INT32_MAX)
        return op_fail(o, SEGRT_UNSUPPORTED, "has too many rows");
    pool_run(o->pool, job->width ? (int)rows : 0, norm_row, job);
    return SEGRT_OK;
}

segrt_status op_run_layer_norm(op *o)
{
    const operand *x = o->in[0], *gamma = o->in[1], *beta = op_in(o, 2);
    int32_t axis = 0;
    segrt_status status = norm_axis(o, &axis);
    if (status)
        return status;
    const size_t width = shape_span(&x->shape, axis, x->shape.rank);
    if (gamma->count != width || (beta && beta->count != width))
        return op_fail(o, SEGRT_MALFORMED, "its scale has %zu and its bias %zu elements, not %zu", gamma->count, beta ? beta->count : width, width);
    const bool rms = is_rms(o);
    norm_job job = {x->f, gamma->f, beta ? beta->f : NULL, o->out[0]->f, NULL, NULL, width, onnx_attribute_float(o->node, "epsilon", 1e-5f), !rms};
    if (rms)
        job.inverse = o->out_count > 1 ? o->out[1]->f : NULL;
    else {
        job.mean = o->out_count > 1 ? o->out[1]->f : NULL;
        job.inverse = o->out_count > 2 ? o->out[2]->f : NULL;
    }
    return normalise(o, &job, shape_span(&x->shape, 0, axis));
}

/* com.microsoft.SkipLayerNormalization: norm(x + skip + bias); output 3 is the sum. */
segrt_status op_infer_skip_norm(op *o)
{
    for (int32_t slot = 0; slot < o->out_count; slot++)
        op_output(o, slot, o->in[0]->type, &o->in[0]->shape);
    if ((o->out_count > 1 && o->wanted[1]) || (o->out_count > 2 && o->wanted[2]))
        return op_fail(o, SEGRT_UNSUPPORTED, "its statistics are read");
    return SEGRT_OK;
}

segrt_status op_run_skip_norm(op *o)
{
    const bool rms = is_rms(o);
    const operand *x = o->in[0], *skip = o->in[1], *gamma = o->in[2], *beta = rms ? NULL : op_in(o, 3), *bias = op_in(o, rms ? 3 : 4);
    const size_t width = x->shape.rank ? (size_t)x->shape.dims[x->shape.rank - 1] : 0;
    if (!width || gamma->count != width || (beta && beta->count != width) || (bias && bias->count != width) || !skip->count || x->count % skip->count)
        return op_fail(o, SEGRT_MALFORMED, "its inputs do not fit rows of %zu", width);
    float *own = NULL, *sum = o->out_count > 3 ? o->out[3]->f : NULL;
    if (!sum)
        sum = own = op_scratch(o, x->count);
    if (!sum)
        return o->error->status;
    for (size_t n = 0; n < x->count; n++)
        sum[n] = x->f[n] + skip->f[n % skip->count] + (bias ? bias->f[n % width] : 0.0f);
    norm_job job = {sum, gamma->f, beta ? beta->f : NULL, o->out[0]->f, NULL, NULL, width, onnx_attribute_float(o->node, "epsilon", 1e-12f), !rms};
    segrt_status status = normalise(o, &job, x->count / width);
    op_scratch_free(o, own);
    return status;
}

segrt_status op_infer_batch_norm(op *o)
{
    for (int32_t slot = 1; slot < o->out_count; slot++)
        if (o->wanted[slot])
            return op_fail(o, SEGRT_UNSUPPORTED, "its statistics are read");
    if (onnx_attribute_int(o->node, "training_mode", 0))
        return op_fail(o, SEGRT_UNSUPPORTED, "runs in training mode");
    if (!onnx_attribute_int(o->node, "spatial", 1))
        return op_fail(o, SEGRT_UNSUPPORTED, "with spatial=0");
    return op_infer_same(o);
}

segrt_status op_run_batch_norm(op *o)
{
    const operand *x = o->in[0];
    const float epsilon = onnx_attribute_float(o->node, "epsilon", 1e-5f);
    const size_t channels = x->shape.rank < 2 ? 1 : (size_t)x->shape.dims[1], inner = shape_span(&x->shape, x->shape.rank < 2 ? x->shape.rank : 2, x->shape.rank);
    for (int32_t slot = 1; slot < 5; slot++)
        if (o->in[slot]->count != channels)
            return op_fail(o, SEGRT_MALFORMED, "its input #%d has %zu elements for %zu channels", (int)slot, o->in[slot]->count, channels);
    for (size_t n = 0, at = 0; at < x->count; n++) {
        const size_t c = n % channels;
        const double scale = (double)o->in[1]->f[c] / sqrt((double)o->in[4]->f[c] + (double)epsilon);
        const double shift = (double)o->in[2]->f[c] - (double)o->in[3]->f[c] * scale;
        for (size_t k = 0; k < inner; k++, at++)
            o->out[0]->f[at] = (float)((double)x->f[at] * scale + shift);
    }
    return SEGRT_OK;
}

/* --- GELU ------------------------------------------------------------------------------------------------ */

enum { PIECE = 16384 };

typedef struct gelu_job {
    const operand *x, *bias; /* bias: of the last dimension, or NULL */
    float *y;
    bool is_tanh;
} gelu_job;

static float gelu(float x, bool is_tanh)
{
    if (is_tanh)
        return 0.5f * x * (1.0f + tanhf(0.79788456f * (x + 0.044715f * x * x * x)));
    return 0.5f * x * (1.0f + erff(x * 0.70710678f));
}

static void gelu_piece(void *context, int worker, int piece)
{
    (void)worker;
    const gelu_job *job = context;
    const size_t first = (size_t)piece * PIECE, end = first + PIECE < job->x->count ? first + PIECE : job->x->count;
    for (size_t n = first; n < end; n++)
        job->y[n] = gelu(job->x->f[n] + (job->bias ? job->bias->f[n % job->bias->count] : 0.0f), job->is_tanh);
}

static segrt_status run_gelu(op *o, const operand *bias)
{
    const char *approximate = onnx_attribute_text(o->node, "approximate", "none");
    gelu_job job = {o->in[0], bias, o->out[0]->f, !strcmp(approximate, "tanh")};
    if (!job.is_tanh && strcmp(approximate, "none") != 0)
        return op_fail(o, SEGRT_UNSUPPORTED, "with the approximation '%.40s'", approximate);
    if (job.x->count > (size_t)PIECE * INT32_MAX)
        return op_fail(o, SEGRT_UNSUPPORTED, "has too many elements");
    pool_run(o->pool, (int)((job.x->count + PIECE - 1) / PIECE), gelu_piece, &job);
    return SEGRT_OK;
}

segrt_status op_run_gelu(op *o) { return run_gelu(o, NULL); }

segrt_status op_run_bias_gelu(op *o)
{
    const operand *x = o->in[0], *bias = o->in[1];
    if (!x->shape.rank || bias->count != (size_t)x->shape.dims[x->shape.rank - 1] || !bias->count)
        return op_fail(o, SEGRT_MALFORMED, "its bias has %zu elements", bias->count);
    return run_gelu(o, bias);
}
