/* plan: a shape's list of steps and the places of its tensors; see state.h. */
#include <stdio.h>
#include <string.h>

#include "backend/cpu/state.h"

/* ------------------------------------------------------------------------------- tensor sizes */

size_t picture_bytes(const cpu_state *cpu, const network_shape *shape, tensor_role role, int stage, int block)
{
    const network *net = cpu->net;
    if (role >= ROLE_F && role < ROLE_F + STAGES)
        stage = role - ROLE_F;
    if (role >= ROLE_LEVEL && role < ROLE_LEVEL + STAGES)
        stage = role - ROLE_LEVEL;
    if (role == ROLE_MERGED || role == ROLE_LOGITS || stage < 0)
        stage = 0;
    const network_stage *s = &net->stages[stage];
    const size_t tokens = (size_t)shape->stage[stage].h * (size_t)shape->stage[stage].w, c = (size_t)s->width;
    const int keys = shape->stage[stage].key_h * shape->stage[stage].key_w, d = s->width / s->heads, lanes = lanes_of(cpu->k);
    const size_t operand = (size_t)cpu->k->operand_bytes, heads = (size_t)s->heads;
    switch ((int)role) {
    case ROLE_REDUCED:
        return (size_t)keys * c * sizeof(float);
    case ROLE_KEYS:
        return heads * (size_t)(round_up(keys, PANEL) / PANEL) * cpu->k->key_bytes(d);
    case ROLE_VALUES:
        return heads * (size_t)(round_up(d, PANEL) / PANEL) * cpu->k->value_bytes(keys);
    case ROLE_SHIFT:
        return (size_t)round_up(keys, PANEL) * sizeof(float);
    case ROLE_NORMS:
        return (heads + 1) * (size_t)((keys + KEY_BLOCK - 1) / KEY_BLOCK) * sizeof(float);
    case ROLE_QUERY:
    case ROLE_ATTENDED:
        return tokens * c * operand;
    case ROLE_HIDDEN:
    case ROLE_GELU:
        return tokens * (size_t)round_up(block < 0 ? 0 : s->blocks[block].hidden, lanes) * operand;
    case ROLE_MERGED:
        return tokens * (size_t)round_up(net->head.width, lanes) * operand;
    case ROLE_LOGITS:
        return (size_t)shape->stage[0].h * (size_t)logit_columns(shape) * (size_t)logit_pitch(cpu) * sizeof(float);
    default:
        return role >= ROLE_LEVEL ? tokens * (size_t)round_up(net->head.width, FLOATS) * sizeof(float) : tokens * c * sizeof(float);
    }
}

size_t tensor_bytes(const cpu_state *cpu, const network_shape *shape, tensor_role role, int stage, int block)
{
    const size_t bytes = (size_t)shape->n * picture_bytes(cpu, shape, role, stage, block);
    return (bytes + LINE - 1) / LINE * LINE + LINE; /* a line to spare: kernels may read one past the end */
}

/* ---------------------------------------------------------------------------------- schedule */

static bool row_fits(const step_row *row, const cpu_state *cpu, size_t at)
{
    if (cpu->options.no_fuse && row->length > 1)
        return false;
    if (at + (size_t)row->length > cpu->count)
        return false;
    for (int i = 0; i < row->length; i++)
        if (cpu->operations[at + (size_t)i].kind != row->pattern[i])
            return false;
    return !row->supports || row->supports(cpu, cpu->operations[at]);
}

static const step_row *best_row(const cpu_state *cpu, size_t at)
{
    for (size_t i = 0; i < step_row_count; i++)
        if (row_fits(&step_rows[i], cpu, at))
            return &step_rows[i];
    return NULL; /* cannot be: every operation has a row of its own */
}

void step_split(const cpu_state *cpu, const cpu_plan *plan, cpu_step *step, int units, int each, int smallest, int unit)
{
    const int workers = pool_workers(cpu->pool), wanted = workers == 1 ? 1 : workers * each;
    int bands = (wanted + plan->shape.n - 1) / plan->shape.n;
    if (bands > (units + smallest - 1) / smallest)
        bands = (units + smallest - 1) / smallest;
    step->rows = round_up((units + bands - 1) / bands, unit);
    step->bands = (units + step->rows - 1) / step->rows;
    step->pieces = step->bands * plan->shape.n;
}

static unsigned stage_roles(unsigned roles, int stage)
{
    const unsigned shared = roles & ~(ROLE_BIT(ROLE_F) | ROLE_BIT(ROLE_LEVEL));
    return shared | (roles & ROLE_BIT(ROLE_F) ? ROLE_BIT(ROLE_F + stage) : 0) |
           (roles & ROLE_BIT(ROLE_LEVEL) ? ROLE_BIT(ROLE_LEVEL + stage) : 0);
}

