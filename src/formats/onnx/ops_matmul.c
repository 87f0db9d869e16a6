/* ops_matmul: MatMul, com.microsoft.FusedMatMul and Gemm.  Formats layer; see op.h. */
#include <math.h>
#include <string.h>

#include "formats/onnx/op.h"

/* A product's operands as matrices: vectors get a dimension of 1, which the result loses again. */
typedef struct matmul {
    onnx_shape a, b; /* rank at least 2, transposed as asked */
    bool a_vector, b_vector, a_transposed, b_transposed;
    onnx_shape out;
} matmul;

static onnx_shape matrix_of(const onnx_shape *in, bool transposed, bool is_left, bool *vector)
{
    onnx_shape m = *in;
    *vector = in->rank == 1;
    if (*vector) {
        m.rank = 2;
        m.dims[is_left ? 0 : 1] = 1;
        m.dims[is_left ? 1 : 0] = in->dims[0];
    } else if (transposed) {
        m.dims[in->rank - 1] = in->dims[in->rank - 2];
        m.dims[in->rank - 2] = in->dims[in->rank - 1];
    }
    return m;
}

static segrt_status matmul_of(op *o, matmul *m)
{
    const onnx_shape *a = &o->in[0]->shape, *b = &o->in[1]->shape;
    const bool fused = *o->node->domain != 0;
    *m = (matmul){.a_transposed = fused && onnx_attribute_int(o->node, "transA", 0), .b_transposed = fused && onnx_attribute_int(o->node, "transB", 0)};
    if (fused && (onnx_attribute_int(o->node, "transBatchA", 0) || onnx_attribute_int(o->node, "transBatchB", 0)))
        return op_fail(o, SEGRT_UNSUPPORTED, "with transposed batches");
    m->out.rank = ONNX_UNKNOWN;
    if (a->rank < 0 || b->rank < 0)
        return SEGRT_OK;
    if (!a->rank || !b->rank)
        return op_fail(o, SEGRT_MALFORMED, "of a number, not a matrix");
    m->a = matrix_of(a, m->a_transposed, true, &m->a_vector);
    m->b = matrix_of(b, m->b_transposed, false, &m->b_vector);
    m->a_transposed = m->a_transposed && !m->a_vector;
    m->b_transposed = m->b_transposed && !m->b_vector;
    const int64_t k = m->a.dims[m->a.rank - 1], other = m->b.dims[m->b.rank - 2];
    if (k >= 0 && other >= 0 && k != other) {
        char left[ONNX_TEXT_ROOM], right[ONNX_TEXT_ROOM];
        return op_fail(o, SEGRT_MALFORMED, "%.100s times %.100s", onnx_shape_text(o->in[0]->type, a, left), onnx_shape_text(o->in[1]->type, b, right));
    }
    onnx_shape batch_a = {.rank = m->a.rank - 2}, batch_b = {.rank = m->b.rank - 2};
    memcpy(batch_a.dims, m->a.dims, sizeof batch_a.dims);
    memcpy(batch_b.dims, m->b.dims, sizeof batch_b.dims);
    segrt_status status = op_broadcast(o, &batch_a, &batch_b, &m->out);
    if (status)
        return status;
    if (m->out.rank + 2 > ONNX_MAX_RANK)
        return op_fail(o, SEGRT_UNSUPPORTED, "to %d dimensions", (int)m->out.rank + 2);
    if (!m->a_vector)
        m->out.dims[m->out.rank++] = m->a.dims[m->a.rank - 2];
    if (!m->b_vector)
        m->out.dims[m->out.rank++] = m->b.dims[m->b.rank - 1];
    return SEGRT_OK;
}

segrt_status op_infer_matmul(op *o)
{
    matmul m;
    segrt_status status = matmul_of(o, &m);
    if (!status)
        op_output(o, 0, o->in[0]->type, &m.out);
    return status;
}

typedef struct matmul_job {
    const matmul *m;
    const float *a, *b;
    float *c;
    size_t rows, columns, k;
    onnx_shape batch;
} matmul_job;

/* Where the i-th product of the broadcast batch finds its matrix. */
static size_t matrix_at(const matmul_job *job, const onnx_shape *shape, size_t i)
{
    const int32_t rank = shape->rank - 2, shift = job->batch.rank - rank;
    size_t at = 0, stride = (size_t)shape->dims[rank] * (size_t)shape->dims[rank + 1];
    for (int32_t d = job->batch.rank - 1; d >= 0; d--) {
        const size_t index = i % (size_t)job->batch.dims[d];
        i /= (size_t)job->batch.dims[d];
        if (d >= shift) {
            at += shape->dims[d - shift] == 1 ? 0 : index * stride;
            stride *= (size_t)shape->dims[d - shift];
        }
    }
    return at;
}

