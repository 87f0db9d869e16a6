/* ops_attention: attention as one node: ONNX's own (opset 23), com.microsoft.Attention and MultiHeadAttention.
 * Formats layer; see op.h.  Forms with masks, caches, or several tokens at once in a cache are refused. */
#include <math.h>
#include <string.h>

#include "formats/onnx/op.h"

/* A [batch][heads][tokens][width] tensor by its strides, wherever its elements lie; width is consecutive. */
typedef struct heads {
    const float *data;
    size_t batch, head, token;
} heads;

typedef struct attention {
    size_t batch, heads, queries, keys, width, value_width; /* width of a head */
    size_t share;     /* query heads to each key head */
    heads query, key, value;
    float *y;
    size_t y_batch, y_head, y_token;
    float scale;
} attention;

enum { QUERIES = 512 }; /* at once: bounds the scores */

static void scale_softmax(float *row, size_t count, float scale)
{
    float most = -INFINITY;
    double sum = 0;
    for (size_t n = 0; n < count; n++)
        most = row[n] > most ? row[n] : most;
    for (size_t n = 0; n < count; n++) {
        row[n] = expf((row[n] - most) * scale);
        sum += (double)row[n];
    }
    for (size_t n = 0; n < count; n++)
        row[n] *= (float)(1.0 / sum);
}

static segrt_status run(op *o, const attention *a)
{
    if (!a->keys || !a->width)
        return op_fail(o, SEGRT_MALFORMED, "over no keys");
    float *scores = op_scratch(o, QUERIES * a->keys);
    if (!scores)
        return o->error->status;
    segrt_status status = SEGRT_OK;
    for (size_t n = 0; n < a->batch * a->heads && !status; n++) {
        const size_t b = n / a->heads, h = n % a->heads, shared = h / a->share;
        for (size_t first = 0; first < a->queries && !status; first += QUERIES) {
            const size_t count = a->queries - first < QUERIES ? a->queries - first : QUERIES;
            const gemm products = {.m = count, .n = a->keys, .k = a->width, .a = a->query.data + b * a->query.batch + h * a->query.head + first * a->query.token,
                                   .a_row = a->query.token, .a_column = 1, .b = a->key.data + b * a->key.batch + shared * a->key.head, .b_row = 1,
                                   .b_column = a->key.token, .c = scores, .ldc = a->keys};
            status = op_gemm(o, &products);
            for (size_t q = 0; q < count && !status; q++)
                scale_softmax(scores + q * a->keys, a->keys, a->scale);
            const gemm sums = {.m = count, .n = a->value_width, .k = a->keys, .a = scores, .a_row = a->keys, .a_column = 1,
                               .b = a->value.data + b * a->value.batch + shared * a->value.head, .b_row = a->value.token, .b_column = 1,
                               .c = a->y + b * a->y_batch + h * a->y_head + first * a->y_token, .ldc = a->y_token};
            if (!status)
                status = op_gemm(o, &sums);
        }
    }
    op_scratch_free(o, scores);
    return status;
}

static segrt_status refuse_inputs(op *o, int32_t from, const char *what)
{
    for (int32_t slot = from; slot < o->in_count; slot++)
        if (o->in[slot])
            return op_fail(o, SEGRT_UNSUPPORTED, "with %s", what);
    for (int32_t slot = 1; slot < o->out_count; slot++)
        if (o->wanted[slot])
            return op_fail(o, SEGRT_UNSUPPORTED, "with a second output");
    return SEGRT_OK;
}

/* --- ONNX, opset 23: [batch][heads][tokens][width], or [batch][tokens][heads * width] ------------------- */

static segrt_status check_forms(op *o)
{
    if (onnx_attribute_int(o->node, "is_causal", 0) || onnx_attribute_float(o->node, "softcap", 0) != 0)
        return op_fail(o, SEGRT_UNSUPPORTED, "causal, or with a soft cap");
    return refuse_inputs(o, 3, "a mask or cached keys");
}