static unsigned step_reads(const cpu_step *step)
{
    const int stage = step->first.stage < 0 ? 0 : step->first.stage;
    unsigned roles = stage_roles(step->row->reads | step->row->updates, stage);
    if (step->row->reads_before && stage > 0)
        roles |= ROLE_BIT(ROLE_F + stage - 1);
    if (step->row->reads_levels)
        roles |= ROLE_BIT(ROLE_LEVEL + 1) | ROLE_BIT(ROLE_LEVEL + 2) | ROLE_BIT(ROLE_LEVEL + 3);
    return roles;
}

/* ------------------------------------------------------------------------------- memory plan */

typedef struct tensor {
    size_t bytes, at;
    size_t first, last; /* steps */
} tensor;

/* Lowest place that no tensor alive at the same time takes; `placed` are sorted by nothing, there are few. */
static size_t lowest_place(const tensor *all, size_t count, const tensor *wanted)
{
    size_t at = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (size_t i = 0; i < count; i++) {
            const tensor *t = &all[i];
            const bool together = t->first <= wanted->last && wanted->first <= t->last;
            if (t != wanted && t->at != NO_TENSOR && together && at < t->at + t->bytes && t->at < at + wanted->bytes) {
                at = t->at + t->bytes;
                moved = true;
            }
        }
    }
    return at;
}

/* Largest first, each at the lowest free place. */
static size_t place(tensor *all, size_t count)
{
    size_t bytes = 0;
    for (size_t round = 0; round < count; round++) {
        tensor *largest = NULL;
        for (size_t i = 0; i < count; i++)
            if (all[i].at == NO_TENSOR && (!largest || all[i].bytes > largest->bytes))
                largest = &all[i];
        if (!largest)
            break;
        largest->at = lowest_place(all, count, largest);
        if (largest->at + largest->bytes > bytes)
            bytes = largest->at + largest->bytes;
    }
    return bytes;
}

/* Every write makes a new tensor; it lives until its last reader. */
static segrt_status plan_memory(cpu_plan *plan, const cpu_state *cpu, segrt_error *error)
{
    const size_t most = plan->count * 3 + 1;
    tensor *all = memory_get_cleared(most, sizeof *all);
    size_t *ids = memory_get_array(plan->count * 2 * ROLES, sizeof *ids);
    if (!all || !ids) {
        memory_free(ids);
        memory_free(all);
        return fail_memory(error, most * sizeof *all, "the memory plan");
    }
    size_t count = 0, now[ROLES];
    for (int r = 0; r < ROLES; r++)
        now[r] = NO_TENSOR;
    for (size_t i = 0; i < plan->count; i++) {
        cpu_step *step = &plan->steps[i];
        const unsigned reads = step_reads(step), writes = stage_roles(step->row->writes, step->first.stage < 0 ? 0 : step->first.stage);
        for (int r = 0; r < ROLES; r++) {
            if (reads & ROLE_BIT(r) && now[r] != NO_TENSOR)
                all[now[r]].last = i;
            ids[(i * 2) * ROLES + (size_t)r] = now[r];
            if (writes & ROLE_BIT(r)) {
                now[r] = count++;
                all[now[r]] = (tensor){.at = NO_TENSOR, .first = i, .last = i,
                                       .bytes = tensor_bytes(cpu, &plan->shape, (tensor_role)r, step->first.stage, step->first.block)};
            }
            ids[(i * 2 + 1) * ROLES + (size_t)r] = now[r];
        }
    }
    plan->arena_bytes = place(all, count);
    for (size_t i = 0; i < plan->count; i++)
        for (size_t r = 0; r < ROLES; r++) {
            const size_t in = ids[(i * 2) * ROLES + r], out = ids[(i * 2 + 1) * ROLES + r];
            plan->steps[i].in[r] = in == NO_TENSOR ? NO_TENSOR : all[in].at;
            plan->steps[i].out[r] = out == NO_TENSOR ? NO_TENSOR : all[out].at;
        }
    memory_free(ids);
    memory_free(all);
    return SEGRT_OK;
}

/* ------------------------------------------------------------------------------------- tables */

typedef struct span {
    int low, high;
} span;

/* Distinct spans of taps that lie inside, one case each: at most one for every clipped place. */
static int border_cases(const network_patch *p, int in, int out, int *case_of, span *cases)
{
    int count = 0;
    for (int o = 0; o < out; o++) {
        const int start = o * p->stride - p->pad;
        const span s = {greatest(0, -start), least(p->kernel, in - start)};
        int c = count; /* the latest are the likeliest */
        while (c > 0 && (cases[c - 1].low != s.low || cases[c - 1].high != s.high))
            c--;
        if (c == 0) {
            cases[count] = s;
            c = ++count;
        }
        case_of[o] = c - 1;
    }
    return count;
}

