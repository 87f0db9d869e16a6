/* step_attention: query, scores, softmax, values, projection and residual for blocks of tokens; the scores exist for one
 * block of tokens and one tile of keys at a time (kernels/common_attend*.h). */
#include <math.h>
#include <string.h>

#include "backend/cpu/steps.h"

typedef struct attention_space {
    int block;     /* tokens at once */
    void *x;       /* [block][c] operands, where these are not floats */
    float *rstd;   /* [block] */
    void *q;       /* [block][q_row_of] operands */
    float *sums;   /* [block][d rounded up to PANEL] */
    float *sum;    /* [block] */
    void *scratch; /* of the kernel */
    void *out;     /* [block][q_row_of] operands: what the heads gave */
} attention_space;

/* A line more than c takes: rows of a power of two would share a few sets of L1. */
static int q_row_of(const cpu_kernels *k, int c) { return round_up(c, lanes_of(k)) + lanes_of(k); }

static attention_space lay_out(const cpu_state *cpu, int stage, bump *b)
{
    const cpu_kernels *k = cpu->k;
    const network_stage *s = &cpu->net->stages[stage];
    const size_t c = (size_t)round_up(s->width, LINE), d = (size_t)round_up(s->width / s->heads, PANEL), block = (size_t)k->attend_rows;
    attention_space a = {.block = k->attend_rows};
    a.x = bump_operands(b, k, reads_floats(k) ? 0 : block * c);
    a.rstd = bump_floats(b, block);
    a.q = bump_operands(b, k, block * (size_t)q_row_of(k, s->width));
    a.sums = bump_floats(b, block * d);
    a.sum = bump_floats(b, block);
    a.scratch = bump_take(b, k->attend_bytes((int)d));
    a.out = bump_operands(b, k, block * (size_t)q_row_of(k, s->width));
    return a;
}

void attention_plan(const cpu_state *cpu, const cpu_plan *plan, cpu_step *step)
{
    const stage_shape *at = &plan->shape.stage[step->first.stage];
    const int block = cpu->k->attend_rows;
    bump b = {0};
    lay_out(cpu, step->first.stage, &b);
    step->workspace = b.used;
    step_split(cpu, plan, step, at->h * at->w, 8, block, block);
}

/* Scores are at most |q| |k| + |shift|: where that is small, 2^score neither overflows nor vanishes, and no maximum has to be
 * known before the weights are made. */
static bool scores_are_small(const step_run *job, int picture, int head, float query_norm)
{
    const stage_shape *at = step_shape(job);
    const int blocks = (at->key_h * at->key_w + KEY_BLOCK - 1) / KEY_BLOCK, heads = job->cpu->net->stages[job->step->first.stage].heads;
    const float *norms = step_in(job, ROLE_NORMS, picture);
    float key = 0, shift = 0;
    for (int i = 0; i < blocks; i++) {
        key = fmaxf(key, norms[head * blocks + i]);
        shift = heads == 1 ? fmaxf(shift, norms[blocks + i]) : 0;
    }
    return query_norm * key + shift <= SMALL_SCORE; /* false for a NaN */
}

/* One head: a.sums of values under weights that sum to a.sum.  query_norm: at least the queries' length. */
static void attend(const step_run *job, int picture, int head, const attention_space *a, const void *q, ptrdiff_t q_row, int m,
                   float query_norm, const float *row_scale, const float *shift)
{
    const cpu_kernels *k = job->cpu->k;
    const stage_shape *at = step_shape(job);
    const network_stage *stage = &job->cpu->net->stages[job->step->first.stage];
    const int d = stage->width / stage->heads, keys = at->key_h * at->key_w;
    const size_t key_head = (size_t)(round_up(keys, PANEL) / PANEL) * k->key_bytes(d);
    const size_t value_head = (size_t)(round_up(d, PANEL) / PANEL) * k->value_bytes(keys);
    k->attend(&(attend_args){.m = m, .keys = keys, .d = d, .q = q, .q_row = q_row, .k = (const char *)step_in(job, ROLE_KEYS, picture) + (size_t)head * key_head,
                             .v = (const char *)step_in(job, ROLE_VALUES, picture) + (size_t)head * value_head, .row_scale = row_scale, .shift = shift,
                             .small = scores_are_small(job, picture, head, query_norm), .sums = a->sums, .sum = a->sum, .scratch = a->scratch});
}

/* All heads of queries q [block][q_row] into out [m][out_row] operands. */
static void attend_heads(const step_run *job, int picture, const attention_space *a, const void *q, ptrdiff_t q_row, int m, void *out,
                         ptrdiff_t out_row)
{
    const cpu_kernels *k = job->cpu->k;
    const network_stage *stage = &job->cpu->net->stages[job->step->first.stage];
    const int d = stage->width / stage->heads, width = round_up(d, PANEL);
    for (int head = 0; head < stage->heads; head++) {
        const size_t column = (size_t)(head * d);
        const void *queries = offset_operands(k, q, column);
        attend(job, picture, head, a, queries, q_row, m, sqrtf(k->largest_square(queries, q_row, m, d)), NULL, NULL);
        for (int i = 0; i < m; i++)
            a->sum[i] = 1.0f / a->sum[i];
        k->operands(a->sums, width, m, d, a->sum, (char *)out + column * (size_t)k->operand_bytes, out_row);
    }
}

