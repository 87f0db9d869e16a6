/* names: see names.h.
 *
 * In a pattern {i} is the stage from 0, {I} from 1, {r} from the deepest (3 - i), {j} the block.  The part follows after a dot;
 * where the pattern ends in an underscore, without one. */
#include "model/names.h"

#include <stdio.h>
#include <string.h>

static const char *const hub_backbone[BACKBONE_ROLES] = {
    [ROLE_PATCH] = "patch_embeddings.{i}.proj",
    [ROLE_PATCH_NORM] = "patch_embeddings.{i}.layer_norm",
    [ROLE_NORM1] = "block.{i}.{j}.layer_norm_1",
    [ROLE_QUERY] = "block.{i}.{j}.attention.self.query",
    [ROLE_KEY] = "block.{i}.{j}.attention.self.key",
    [ROLE_VALUE] = "block.{i}.{j}.attention.self.value",
    [ROLE_REDUCE] = "block.{i}.{j}.attention.self.sr",
    [ROLE_REDUCE_NORM] = "block.{i}.{j}.attention.self.layer_norm",
    [ROLE_PROJECT] = "block.{i}.{j}.attention.output.dense",
    [ROLE_NORM2] = "block.{i}.{j}.layer_norm_2",
    [ROLE_FC1] = "block.{i}.{j}.mlp.dense1",
    [ROLE_DEPTHWISE] = "block.{i}.{j}.mlp.dwconv.dwconv",
    [ROLE_FC2] = "block.{i}.{j}.mlp.dense2",
    [ROLE_STAGE_NORM] = "layer_norm.{i}",
};

static const char *const transformers5_backbone[BACKBONE_ROLES] = {
    [ROLE_PATCH] = "stages.{i}.patch_embeddings.proj",
    [ROLE_PATCH_NORM] = "stages.{i}.patch_embeddings.layer_norm",
    [ROLE_NORM1] = "stages.{i}.blocks.{j}.layernorm_before",
    [ROLE_QUERY] = "stages.{i}.blocks.{j}.attention.q_proj",
    [ROLE_KEY] = "stages.{i}.blocks.{j}.attention.k_proj",
    [ROLE_VALUE] = "stages.{i}.blocks.{j}.attention.v_proj",
    [ROLE_REDUCE] = "stages.{i}.blocks.{j}.attention.sequence_reduction.sequence_reduction",
    [ROLE_REDUCE_NORM] = "stages.{i}.blocks.{j}.attention.sequence_reduction.layer_norm",
    [ROLE_PROJECT] = "stages.{i}.blocks.{j}.attention.o_proj",
    [ROLE_NORM2] = "stages.{i}.blocks.{j}.layernorm_after",
    [ROLE_FC1] = "stages.{i}.blocks.{j}.mlp.fc1",
    [ROLE_DEPTHWISE] = "stages.{i}.blocks.{j}.mlp.dwconv.dwconv",
    [ROLE_FC2] = "stages.{i}.blocks.{j}.mlp.fc2",
    [ROLE_STAGE_NORM] = "stages.{i}.layer_norm",
};

static const char *const nvlabs_backbone[BACKBONE_ROLES] = {
    [ROLE_PATCH] = "patch_embed{I}.proj",      [ROLE_PATCH_NORM] = "patch_embed{I}.norm",
    [ROLE_NORM1] = "block{I}.{j}.norm1",       [ROLE_QUERY] = "block{I}.{j}.attn.q",
    [ROLE_KEY] = "block{I}.{j}.attn.kv",       [ROLE_VALUE] = "block{I}.{j}.attn.kv",
    [ROLE_REDUCE] = "block{I}.{j}.attn.sr",    [ROLE_REDUCE_NORM] = "block{I}.{j}.attn.norm",
    [ROLE_PROJECT] = "block{I}.{j}.attn.proj", [ROLE_NORM2] = "block{I}.{j}.norm2",
    [ROLE_FC1] = "block{I}.{j}.mlp.fc1",       [ROLE_DEPTHWISE] = "block{I}.{j}.mlp.dwconv.dwconv",
    [ROLE_FC2] = "block{I}.{j}.mlp.fc2",       [ROLE_STAGE_NORM] = "norm{I}",
};