static bool plan_borders(cpu_plan *plan, const cpu_state *cpu, int stage)
{
    const network_patch *p = &cpu->net->stages[stage].patch;
    const packed_stage *packed = &cpu->packed.stages[stage];
    const stage_shape *to = &plan->shape.stage[stage];
    const int in_h = stage ? plan->shape.stage[stage - 1].h : plan->shape.h, in_w = stage ? plan->shape.stage[stage - 1].w : plan->shape.w;
    patch_borders *b = &plan->borders[stage];
    const size_t most = (size_t)p->kernel * (size_t)p->kernel + 1;
    int *row = arena_get(&plan->memory, (size_t)to->h, sizeof *row), *column = arena_get(&plan->memory, (size_t)to->w, sizeof *column);
    span *down = arena_get(&plan->memory, most, sizeof *down), *across = arena_get(&plan->memory, most, sizeof *across);
    if (!row || !column || !down || !across)
        return false;
    b->rows = border_cases(p, in_h, to->h, row, down);
    b->columns = border_cases(p, in_w, to->w, column, across);
    b->row = row;
    b->column = column;
    const int width = round_up(p->out, PANEL);
    float *bias = arena_get(&plan->memory, (size_t)b->rows * (size_t)b->columns * (size_t)width, sizeof *bias);
    if (!bias)
        return false;
    for (int y = 0; y < b->rows; y++)
        for (int x = 0; x < b->columns; x++)
            for (int o = 0; o < p->out; o++) {
                double sum = (double)packed->patch_bias[o];
                for (int ky = down[y].low; ky < down[y].high; ky++)
                    for (int kx = across[x].low; kx < across[x].high; kx++)
                        sum += (double)packed->patch_tap_bias[(ky * p->kernel + kx) * p->out + o];
                bias[(y * b->columns + x) * width + o] = (float)sum;
            }
    b->bias = bias;
    return true;
}

/* Columns of levels 1 to 3 that a quarter column reads (bilinear, align_corners = false). */
static bool plan_merge(cpu_plan *plan)
{
    const int w = plan->shape.stage[0].w;
    for (int i = 1; i < STAGES; i++) {
        const int from = plan->shape.stage[i].w;
        int32_t *left = arena_get(&plan->memory, (size_t)w, sizeof *left);
        float *across = arena_get(&plan->memory, (size_t)w, sizeof *across);
        if (!left || !across)
            return false;
        for (int x = 0; x < w; x++) {
            double at = (x + 0.5) * from / w - 0.5;
            at = at < 0 ? 0 : at;
            left[x] = least((int)at, from - 1);
            across[x] = (float)(at - left[x]);
        }
        plan->left[i] = left;
        plan->across[i] = across;
    }
    return true;
}

/* --------------------------------------------------------------------------------------- plan */

segrt_status plan_open(cpu_plan **out, const cpu_state *cpu, const network_shape *shape, segrt_error *error)
{
    *out = NULL;
    segrt_status status = SEGRT_OK;
    cpu_plan *plan = memory_get_cleared(1, sizeof *plan);
    if (!plan)
        return fail_memory(error, sizeof *plan, "a plan");
    plan->shape = *shape;
    plan->steps = arena_get(&plan->memory, cpu->count, sizeof *plan->steps);
    bool ok = plan->steps != NULL;
    for (int i = 0; ok && i < STAGES; i++)
        ok = plan_borders(plan, cpu, i);
    if (!ok || !plan_merge(plan)) {
        status = fail_memory(error, cpu->count * sizeof *plan->steps, "a plan");
        goto fail;
    }
    for (size_t at = 0; at < cpu->count;) {
        cpu_step *step = &plan->steps[plan->count++];
        step->row = best_row(cpu, at);
        step->first = cpu->operations[at];
        snprintf(step->name, sizeof step->name, "%s_%s", step->row->name, cpu->k->name);
        step->row->plan(cpu, plan, step);
        for (int i = 0; i < step->row->length; i++)
            step->macs += operation_macs(cpu->net, shape, cpu->operations[at + (size_t)i]);
        if (step->workspace > plan->workspace_bytes)
            plan->workspace_bytes = step->workspace;
        at += (size_t)step->row->length;
    }
    plan->workspace_bytes = (plan->workspace_bytes + 4095) / 4096 * 4096 + LINE; /* workers' pages stay apart */
    plan->workspace_bytes = (plan->workspace_bytes + LINE - 1) / LINE * LINE;
    status = plan_memory(plan, cpu, error);
    if (status)
        goto fail;
    for (size_t i = 0; i < plan->count; i++) {
        cpu_step *step = &plan->steps[i];
        const unsigned roles[2] = {step_reads(step), stage_roles(step->row->writes, step->first.stage < 0 ? 0 : step->first.stage)};
        for (int side = 0; side < 2; side++)
            for (int r = 0; r < ROLES; r++)
                if (roles[side] & ROLE_BIT(r) && (side ? step->out : step->in)[r] != NO_TENSOR)
                    step->bytes += tensor_bytes(cpu, shape, (tensor_role)r, step->first.stage, step->first.block);
    }
    *out = plan;
    return SEGRT_OK;
fail:
    plan_close(plan);
    return status;
}

void plan_close(cpu_plan *plan)
{
    if (!plan)
        return;
    arena_free(&plan->memory);
    memory_free(plan);
}
