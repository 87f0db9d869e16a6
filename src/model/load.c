/* load: see load.h. */
#include "model/load.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/text_index.h"
#include "model/names.h"

enum {
    WIDTH_CAP = 1 << 14, /* channels of anything; the widest published layer has 3072 */
    DEPTH_CAP = 1 << 9,  /* blocks of a stage; the deepest published has 40 */
    KERNEL_CAP = 64,
    SOURCES_A_BLOCK = 26,
};

typedef struct loader {
    segrt_model *model;
    const checkpoint *file;
    const naming *naming;
    const char *wrapper;
    text_index names;
    bool *used;           /* [file->count] */
    const float **floats; /* [file->count]: converted once, though two layers read it */
    uint64_t budget;      /* bytes that conversions may still take */
    size_t source_room;
    segrt_error *error;
} loader;

static const tensor *find(const loader *l, layer_role role, tensor_part part, int stage, int block)
{
    char text[FULL_NAME];
    const char *name = naming_text(l->naming, l->wrapper, role, part, stage, block, text);
    const ptrdiff_t at = name ? text_index_find(&l->names, name) : TEXT_INDEX_NONE;
    return at < 0 ? NULL : &l->file->tensors[at];
}

static segrt_status require(loader *l, layer_role role, tensor_part part, int stage, int block, const tensor **out)
{
    *out = find(l, role, part, stage, block);
    if (*out)
        return SEGRT_OK;
    char text[FULL_NAME];
    return fail_with(l->error, SEGRT_NOT_SEGFORMER, "tensor '%s' is missing",
                     naming_text(l->naming, l->wrapper, role, part, stage, block, text));
}

/* shape: -1 stands for any. */
static segrt_status misshapen(loader *l, const tensor *t, int rank, const int64_t *shape)
{
    char got[TENSOR_SHAPE_TEXT], wanted[TENSOR_SHAPE_TEXT];
    int at = 0;
    for (int i = 0; i < rank; i++) {
        at += snprintf(wanted + at, sizeof wanted - (size_t)at, "%s", i ? ", " : "[");
        at += shape[i] < 0 ? snprintf(wanted + at, sizeof wanted - (size_t)at, "any")
                           : snprintf(wanted + at, sizeof wanted - (size_t)at, "%lld", (long long)shape[i]);
    }
    snprintf(wanted + at, sizeof wanted - (size_t)at, "]");
    return fail_with(l->error, SEGRT_NOT_SEGFORMER, "tensor '%s' has shape %s; %s was expected", t->name, tensor_shape_text(t, got),
                     wanted);
}

static segrt_status remember_source(loader *l, const tensor *t, layer_role role, tensor_part part, int stage, int block)
{
    segrt_model *m = l->model;
    if (m->source_count == l->source_room) {
        const size_t room = l->source_room ? 2 * l->source_room : 256;
        model_source *grown = arena_get(&m->memory, room, sizeof *grown);
        if (!grown)
            return fail_memory(l->error, room * sizeof *grown, "a list of sources");
        if (m->source_count)
            memcpy(grown, m->sources, m->source_count * sizeof *grown);
        m->sources = grown;
        l->source_room = room;
    }
    char text[FULL_NAME];
    role_text(role, part, stage, block, text);
    model_source *s = &m->sources[m->source_count];
    *s = (model_source){.role = arena_copy_text(&m->memory, text, strlen(text)), .name = t->name, .type = t->type_name, .rank = t->rank};
    if (!s->role)
        return fail_memory(l->error, strlen(text) + 1, "a tensor's role");
    memcpy(s->shape, t->shape, sizeof s->shape); /* fetched tensors have at most four dimensions */
    m->source_count++;
    return SEGRT_OK;
}

/* The tensor of a role as float32, its shape checked: `shape` [rank], -1 where any side is right.  `view` is the tensor as it is to be
 * read, which is the file's own or that one transposed. */
