/* step_keys: what attention reads of all tokens: the reduced tokens, and from them keys and values packed as the second
 * factors of the two products of attention. */
#include <math.h>
#include <string.h>

#include "backend/cpu/steps.h"

typedef struct keys_space {
    void *patches;  /* [KEY_BLOCK][r * r * c] operands */
    float *factors; /* [r] */
    float *y;       /* [KEY_BLOCK][c] */
    void *operands; /* [KEY_BLOCK][c], where operands are not floats */
    float *k, *v;   /* [KEY_BLOCK][c] */
} keys_space;

static keys_space lay_out(const cpu_state *cpu, int stage, bump *b)
{
    const network_stage *s = &cpu->net->stages[stage];
    const size_t c = (size_t)round_up(s->width, LINE), r = (size_t)s->reduction;
    keys_space k;
    k.patches = bump_operands(b, cpu->k, r > 1 ? KEY_BLOCK * r * r * (size_t)s->width + LINE : 0);
    k.factors = bump_floats(b, greatest((int)r, KEY_BLOCK));
    k.y = bump_floats(b, KEY_BLOCK * c);
    k.operands = bump_operands(b, cpu->k, KEY_BLOCK * c);
    k.k = bump_floats(b, KEY_BLOCK * c);
    k.v = bump_floats(b, KEY_BLOCK * c);
    return k;
}

void keys_plan(const cpu_state *cpu, const cpu_plan *plan, cpu_step *step)
{
    const stage_shape *at = &plan->shape.stage[step->first.stage];
    bump b = {0};
    lay_out(cpu, step->first.stage, &b);
    step->workspace = b.used;
    step_split(cpu, plan, step, at->key_h * at->key_w, 4, KEY_BLOCK, KEY_BLOCK);
}

/* Reduced tokens [j0, j0 + m): y [m][c]. */
static void reduce(const step_run *job, int picture, int j0, int m, const keys_space *s, float *y)
{
    const cpu_kernels *k = job->cpu->k;
    const packed_block *block = step_block(job);
    const stage_shape *at = step_shape(job);
    const network_stage *stage = &job->cpu->net->stages[job->step->first.stage];
    const int c = stage->width, r = stage->reduction, line = r * c;
    const ptrdiff_t row = round_up(r * line, lanes_of(k));
    const float *x = step_in(job, ROLE_X, picture);
    for (int i = 0; i < m; i++) {
        const int ky = (j0 + i) / at->key_w, kx = (j0 + i) % at->key_w;
        for (int dy = 0; dy < r; dy++) { /* r tokens side by side, each with its own norm */
            const float *from = x + ((size_t)(ky * r + dy) * (size_t)at->w + (size_t)(kx * r)) * (size_t)c;
            k->rstd(from, c, r, c, block->eps1, s->factors);
            k->operands(from, c, r, c, s->factors, (char *)s->patches + (i * row + dy * line) * k->operand_bytes, c);
        }
    }
    linear(k, &block->reduce, s->patches, row, m, NULL, NULL, block->reduce.bias, y, c);
    if (!block->reduce_plain) {
        k->rstd(y, c, m, c, block->reduce_eps, s->factors);
        k->scale_rows(y, c, m, c, s->factors);
    }
}

