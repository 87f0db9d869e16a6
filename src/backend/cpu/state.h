/* state: what an open CPU backend holds, shared by its parts.
 *
 *   packed.c    weights in the kernels' layouts, once at open
 *   quantised.c weights of the products that run on 8-bit integers
 *   registry.c  rows: which operations a step covers and how it runs
 *   plan.c      for a shape: the list of steps that covers all operations, places of tensors in the arena
 *   step_*.c    the steps, over a table of kernels (kernels/kernels.h); steps.c what they share
 *   observe.c   results of steps as plain floats
 *   ceiling.c   what the machine reaches with these kernels, for a profile
 *   backend.c   the backend: open, prepare, run, close
 *
 * Tensors.  x, f and reduced are row-major floats [n][tokens][width], query and attended row-major operands; levels are blocked floats, hidden,
 * gelu and merged blocked operands (kernels.h), a picture after the other; keys and values are packed as the second
 * factor of a product, per picture and head; norms tell whether the softmax can do without maxima; logits [n][h][max(w, LABEL_TAPS)][pitch], padded. */
#ifndef SEGRT_CPU_STATE_H
#define SEGRT_CPU_STATE_H

#include "backend/backend.h"
#include "backend/cpu/kernels/kernels.h"
#include "backend/cpu/quantised.h"

/* ------------------------------------------------------------------------------------ weights */

/* y = W x (+ bias) in packed form. */
typedef struct packed_linear {
    const void *b;     /* [ceil(n / PANEL)] panels */
    size_t b_panel;
    const float *bias; /* [n rounded up to a line of operands], or NULL */
    int n, k;
} packed_linear;

typedef struct packed_block {
    packed_linear reduce, key, value, query, project, fc1, fc2;
    const float *key_bias, *out_bias;
    const void *depthwise; /* [ceil(hidden / L)][depthwise_bytes] */
    float eps1, reduce_eps, eps2;
    int hidden;
    bool reduce_plain;
} packed_block;

typedef struct packed_stage {
    packed_linear patch;
    float *patch_tap_bias;                                /* [taps][out] */
    const float *patch_bias, *patch_gamma, *patch_beta; /* [out] */
    const float *offset;
    packed_block *blocks;
    float patch_eps, eps;
} packed_stage;

typedef struct packed_network {
    packed_stage stages[STAGES];
    packed_linear inner[STAGES], level[STAGES], classifier;
    const float *head_bias; /* [width rounded up] */
    void *memory;
    size_t bytes;
} packed_network;

segrt_status packed_open(packed_network *out, const network *net, const cpu_kernels *k, arena *memory, segrt_pool *pool, segrt_error *error);
void packed_close(packed_network *packed);

/* --------------------------------------------------------------------------------------- plan */

typedef enum tensor_role {
    ROLE_X,
    ROLE_REDUCED,
    ROLE_KEYS,
    ROLE_VALUES,
    ROLE_SHIFT,
    ROLE_NORMS,                  /* [heads + 1][ceil(keys / KEY_BLOCK)]: largest length of a block's keys; one head: then largest |shift| */
    ROLE_QUERY,
    ROLE_ATTENDED,
    ROLE_HIDDEN,
    ROLE_GELU,
    ROLE_F,                      /* of each stage */
    ROLE_LEVEL = ROLE_F + STAGES, /* of each stage */
    ROLE_MERGED = ROLE_LEVEL + STAGES,
    ROLE_LOGITS,
    ROLES
} tensor_role;

enum { KEY_BLOCK = 32 }; /* keys made at once: two panels, one k unit of the widest kernels */

#define ROLE_BIT(role) (1u << (role))

typedef struct cpu_state cpu_state;
typedef struct cpu_plan cpu_plan;
typedef struct cpu_step cpu_step;
typedef struct step_run step_run;