static const char *const mmseg_backbone[BACKBONE_ROLES] = {
    [ROLE_PATCH] = "layers.{i}.0.projection",
    [ROLE_PATCH_NORM] = "layers.{i}.0.norm",
    [ROLE_NORM1] = "layers.{i}.1.{j}.norm1",
    [ROLE_QUERY] = "layers.{i}.1.{j}.attn.attn.in_proj_",
    [ROLE_KEY] = "layers.{i}.1.{j}.attn.attn.in_proj_",
    [ROLE_VALUE] = "layers.{i}.1.{j}.attn.attn.in_proj_",
    [ROLE_REDUCE] = "layers.{i}.1.{j}.attn.sr",
    [ROLE_REDUCE_NORM] = "layers.{i}.1.{j}.attn.norm",
    [ROLE_PROJECT] = "layers.{i}.1.{j}.attn.attn.out_proj",
    [ROLE_NORM2] = "layers.{i}.1.{j}.norm2",
    [ROLE_FC1] = "layers.{i}.1.{j}.ffn.layers.0",
    [ROLE_DEPTHWISE] = "layers.{i}.1.{j}.ffn.layers.1",
    [ROLE_FC2] = "layers.{i}.1.{j}.ffn.layers.4",
    [ROLE_STAGE_NORM] = "layers.{i}.2",
};

/* Heads: level, its norm, fuse, its norm, classifier. */
static const char *const hub_head[] = {"decode_head.linear_c.{i}.proj", NULL, "decode_head.linear_fuse", "decode_head.batch_norm",
                                       "decode_head.classifier"};
static const char *const transformers5_head[] = {"decode_head.linear_projections.{i}.proj", NULL, "decode_head.linear_fuse",
                                                 "decode_head.batch_norm", "decode_head.classifier"};
static const char *const nvlabs_head[] = {"decode_head.linear_c{I}.proj", NULL, "decode_head.linear_fuse.conv",
                                          "decode_head.linear_fuse.bn", "decode_head.linear_pred"};
static const char *const mmseg_head[] = {"decode_head.convs.{i}.conv", "decode_head.convs.{i}.bn", "decode_head.fusion_conv.conv",
                                         "decode_head.fusion_conv.bn", "decode_head.conv_seg"};
static const char *const smp_head[] = {"decoder.mlp_stage.{r}.linear", NULL, "decoder.fuse_stage.0", "decoder.fuse_stage.1",
                                       "segmentation_head.0"};
static const char *const paddle_head[] = {"linear_c{I}.proj", NULL, "linear_fuse._conv", "linear_fuse._batch_norm", "linear_pred"};

#define TORCH_STATISTICS                                                                                                                   \
    {                                                                                                                                      \
        "running_mean", "running_var"                                                                                                      \
    }
#define PADDLE_STATISTICS                                                                                                                  \
    {                                                                                                                                      \
        "_mean", "_variance"                                                                                                               \
    }

/* Hugging Face's layers have PyTorch's eps whatever layer_norm_eps says; NVlabs gives 1e-6 to blocks and stage ends only. */
static const naming namings[] = {
    {"hf", "segformer.encoder.", hub_backbone, hub_head, TORCH_STATISTICS, 1, false, false, true, 1e-5, 1e-5},
    {"hf", "encoder.", hub_backbone, hub_head, TORCH_STATISTICS, 1, false, false, true, 1e-5, 1e-5},
    {"hf", "segformer.", transformers5_backbone, transformers5_head, TORCH_STATISTICS, 1, false, false, true, 1e-5, 1e-5},
    {"hf", "", transformers5_backbone, transformers5_head, TORCH_STATISTICS, 1, false, false, true, 1e-5, 1e-5},
    {"mmseg", "backbone.", mmseg_backbone, mmseg_head, TORCH_STATISTICS, 3, false, true, false, 1e-6, 1e-6},
    {"mmseg", "", mmseg_backbone, mmseg_head, TORCH_STATISTICS, 3, false, true, false, 1e-6, 1e-6},
    {"paddle", "backbone.", nvlabs_backbone, paddle_head, PADDLE_STATISTICS, 2, true, false, true, 1e-6, 1e-5},
    {"paddle", "", nvlabs_backbone, paddle_head, PADDLE_STATISTICS, 2, true, false, true, 1e-6, 1e-5},
    {"smp", "encoder.", nvlabs_backbone, smp_head, TORCH_STATISTICS, 2, false, false, true, 1e-6, 1e-5},
    {"nvlabs", "backbone.", nvlabs_backbone, nvlabs_head, TORCH_STATISTICS, 2, false, false, true, 1e-6, 1e-5},
    {"nvlabs", "", nvlabs_backbone, nvlabs_head, TORCH_STATISTICS, 2, false, false, true, 1e-6, 1e-5},
};