static segrt_status fetch(loader *l, const tensor *own, const tensor *view, layer_role role, tensor_part part, int stage, int block,
                          int rank, const int64_t *shape, const float **out)
{
    bool fits = view->rank == rank;
    for (int i = 0; fits && i < rank; i++)
        fits = shape[i] < 0 ? view->shape[i] > 0 : view->shape[i] == shape[i];
    if (!fits)
        return misshapen(l, view, rank, shape);
    if (own->type == TENSOR_OTHER)
        return fail_with(l->error, SEGRT_UNSUPPORTED, "tensor '%s' has type %s; weights are read as F32, F16, BF16 or F64", own->name,
                         own->type_name);
    const size_t at = (size_t)(own - l->file->tensors);
    l->used[at] = true;
    if (!l->floats[at]) {
        const uint64_t cost = tensor_is_mapped(view) ? 0 : (uint64_t)tensor_elements(view) * sizeof(float);
        if (cost > l->budget)
            return fail_with(l->error, SEGRT_UNSUPPORTED, "tensor '%s' is far larger than what the file holds for it", own->name);
        l->budget -= cost;
        l->floats[at] = tensor_floats(view, &l->model->memory);
        if (!l->floats[at])
            return fail_memory(l->error, (size_t)cost, "a tensor");
    }
    *out = l->floats[at];
    return remember_source(l, own, role, part, stage, block);
}

static segrt_status vector(loader *l, layer_role role, tensor_part part, int stage, int block, int width, const float **out)
{
    const tensor *t;
    const segrt_status status = require(l, role, part, stage, block, &t);
    return status ? status : fetch(l, t, t, role, part, stage, block, 1, (const int64_t[]){width}, out);
}

static segrt_status layer_norm(loader *l, layer_role role, int stage, int block, int width, double eps, model_norm *out)
{
    *out = (model_norm){.eps = eps, .width = width};
    const segrt_status status = vector(l, role, PART_WEIGHT, stage, block, width, &out->gamma);
    return status ? status : vector(l, role, PART_BIAS, stage, block, width, &out->beta);
}

static segrt_status batch_norm(loader *l, layer_role role, int stage, int width, model_batch_norm *out)
{
    *out = (model_batch_norm){.eps = 1e-5, .width = width};
    const float **const parts[TENSOR_PARTS] = {&out->gamma, &out->beta, &out->mean, &out->variance};
    for (int part = 0; part < TENSOR_PARTS; part++) {
        const segrt_status status = vector(l, role, (tensor_part)part, stage, 0, width, parts[part]);
        if (status)
            return status;
    }
    return SEGRT_OK;
}

/* A linear map [out][in], out -1: whatever is there.  It may stand as a 1x1 convolution, as part `part_index` of `parts` stacked ones, or
 * (NumPy) as [in][out]. */
static segrt_status linear_part(loader *l, layer_role role, int stage, int block, int parts, int part_index, int out_width, int in_width,
                                bool has_bias, model_linear *out)
{
    const tensor *own;
    segrt_status status = require(l, role, PART_WEIGHT, stage, block, &own);
    if (status)
        return status;
    tensor view = *own;
    if (l->naming->numpy && view.rank == 2) {
        view.shape[0] = own->shape[1], view.shape[1] = own->shape[0];
        view.stride[0] = own->stride[1], view.stride[1] = own->stride[0];
    }
    const int rank = view.rank == 4 ? 4 : 2;
    const int64_t shape[] = {out_width < 0 ? -1 : (int64_t)parts * out_width, in_width, 1, 1};
    const float *weight, *bias = NULL;
    status = fetch(l, own, &view, role, PART_WEIGHT, stage, block, rank, shape, &weight);
    if (status)
        return status;
    if (view.shape[0] > WIDTH_CAP)
        return fail_with(l->error, SEGRT_UNSUPPORTED, "tensor '%s' has %lld outputs; at most %d are read", own->name,
                         (long long)view.shape[0], (int)WIDTH_CAP);
    const int width = (int)view.shape[0] / parts;
    if (has_bias)
        status = vector(l, role, PART_BIAS, stage, block, parts * width, &bias);
    if (status)
        return status;
    *out = (model_linear){.weight = weight + (size_t)part_index * (size_t)width * (size_t)in_width,
                          .bias = bias ? bias + (size_t)part_index * (size_t)width : NULL,
                          .out = width,
                          .in = in_width};
    return SEGRT_OK;
}