/* One way to do one or several operations in a row. */
typedef struct step_row {
    const char *name;
    operation_kind pattern[4];
    int length;
    unsigned reads, writes, updates; /* roles; ROLE_F and ROLE_LEVEL mean the step's own stage */
    bool reads_before;               /* f of the stage before */
    bool reads_levels;               /* levels of stages 1 to 3 */
    bool (*supports)(const cpu_state *cpu, operation first); /* NULL: always */
    void (*plan)(const cpu_state *cpu, const cpu_plan *plan, cpu_step *step); /* sets pieces, rows and workspace */
    void (*run)(const step_run *job, void *workspace, int piece);
} step_row;

extern const step_row step_rows[]; /* best first */
extern const size_t step_row_count;

struct cpu_step {
    const step_row *row;
    operation first;
    char name[48];      /* of the row and its kernels */
    int pieces;         /* of the whole batch */
    int bands, rows;    /* of one picture: bands of so many rows (image rows or tokens) */
    size_t workspace;   /* bytes for each worker */
    size_t in[ROLES], out[ROLES]; /* arena offsets before and after the step; NO_TENSOR where there is none */
    double seconds;
    uint64_t macs, bytes;
};

#define NO_TENSOR SIZE_MAX

/* Which taps of a patch convolution lie inside, by border case, and the bias that this makes. */
typedef struct patch_borders {
    int rows, columns;      /* cases */
    const int *row, *column; /* case of each output row and column */
    const float *bias;      /* [rows][columns][out rounded up to PANEL] */
} patch_borders;

/* Tables of a resize, reused while sizes stay. */
typedef struct label_tables {
    int h, w, logit_h, logit_w, input_h, input_w;
    bool via_input;
    label_axis vertical, horizontal;
    void *memory;
    size_t bytes;
} label_tables;

struct cpu_plan {
    network_shape shape;
    arena memory;          /* steps and tables */
    cpu_step *steps;
    size_t count;
    size_t arena_bytes, workspace_bytes;
    patch_borders borders[STAGES];
    const int32_t *left[STAGES]; /* merge: [w of stage 0] for stages 1 to 3 */
    const float *across[STAGES];
    uint64_t used;         /* when it was last run, for the choice of which to forget */
};

enum { PLANS = 4 };

struct cpu_state {
    const network *net;
    const cpu_kernels *k;
    segrt_pool *pool;
    backend_options options;
    arena memory;
    operation *operations;
    size_t count;
    packed_network packed;
    const int8_kernels *q;       /* of an int8 session, else NULL */
    quantised_network quantised; /* the same */
    cpu_plan *plans[PLANS];
    uint64_t clock;
    char *arena; /* tensors of the run under way */
    size_t arena_bytes;
    char *workspaces; /* [pool_workers] */
    size_t workspace_bytes;
    label_tables labels;
    backend_profile_row *profile;
    size_t profile_room;
    const cpu_plan *latest;
    char description[96];
};

struct step_run {
    const cpu_state *cpu;
    const cpu_plan *plan;
    const cpu_step *step;
    const backend_run *run;
};

/* Plans for a shape.  Close with plan_close. */
segrt_status plan_open(cpu_plan **out, const cpu_state *cpu, const network_shape *shape, segrt_error *error);
void plan_close(cpu_plan *plan);

/* Bytes of a tensor of a stage for the whole batch, and of one picture's part. */
size_t tensor_bytes(const cpu_state *cpu, const network_shape *shape, tensor_role role, int stage, int block);
size_t picture_bytes(const cpu_state *cpu, const network_shape *shape, tensor_role role, int stage, int block);

/* A tensor as row-major floats [n][rows][channels], for observers.  channels 0: a tensor that nobody observes. */
int tensor_channels(const cpu_state *cpu, operation op);
void tensor_read(const step_run *job, operation op, float *out);

/* ------------------------------------------------------------------------------------ helpers */

static inline int round_up(int x, int unit) { return (x + unit - 1) / unit * unit; }
static inline int least(int a, int b) { return a < b ? a : b; }
static inline int greatest(int a, int b) { return a > b ? a : b; }
static inline bool reads_floats(const cpu_kernels *k) { return k->operand_bytes == sizeof(float); }
static inline int lanes_of(const cpu_kernels *k) { return LINE / k->operand_bytes; }

/* Places in a piece of memory, one after the other on lines; with base NULL only counts. */
typedef struct bump {
    char *base;
    size_t used;
} bump;

