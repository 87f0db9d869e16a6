/* ceiling: what this machine reaches with a session's kernels at their best, all workers at once: products whose operands stay in
 * a core's caches, and a copy of memory that they do not hold.  A profile's percentages are of these two rates. */
#include <string.h>
#include <time.h>

#include "backend/cpu/state.h"
#include "base/memory.h"

enum {
    ROWS = 96,
    COLUMNS = 256,
    INNER = 512,      /* of a product: 0.5 MB of operands and sums at most, whole tiles of every table */
    PRODUCTS = 4,     /* a piece */
    COPIED = 1 << 23, /* bytes a piece, read and written */
    PIECES = 8,       /* a worker, of a copy: 128 MiB read and written by two workers */
};

static const double MEASURE_SECONDS = 0.05; /* each rate: the best of the rounds in it */

typedef struct ceiling_job {
    const cpu_kernels *k;
    const void *a, *b;
    float *c; /* [workers][ROWS][COLUMNS] */
    ptrdiff_t a_row;
    const char *from;
    char *to; /* [pieces][COPIED] both */
} ceiling_job;

static void multiply(void *user, int worker, int piece)
{
    const ceiling_job *job = user;
    (void)piece;
    const gemm_args args = {.m = ROWS,
                            .n = COLUMNS,
                            .k = INNER,
                            .a = job->a,
                            .a_row = job->a_row,
                            .a_panel = LINE / job->k->operand_bytes,
                            .b = job->b,
                            .b_panel = job->k->panel_bytes(INNER),
                            .c = job->c + (size_t)worker * ROWS * COLUMNS,
                            .c_row = COLUMNS,
                            .c_panel = FLOATS};
    kernels_begin(job->k);
    for (int i = 0; i < PRODUCTS; i++)
        job->k->gemm(&args);
    kernels_end(job->k);
}

static void copy(void *user, int worker, int piece)
{
    const ceiling_job *job = user;
    (void)worker;
    memcpy(job->to + (size_t)piece * COPIED, job->from + (size_t)piece * COPIED, COPIED);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Rounds a second, at best. */
static double best_rate(segrt_pool *pool, int pieces, pool_piece_fn *piece, void *job)
{
    double best = 0;
    pool_enter(pool);
    pool_run(pool, pieces, piece, job); /* touches the memory, wakes the workers */
    for (const double start = now(); now() - start < MEASURE_SECONDS;) {
        const double begin = now();
        pool_run(pool, pieces, piece, job);
        const double rate = 1 / (now() - begin);
        best = rate > best ? rate : best;
    }
    pool_leave(pool);
    return best;
}

segrt_status cpu_ceiling(const void *state, backend_ceiling *ceiling, segrt_error *error)
{
    const cpu_state *cpu = state;
    const cpu_kernels *k = cpu->k;
    const int workers = pool_workers(cpu->pool), pieces = PIECES * workers;
    const size_t copied = (size_t)pieces * COPIED, sums = (size_t)workers * ROWS * COLUMNS,
                 panels = COLUMNS / PANEL * k->panel_bytes(INNER);
    float *source = memory_get_array(COLUMNS * INNER, sizeof *source); /* ROWS < COLUMNS: weights, then the left side */
    char *left = memory_get(ROWS * INNER * sizeof(float)), *panels_of_b = memory_get(panels), *memory = memory_get(2 * copied);
    ceiling_job job = {
        .k = k, .b = panels_of_b, .c = memory_get_array(sums, sizeof(float)), .from = memory, .to = memory ? memory + copied : NULL};
    segrt_status status = SEGRT_OK;
    if (!source || !left || !panels_of_b || !memory || !job.c) {
        status = fail_memory(error, 2 * copied, "measuring the machine's ceiling");
        goto fail;
    }
    for (int i = 0; i < COLUMNS * INNER; i++)
        source[i] = (float)(i % 61 - 30) / 64; /* ordinary numbers: neither zeros nor denormals */
    k->pack_rows(panels_of_b, source, INNER, COLUMNS, INNER);
    job.a = as_operands(k, source, ROWS, INNER, left, &job.a_row);
    memset(memory, 1, copied);
    ceiling->macs = best_rate(cpu->pool, workers, multiply, &job) * workers * PRODUCTS * ROWS * COLUMNS * INNER;
    ceiling->bytes = best_rate(cpu->pool, pieces, copy, &job) * 2.0 * (double)copied;
fail:
    memory_free(job.c);
    memory_free(memory);
    memory_free(panels_of_b);
    memory_free(left);
    memory_free(source);
    return status;
}