/* Heads, tokens and width of one of the inputs. */
static segrt_status dims_of(op *o, int32_t slot, int64_t given, size_t out[3], heads *h)
{
    const operand *in = o->in[slot];
    const int64_t *d = in->shape.dims;
    h->data = in->f;
    if (in->shape.rank == 4) {
        out[0] = (size_t)d[1];
        out[1] = (size_t)d[2];
        out[2] = (size_t)d[3];
        h->token = out[2];
        h->head = out[1] * out[2];
    } else if (in->shape.rank == 3 && given > 0 && d[2] % given == 0) {
        out[0] = (size_t)given;
        out[1] = (size_t)d[1];
        out[2] = (size_t)(d[2] / given);
        h->token = (size_t)d[2];
        h->head = out[2];
    } else
        return op_fail(o, SEGRT_MALFORMED, "its input #%d has rank %d, or no number of heads", (int)slot, (int)in->shape.rank);
    h->batch = out[0] * out[1] * out[2];
    return SEGRT_OK;
}

segrt_status op_infer_attention(op *o)
{
    segrt_status status = check_forms(o);
    onnx_shape out = o->in[0]->shape;
    const onnx_shape *v = &o->in[2]->shape;
    if (status || out.rank < 0 || v->rank != out.rank)
        return status ? status : op_output_unknown(o, o->in[0]->type);
    if (out.rank != 3 && out.rank != 4)
        return op_fail(o, SEGRT_MALFORMED, "of tensors of rank %d", (int)out.rank);
    const int64_t q_heads = onnx_attribute_int(o->node, "q_num_heads", 1), kv_heads = onnx_attribute_int(o->node, "kv_num_heads", 1), last = v->dims[v->rank - 1];
    if (q_heads < 1 || kv_heads < 1 || q_heads > 65536)
        return op_fail(o, SEGRT_MALFORMED, "%lld and %lld heads", (long long)q_heads, (long long)kv_heads);
    out.dims[out.rank - 1] = last < 0 || out.rank == 4 ? last : last / kv_heads * q_heads;
    op_output(o, 0, o->in[0]->type, &out);
    for (int32_t slot = 1; slot < o->out_count; slot++)
        op_output(o, slot, o->in[0]->type, &(onnx_shape){.rank = ONNX_UNKNOWN});
    return SEGRT_OK;
}

segrt_status op_run_attention(op *o)
{
    attention a = {.y = o->out[0]->f};
    size_t q[3] = {0}, k[3] = {0}, v[3] = {0};
    const int64_t q_heads = onnx_attribute_int(o->node, "q_num_heads", 0), kv_heads = onnx_attribute_int(o->node, "kv_num_heads", 0);
    segrt_status status = dims_of(o, 0, q_heads, q, &a.query);
    status = status ? status : dims_of(o, 1, kv_heads, k, &a.key);
    status = status ? status : dims_of(o, 2, kv_heads, v, &a.value);
    if (status)
        return status;
    const int64_t batch = o->in[0]->shape.dims[0];
    if (!q[0] || !k[0] || q[0] % k[0] || k[0] != v[0] || k[1] != v[1] || q[2] != k[2] || o->in[1]->shape.dims[0] != batch || o->in[2]->shape.dims[0] != batch ||
        o->out[0]->count != (size_t)batch * q[0] * q[1] * v[2])
        return op_fail(o, SEGRT_MALFORMED, "its query, key and value do not fit each other");
    a.batch = (size_t)batch;
    a.heads = q[0];
    a.queries = q[1];
    a.keys = k[1];
    a.width = q[2];
    a.value_width = v[2];
    a.share = q[0] / k[0];
    const bool by_tokens = o->in[0]->shape.rank == 3;
    a.y_batch = a.heads * a.queries * a.value_width;
    a.y_token = by_tokens ? a.heads * a.value_width : a.value_width;
    a.y_head = by_tokens ? a.value_width : a.queries * a.value_width;
    a.scale = onnx_attribute_float(o->node, "scale", 1.0f / sqrtf((float)(a.width ? a.width : 1)));
    return run(o, &a);
}

/* --- com.microsoft.Attention: input [batch][tokens][c], weight [c][q + k + v], bias [q + k + v] ---------- */

typedef struct widths {
    int64_t heads, q, k, v; /* all heads together */
} widths;