static segrt_status linear(loader *l, layer_role role, int stage, int block, int out_width, int in_width, bool has_bias, model_linear *out)
{
    return linear_part(l, role, stage, block, 1, 0, out_width, in_width, has_bias, out);
}

/* A square convolution [out][in][k][k] with bias; out_width -1, kernel 0: whatever is there. */
static segrt_status convolution(loader *l, layer_role role, int stage, int block, int out_width, int in_width, int kernel, model_conv *out)
{
    const tensor *t;
    segrt_status status = require(l, role, PART_WEIGHT, stage, block, &t);
    if (status)
        return status;
    const int64_t side = kernel ? kernel : t->rank == 4 ? t->shape[2] : -1;
    const float *weight, *bias;
    status = fetch(l, t, t, role, PART_WEIGHT, stage, block, 4, (const int64_t[]){out_width, in_width, side, side}, &weight);
    if (status)
        return status;
    if (t->shape[0] > WIDTH_CAP || side > KERNEL_CAP)
        return fail_with(l->error, SEGRT_UNSUPPORTED, "tensor '%s' is larger than any SegFormer's: %lld outputs, kernel %lld", t->name,
                         (long long)t->shape[0], (long long)side);
    const int width = (int)t->shape[0];
    status = vector(l, role, PART_BIAS, stage, block, width, &bias);
    *out = (model_conv){.weight = weight, .bias = bias, .out = width, .in = in_width, .kernel = (int)side, .stride = 1};
    return status;
}

static segrt_status load_block(loader *l, int stage, int index, model_block *b)
{
    model_stage *s = &l->model->stages[stage];
    const naming *n = l->naming;
    const int width = s->width, packed = n->qkv_parts;
    segrt_status status = layer_norm(l, ROLE_NORM1, stage, index, width, n->block_eps, &b->norm1);
    if (!status)
        status = linear_part(l, ROLE_QUERY, stage, index, packed == 3 ? 3 : 1, 0, width, width, true, &b->query);
    if (!status)
        status = linear_part(l, ROLE_KEY, stage, index, packed, packed == 3, width, width, true, &b->key);
    if (!status)
        status = linear_part(l, ROLE_VALUE, stage, index, packed, packed - 1, width, width, true, &b->value);
    if (!status && find(l, ROLE_REDUCE, PART_WEIGHT, stage, index)) {
        status = convolution(l, ROLE_REDUCE, stage, index, width, width, index ? s->reduction : 0, &b->reduce);
        b->reduce.stride = b->reduce.kernel;
        if (!status)
            status = layer_norm(l, ROLE_REDUCE_NORM, stage, index, width, n->embed_eps, &b->reduce_norm);
    } else if (!status && index && s->reduction > 1) {
        const tensor *missing;
        status = require(l, ROLE_REDUCE, PART_WEIGHT, stage, index, &missing);
    }
    if (!status)
        status = linear(l, ROLE_PROJECT, stage, index, width, width, true, &b->project);
    if (!status)
        status = layer_norm(l, ROLE_NORM2, stage, index, width, n->block_eps, &b->norm2);
    if (!status)
        status = linear(l, ROLE_FC1, stage, index, -1, width, true, &b->fc1);
    if (!status)
        status = convolution(l, ROLE_DEPTHWISE, stage, index, b->fc1.out, 1, 3, &b->depthwise);
    b->depthwise.in = b->depthwise.out;
    b->depthwise.pad = 1;
    if (!status)
        status = linear(l, ROLE_FC2, stage, index, width, b->fc1.out, true, &b->fc2);
    if (!index)
        s->reduction = b->reduce.kernel ? b->reduce.kernel : 1;
    return status;
}

