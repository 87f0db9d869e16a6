/* ops_reduce: Reduce*, ArgMax, ArgMin, Softmax, LogSoftmax.  Formats layer; see op.h. */
#include <math.h>
#include <string.h>

#include "formats/onnx/op_move.h"

/* --- Reduce ------------------------------------------------------------------------------------------- */

static segrt_status reduced_axes(op *o, bool mask[ONNX_MAX_RANK], bool *known)
{
    bool given;
    const int32_t rank = o->in[0]->shape.rank;
    segrt_status status = op_axes(o, 1, "axes", rank, mask, &given, known);
    bool any = false;
    for (int32_t d = 0; d < rank; d++)
        any = any || mask[d];
    if (!any && !onnx_attribute_int(o->node, "noop_with_empty_axes", 0))
        for (int32_t d = 0; d < rank; d++)
            mask[d] = true;
    return status;
}

segrt_status op_infer_reduce(op *o)
{
    const onnx_shape *in = &o->in[0]->shape;
    bool mask[ONNX_MAX_RANK], known;
    if (in->rank < 0)
        return op_output_unknown(o, o->in[0]->type);
    segrt_status status = reduced_axes(o, mask, &known);
    if (status)
        return status;
    if (!known)
        return op_output_unknown(o, o->in[0]->type);
    const bool keep = onnx_attribute_int(o->node, "keepdims", 1) != 0;
    onnx_shape out = {0};
    for (int32_t d = 0; d < in->rank; d++)
        if (!mask[d] || keep)
            out.dims[out.rank++] = mask[d] ? 1 : in->dims[d];
    op_output(o, 0, o->in[0]->type, &out);
    return SEGRT_OK;
}

/* Sums in double: a mean of 16384 floats must not be the weakest link. */
typedef struct reduction {
    const char *name;
    double start;
    double (*add)(double sum, double x);
    double (*finish)(double sum, size_t count);
} reduction;

static double plus(double sum, double x) { return sum + x; }
static double times(double sum, double x) { return sum * x; }
static double larger(double sum, double x) { return x > sum || x != x ? x : sum; }
static double smaller(double sum, double x) { return x < sum || x != x ? x : sum; }
static double plus_square(double sum, double x) { return sum + x * x; }
static double plus_absolute(double sum, double x) { return sum + fabs(x); }
static double itself(double sum, size_t count) { (void)count; return sum; }
static double average(double sum, size_t count) { return sum / (double)count; }
static double root(double sum, size_t count) { (void)count; return sqrt(sum); }

static const reduction reductions[] = {
    {"ReduceMean", 0, plus, average},      {"ReduceSum", 0, plus, itself},         {"ReduceMax", -INFINITY, larger, itself}, {"ReduceMin", INFINITY, smaller, itself},
    {"ReduceProd", 1, times, itself},      {"ReduceSumSquare", 0, plus_square, itself}, {"ReduceL2", 0, plus_square, root},  {"ReduceL1", 0, plus_absolute, itself},
};

/* The same for integers, in integers. */
static int64_t reduce_ints(const char *name, const int64_t *x, size_t count)
{
    int64_t result = strcmp(name, "ReduceProd") == 0 ? 1 : strcmp(name, "ReduceMax") == 0 ? INT64_MIN : strcmp(name, "ReduceMin") == 0 ? INT64_MAX : 0;
    for (size_t n = 0; n < count; n++)
        if (!strcmp(name, "ReduceProd"))
            result = (int64_t)((uint64_t)result * (uint64_t)x[n]);
        else if (!strcmp(name, "ReduceMax"))
            result = x[n] > result ? x[n] : result;
        else if (!strcmp(name, "ReduceMin"))
            result = x[n] < result ? x[n] : result;
        else
            result = (int64_t)((uint64_t)result + (uint64_t)x[n]);
    return strcmp(name, "ReduceMean") == 0 && count ? result / (int64_t)count : result;
}

static double reduce_floats(const reduction *r, const float *x, size_t count)
{
    double sum = r->start;
    if (r->add == plus)
        for (size_t n = 0; n < count; n++)
            sum += (double)x[n];
    else
        for (size_t n = 0; n < count; n++)
            sum = r->add(sum, (double)x[n]);
    return r->finish(sum, count);
}

segrt_status op_run_reduce(op *o)
{
    const operand *x = o->in[0];
    operand *y = o->out[0];
    bool mask[ONNX_MAX_RANK], known;
    segrt_status status = reduced_axes(o, mask, &known);
    const reduction *r = NULL;
    for (size_t k = 0; k < sizeof reductions / sizeof *reductions; k++)
        if (!strcmp(reductions[k].name, o->node->op))
            r = &reductions[k];
    if (status || !r || (x->i && (r->add == plus_square || r->add == plus_absolute)))
        return status ? status : op_fail(o, SEGRT_UNSUPPORTED, "is not computed for %s", onnx_type_text(x->type));
    /* Kept dimensions first, reduced ones last: then each result is a sum over a run. */
    size_t strides[ONNX_MAX_RANK], count = 1;
    ptrdiff_t steps[ONNX_MAX_RANK];
    onnx_shape order = {.rank = x->shape.rank};
    bool in_place = true;
    shape_strides(&x->shape, strides);
    for (int32_t pass = 0, at = 0; pass < 2; pass++)
        for (int32_t d = 0; d < x->shape.rank; d++)
            if (mask[d] == (pass == 1)) {
                in_place = in_place && at == d;
                order.dims[at] = x->shape.dims[d];
                steps[at++] = (ptrdiff_t)strides[d];
                count *= mask[d] ? (size_t)x->shape.dims[d] : 1;
            }
    operand moved = *x;
    moved.buffer = NULL;
    if (!in_place) {
        moved.shape = order;
        status = op_allocate(o, &moved);
        if (status)
            return status;
        op_move(&moved, x, &order, 0, steps);
    }
    for (size_t n = 0; n < y->count; n++)
        if (y->f)
            y->f[n] = (float)reduce_floats(r, moved.f + n * count, count);
        else
            y->i[n] = reduce_ints(o->node->op, moved.i + n * count, count);
    operand_drop(o->memory, &moved);
    return SEGRT_OK;
}

