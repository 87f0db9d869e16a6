/* steps: plan and run functions of the registry's rows, one pair for each step_*.c part. */
#ifndef SEGRT_CPU_STEPS_H
#define SEGRT_CPU_STEPS_H

#include "backend/cpu/state.h"

typedef void step_plan_fn(const cpu_state *cpu, const cpu_plan *plan, cpu_step *step);
typedef void step_run_fn(const step_run *job, void *workspace, int piece);

step_plan_fn patch_plan, keys_plan, attention_plan, ffn_plan, norm_plan, level_plan, pixels_plan;
step_plan_fn ffn_int8_plan, product_int8_plan;
step_plan_fn wide_plan, merge_plan, classify_plan, label_plan;
step_run_fn patch_run, reduce_run, keys_run, reduce_keys_run, attention_run, query_run, attend_run, project_run, ffn_run, norm_run, level_run,
    pixels_run;
step_run_fn ffn_int8_run, fc1_int8_run, fc2_int8_run;
step_run_fn fc1_run, depthwise_run, fc2_run, merge_run, classify_run, label_run;

/* How Mix-FFN goes through a stage: image rows done at once, rows of the ring (those and two), hidden channels at once (the same number,
 * but for the last) so that their weights, of `weight_bytes` a number, the ring and gelu's rows stay in a core's second-level cache.
 * By constants: the chunk decides the order of fc2's sums, and a result must not depend on the machine's cache. */
typedef struct ffn_tiling {
    int group, ring, chunk;
} ffn_tiling;
ffn_tiling ffn_tile(const cpu_state *cpu, const cpu_plan *plan, operation op, int weight_bytes);
/* Splits a stage into bands for Mix-FFN. */
void ffn_split(const cpu_state *cpu, const cpu_plan *plan, cpu_step *step);
/* gelu(depthwise) of image rows [y0, y1) of column groups [g0, g0 + groups): ring [groups][ring][w][L] -> out [groups][group][w][L]. */
void ffn_depthwise(const step_run *job, const ffn_tiling *t, const void *ring, int g0, int groups, int y0, int y1, void *out);

/* Whether a block's Mix-FFN runs on 8-bit integers. */
bool int8_ffn(const cpu_state *cpu, operation first);

/* f of m tokens as the left side of a level's product, with the inner product behind it where the head has one; scratch for both. */
const void *level_operands(const cpu_state *cpu, int stage, const float *f, int m, void *f_scratch, void *inner_scratch, ptrdiff_t *row);
/* A level's columns [n0, n0 + n) of m tokens into `to` (c, its strides, narrow, relu, add, bias); the rest of `to` is filled in. */
void level_product(const cpu_state *cpu, int stage, const void *a, ptrdiff_t row, int m, int n0, int n, gemm_args to);

/* What quarter row y, columns [x0, x0 + count), reads of levels 1 to 3 of a picture; of the first column group.  Others are a level's
 * `group` numbers further. */
typedef struct merge_source {
    merge_level levels[3];
    ptrdiff_t group[3];
} merge_source;
merge_source merge_open(const step_run *job, int picture, int y, int x0, int count);
void merge_next_group(merge_source *source, bool fetch); /* fetch: ask the cache for it */
size_t merge_line_floats(const network_shape *shape);

#endif
