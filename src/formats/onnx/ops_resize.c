/* ops_resize: Resize and Upsample, linear and nearest.  Formats layer; see op.h.
 *
 * Linear interpolation in several dimensions is one in each, one after the other: the weights multiply. */
#include <math.h>
#include <string.h>

#include "formats/onnx/op.h"

typedef struct resize {
    onnx_shape out;
    double scale[ONNX_MAX_RANK]; /* out / in, as given or from the sizes */
    bool known, linear, from_sizes;
    const char *coordinates, *nearest;
} resize;

static const char *const coordinate_modes[] = {"half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric"};

static segrt_status set_mode(op *o, resize *r)
{
    const bool old = o->node->opset < 11 || !strcmp(o->node->op, "Upsample");
    const char *mode = onnx_attribute_text(o->node, "mode", "nearest");
    r->linear = !strcmp(mode, "linear") || !strcmp(mode, "bilinear");
    if (!r->linear && strcmp(mode, "nearest") != 0)
        return op_fail(o, SEGRT_UNSUPPORTED, "in the mode '%.40s'", mode);
    r->coordinates = old ? "asymmetric" : onnx_attribute_text(o->node, "coordinate_transformation_mode", "half_pixel");
    r->nearest = old ? "floor" : onnx_attribute_text(o->node, "nearest_mode", "round_prefer_floor");
    bool is_known = false;
    for (size_t i = 0; i < sizeof coordinate_modes / sizeof *coordinate_modes; i++)
        is_known = is_known || !strcmp(r->coordinates, coordinate_modes[i]);
    if (!is_known)
        return op_fail(o, SEGRT_UNSUPPORTED, "with the coordinates '%.40s'", r->coordinates);
    if (onnx_attribute_int(o->node, "antialias", 0))
        return op_fail(o, SEGRT_UNSUPPORTED, "with antialiasing");
    if (strcmp(onnx_attribute_text(o->node, "keep_aspect_ratio_policy", "stretch"), "stretch") != 0)
        return op_fail(o, SEGRT_UNSUPPORTED, "keeping the aspect ratio");
    return SEGRT_OK;
}

/* The scales or sizes, one for each of `axes`. */
static segrt_status apply(op *o, resize *r, const operand *scales, const operand *sizes, const float *listed, size_t listed_count)
{
    const onnx_shape *in = &o->in[0]->shape;
    const int64_t *axes = NULL;
    const size_t axis_count = onnx_attribute_ints(o->node, "axes", &axes), wanted = axes ? axis_count : (size_t)in->rank;
    const size_t count = sizes ? sizes->count : scales ? scales->count : listed_count;
    if (count != wanted)
        return op_fail(o, SEGRT_MALFORMED, "%zu %s for %zu dimensions", count, sizes ? "sizes" : "scales", wanted);
    for (size_t k = 0; k < count; k++) {
        int32_t axis = 0;
        segrt_status status = op_axis(o, axes ? axes[k] : (int64_t)k, in->rank, &axis);
        if (status)
            return status;
        const int64_t dim = in->dims[axis];
        int64_t out = ONNX_UNKNOWN;
        if (sizes) {
            out = sizes->i[k] == OP_UNKNOWN ? ONNX_UNKNOWN : sizes->i[k];
            if (out < 0 && sizes->i[k] != OP_UNKNOWN)
                return op_fail(o, SEGRT_MALFORMED, "to the size %lld", (long long)out);
            if (out >= 0 && dim == 0 && out)
                return op_fail(o, SEGRT_MALFORMED, "nothing to the size %lld", (long long)out);
            r->scale[axis] = dim > 0 ? (double)out / (double)dim : 1;
        } else {
            const float scale = scales ? scales->f[k] : listed[k];
            if (!(scale > 0) || scale > 65536)
                return op_fail(o, SEGRT_MALFORMED, "by the scale %g", (double)scale);
            r->scale[axis] = (double)scale;
            if (dim > (INT64_MAX >> 20))
                return op_fail(o, SEGRT_MALFORMED, "of the dimension %lld", (long long)dim);
            out = dim < 0 ? ONNX_UNKNOWN : (int64_t)floorf((float)dim * scale);
        }
        r->out.dims[axis] = out;
    }
    r->known = true;
    return SEGRT_OK;
}

static segrt_status resize_of(op *o, resize *r)
{
    *r = (resize){.out = o->in[0]->shape};
    for (int32_t d = 0; d < ONNX_MAX_RANK; d++)
        r->scale[d] = 1;
    segrt_status status = set_mode(o, r);
    if (status || r->out.rank < 0)
        return status;
    const bool modern = o->node->opset >= 11 && !strcmp(o->node->op, "Resize");
    const operand *scales = op_in(o, modern ? 2 : 1), *sizes = modern ? op_in(o, 3) : NULL;
    const onnx_attribute *listed = onnx_attribute_find(o->node, "scales");
    if (sizes && sizes->shape.rank == 1 && sizes->shape.dims[0] == 0)
        sizes = NULL;
    if (scales && scales->shape.rank == 1 && scales->shape.dims[0] == 0)
        scales = NULL; /* an empty tensor stands for none */
    const operand *which = sizes ? sizes : scales;
    if (which && !(sizes ? (const void *)which->i : (const void *)which->f)) {
        for (int32_t d = 0; d < r->out.rank; d++)
            r->out.dims[d] = ONNX_UNKNOWN; /* which it is will be seen at run time */
        return SEGRT_OK;
    }
    if (!which && !listed)
        return op_fail(o, SEGRT_MALFORMED, "has neither scales nor sizes");
    r->from_sizes = sizes != NULL;
    return apply(o, r, sizes ? NULL : scales, sizes, listed ? listed->floats : NULL, listed ? listed->count : 0);
}