static segrt_status widths_of(op *o, widths *w)
{
    const onnx_shape *in = &o->in[0]->shape, *weight = &o->in[1]->shape;
    const int64_t *sizes = NULL;
    const size_t count = onnx_attribute_ints(o->node, "qkv_hidden_sizes", &sizes);
    *w = (widths){.heads = onnx_attribute_int(o->node, "num_heads", 0)};
    segrt_status status = refuse_inputs(o, 3, "a mask, a cache or an added bias");
    if (status)
        return status;
    if (onnx_attribute_int(o->node, "unidirectional", 0) || onnx_attribute_int(o->node, "do_rotary", 0))
        return op_fail(o, SEGRT_UNSUPPORTED, "causal, or with rotary positions");
    if (in->rank != 3 || weight->rank != 2 || in->dims[2] < 0 || weight->dims[0] != in->dims[2] || weight->dims[1] < 3 || (sizes && count != 3))
        return op_fail(o, SEGRT_MALFORMED, "its input and weight do not fit each other");
    w->q = sizes ? sizes[0] : weight->dims[1] / 3;
    w->k = sizes ? sizes[1] : weight->dims[1] / 3;
    w->v = sizes ? sizes[2] : weight->dims[1] / 3;
    const int64_t most = INT32_MAX;
    if (w->heads < 1 || w->q < 1 || w->v < 1 || w->q > most || w->v > most || w->q != w->k || w->q + w->k + w->v != weight->dims[1] || w->q % w->heads || w->v % w->heads)
        return op_fail(o, SEGRT_MALFORMED, "%lld heads of q, k, v of %lld, %lld, %lld", (long long)w->heads, (long long)w->q, (long long)w->k, (long long)w->v);
    return SEGRT_OK;
}

segrt_status op_infer_ms_attention(op *o)
{
    widths w;
    if (o->in[0]->shape.rank < 0 || o->in[1]->shape.rank < 0)
        return op_output_unknown(o, o->in[0]->type);
    segrt_status status = widths_of(o, &w);
    onnx_shape out = o->in[0]->shape;
    out.dims[2] = w.v;
    if (!status)
        op_output(o, 0, o->in[0]->type, &out);
    for (int32_t slot = 1; slot < o->out_count && !status; slot++)
        op_output(o, slot, o->in[0]->type, &(onnx_shape){.rank = ONNX_UNKNOWN});
    return status;
}

segrt_status op_run_ms_attention(op *o)
{
    widths w;
    segrt_status status = widths_of(o, &w);
    if (status)
        return status;
    const operand *x = o->in[0], *bias = op_in(o, 2);
    const size_t batch = (size_t)x->shape.dims[0], tokens = (size_t)x->shape.dims[1], all = (size_t)(w.q + w.k + w.v), h = (size_t)w.heads;
    if (bias && bias->count != all)
        return op_fail(o, SEGRT_MALFORMED, "its bias has %zu elements for %zu", bias->count, all);
    if (!o->out[0]->count)
        return SEGRT_OK;
    if (batch * tokens > SIZE_MAX / 8 / all)
        return op_fail(o, SEGRT_UNSUPPORTED, "its projections leave the address space");
    float *qkv = op_scratch(o, batch * tokens * all);
    if (!qkv)
        return o->error->status;
    for (size_t n = 0; n < batch * tokens * all; n++)
        qkv[n] = bias ? bias->f[n % all] : 0;
    const gemm g = {.m = batch * tokens, .n = all, .k = (size_t)x->shape.dims[2], .a = x->f, .a_row = (size_t)x->shape.dims[2], .a_column = 1, .b = o->in[1]->f,
                    .b_row = all, .b_column = 1, .c = qkv, .ldc = all, .keep = true};
    status = op_gemm(o, &g);
    attention a = {.batch = batch, .heads = h, .queries = tokens, .keys = tokens, .width = (size_t)w.q / h, .value_width = (size_t)w.v / h, .share = 1, .y = o->out[0]->f};
    a.query = (heads){qkv, tokens * all, a.width, all};
    a.key = (heads){qkv + w.q, tokens * all, a.width, all};
    a.value = (heads){qkv + w.q + w.k, tokens * all, a.value_width, all};
    a.y_token = (size_t)w.v;
    a.y_head = a.value_width;
    a.y_batch = tokens * (size_t)w.v;
    const float scale = onnx_attribute_float(o->node, "scale", 0);
    a.scale = scale != 0 ? scale : 1.0f / sqrtf((float)a.width);
    if (!status)
        status = run(o, &a);
    op_scratch_free(o, qkv);
    return status;
}

/* --- com.microsoft.MultiHeadAttention: query, key, value [batch][tokens][heads * width], bias of all three - */

