/* packed: see packed.h.  Packing walks the network twice: once to count, once to write into host memory at the same
 * offsets; the device then converts the matrices to the storage type. */
#include "backend/cuda/packed.h"

#include <math.h>

#include "backend/cuda/convert.h"
#include "backend/cuda/device.h"
#include "backend/cuda/ranges.h"

typedef struct packer {
    packed *to;
    bool fused;
    size_t matrices, floats;         /* elements taken so far */
    float *matrix_host, *float_host; /* NULL while counting */
    char *matrix_device, *float_device;
    float largest;
    size_t ordered; /* matrices from here on are multiplied with what products have made, in the order of its columns (split) */
} packer;

static const double LARGEST_PIXEL = 0x1p25; /* of the first patch: 0..255, or what a caller's normalised input amounts to */

static const size_t TAKE = 64; /* elements that parts are aligned to */

/* A cleared T [n][k rounded up to 128 bytes]; returns where to write it, or NULL while counting. */
static float *take_matrix(packer *p, matrix *m, int n, int k)
{
    const int ld = padded(k, (int)(128 / type_bytes(p->to->type)));
    const size_t at = p->matrices;
    p->matrices += ((size_t)n * (size_t)ld + TAKE - 1) / TAKE * TAKE;
    *m = (matrix){.n = n, .k = k, .ld = ld};
    if (!p->matrix_host)
        return NULL;
    m->at = p->matrix_device + at * type_bytes(p->to->type);
    return p->matrix_host + at;
}

/* count floats; the first w.count are w's. */
static float *take_floats(packer *p, const float **place_of, size_t count, weights w)
{
    const size_t at = p->floats;
    p->floats += (count + TAKE - 1) / TAKE * TAKE;
    *place_of = NULL;
    if (!p->float_host)
        return NULL;
    *place_of = (const float *)(void *)p->float_device + at;
    for (size_t i = 0; i < w.count; i++)
        p->float_host[at + i] = (float)weight_at(w, i);
    return p->float_host + at;
}

/* Groups of `size` numbers that stand `pitch` apart. */
typedef struct groups {
    int size, pitch;
    bool positions; /* in the order that a product's result has as the next one's left operand (floats) */
} groups;

static int place(groups g, int i)
{
    const int in = i % g.size;
    return i / g.size * g.pitch + (g.positions ? (in & ~7) | ((in & 1) << 2) | ((in & 7) >> 1) : in);
}

/* w [rows][columns] into a taken matrix from row `first` on. */
static void put(packer *p, float *to, const matrix *m, int first, weights w, int rows, int columns, groups by_row, groups by_column)
{
    for (int r = 0; to && r < rows; r++) {
        float *row = to + (size_t)(first + place(by_row, r)) * (size_t)m->ld;
        for (int c = 0; c < columns; c++) {
            const float v = (float)weight_at(w, (size_t)r * (size_t)columns + (size_t)c);
            row[place(by_column, c)] = v;
            p->largest = fmaxf(p->largest, fabsf(v));
        }
    }
}

/* A matrix is complete: inputs of it are at most `range` in size. */
static void scale(packer *p, float *host, matrix *m, double range)
{
    const size_t count = (size_t)m->n * (size_t)m->ld;
    float most = 0;
    if (!host || !p->to->split)
        return;
    for (size_t i = 0; i < count; i++)
        most = fmaxf(most, fabsf(host[i]));
    const float by = range_scale(most);
    for (size_t i = 0; i < count; i++)
        host[i] *= by;
    m->in_scale = range_scale(range);
    m->out_scale = 1 / (by * m->in_scale);
}

static groups plain(int count)
{
    return (groups){.size = count, .pitch = count};
}