segrt_status op_infer_resize(op *o)
{
    resize r;
    segrt_status status = resize_of(o, &r);
    if (!status)
        op_output(o, 0, o->in[0]->type, &r.out);
    return status;
}

/* Where pixel `at` of the output lies in the input. */
static double source(const resize *r, int64_t at, int64_t in, int64_t out, double scale)
{
    const double x = (double)at;
    switch (*r->coordinates) {
    case 'p': return out > 1 ? (x + 0.5) / scale - 0.5 : 0;
    case 'a':
        if (r->coordinates[1] == 's') /* asymmetric */
            return x / scale;
        return out > 1 ? x * (double)(in - 1) / (double)(out - 1) : 0; /* align_corners */
    default:
        if (r->coordinates[10]) { /* half_pixel_symmetric */
            const double adjustment = (double)out / ((double)in * scale), centre = (double)in / 2;
            return centre * (1 - adjustment) + (x + 0.5) / scale - 0.5;
        }
        return (x + 0.5) / scale - 0.5;
    }
}

static int64_t nearest(const resize *r, double x)
{
    if (!strcmp(r->nearest, "floor"))
        return (int64_t)floor(x);
    if (!strcmp(r->nearest, "ceil"))
        return (int64_t)ceil(x);
    return (int64_t)(!strcmp(r->nearest, "round_prefer_ceil") ? floor(x + 0.5) : ceil(x - 0.5));
}

typedef struct line_job {
    const float *x;
    float *y;
    size_t in, out, inner;  /* x [outer][in][inner] -> y [outer][out][inner] */
    const int64_t *low, *high; /* [out] */
    const float *weight;       /* [out]: of `high` */
} line_job;

static void resize_outer(void *context, int worker, int outer)
{
    (void)worker;
    const line_job *job = context;
    const float *x = job->x + (size_t)outer * job->in * job->inner;
    float *y = job->y + (size_t)outer * job->out * job->inner;
    for (size_t n = 0; n < job->out; n++) {
        const float *low = x + (size_t)job->low[n] * job->inner, *high = x + (size_t)job->high[n] * job->inner, w = job->weight[n];
        for (size_t k = 0; k < job->inner; k++)
            y[n * job->inner + k] = w == 0 ? low[k] : low[k] * (1 - w) + high[k] * w;
    }
}

/* One dimension; `shape` is the input's, and becomes the output's. */
static segrt_status resize_one(op *o, const resize *r, int32_t axis, onnx_shape *shape, const float *x, float *y)
{
    const int64_t in = shape->dims[axis], out = r->out.dims[axis];
    const size_t outer = shape_span(shape, 0, axis), inner = shape_span(shape, axis + 1, shape->rank);
    if (outer > INT32_MAX)
        return op_fail(o, SEGRT_UNSUPPORTED, "has too many planes");
    int64_t *places = memory_get_array((size_t)out, 2 * sizeof *places);
    float *weights = memory_get_array((size_t)out, sizeof *weights);
    if (!places || !weights) {
        memory_free(places);
        memory_free(weights);
        return fail_memory(o->error, (size_t)out * 20, "a Resize");
    }
    for (int64_t n = 0; n < out; n++) {
        double at = source(r, n, in, out, r->scale[axis]);
        int64_t low = r->linear ? (int64_t)floor(at = at < 0 ? 0 : at > (double)(in - 1) ? (double)(in - 1) : at) : nearest(r, at);
        low = low < 0 ? 0 : low > in - 1 ? in - 1 : low;
        places[n] = low;
        places[out + n] = low + 1 < in ? low + 1 : low;
        weights[n] = r->linear ? (float)(at - (double)low) : 0;
    }
    line_job job = {x, y, (size_t)in, (size_t)out, inner, places, places + out, weights};
    pool_run(o->pool, (int)outer, resize_outer, &job);
    memory_free(places);
    memory_free(weights);
    shape->dims[axis] = out;
    return SEGRT_OK;
}

segrt_status op_run_resize(op *o)
{
    resize r;
    const operand *x = o->in[0];
    operand *y = o->out[0];
    segrt_status status = resize_of(o, &r);
    if (status || !y->count)
        return status;
    if (!x->f)
        return op_fail(o, SEGRT_UNSUPPORTED, "of integers");
    int32_t axes[ONNX_MAX_RANK], count = 0;
    for (int32_t d = 0; d < r.out.rank; d++)
        if (r.out.dims[d] != x->shape.dims[d] || r.scale[d] != 1)
            axes[count++] = d;
    if (!count)
        memcpy(y->f, x->f, x->count * sizeof *y->f);
    onnx_shape shape = x->shape;
    const float *from = x->f;
    float *before = NULL;
    for (int32_t k = count - 1; k >= 0 && !status; k--) { /* the last first: rows before columns */
        size_t elements = 0;
        onnx_shape next = shape;
        next.dims[axes[k]] = r.out.dims[axes[k]];
        float *to = y->f, *own = NULL;
        if (k && !shape_count(&next, &elements))
            status = op_fail(o, SEGRT_UNSUPPORTED, "its workspace leaves the address space");
        else if (k) {
            to = own = op_scratch(o, elements);
            status = own ? SEGRT_OK : o->error->status;
        }
        if (!status)
            status = resize_one(o, &r, axes[k], &shape, from, to);
        op_scratch_free(o, before);
        before = own;
        from = to;
    }
    op_scratch_free(o, before);
    return status;
}
