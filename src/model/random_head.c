/* random_head: a decode head for a backbone that has none, so that it can be timed and inspected.  Model layer. */
#include <math.h>

#include "model/load.h"

/* Vigna's splitmix64: small, and the same everywhere. */
static uint64_t next_bits(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static const float *noise(arena *memory, uint64_t *state, size_t count, double middle, double reach)
{
    float *values = arena_get(memory, count, sizeof *values);
    for (size_t i = 0; values && i < count; i++)
        values[i] = (float)(middle + reach * ((double)(next_bits(state) >> 11) * 0x1p-52 - 1));
    return values;
}

/* Uniform with variance 1 / in, so that activations keep their size. */
static bool random_linear(arena *memory, uint64_t *state, int out, int in, bool has_bias, model_linear *l)
{
    *l = (model_linear){.out = out, .in = in};
    l->weight = noise(memory, state, (size_t)out * (size_t)in, 0, sqrt(3.0 / in));
    if (has_bias)
        l->bias = noise(memory, state, (size_t)out, 0, 0.1);
    return l->weight && (l->bias || !has_bias);
}

segrt_status model_random_head(segrt_model *m, int classes, segrt_error *error)
{
    if (classes < 1 || classes > UINT16_MAX)
        return fail_with(error, SEGRT_ARGUMENT, "a random head of %d classes; 1 to %d are possible", classes, UINT16_MAX);
    int blocks = 0;
    for (int i = 0; i < STAGES; i++)
        blocks += m->stages[i].depth;
    const int width = blocks > 8 ? 768 : 256; /* as published: b0 and b1 have 8 blocks and 256 channels, the others 768 */
    uint64_t state = 1;
    model_head *h = &m->head;
    *h = (model_head){.kind = HEAD_MLP};
    bool whole = true;
    for (int i = 0; i < STAGES; i++) {
        whole = whole && random_linear(&m->memory, &state, width, m->stages[i].width, true, &h->level[i]);
        h->fuse_order[i] = STAGES - 1 - i;
    }
    whole = whole && random_linear(&m->memory, &state, width, STAGES * width, false, &h->fuse);
    h->fuse_norm = (model_batch_norm){.eps = 1e-5, .width = width};
    const size_t count = (size_t)width;
    h->fuse_norm.gamma = whole ? noise(&m->memory, &state, count, 1, 0.2) : NULL;
    h->fuse_norm.beta = whole ? noise(&m->memory, &state, count, 0, 0.2) : NULL;
    h->fuse_norm.mean = whole ? noise(&m->memory, &state, count, 0, 0.2) : NULL;
    h->fuse_norm.variance = whole ? noise(&m->memory, &state, count, 1, 0.5) : NULL;
    whole = whole && random_linear(&m->memory, &state, classes, width, true, &h->classifier);
    if (!whole || !h->fuse_norm.gamma || !h->fuse_norm.beta || !h->fuse_norm.mean || !h->fuse_norm.variance)
        return fail_memory(error, 4 * count * count * sizeof(float), "a random head");
    m->decoder_width = width;
    m->class_count = classes;
    m->random_head = true;
    return SEGRT_OK;
}