static inline void *bump_take(bump *b, size_t bytes)
{
    void *at = b->base ? b->base + b->used : NULL;
    b->used += (bytes + LINE - 1) / LINE * LINE;
    return at;
}

static inline void *bump_operands(bump *b, const cpu_kernels *k, size_t count)
{
    return bump_take(b, count * (size_t)k->operand_bytes);
}

static inline float *bump_floats(bump *b, size_t count) { return bump_take(b, count * sizeof(float)); }

/* The tensor of a role as the step finds it, and as it leaves it; picture p's part. */
static inline void *step_in(const step_run *job, tensor_role role, int p)
{
    return job->cpu->arena + job->step->in[role] +
           (size_t)p * picture_bytes(job->cpu, &job->plan->shape, role, job->step->first.stage, job->step->first.block);
}

static inline void *step_out(const step_run *job, tensor_role role, int p)
{
    return job->cpu->arena + job->step->out[role] +
           (size_t)p * picture_bytes(job->cpu, &job->plan->shape, role, job->step->first.stage, job->step->first.block);
}

static inline const packed_stage *step_stage(const step_run *job) { return &job->cpu->packed.stages[job->step->first.stage]; }
static inline const packed_block *step_block(const step_run *job) { return &step_stage(job)->blocks[job->step->first.block]; }
static inline const stage_shape *step_shape(const step_run *job) { return &job->plan->shape.stage[job->step->first.stage]; }

/* Splits `units` rows of each picture into bands: about `each` for every worker, at least `smallest` rows, multiples of `unit`. */
void step_split(const cpu_state *cpu, const cpu_plan *plan, cpu_step *step, int units, int each, int smallest, int unit);

/* Rows [begin, end) of piece `piece`, of picture *p. */
static inline void step_band(const step_run *job, int piece, int units, int *p, int *begin, int *end)
{
    *p = piece / job->step->bands;
    *begin = piece % job->step->bands * job->step->rows;
    *end = least(*begin + job->step->rows, units);
}

/* Floats as operands: x itself where operands are floats, else rounded copies in `scratch` [m][columns rounded up to a line]. */
static inline const void *as_operands(const cpu_kernels *k, const float *x, int m, int n, void *scratch, ptrdiff_t *row)
{
    if (reads_floats(k)) {
        *row = n;
        return x;
    }
    *row = round_up(n, lanes_of(k));
    k->operands(x, n, m, n, NULL, scratch, *row);
    return scratch;
}

static inline const void *offset_operands(const cpu_kernels *k, const void *p, size_t count)
{
    return (const char *)p + count * (size_t)k->operand_bytes;
}

/* A product with a packed linear map of row-major operands into row-major floats; add on the result where it is set. */
void linear(const cpu_kernels *k, const packed_linear *w, const void *a, ptrdiff_t a_row, int m, const float *row_scale, const float *add,
            const float *bias, float *c, ptrdiff_t c_row);

/* Logits of one quarter row [w][pitch] to the caller's planes, where it wants them. */
void store_logits(const step_run *job, int p, int y, const float *row);

static inline int logit_pitch(const cpu_state *cpu) { return round_up(cpu->net->classes, PANEL); }
static inline int logit_columns(const network_shape *shape) { return greatest(shape->stage[0].w, LABEL_TAPS); }
/* Makes a row of logits fit for `label`: classes beyond the last never win, columns beyond the last repeat it. */
void pad_logits(const cpu_state *cpu, const network_shape *shape, float *row);
/* Output rows that start in quarter rows [begin, end) of picture p; rows: logits of quarter row y at rows[y % count]. */
void label_rows(const step_run *job, int p, int begin, int end, const float *rows, int count, void *scratch);
size_t label_scratch(const cpu_state *cpu);
segrt_status label_tables_fit(label_tables *t, const network_shape *shape, const label_output *output, segrt_error *error);

/* backend.h: what the machine reaches with this session's kernels. */
segrt_status cpu_ceiling(const void *state, backend_ceiling *ceiling, segrt_error *error);

#endif
