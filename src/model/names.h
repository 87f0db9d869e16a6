/* names: what each family calls the tensors of a SegFormer: one table, role by scheme.  Model layer; the loader asks
 * here for the name of a role, and which scheme a file follows. */
#ifndef SEGRT_MODEL_NAMES_H
#define SEGRT_MODEL_NAMES_H

#include "formats/checkpoint.h"

typedef enum layer_role {
    ROLE_PATCH,
    ROLE_PATCH_NORM,
    ROLE_NORM1,
    ROLE_QUERY,
    ROLE_KEY,
    ROLE_VALUE,
    ROLE_REDUCE,
    ROLE_REDUCE_NORM,
    ROLE_PROJECT,
    ROLE_NORM2,
    ROLE_FC1,
    ROLE_DEPTHWISE,
    ROLE_FC2,
    ROLE_STAGE_NORM,
    BACKBONE_ROLES,
    ROLE_LEVEL = BACKBONE_ROLES,
    ROLE_LEVEL_NORM,
    ROLE_FUSE,
    ROLE_FUSE_NORM,
    ROLE_CLASSIFIER,
    LAYER_ROLES
} layer_role;

typedef enum tensor_part { PART_WEIGHT, PART_BIAS, PART_MEAN, PART_VARIANCE, TENSOR_PARTS } tensor_part;

/* A family's way of naming, packing and normalising. */
typedef struct naming {
    const char *family;          /* as segrt_model_info has it */
    const char *prefix;          /* of the backbone's names */
    const char *const *backbone; /* [BACKBONE_ROLES] patterns, see names.c */
    const char *const *head;     /* [LAYER_ROLES - BACKBONE_ROLES] patterns; NULL: has no such layer */
    const char *statistics[2];   /* what a batch norm calls its mean and variance */
    int qkv_parts;               /* how many of query, key, value stand in one tensor, in this order: 1, 2 (key, value), 3 */
    bool numpy;                  /* arrays of NumPy, linear weights [in][out] */
    bool level_norm;             /* mmsegmentation's head: levels without bias, with a batch norm */
    bool fuse_deepest_first;     /* concat c4..c1; else c1..c4 */
    double block_eps, embed_eps; /* LayerNorm: blocks and stage ends; patch embeddings and reductions */
} naming;

enum { FULL_NAME = 320 }; /* room for any pattern with its numbers, and a wrapper's prefix */

/* Which scheme the file follows, and what wraps it ("", "module.", ...), by the name of the first patch embedding.  NULL: none. */
const naming *naming_of(const checkpoint *file, const char **wrapper);

/* The file's name of a tensor.  NULL where the scheme has no such layer. */
const char *naming_text(const naming *n, const char *wrapper, layer_role role, tensor_part part, int stage, int block,
                        char text[FULL_NAME]);

/* The canonical name: the one of the checkpoints on the Hugging Face hub. */
const char *role_text(layer_role role, tensor_part part, int stage, int block, char text[FULL_NAME]);

/* A tensor that is known and not needed: a training head, a counter. */
bool naming_ignores(const char *name, const char *wrapper);

#endif
