/* folds: see folds.h. */
#include "folds.h"

#include <inttypes.h>
#include <stdio.h>

/* How often each part of the algebra was applied. */
typedef struct places {
    int blocks, reductions, one_head, offsets;
} places;

static places places_of(const network *net)
{
    places p = {0};
    for (int s = 0; s < STAGES; s++) {
        const network_stage *stage = &net->stages[s];
        bool moved = false;
        for (int i = 0; i < stage->width && !moved; i++)
            moved = weight_at(stage->offset, (size_t)i) != 0;
        p.blocks += stage->depth;
        p.reductions += stage->reduction > 1 ? stage->depth : 0;
        p.one_head += stage->heads == 1 ? stage->depth : 0;
        p.offsets += moved;
    }
    return p;
}

typedef struct fold {
    const char *name;
    int places;
    int64_t saved; /* multiply-accumulates; most folds save passes over memory instead */
} fold;

enum { FOLDS = 10 };

static int64_t saved(const costs *c, operation_kind kind)
{
    return (int64_t)c->published[kind] - (int64_t)c->folded[kind];
}

static void folds_of(const network *net, const costs *c, fold rows[FOLDS])
{
    const places p = places_of(net);
    const int head = net->classes ? STAGES : 0;
    const fold all[FOLDS] = {
        {"head: each level and its slice of the fusion are one map, run at the level's own size", head,
         saved(c, OP_LEVEL) + saved(c, OP_MERGE)},
        {"one head: the query's product is in the keys", p.one_head, saved(c, OP_QUERY)},
        {"one head: the output projection is in the values", p.one_head, saved(c, OP_PROJECT)},
        {"gamma and beta of norms are in the maps that read them", 2 * p.blocks + p.reductions + head, 0},
        {"biases of keys (dropped by softmax) and values (in the projection's)", 2 * p.blocks, 0},
        {"the softmax's scale and log2(e) are in the queries", p.blocks, 0},
        {"the residual stream has zero mean: norms need no mean", 2 * p.blocks + 2 * STAGES, 0},
        {"1 / standard deviation is applied behind the product", 2 * p.blocks, 0},
        {"the normalisation of pixels is in the first convolution", 1, 0},
        {"centring: stage outputs are stored minus their means", p.offsets, 0},
    };
    for (int i = 0; i < FOLDS; i++)
        rows[i] = all[i];
}

void folds_print(const network *net, const costs *c)
{
    fold rows[FOLDS];
    folds_of(net, c, rows);
    printf("\n%-86s %6s %12s\n", "folds", "places", "GMAC saved");
    for (int i = 0; i < FOLDS; i++)
        if (rows[i].places)
            printf("%-86s %6d %12.3f\n", rows[i].name, rows[i].places, 1e-9 * (double)rows[i].saved);
}

json_t *folds_json(const network *net, const costs *c)
{
    fold rows[FOLDS];
    json_t *array = json_array();
    folds_of(net, c, rows);
    for (int i = 0; i < FOLDS; i++)
        if (rows[i].places)
            json_array_append_new(array, json_pack("{s:s, s:i, s:I}", "fold", rows[i].name, "places", rows[i].places, "macs_saved",
                                                   (json_int_t)rows[i].saved));
    return array;
}