/* Blocks are counted by whatever is left of them, so that what a file lacks is missed by its name. */
static int count_blocks(const loader *l, int stage)
{
    static const layer_role telling[] = {ROLE_NORM1, ROLE_FC1, ROLE_PROJECT, ROLE_NORM2};
    int depth = 0;
    for (bool found = true; found && depth <= DEPTH_CAP;) {
        found = false;
        for (size_t i = 0; i < sizeof telling / sizeof *telling; i++)
            found = found || find(l, telling[i], PART_WEIGHT, stage, depth);
        depth += found;
    }
    return depth;
}

static segrt_status load_stage(loader *l, int stage, const model_config *config, int heads)
{
    model_stage *s = &l->model->stages[stage];
    const int in_width = stage ? l->model->stages[stage - 1].width : 3;
    segrt_status status = convolution(l, ROLE_PATCH, stage, 0, -1, in_width, 0, &s->patch);
    if (status)
        return status;
    s->width = s->patch.out;
    s->patch.pad = s->patch.kernel / 2;
    s->patch.stride = config->stride[stage] ? config->stride[stage] : stage ? 2 : 4;
    s->depth = count_blocks(l, stage);
    s->heads = heads;
    if (s->depth > DEPTH_CAP)
        return fail_with(l->error, SEGRT_UNSUPPORTED, "stage %d has more than %d blocks", stage, (int)DEPTH_CAP);
    s->blocks = arena_get(&l->model->memory, (size_t)s->depth, sizeof *s->blocks);
    if (!s->blocks)
        return fail_memory(l->error, (size_t)s->depth * sizeof *s->blocks, "the blocks of a stage");
    status = layer_norm(l, ROLE_PATCH_NORM, stage, 0, s->width, l->naming->embed_eps, &s->patch_norm);
    for (int j = 0; !status && j < s->depth; j++) {
        status = load_block(l, stage, j, &s->blocks[j]);
        s->blocks[j].scale = 1 / sqrt((double)s->width / s->heads);
    }
    return status ? status : layer_norm(l, ROLE_STAGE_NORM, stage, 0, s->width, l->naming->block_eps, &s->norm);
}

static bool has_head(const loader *l)
{
    bool found = find(l, ROLE_FUSE, PART_WEIGHT, 0, 0) != NULL;
    for (int stage = 0; stage < STAGES; stage++)
        found = found || find(l, ROLE_LEVEL, PART_WEIGHT, stage, 0);
    return found;
}

static segrt_status load_head(loader *l)
{
    segrt_model *m = l->model;
    model_head *head = &m->head;
    const bool inner = l->naming->level_norm;
    segrt_status status = SEGRT_OK;
    head->kind = inner ? HEAD_CONV : HEAD_MLP;
    for (int i = 0; !status && i < STAGES; i++) {
        status = linear(l, ROLE_LEVEL, i, 0, i ? m->decoder_width : -1, m->stages[i].width, !inner, &head->level[i]);
        m->decoder_width = head->level[0].out;
        if (!status && inner)
            status = batch_norm(l, ROLE_LEVEL_NORM, i, m->decoder_width, &head->level_norm[i]);
        head->fuse_order[i] = l->naming->fuse_deepest_first ? STAGES - 1 - i : i;
    }
    if (!status)
        status = linear(l, ROLE_FUSE, 0, 0, m->decoder_width, STAGES * m->decoder_width, false, &head->fuse);
    if (!status)
        status = batch_norm(l, ROLE_FUSE_NORM, 0, m->decoder_width, &head->fuse_norm);
    if (!status)
        status = linear(l, ROLE_CLASSIFIER, 0, 0, -1, m->decoder_width, true, &head->classifier);
    m->class_count = head->classifier.out;
    return status;
}

static segrt_status refuse_extra_tensors(loader *l)
{
    for (size_t i = 0; i < l->file->count; i++) {
        const tensor *t = &l->file->tensors[i];
        char shape[TENSOR_SHAPE_TEXT];
        if (!l->used[i] && !naming_ignores(t->name, l->wrapper))
            return fail_with(l->error, SEGRT_NOT_SEGFORMER,
                             "tensor '%s' %s is one too many: this SegFormer (%s names; %d, %d, %d, %d blocks) has no place for it",
                             t->name, tensor_shape_text(t, shape), l->naming->family, l->model->stages[0].depth, l->model->stages[1].depth,
                             l->model->stages[2].depth, l->model->stages[3].depth);
    }
    return SEGRT_OK;
}