static void matmul_at(const void *context, size_t i, gemm *g)
{
    const matmul_job *job = context;
    const matmul *m = job->m;
    *g = (gemm){.m = job->rows, .n = job->columns, .k = job->k, .a = job->a + matrix_at(job, &m->a, i), .b = job->b + matrix_at(job, &m->b, i),
                .c = job->c + i * job->rows * job->columns, .ldc = job->columns};
    g->a_row = m->a_transposed ? 1 : job->k;
    g->a_column = m->a_transposed ? job->rows : 1;
    g->b_row = m->b_transposed ? 1 : job->columns;
    g->b_column = m->b_transposed ? job->k : 1;
}

segrt_status op_run_matmul(op *o)
{
    matmul m;
    segrt_status status = matmul_of(o, &m);
    if (status)
        return status;
    operand *y = o->out[0];
    matmul_job job = {&m, o->in[0]->f, o->in[1]->f, y->f, (size_t)m.a.dims[m.a.rank - 2], (size_t)m.b.dims[m.b.rank - 1], (size_t)m.a.dims[m.a.rank - 1],
                      {.rank = m.out.rank - !m.a_vector - !m.b_vector}};
    memcpy(job.batch.dims, m.out.dims, sizeof job.batch.dims);
    const size_t batch = shape_span(&job.batch, 0, job.batch.rank);
    if (m.b.rank == 2 && !m.a_transposed && !m.a_vector && batch > 1) { /* one weight for the whole batch: one tall product */
        job.rows *= batch;
        job.batch.rank = 0;
        status = op_gemm_batch(o, 1, matmul_at, &job);
    } else
        status = op_gemm_batch(o, batch, matmul_at, &job);
    const float alpha = *o->node->domain ? onnx_attribute_float(o->node, "alpha", 1.0f) : 1.0f;
    for (size_t n = 0; n < y->count && alpha != 1.0f && !status; n++)
        y->f[n] *= alpha;
    return status;
}

/* --- Gemm: alpha A B + beta C --------------------------------------------------------------------------- */

segrt_status op_infer_gemm(op *o)
{
    const onnx_shape *a = &o->in[0]->shape, *b = &o->in[1]->shape;
    const int at = onnx_attribute_int(o->node, "transA", 0) != 0, bt = onnx_attribute_int(o->node, "transB", 0) != 0;
    if (a->rank < 0 || b->rank < 0)
        return op_output_unknown(o, o->in[0]->type);
    if (a->rank != 2 || b->rank != 2)
        return op_fail(o, SEGRT_MALFORMED, "of tensors of rank %d and %d", (int)a->rank, (int)b->rank);
    const onnx_shape out = {.rank = 2, .dims = {a->dims[at], b->dims[!bt]}};
    if (a->dims[!at] >= 0 && b->dims[bt] >= 0 && a->dims[!at] != b->dims[bt])
        return op_fail(o, SEGRT_MALFORMED, "its matrices have %lld and %lld in common", (long long)a->dims[!at], (long long)b->dims[bt]);
    const operand *c = op_in(o, 2);
    if (c && shape_known(&c->shape) && shape_known(&out)) {
        onnx_shape both;
        segrt_status status = op_broadcast(o, &out, &c->shape, &both);
        if (status || memcmp(both.dims, out.dims, 2 * sizeof *out.dims) != 0 || both.rank != 2)
            return status ? status : op_fail(o, SEGRT_MALFORMED, "its third input is larger than its result");
    }
    op_output(o, 0, o->in[0]->type, &out);
    return SEGRT_OK;
}

segrt_status op_run_gemm(op *o)
{
    const operand *a = o->in[0], *b = o->in[1], *c = op_in(o, 2);
    operand *y = o->out[0];
    const bool at = onnx_attribute_int(o->node, "transA", 0) != 0, bt = onnx_attribute_int(o->node, "transB", 0) != 0;
    const float alpha = onnx_attribute_float(o->node, "alpha", 1.0f), beta = onnx_attribute_float(o->node, "beta", 1.0f);
    gemm g = {.m = (size_t)y->shape.dims[0], .n = (size_t)y->shape.dims[1], .k = (size_t)a->shape.dims[!at], .a = a->f, .b = b->f, .c = y->f, .ldc = (size_t)y->shape.dims[1]};
    g.a_row = at ? 1 : g.k;
    g.a_column = at ? g.m : 1;
    g.b_row = bt ? 1 : g.n;
    g.b_column = bt ? g.k : 1;
    segrt_status status = op_gemm(o, &g);
    if (status)
        return status;
    const int32_t rank = c ? c->shape.rank : 0;
    const size_t row = rank == 2 && c->shape.dims[0] != 1 ? (size_t)c->shape.dims[1] : 0, column = rank && c->shape.dims[rank - 1] != 1;
    const char *activation = onnx_attribute_text(o->node, "activation", ""); /* com.microsoft.FusedGemm */
    if (*activation && strcmp(activation, "Relu") != 0)
        return op_fail(o, SEGRT_UNSUPPORTED, "with the activation '%.40s'", activation);
    for (size_t r = 0; r < g.m; r++)
        for (size_t n = 0; n < g.n; n++) {
            const float v = alpha * y->f[r * g.n + n] + (c ? beta * c->f[r * row + n * column] : 0.0f);
            y->f[r * g.n + n] = *activation && v < 0 ? 0 : v;
        }
    return SEGRT_OK;
}
