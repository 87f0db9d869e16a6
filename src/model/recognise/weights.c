/* weights: constants of the graph as the model's float32 numbers; see canon.h. */
#include <string.h>

#include "model/recognise/canon.h"

/* What was converted already: a constant that several windows or nodes share is kept once. */
struct weight_cache {
    const void *data;
    bool transposed;
    const float *floats;
    struct weight_cache *next;
};

bool canon_charge(canon *c, size_t count, size_t size)
{
    const uint64_t bytes = count > UINT32_MAX ? UINT64_MAX : (uint64_t)count * size;
    c->over_budget |= bytes > c->budget;
    c->no_memory |= c->over_budget;
    c->budget -= bytes > c->budget ? 0 : bytes;
    return !c->over_budget;
}

float *canon_new_floats(canon *c, size_t count)
{
    float *floats = canon_charge(c, count, sizeof *floats) ? arena_get(c->keep, count, sizeof *floats) : NULL;
    c->no_memory |= !floats;
    return floats;
}

double *canon_new_doubles(canon *c, size_t count)
{
    double *doubles = canon_charge(c, count, sizeof *doubles) ? arena_get(c->scratch, count, sizeof *doubles) : NULL;
    c->no_memory |= !doubles;
    return doubles;
}

enum { BUCKETS = 4096 };

static struct weight_cache **bucket(canon *c, const onnx_tensor *tensor)
{
    return &c->cache[((uintptr_t)tensor->data >> 2) * 0x9e3779b1u % BUCKETS];
}

segrt_status canon_open_cache(canon *c, segrt_error *error)
{
    c->cache = arena_get(c->scratch, BUCKETS, sizeof *c->cache);
    return c->cache ? SEGRT_OK : fail_memory(error, BUCKETS * sizeof *c->cache, "the graph's weights");
}

static const float *cached(canon *c, const onnx_tensor *tensor, bool transposed)
{
    for (const struct weight_cache *w = *bucket(c, tensor); w; w = w->next)
        if (w->data == tensor->data && w->transposed == transposed)
            return w->floats;
    return NULL;
}

static const float *remember(canon *c, const onnx_tensor *tensor, bool transposed, const float *floats)
{
    origins_constant(c->origins, floats, tensor, c->origin, transposed ? "transposed" : NULL);
    struct weight_cache *w = arena_get(c->scratch, 1, sizeof *w);
    if (!w) {
        c->no_memory = true;
        return NULL;
    }
    *w = (struct weight_cache){tensor->data, transposed, floats, *bucket(c, tensor)};
    *bucket(c, tensor) = w;
    return floats;
}

const float *canon_floats(canon *c, const onnx_tensor *tensor)
{
    const float *known = cached(c, tensor, false);
    if (known)
        return known;
    float *floats = canon_new_floats(c, tensor->count);
    if (!floats)
        return NULL;
    onnx_tensor_floats(tensor, floats);
    return remember(c, tensor, false, floats);
}

const float *canon_transposed(canon *c, const onnx_tensor *tensor, int64_t rows, int64_t columns)
{
    const float *known = cached(c, tensor, true);
    if (known)
        return known;
    float *straight = memory_get_array(tensor->count, sizeof *straight);
    float *turned = canon_new_floats(c, tensor->count);
    if (!straight || !turned) {
        c->no_memory = true;
        memory_free(straight);
        return NULL;
    }
    onnx_tensor_floats(tensor, straight);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t k = 0; k < columns; k++)
            turned[k * rows + r] = straight[r * columns + k];
    memory_free(straight);
    return remember(c, tensor, true, turned);
}

int canon_select(canon *c, int linear, int64_t inner, int64_t size, int64_t begin, int64_t count)
{
    const canon_node from = c->nodes[linear];
    if (from.op == CANON_AFFINE && from.count == 1) { /* numbers alone: selects what they work on */
        canon_node n = from;
        n.inputs[0] = canon_select(c, from.inputs[0], inner, size, begin, count);
        if (n.inputs[0] < 0)
            return -1;
        n.extent = c->nodes[n.inputs[0]].extent;
        return canon_make(c, &n);
    }
    if (from.op != CANON_LINEAR)
        return -1;
    canon_node n = from;
    n.out = (int)(from.out / size * count);
    n.extent.of[AXIS_C] = n.out;
    float *weight = canon_new_floats(c, (size_t)n.out * (size_t)n.in);
    float *bias = from.bias ? canon_new_floats(c, (size_t)n.out) : NULL;
    if (!weight || (from.bias && !bias))
        return -1;
    size_t to = 0;
    for (int64_t row = 0; row < from.out; row++) {
        const int64_t index = row / inner % size;
        if (index < begin || index >= begin + count)
            continue;
        memcpy(weight + to * (size_t)n.in, from.weight + (size_t)row * (size_t)n.in, (size_t)n.in * sizeof *weight);
        if (bias)
            bias[to] = from.bias[row];
        to++;
    }
    n.weight = weight;
    n.bias = bias;
    origins_made(c->origins, weight, from.weight, "a part of it", NULL);
    origins_made(c->origins, bias, from.bias, "a part of it", NULL);
    return canon_intern(c, &n);
}