static void pack_block(packer *p, const network_stage *stage, const network_block *b, const packed_stage *at, packed_block *to)
{
    const int c = stage->width, d = c / stage->heads, r = stage->reduction, width = at->width, inner = at->inner;
    const bool one = stage->heads == 1;
    const groups rows = plain(c), heads = {.size = d, .pitch = one ? d : at->head};
    const groups keys = {.size = d, .pitch = heads.pitch, .positions = !one && p->fused && type_bytes(p->to->type) == 4 && !p->to->split};
    const block_ranges range = p->to->split && p->matrix_host ? ranges_of_block(stage, b) : (block_ranges){0};
    float *host;
    to->query_scale = range_scale(range.query);
    to->key_scale = range_scale(range.key);
    to->value_scale = range_scale(range.value);
    to->hidden = padded(b->hidden, WIDTH_PAD);
    if (r > 1) {
        host = take_matrix(p, &to->reduce, width, r * r * width);
        put(p, host, &to->reduce, 0, b->reduce, c, r * r * c, rows, (groups){.size = c, .pitch = width});
        scale(p, host, &to->reduce, range.normed);
        take_floats(p, &to->reduce_bias, (size_t)width, b->reduce_bias);
    }
    host = take_matrix(p, &to->keys_values, 2 * inner + (one ? 2 : 0), width);
    put(p, host, &to->keys_values, 0, b->key, c, c, keys, rows);
    put(p, host, &to->keys_values, inner, b->value, c, c, heads, rows);
    if (one) {
        put(p, host, &to->keys_values, 2 * inner, b->key_bias, 1, c, plain(1), rows);
        scale(p, host, &to->keys_values, range.reduced);
    } else {
        scale(p, host, &to->keys_values, range.reduced);
        host = take_matrix(p, &to->query, inner, width);
        put(p, host, &to->query, 0, b->query, c, c, heads, rows);
        scale(p, host, &to->query, range.normed);
        host = take_floats(p, &to->query_bias, (size_t)inner, (weights){0});
        for (int i = 0; host && i < c; i++)
            host[place(heads, i)] = (float)weight_at(b->query_bias, (size_t)i);
        host = take_matrix(p, &to->project, width, inner);
        put(p, host, &to->project, 0, b->project, c, c, rows, heads);
        scale(p, host, &to->project, range.value);
    }
    take_floats(p, &to->out_bias, (size_t)width, b->out_bias);
    host = take_matrix(p, &to->fc1, to->hidden, width);
    put(p, host, &to->fc1, 0, b->fc1, b->hidden, c, plain(b->hidden), rows);
    scale(p, host, &to->fc1, range.normed);
    take_floats(p, &to->fc1_bias, (size_t)to->hidden, b->fc1_bias);
    host = take_floats(p, &to->depthwise, 9 * (size_t)to->hidden, (weights){0});
    for (int i = 0; host && i < 9 * b->hidden; i++) { /* in floats; kernels that convolve by products round them */
        const float v = (float)weight_at(b->depthwise, (size_t)i);
        host[(size_t)(i / b->hidden) * (size_t)to->hidden + (size_t)(i % b->hidden)] = v;
        p->largest = fmaxf(p->largest, fabsf(v));
    }
    take_floats(p, &to->depthwise_bias, (size_t)to->hidden, b->depthwise_bias);
    host = take_matrix(p, &to->fc2, width, to->hidden);
    put(p, host, &to->fc2, 0, b->fc2, c, b->hidden, rows, plain(b->hidden));
    scale(p, host, &to->fc2, range.hidden);
    take_floats(p, &to->fc2_bias, (size_t)width, b->fc2_bias);
}

static void pack_stage(packer *p, const network *net, const head_ranges *range, int i)
{
    const network_stage *stage = &net->stages[i];
    const network_patch *patch = &stage->patch;
    packed_stage *to = &p->to->stages[i];
    const int taps = patch->kernel * patch->kernel, in = i ? p->to->stages[i - 1].width : 3;
    /* the picture is gathered by rows of the kernel: gather.cu */
    const groups columns =
        i ? (groups){.size = patch->in, .pitch = in} : (groups){.size = patch->kernel * 3, .pitch = padded(patch->kernel * 3, 8)};
    float *host = take_matrix(p, &to->patch, to->width, i ? taps * in : patch->kernel * columns.pitch);
    put(p, host, &to->patch, 0, patch->weight, patch->out, taps * patch->in, plain(patch->out), columns);
    scale(p, host, &to->patch, i ? range->stage[i - 1] : LARGEST_PIXEL);
    take_floats(p, &to->gamma, (size_t)to->width, patch->gamma);
    take_floats(p, &to->beta, (size_t)to->width, patch->beta);
    take_floats(p, &to->offset, (size_t)to->width, stage->offset);
    for (int b = 0; b < stage->depth; b++)
        pack_block(p, stage, &stage->blocks[b], to, &to->blocks[b]);
}

static void pack_head(packer *p, const network *net, const head_ranges *range)
{
    const network_head *head = &net->head;
    packed *to = p->to;
    if (!net->classes)
        return;
    for (int i = 0; i < STAGES; i++) {
        const int c = net->stages[i].width, width = to->stages[i].width;
        if (head->inner_width) {
            float *host = take_matrix(p, &to->inner[i], to->inner_width, width);
            put(p, host, &to->inner[i], 0, head->inner[i], head->inner_width, c, plain(head->inner_width), plain(c));
            scale(p, host, &to->inner[i], range->stage[i]);
            take_floats(p, &to->inner_bias[i], (size_t)to->inner_width, head->inner_bias[i]);
        }
        const int from = head->inner_width ? head->inner_width : c;
        float *host = take_matrix(p, &to->level[i], to->head_width, head->inner_width ? to->inner_width : width);
        put(p, host, &to->level[i], 0, head->level[i], head->width, from, plain(head->width), plain(from));
        scale(p, host, &to->level[i], head->inner_width ? range->inner[i] : range->stage[i]);
    }
    to->level_scale = range_scale(range->level);
    take_floats(p, &to->bias, (size_t)to->head_width, head->bias);
    p->ordered = p->matrices;
    float *host = take_matrix(p, &to->classifier, to->class_ld, to->head_width);
    put(p, host, &to->classifier, 0, head->classifier, net->classes, head->width, plain(net->classes), plain(head->width));
    scale(p, host, &to->classifier, range->merged);
    take_floats(p, &to->classifier_bias, (size_t)to->class_ld, head->classifier_bias);
}