/* What config.json says must be what the tensors are: else one of the two belongs to another model. */
static segrt_status check_config(const segrt_model *m, const model_config *c, segrt_error *error)
{
    for (int i = 0; i < STAGES; i++) {
        const model_stage *s = &m->stages[i];
        const struct {
            const char *field;
            int said, is;
        } rows[] = {
            {"hidden_sizes", c->width[i], s->width},
            {"depths", c->depth[i], s->depth},
            {"sr_ratios", c->reduction[i], s->reduction},
            {"patch_sizes", c->kernel[i], s->patch.kernel},
        };
        for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
            if (rows[r].said && rows[r].said != rows[r].is)
                return fail_with(error, SEGRT_NOT_SEGFORMER, "config.json says %d for %s[%d], the tensors' shapes say %d", rows[r].said,
                                 rows[r].field, i, rows[r].is);
    }
    if (m->head.kind != HEAD_NONE && c->decoder_width && c->decoder_width != m->decoder_width)
        return fail_with(error, SEGRT_NOT_SEGFORMER, "config.json says %d for decoder_hidden_size, the tensors' shapes say %d",
                         c->decoder_width, m->decoder_width);
    if (m->head.kind != HEAD_NONE && c->classes && c->classes != m->class_count)
        return fail_with(error, SEGRT_NOT_SEGFORMER, "config.json says %d classes, the tensors' shapes say %d", c->classes, m->class_count);
    return SEGRT_OK;
}

static segrt_status index_names(loader *l)
{
    const checkpoint *file = l->file;
    text_entry *entries = arena_get(&l->model->memory, file->count, sizeof *entries);
    l->used = arena_get(&l->model->memory, file->count, sizeof *l->used);
    l->floats = arena_get(&l->model->memory, file->count, sizeof *l->floats);
    if (!entries || !l->used || !l->floats)
        return fail_memory(l->error, file->count * sizeof *entries, "an index of tensors");
    for (size_t i = 0; i < file->count; i++)
        entries[i] = (text_entry){.text = file->tensors[i].name, .position = i};
    l->names = text_index_of(entries, file->count);
    const char *twice = text_index_duplicate(&l->names);
    return twice ? fail_with(l->error, SEGRT_MALFORMED, "tensor '%s' stands there twice", twice) : SEGRT_OK;
}

segrt_status model_load(segrt_model *model, const checkpoint *file, const model_config *config, const int32_t heads[4], segrt_error *error)
{
    static const int published_heads[STAGES] = {1, 2, 5, 8};
    loader l = {.model = model, .file = file, .error = error};
    uint64_t file_bytes = 0;
    for (size_t i = 0; i < model->file_count; i++)
        file_bytes += model->files[i].size;
    l.budget = 4 * file_bytes + 65536; /* 16 bits to 32 doubles; more than four times can only be the same bytes again and again */
    segrt_status status = index_names(&l);
    if (status)
        return status;
    l.naming = naming_of(file, &l.wrapper);
    if (!l.naming)
        return fail_with(error, SEGRT_NOT_SEGFORMER,
                         "no SegFormer's patch embedding among the %zu tensors (first: '%s'): Hugging Face, NVlabs, mmsegmentation, "
                         "segmentation_models_pytorch and PaddleSeg names are known",
                         file->count, file->count ? file->tensors[0].name : "");
    model->family = l.naming->family;
    for (int i = 0; !status && i < STAGES; i++)
        status = load_stage(&l, i, config, config->heads[i] ? config->heads[i] : heads[i] > 0 ? heads[i] : published_heads[i]);
    if (!status && has_head(&l))
        status = load_head(&l);
    if (!status)
        status = refuse_extra_tensors(&l);
    return status ? status : check_config(model, config, error);
}