/* What training frameworks put around a network: DataParallel, Lightning. */
static const char *const wrappers[] = {"", "module.", "model."};

static void expand(const char *pattern, int stage, int block, const char *part, size_t room, char *text)
{
    size_t at = 0;
    const char *p = pattern;
    for (; *p && at + 12 < room; p++) {
        if (*p != '{') {
            text[at++] = *p;
            continue;
        }
        const int number = p[1] == 'i' ? stage : p[1] == 'I' ? stage + 1 : p[1] == 'r' ? 3 - stage : block;
        at += (size_t)snprintf(text + at, room - at, "%d", number);
        p += 2;
    }
    snprintf(text + at, room - at, "%s%s", p > pattern && p[-1] == '_' ? "" : ".", part);
}

const char *naming_text(const naming *n, const char *wrapper, layer_role role, tensor_part part, int stage, int block, char text[FULL_NAME])
{
    const bool in_head = role >= BACKBONE_ROLES;
    const char *pattern = in_head ? n->head[role - BACKBONE_ROLES] : n->backbone[role];
    if (!pattern)
        return NULL;
    const char *const parts[TENSOR_PARTS] = {"weight", "bias", n->statistics[0], n->statistics[1]};
    const int begin = snprintf(text, FULL_NAME, "%s%s", wrapper, in_head ? "" : n->prefix);
    expand(pattern, stage, block, parts[part], FULL_NAME - (size_t)begin, text + begin);
    return text;
}

const char *role_text(layer_role role, tensor_part part, int stage, int block, char text[FULL_NAME])
{
    if (role == ROLE_LEVEL_NORM) { /* the hub's head has none */
        const char *const parts[TENSOR_PARTS] = {"weight", "bias", "running_mean", "running_var"};
        expand("decode_head.linear_c.{i}.batch_norm", stage, block, parts[part], FULL_NAME, text);
        return text;
    }
    return naming_text(&namings[0], "", role, part, stage, block, text);
}

static bool holds(const checkpoint *file, const char *name)
{
    for (size_t i = 0; i < file->count; i++)
        if (!strcmp(file->tensors[i].name, name))
            return true;
    return false;
}

const naming *naming_of(const checkpoint *file, const char **wrapper)
{
    char text[FULL_NAME];
    for (size_t w = 0; w < sizeof wrappers / sizeof *wrappers; w++)
        for (size_t i = 0; i < sizeof namings / sizeof *namings; i++)
            if (namings[i].numpy == file->numpy &&
                holds(file, naming_text(&namings[i], wrappers[w], ROLE_PATCH, PART_WEIGHT, 0, 0, text))) {
                *wrapper = wrappers[w];
                return &namings[i];
            }
    return NULL;
}

bool naming_ignores(const char *name, const char *wrapper)
{
    static const char *const beginnings[] = {
        "head.", /* ImageNet classifier of NVlabs' backbones */
        "backbone.head.",
        "encoder.head.",
        "classifier.",           /* Hugging Face's image classification */
        "decode_head.conv_seg.", /* mmsegmentation's base class makes it, NVlabs' head does not use it */
        "auxiliary_head.",
    };
    static const char *const ends[] = {".num_batches_tracked"};
    if (!strncmp(name, wrapper, strlen(wrapper)))
        name += strlen(wrapper);
    for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++)
        if (!strncmp(name, beginnings[i], strlen(beginnings[i])))
            return true;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        const size_t length = strlen(name), end = strlen(ends[i]);
        if (length > end && !strcmp(name + length - end, ends[i]))
            return true;
    }
    return false;
}