static void pack_all(packer *p, const network *net)
{
    const head_ranges range = p->to->split && p->matrix_host ? ranges_of_head(net) : (head_ranges){0};
    p->matrices = p->floats = 0;
    for (int i = 0; i < STAGES; i++)
        pack_stage(p, net, &range, i);
    pack_head(p, net, &range);
    if (!net->classes)
        p->ordered = p->matrices;
}

static segrt_status choose_widths(packed *out, const network *net, segrt_error *error)
{
    for (int i = 0; i < STAGES; i++) {
        const network_stage *stage = &net->stages[i];
        packed_stage *to = &out->stages[i];
        to->width = padded(stage->width, WIDTH_PAD);
        const int head = stage->heads == 1 ? to->width : stage->width / stage->heads;
        if (to->width > LARGEST_WIDTH || head > LARGEST_HEAD)
            return fail_with(
                error, SEGRT_UNSUPPORTED,
                "stage %d has width %d and heads of %d: the CUDA backend takes widths up to %d and heads up to %d; use the cpu", i + 1,
                stage->width, head, LARGEST_WIDTH, LARGEST_HEAD);
        if (stage->patch.kernel > LARGEST_KERNEL)
            return fail_with(error, SEGRT_UNSUPPORTED,
                             "the patch convolution of stage %d has kernel %d: the CUDA backend takes up to %d; use the cpu", i + 1,
                             stage->patch.kernel, LARGEST_KERNEL);
        to->head = head <= 32 ? 32 : head <= 64 ? 64 : 128;
        to->inner = stage->heads == 1 ? to->width : stage->heads * to->head;
        to->blocks = arena_get(&out->memory, (size_t)stage->depth, sizeof *to->blocks);
        if (!to->blocks)
            return fail_memory(error, (size_t)stage->depth * sizeof *to->blocks, "packed blocks");
    }
    out->head_width = padded(net->head.width, WIDTH_PAD);
    out->inner_width = padded(net->head.inner_width, WIDTH_PAD);
    out->class_ld = padded(net->classes, 4);
    return SEGRT_OK;
}

segrt_status packed_open(packed *out, const network *net, numeric type, bool fused, bool halves, cudaStream_t stream, segrt_error *error)
{
    *out = (packed){.type = type};
    packer p = {.to = out, .fused = fused};
    void *staged = NULL;
    float *host = NULL;
    segrt_status status = choose_widths(out, net, error);
    if (status)
        goto fail;
    out->split = halves && type_bytes(type) == 4;
    for (int i = 0; i < STAGES; i++)
        out->split = out->split && out->stages[i].head < LARGEST_HEAD; /* attention has no such form for larger heads */
    pack_all(&p, net);
    const size_t matrices = p.matrices, floats = p.floats;
    host = memory_get_cleared(matrices + floats, sizeof *host);
    if (!host) {
        status = fail_memory(error, (matrices + floats) * sizeof *host, "packing weights");
        goto fail;
    }
    out->bytes = floats * sizeof(float) + matrices * type_bytes(type);
    status = device_get(&out->device, out->bytes, "weights", error);
    if (!status)
        status = device_get(&staged, matrices * sizeof(float), "converting weights", error);
    if (status)
        goto fail;
    p.float_device = out->device;
    p.matrix_device = (char *)out->device + floats * sizeof(float);
    p.float_host = host;
    p.matrix_host = host + floats;
    pack_all(&p, net);
    if (type == NUMERIC_F16 && !(p.largest <= 65504)) {
        status =
            fail_with(error, SEGRT_UNSUPPORTED, "a folded weight of %g is outside the range of fp16 (65504); use bf16", (double)p.largest);
        goto fail;
    }
    status =
        device_check(cudaMemcpyAsync(out->device, host, floats * sizeof(float), cudaMemcpyHostToDevice, stream), "copying weights", error);
    if (!status)
        status = device_check(cudaMemcpyAsync(staged, host + floats, matrices * sizeof(float), cudaMemcpyHostToDevice, stream),
                              "copying weights", error);
    if (!status)
        status = device_check(out->split ? convert_split_launch(staged, p.matrix_device, p.ordered, false, stream)
                                         : convert_launch(staged, p.matrix_device, matrices, type, stream),
                              "converting weights", error);
    if (!status && out->split)
        status = device_check(convert_split_launch((const float *)staged + p.ordered, p.matrix_device + p.ordered * sizeof(float),
                                                   matrices - p.ordered, true, stream),
                              "converting weights", error);
    if (!status)
        status = device_check(cudaStreamSynchronize(stream), "converting weights", error);
fail:
    if (staged)
        cudaFree(staged);
    memory_free(host);
    if (status)
        packed_close(out);
    return status;
}

void packed_close(packed *p)
{
    if (p->device)
        cudaFree(p->device);
    arena_free(&p->memory);
    *p = (packed){0};
}
