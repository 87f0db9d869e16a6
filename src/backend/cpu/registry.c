/* registry: the ways to cover the network's operations, best first; the scheduler (plan.c) takes the first that fits.  A row
 * runs on any kernel table, which brings type, instruction set, tile and packing. */
#include "backend/cpu/steps.h"

#define X ROLE_BIT(ROLE_X)
#define F ROLE_BIT(ROLE_F)
#define LEVEL ROLE_BIT(ROLE_LEVEL)
#define KEYS_AND_VALUES (ROLE_BIT(ROLE_KEYS) | ROLE_BIT(ROLE_VALUES) | ROLE_BIT(ROLE_SHIFT) | ROLE_BIT(ROLE_NORMS))
#define BIT ROLE_BIT

static bool one_head(const cpu_state *cpu, operation first) { return cpu->net->stages[first.stage].heads == 1; }

const step_row step_rows[] = {
    {"pixels", {OP_LEVEL, OP_MERGE, OP_CLASSIFY, OP_LABEL}, 4, .reads = F, .reads_levels = true, .plan = pixels_plan, .run = pixels_run},
    {"reduce_keys", {OP_REDUCE, OP_KEYS}, 2, .reads = X, .writes = KEYS_AND_VALUES, .plan = keys_plan, .run = reduce_keys_run},
    {"attention", {OP_QUERY, OP_ATTEND, OP_PROJECT}, 3, .reads = KEYS_AND_VALUES, .updates = X, .plan = attention_plan, .run = attention_run},
    {"ffn_int8", {OP_FC1, OP_DEPTHWISE, OP_FC2}, 3, .reads = X, .writes = X, .supports = int8_ffn, .plan = ffn_int8_plan, .run = ffn_int8_run},
    {"ffn", {OP_FC1, OP_DEPTHWISE, OP_FC2}, 3, .reads = X, .writes = X, .plan = ffn_plan, .run = ffn_run},

    {"patch", {OP_PATCH}, 1, .reads_before = true, .writes = X, .plan = patch_plan, .run = patch_run},
    {"reduce", {OP_REDUCE}, 1, .reads = X, .writes = BIT(ROLE_REDUCED), .plan = keys_plan, .run = reduce_run},
    {"keys", {OP_KEYS}, 1, .reads = X | BIT(ROLE_REDUCED), .writes = KEYS_AND_VALUES, .plan = keys_plan, .run = keys_run},
    {"query", {OP_QUERY}, 1, .reads = X, .writes = BIT(ROLE_QUERY), .plan = attention_plan, .run = query_run},
    {"attend_one_head", {OP_ATTEND}, 1, .reads = KEYS_AND_VALUES, .updates = X, .supports = one_head, .plan = attention_plan, .run = attend_run},
    {"attend", {OP_ATTEND}, 1, .reads = KEYS_AND_VALUES | BIT(ROLE_QUERY), .writes = BIT(ROLE_ATTENDED), .plan = attention_plan, .run = attend_run},
    {"project", {OP_PROJECT}, 1, .reads = BIT(ROLE_ATTENDED), .updates = X, .plan = attention_plan, .run = project_run},
    {"fc1_int8", {OP_FC1}, 1, .reads = X, .writes = BIT(ROLE_HIDDEN), .supports = int8_ffn, .plan = product_int8_plan, .run = fc1_int8_run},
    {"fc2_int8", {OP_FC2}, 1, .reads = BIT(ROLE_GELU), .updates = X, .supports = int8_ffn, .plan = product_int8_plan, .run = fc2_int8_run},
    {"fc1", {OP_FC1}, 1, .reads = X, .writes = BIT(ROLE_HIDDEN), .plan = wide_plan, .run = fc1_run},
    {"depthwise", {OP_DEPTHWISE}, 1, .reads = BIT(ROLE_HIDDEN), .writes = BIT(ROLE_GELU), .plan = wide_plan, .run = depthwise_run},
    {"fc2", {OP_FC2}, 1, .reads = BIT(ROLE_GELU), .updates = X, .plan = wide_plan, .run = fc2_run},
    {"norm", {OP_STAGE_NORM}, 1, .reads = X, .writes = F, .plan = norm_plan, .run = norm_run},
    {"level", {OP_LEVEL}, 1, .reads = F, .writes = LEVEL, .plan = level_plan, .run = level_run},
    {"merge", {OP_MERGE}, 1, .reads = LEVEL, .reads_levels = true, .writes = BIT(ROLE_MERGED), .plan = merge_plan, .run = merge_run},
    {"classify", {OP_CLASSIFY}, 1, .reads = BIT(ROLE_MERGED), .writes = BIT(ROLE_LOGITS), .plan = classify_plan, .run = classify_run},
    {"label", {OP_LABEL}, 1, .reads = BIT(ROLE_LOGITS), .plan = label_plan, .run = label_run},
};
const size_t step_row_count = sizeof step_rows / sizeof *step_rows;
