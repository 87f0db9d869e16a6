/* packed: the network's weights in the layouts of a kernel table; see state.h.
 *
 * One walk writes everything to a bump allocator: first without memory, to count, then for good.  Products are packed by the
 * pool's workers afterwards, from a list that the second walk leaves. */
#include <string.h>

#include "backend/cpu/state.h"

typedef struct packing {
    const network *net;
    const cpu_kernels *k;
    bump to;
    struct packing_job {
        void *b;
        const float *src;
        int n, k;
    } *jobs; /* NULL while counting */
    int job_count;
} packing;

static float *padded(packing *p, weights w, int count)
{
    if (!w.f32)
        return NULL;
    float *to = bump_floats(&p->to, (size_t)round_up(count, 2 * PANEL));
    if (to)
        memcpy(to, w.f32, (size_t)count * sizeof *to);
    return to;
}

/* [n][k] weights; columns are padded with zeros to a line of operands. */
static packed_linear pack(packing *p, weights weight, weights bias, int n, int k)
{
    if (!weight.f32)
        return (packed_linear){0};
    packed_linear out = {.n = n, .k = k, .b_panel = p->k->panel_bytes(k)};
    void *b = bump_take(&p->to, (size_t)(round_up(n, lanes_of(p->k)) / PANEL + 1) * out.b_panel);
    out.b = b;
    if (p->jobs)
        p->jobs[p->job_count] = (struct packing_job){.b = b, .src = weight.f32, .n = n, .k = k};
    p->job_count++;
    out.bias = padded(p, bias, n);
    return out;
}

static const void *pack_depthwise(packing *p, const network_block *b)
{
    const int lanes = lanes_of(p->k), groups = round_up(b->hidden, lanes) / lanes;
    char *to = bump_take(&p->to, (size_t)groups * (size_t)p->k->depthwise_bytes);
    for (int g = 0; to && g < groups; g++) {
        float group[10 * LINE] = {0};
        for (int c = g * lanes; c < least(b->hidden, (g + 1) * lanes); c++)
            for (int t = 0; t < 10; t++)
                group[t * lanes + c % lanes] = t < 9 ? b->depthwise.f32[(size_t)t * (size_t)b->hidden + (size_t)c] : b->depthwise_bias.f32[c];
        p->k->pack_depthwise(to + (size_t)g * (size_t)p->k->depthwise_bytes, group);
    }
    return to;
}

static void pack_block(packing *p, packed_block *to, const network_block *b, int c, int r)
{
    const weights none = {0};
    *to = (packed_block){.eps1 = (float)b->eps1, .reduce_eps = (float)b->reduce_eps, .eps2 = (float)b->eps2, .hidden = b->hidden,
                         .reduce_plain = b->reduce_plain};
    to->reduce = pack(p, b->reduce, b->reduce_bias, c, c * r * r);
    to->key = pack(p, b->key, none, c, c);
    to->value = pack(p, b->value, none, c, c);
    to->query = pack(p, b->query, b->query_bias, c, c);
    to->project = pack(p, b->project, none, c, c);
    to->key_bias = padded(p, b->key_bias, c);
    to->out_bias = padded(p, b->out_bias, c);
    to->fc1 = pack(p, b->fc1, b->fc1_bias, b->hidden, c);
    to->depthwise = pack_depthwise(p, b);
    to->fc2 = pack(p, b->fc2, b->fc2_bias, c, b->hidden);
}

static void pack_stage(packing *p, packed_stage *to, const network_stage *s)
{
    const network_patch *patch = &s->patch;
    const int taps = patch->kernel * patch->kernel;
    to->patch = pack(p, patch->weight, (weights){0}, patch->out, taps * patch->in);
    to->patch_tap_bias = padded(p, patch->tap_bias, taps * patch->out);
    to->patch_bias = padded(p, patch->bias, patch->out);
    to->patch_gamma = padded(p, patch->gamma, patch->out);
    to->patch_beta = padded(p, patch->beta, patch->out);
    to->patch_eps = (float)patch->eps;
    to->eps = (float)s->eps;
    to->offset = padded(p, s->offset, s->width);
    for (int b = 0; b < s->depth; b++)
        pack_block(p, &to->blocks[b], &s->blocks[b], s->width, s->reduction);
}

static void walk(packing *p, packed_network *to)
{
    const network_head *head = &p->net->head;
    for (int i = 0; i < STAGES; i++)
        pack_stage(p, &to->stages[i], &p->net->stages[i]);
    if (!p->net->classes)
        return;
    for (int i = 0; i < STAGES; i++) {
        const int c = p->net->stages[i].width;
        to->inner[i] = pack(p, head->inner[i], head->inner_bias[i], head->inner_width, c);
        to->level[i] = pack(p, head->level[i], (weights){0}, head->width, head->inner_width ? head->inner_width : c);
    }
    to->head_bias = padded(p, head->bias, head->width);
    to->classifier = pack(p, head->classifier, head->classifier_bias, p->net->classes, head->width);
}

static void pack_piece(void *job, int worker, int piece)
{
    (void)worker;
    const packing *p = job;
    const struct packing_job *j = &p->jobs[piece];
    p->k->pack_rows(j->b, j->src, j->k, j->n, j->k);
}

/* Pixels are far from zero (about 120): what rounding the first weights changes on an average picture goes into their bias, tap by
 * tap, as the taps outside take no part. */
static void correct_first_bias(packed_network *out, const network *net, const cpu_kernels *k, float *tap_bias)
{
    const network_patch *p = &net->stages[0].patch;
    const packed_linear *w = &out->stages[0].patch;
    for (int o = 0; o < p->out; o++)
        for (int i = 0; i < w->k; i++) {
            const float rounded = k->packed_at((const char *)w->b + (size_t)(o / PANEL) * w->b_panel, i, o % PANEL);
            tap_bias[i / p->in * p->out + o] += (float)(((double)p->weight.f32[o * w->k + i] - (double)rounded) * net->mean[i % p->in]);
        }
}

segrt_status packed_open(packed_network *out, const network *net, const cpu_kernels *k, arena *memory, segrt_pool *pool, segrt_error *error)
{
    *out = (packed_network){0};
    for (int i = 0; i < STAGES; i++) {
        out->stages[i].blocks = arena_get(memory, (size_t)net->stages[i].depth + 1, sizeof *out->stages[i].blocks);
        if (!out->stages[i].blocks)
            return fail_memory(error, (size_t)net->stages[i].depth * sizeof *out->stages[i].blocks, "packed blocks");
    }
    packing p = {.net = net, .k = k};
    walk(&p, out);
    const size_t jobs = (size_t)p.job_count;
    out->bytes = p.to.used;
    out->memory = memory_get_cleared(1, out->bytes);
    struct packing_job *list = memory_get_array(jobs, sizeof *list);
    if (!out->memory || !list) {
        memory_free(list);
        return fail_memory(error, out->bytes, "packed weights");
    }
    p = (packing){.net = net, .k = k, .to = {.base = out->memory}, .jobs = list};
    walk(&p, out);
    pool_run(pool, p.job_count, pack_piece, &p);
    correct_first_bias(out, net, k, out->stages[0].patch_tap_bias);
    memory_free(list);
    return SEGRT_OK;
}

void packed_close(packed_network *packed)
{
    memory_free(packed->memory);
    packed->memory = NULL;
}