static void one_head(const step_run *job, int picture, const attention_space *a, float *x, int m)
{
    const cpu_kernels *k = job->cpu->k;
    const packed_block *block = step_block(job);
    const int c = job->cpu->net->stages[job->step->first.stage].width;
    ptrdiff_t row;
    const void *q = as_operands(k, x, m, c, a->x, &row);
    k->rstd(x, c, m, c, block->eps1, a->rstd);
    attend(job, picture, 0, a, q, row, m, sqrtf((float)c), a->rstd, step_in(job, ROLE_SHIFT, picture)); /* a normed x is that long */
    k->attend_out(a->sums, round_up(c, PANEL), a->sum, m, c, block->out_bias, x, c);
}

static void query(const step_run *job, const attention_space *a, const float *x, int m, void *q, ptrdiff_t q_row)
{
    const cpu_kernels *k = job->cpu->k;
    const packed_block *block = step_block(job);
    const int c = job->cpu->net->stages[job->step->first.stage].width;
    ptrdiff_t row;
    const void *in = as_operands(k, x, m, c, a->x, &row);
    k->rstd(x, c, m, c, block->eps1, a->rstd);
    k->gemm(&(gemm_args){.m = m, .n = c, .k = c, .a = in, .a_row = row, .a_panel = lanes_of(k), .b = block->query.b, .b_panel = block->query.b_panel,
                         .c = q, .c_row = q_row, .c_panel = lanes_of(k), .narrow = true, .row_scale = a->rstd, .bias = block->query.bias});
}

void attention_run(const step_run *job, void *workspace, int piece)
{
    const cpu_kernels *k = job->cpu->k;
    const packed_block *block = step_block(job);
    const stage_shape *at = step_shape(job);
    const network_stage *stage = &job->cpu->net->stages[job->step->first.stage];
    const int c = stage->width, row = q_row_of(k, c);
    bump b = {.base = workspace};
    const attention_space a = lay_out(job->cpu, job->step->first.stage, &b);
    int picture, begin, end;
    step_band(job, piece, at->h * at->w, &picture, &begin, &end);
    for (int t = begin; t < end; t += a.block) {
        const int m = least(a.block, end - t);
        float *x = (float *)step_in(job, ROLE_X, picture) + (size_t)t * (size_t)c;
        if (stage->heads == 1) {
            one_head(job, picture, &a, x, m);
            continue;
        }
        query(job, &a, x, m, a.q, row);
        attend_heads(job, picture, &a, a.q, row, m, a.out, row);
        linear(k, &block->project, a.out, row, m, NULL, x, block->out_bias, x, c);
    }
}

/* ------------------------------------------------------------------ one operation at a time */

typedef void block_fn(const step_run *job, int picture, const attention_space *a, int t, int m);

static void run_blocks(const step_run *job, void *workspace, int piece, block_fn *run)
{
    const stage_shape *at = step_shape(job);
    bump b = {.base = workspace};
    const attention_space a = lay_out(job->cpu, job->step->first.stage, &b);
    int picture, begin, end;
    step_band(job, piece, at->h * at->w, &picture, &begin, &end);
    for (int t = begin; t < end; t += a.block)
        run(job, picture, &a, t, least(a.block, end - t));
}

static void query_block(const step_run *job, int picture, const attention_space *a, int t, int m)
{
    const size_t c = (size_t)job->cpu->net->stages[job->step->first.stage].width, at = (size_t)t * c;
    query(job, a, (const float *)step_in(job, ROLE_X, picture) + at, m,
          (char *)step_out(job, ROLE_QUERY, picture) + at * (size_t)job->cpu->k->operand_bytes, (ptrdiff_t)c);
}

static void attend_block(const step_run *job, int picture, const attention_space *a, int t, int m)
{
    const cpu_kernels *k = job->cpu->k;
    const network_stage *stage = &job->cpu->net->stages[job->step->first.stage];
    const size_t c = (size_t)stage->width, at = (size_t)t * c;
    if (stage->heads == 1) {
        one_head(job, picture, a, (float *)step_in(job, ROLE_X, picture) + at, m);
        return;
    }
    const size_t bytes = at * (size_t)k->operand_bytes;
    memcpy(a->q, (const char *)step_in(job, ROLE_QUERY, picture) + bytes, (size_t)m * c * (size_t)k->operand_bytes); /* whole blocks are read */
    attend_heads(job, picture, a, a->q, (ptrdiff_t)c, m, (char *)step_out(job, ROLE_ATTENDED, picture) + bytes, (ptrdiff_t)c);
}

static void project_block(const step_run *job, int picture, const attention_space *a, int t, int m)
{
    (void)a;
    const cpu_kernels *k = job->cpu->k;
    const packed_block *block = step_block(job);
    const int c = job->cpu->net->stages[job->step->first.stage].width;
    const size_t at = (size_t)t * (size_t)c;
    float *x = (float *)step_in(job, ROLE_X, picture) + at;
    linear(k, &block->project, (const char *)step_in(job, ROLE_ATTENDED, picture) + at * (size_t)k->operand_bytes, c, m, NULL, x,
           block->out_bias, x, c);
}

void query_run(const step_run *job, void *workspace, int piece) { run_blocks(job, workspace, piece, query_block); }
void attend_run(const step_run *job, void *workspace, int piece) { run_blocks(job, workspace, piece, attend_block); }
void project_run(const step_run *job, void *workspace, int piece) { run_blocks(job, workspace, piece, project_block); }