/* Keys, values and the shifts of the scores from y [m][c], packed at key j0. */
static void keys(const step_run *job, int picture, int j0, int m, const keys_space *s, const float *y)
{
    const cpu_kernels *k = job->cpu->k;
    const packed_block *block = step_block(job);
    const stage_shape *at = step_shape(job);
    const network_stage *stage = &job->cpu->net->stages[job->step->first.stage];
    const int c = stage->width, d = c / stage->heads, count = at->key_h * at->key_w;
    ptrdiff_t row;
    const void *a = as_operands(k, y, m, c, s->operands, &row);
    linear(k, &block->key, a, row, m, NULL, NULL, NULL, s->k, c);
    linear(k, &block->value, a, row, m, NULL, NULL, NULL, s->v, c);
    const size_t key_head = (size_t)(round_up(count, PANEL) / PANEL) * k->key_bytes(d);
    const size_t value_panel = k->value_bytes(count), value_head = (size_t)(round_up(d, PANEL) / PANEL) * value_panel;
    char *to_k = step_out(job, ROLE_KEYS, picture), *to_v = step_out(job, ROLE_VALUES, picture);
    for (int head = 0; head < stage->heads; head++) {
        k->pack_keys(to_k + (size_t)head * key_head + (size_t)(j0 / PANEL) * k->key_bytes(d), s->k + head * d, c, m, d);
        k->pack_values(to_v + (size_t)head * value_head, value_panel, s->v + head * d, c, d, j0, j0 + m);
    }
    const int blocks = (count + KEY_BLOCK - 1) / KEY_BLOCK;
    float *norms = (float *)step_out(job, ROLE_NORMS, picture) + j0 / KEY_BLOCK;
    for (int head = 0; head < stage->heads; head++) {
        k->rstd(s->k + head * d, c, m, d, 0, s->factors);
        float least_rstd = INFINITY; /* of the longest key */
        for (int i = 0; i < m; i++)
            least_rstd = fminf(least_rstd, s->factors[i]);
        norms[head * blocks] = sqrtf((float)d) / least_rstd;
    }
    if (stage->heads > 1)
        return;
    float *shift = (float *)step_out(job, ROLE_SHIFT, picture) + j0, largest = 0;
    for (int i = 0; i < m; i++) {
        float sum = 0;
        for (int j = 0; j < c; j++)
            sum += block->key_bias[j] * y[i * c + j];
        shift[i] = sum;
        largest = fmaxf(largest, fabsf(sum));
    }
    norms[blocks] = largest;
    for (int i = m; i < round_up(m, PANEL); i++)
        shift[i] = 0;
}

/* y of keys [j0, j0 + m) where nothing is reduced: x * rstd1. */
static void norm(const step_run *job, int picture, int j0, int m, const keys_space *s)
{
    const cpu_kernels *k = job->cpu->k;
    const int c = job->cpu->net->stages[job->step->first.stage].width;
    const float *x = (const float *)step_in(job, ROLE_X, picture) + (size_t)j0 * (size_t)c;
    memcpy(s->y, x, (size_t)m * (size_t)c * sizeof *x);
    k->rstd(x, c, m, c, step_block(job)->eps1, s->factors);
    k->scale_rows(s->y, c, m, c, s->factors);
}

typedef enum keys_part { REDUCE = 1, KEYS = 2 } keys_part;

static void run_parts(const step_run *job, void *workspace, int piece, int parts)
{
    const stage_shape *at = step_shape(job);
    const network_stage *stage = &job->cpu->net->stages[job->step->first.stage];
    bump b = {.base = workspace};
    const keys_space s = lay_out(job->cpu, job->step->first.stage, &b);
    int picture, begin, end;
    step_band(job, piece, at->key_h * at->key_w, &picture, &begin, &end);
    for (int j0 = begin; j0 < end; j0 += KEY_BLOCK) {
        const int m = least(KEY_BLOCK, end - j0);
        float *y = s.y;
        if (!(parts & KEYS) || !(parts & REDUCE))
            if (stage->reduction > 1)
                y = (float *)(parts & REDUCE ? step_out : step_in)(job, ROLE_REDUCED, picture) + (size_t)j0 * (size_t)stage->width;
        if (parts & REDUCE)
            reduce(job, picture, j0, m, &s, y);
        else if (stage->reduction == 1)
            norm(job, picture, j0, m, &s);
        if (parts & KEYS)
            keys(job, picture, j0, m, &s, y);
    }
}

void reduce_run(const step_run *job, void *workspace, int piece) { run_parts(job, workspace, piece, REDUCE); }
void keys_run(const step_run *job, void *workspace, int piece) { run_parts(job, workspace, piece, KEYS); }
void reduce_keys_run(const step_run *job, void *workspace, int piece) { run_parts(job, workspace, piece, REDUCE | KEYS); }