/* --- ArgMax, ArgMin ------------------------------------------------------------------------------------- */

segrt_status op_infer_arg(op *o)
{
    const onnx_shape *in = &o->in[0]->shape;
    int32_t axis = 0;
    if (in->rank < 0)
        return op_output_unknown(o, ONNX_INT64);
    segrt_status status = op_axis(o, onnx_attribute_int(o->node, "axis", 0), in->rank, &axis);
    if (status)
        return status;
    onnx_shape out = {0};
    for (int32_t d = 0; d < in->rank; d++)
        if (d != axis || onnx_attribute_int(o->node, "keepdims", 1))
            out.dims[out.rank++] = d == axis ? 1 : in->dims[d];
    op_output(o, 0, ONNX_INT64, &out);
    return SEGRT_OK;
}

segrt_status op_run_arg(op *o)
{
    const operand *x = o->in[0];
    int32_t axis = 0;
    segrt_status status = op_axis(o, onnx_attribute_int(o->node, "axis", 0), x->shape.rank, &axis);
    if (status)
        return status;
    const size_t outer = shape_span(&x->shape, 0, axis), count = (size_t)x->shape.dims[axis], inner = shape_span(&x->shape, axis + 1, x->shape.rank);
    const bool last = onnx_attribute_int(o->node, "select_last_index", 0) != 0, is_max = !strcmp(o->node->op, "ArgMax");
    if (!count)
        return op_fail(o, SEGRT_MALFORMED, "over no elements");
    for (size_t n = 0; n < outer; n++)
        for (size_t k = 0; k < inner; k++) {
            size_t best = 0;
            for (size_t c = 1; c < count; c++) {
                const size_t a = (n * count + c) * inner + k, b = (n * count + best) * inner + k;
                const bool wins = x->f ? (is_max ? x->f[a] > x->f[b] : x->f[a] < x->f[b]) : is_max ? x->i[a] > x->i[b] : x->i[a] < x->i[b];
                const bool ties = last && (x->f ? x->f[a] == x->f[b] : x->i[a] == x->i[b]);
                best = wins || ties ? c : best;
            }
            o->out[0]->i[n * inner + k] = (int64_t)best;
        }
    return SEGRT_OK;
}

/* --- Softmax -------------------------------------------------------------------------------------------- */

segrt_status op_infer_softmax(op *o)
{
    int32_t axis = 0;
    segrt_status status = o->in[0]->shape.rank < 1 ? SEGRT_OK : op_axis(o, onnx_attribute_int(o->node, "axis", o->node->opset < 13 ? 1 : -1), o->in[0]->shape.rank, &axis);
    return status ? status : op_infer_same(o);
}

typedef struct softmax_job {
    const float *x;
    float *y;
    size_t count, inner; /* [outer][count][inner] */
    bool is_log;
} softmax_job;

static void softmax_piece(void *context, int worker, int piece)
{
    (void)worker;
    const softmax_job *job = context;
    const size_t first = (size_t)piece * job->count * job->inner;
    for (size_t k = 0; k < job->inner; k++) {
        const float *x = job->x + first + k;
        float *y = job->y + first + k, most = -INFINITY;
        for (size_t c = 0; c < job->count; c++)
            most = x[c * job->inner] > most ? x[c * job->inner] : most;
        double sum = 0;
        for (size_t c = 0; c < job->count; c++) {
            const float e = expf(x[c * job->inner] - most);
            if (!job->is_log)
                y[c * job->inner] = e;
            sum += (double)e;
        }
        const float scale = (float)(1.0 / sum), shift = most + (float)log(sum);
        for (size_t c = 0; c < job->count; c++)
            y[c * job->inner] = job->is_log ? x[c * job->inner] - shift : y[c * job->inner] * scale;
    }
}

segrt_status op_run_softmax(op *o)
{
    const operand *x = o->in[0];
    int32_t axis = 0;
    if (!x->shape.rank || !x->count) {
        for (size_t n = 0; n < x->count; n++)
            o->out[0]->f[n] = *o->node->op == 'L' ? 0.0f : 1.0f;
        return SEGRT_OK;
    }
    segrt_status status = op_axis(o, onnx_attribute_int(o->node, "axis", o->node->opset < 13 ? 1 : -1), x->shape.rank, &axis);
    if (status)
        return status;
    /* Before opset 13 the dimensions from `axis` on are one. */
    const int32_t end = o->node->opset < 13 ? x->shape.rank : axis + 1;
    softmax_job job = {x->f, o->out[0]->f, shape_span(&x->shape, axis, end), shape_span(&x->shape, end, x->shape.rank), *o->node->op == 'L'};
    const size_t outer = shape_span(&x->shape, 0, axis);
    if (outer > INT32_MAX)
        return op_fail(o, SEGRT_UNSUPPORTED, "has too many rows");
    pool_run(o->pool, (int)outer, softmax_piece, &job);
    return SEGRT_OK;
}