static segrt_status mha_forms(op *o, bool *known)
{
    *known = false;
    if (!op_in(o, 1) || !op_in(o, 2))
        return op_fail(o, SEGRT_UNSUPPORTED, "with its query, key and value packed in one");
    if (onnx_attribute_int(o->node, "unidirectional", 0))
        return op_fail(o, SEGRT_UNSUPPORTED, "causal");
    segrt_status status = refuse_inputs(o, 4, "a mask, a cache or an added bias");
    for (int32_t slot = 0; slot < 3 && !status; slot++) {
        if (o->in[slot]->shape.rank < 0)
            return SEGRT_OK;
        if (o->in[slot]->shape.rank != 3 && !(slot > 0 && o->in[slot]->shape.rank == 4))
            status = op_fail(o, SEGRT_UNSUPPORTED, "its input #%d has rank %d", (int)slot, (int)o->in[slot]->shape.rank);
    }
    *known = !status;
    return status;
}

segrt_status op_infer_mha(op *o)
{
    bool known;
    segrt_status status = mha_forms(o, &known);
    if (status || !known)
        return status ? status : op_output_unknown(o, o->in[0]->type);
    const onnx_shape *v = &o->in[2]->shape;
    const int64_t count = onnx_attribute_int(o->node, "num_heads", 0);
    if (count < 1 || count > 65536)
        return op_fail(o, SEGRT_MALFORMED, "%lld heads", (long long)count);
    onnx_shape out = o->in[0]->shape;
    const int64_t width = v->dims[v->rank - 1];
    out.dims[2] = v->rank == 3 || width < 0 ? width : width > INT32_MAX ? ONNX_UNKNOWN : width * count;
    op_output(o, 0, o->in[0]->type, &out);
    for (int32_t slot = 1; slot < o->out_count; slot++)
        op_output(o, slot, o->in[0]->type, &(onnx_shape){.rank = ONNX_UNKNOWN});
    return SEGRT_OK;
}

/* x + bias, of rows as wide as the bias. */
static float *with_bias(op *o, const operand *x, const float *bias, size_t width)
{
    float *sum = op_scratch(o, x->count);
    for (size_t n = 0; n < x->count && sum; n++)
        sum[n] = x->f[n] + bias[n % width];
    return sum;
}

segrt_status op_run_mha(op *o)
{
    const operand *bias = op_in(o, 3);
    const int64_t given = onnx_attribute_int(o->node, "num_heads", 0), batch = o->in[0]->shape.dims[0];
    size_t dims[3][3] = {{0}};
    attention a = {.batch = (size_t)batch, .share = 1, .y = o->out[0]->f};
    heads *parts[3] = {&a.query, &a.key, &a.value};
    float *sums[3] = {NULL};
    segrt_status status = SEGRT_OK;
    for (int32_t slot = 0; slot < 3 && !status; slot++)
        status = dims_of(o, slot, given, dims[slot], parts[slot]);
    if (status)
        return status;
    a.heads = (size_t)given;
    a.queries = dims[0][1];
    a.keys = dims[1][1];
    a.width = dims[0][2];
    a.value_width = dims[2][2];
    if (dims[1][0] != a.heads || dims[2][0] != a.heads || dims[1][2] != a.width || dims[2][1] != a.keys || o->in[1]->shape.dims[0] != batch ||
        o->in[2]->shape.dims[0] != batch || (bias && bias->count != a.heads * (2 * a.width + a.value_width)))
        return op_fail(o, SEGRT_MALFORMED, "its query, key, value and bias do not fit each other");
    for (int32_t slot = 0; slot < 3 && bias && !status; slot++) {
        const size_t width = dims[slot][2] * a.heads;
        if (o->in[slot]->shape.rank == 4)
            status = op_fail(o, SEGRT_UNSUPPORTED, "with a bias on separate heads");
        else if (width && !(sums[slot] = with_bias(o, o->in[slot], bias->f + (size_t)slot * a.heads * a.width, width)))
            status = o->error->status;
        if (sums[slot])
            parts[slot]->data = sums[slot];
    }
    a.y_token = a.heads * a.value_width;
    a.y_head = a.value_width;
    a.y_batch = a.queries * a.y_token;
    const float scale = onnx_attribute_float(o->node, "scale", 0);
    a.scale = scale != 0 ? scale : 1.0f / sqrtf((float)(a.width ? a.width : 1));
    if (!status && o->out[0]->count != a.batch * a.y_batch)
        status = op_fail(o, SEGRT_MALFORMED, "its result does not fit");
    if (!status)
        status = run(o, &a);
    for (int32_t slot = 0; slot < 3; slot++)
        op_scratch_free(o, sums[slot]);
    return status;
}
