/* gemm: matrix products of any layout, in blocks that fit the caches.  Formats layer; see op.h. */
#include <string.h>

#include "base/cpu.h"
#include "formats/onnx/gemm_tile.h"
#include "formats/onnx/op.h"

/* A block of a is BLOCK_M x BLOCK_K floats (about half a second-level cache), one of b BLOCK_K x BLOCK_N. */
enum { BLOCK_M = 96, BLOCK_N = 512, BLOCK_K = 256 };
enum { PACKED_A = (BLOCK_M + 8) * BLOCK_K, PACKED_B = (BLOCK_N + 16) * BLOCK_K, SCRATCH = PACKED_A + PACKED_B };

typedef struct gemm_job {
    gemm_at_fn *at;
    const void *context;
    size_t rows, columns; /* blocks of one product */
    const gemm_tile *tile;
    float *scratch; /* [workers][SCRATCH] */
} gemm_job;

static const gemm_tile *tile_of_this_machine(void)
{
#if defined(__x86_64__)
    if (cpu_levels() >> CPU_AVX2 & 1)
        return gemm_tile_avx2();
#endif
    return gemm_tile_portable();
}

/* Lays `lines` x k elements out as [lines / width][k][width], the last group filled up with zeros. */
static void pack(float *to, const float *from, size_t lines, size_t k, size_t line_step, size_t k_step, size_t width)
{
    for (size_t first = 0; first < lines; first += width, to += width * k) {
        const size_t here = lines - first < width ? lines - first : width;
        if (here < width)
            memset(to, 0, width * k * sizeof *to);
        if (line_step == 1)
            for (size_t n = 0; n < k; n++)
                memcpy(to + n * width, from + first + n * k_step, here * sizeof *to);
        else
            for (size_t line = 0; line < here; line++)
                for (size_t n = 0; n < k; n++)
                    to[n * width + line] = from[(first + line) * line_step + n * k_step];
    }
}

static void block(const gemm *g, const gemm_tile *tile, size_t first_row, size_t first_column, float *packed_a, float *packed_b)
{
    const size_t rows = g->m - first_row < BLOCK_M ? g->m - first_row : BLOCK_M;
    const size_t columns = g->n - first_column < BLOCK_N ? g->n - first_column : BLOCK_N;
    float *c = g->c + first_row * g->ldc + first_column;
    if (!g->keep)
        for (size_t r = 0; r < rows; r++)
            memset(c + r * g->ldc, 0, columns * sizeof *c);
    for (size_t k = 0; k < g->k; k += BLOCK_K) {
        const size_t depth = g->k - k < BLOCK_K ? g->k - k : BLOCK_K;
        pack(packed_a, g->a + first_row * g->a_row + k * g->a_column, rows, depth, g->a_row, g->a_column, tile->rows);
        pack(packed_b, g->b + k * g->b_row + first_column * g->b_column, columns, depth, g->b_column, g->b_row, tile->columns);
        for (size_t n = 0; n < columns; n += tile->columns)
            for (size_t r = 0; r < rows; r += tile->rows)
                tile->run(depth, packed_a + r * depth, packed_b + n * depth, c + r * g->ldc + n, g->ldc,
                          rows - r < tile->rows ? rows - r : tile->rows, columns - n < tile->columns ? columns - n : tile->columns);
    }
}

static void gemm_piece(void *context, int worker, int piece)
{
    const gemm_job *job = context;
    const size_t blocks = job->rows * job->columns, at = (size_t)piece % blocks;
    gemm g = {0};
    job->at(job->context, (size_t)piece / blocks, &g);
    float *scratch = job->scratch + (size_t)worker * SCRATCH;
    block(&g, job->tile, at / job->columns * BLOCK_M, at % job->columns * BLOCK_N, scratch, scratch + PACKED_A);
}

segrt_status op_gemm_batch(op *o, size_t count, gemm_at_fn *at, const void *context)
{
    gemm g = {0};
    if (!count)
        return SEGRT_OK;
    at(context, 0, &g); /* all are of one size */
    if (!g.m || !g.n)
        return SEGRT_OK;
    gemm_job job = {at, context, (g.m + BLOCK_M - 1) / BLOCK_M, (g.n + BLOCK_N - 1) / BLOCK_N, tile_of_this_machine(), NULL};
    const double work = (double)count * (double)g.m * (double)g.n * (double)g.k, pieces = (double)count * (double)job.rows * (double)job.columns;
    if (pieces > INT32_MAX || work > 1e18)
        return op_fail(o, SEGRT_UNSUPPORTED, "is a product of %zu x %zu x %zu", g.m, g.n, g.k);
    segrt_status status = op_work(o, (uint64_t)work);
    if (status)
        return status;
    job.scratch = op_scratch(o, (size_t)pool_workers(o->pool) * SCRATCH);
    if (!job.scratch)
        return o->error->status;
    pool_run(o->pool, (int)pieces, gemm_piece, &job);
    op_scratch_free(o, job.scratch);
    return SEGRT_OK;
}

static void the_one(const void *context, size_t i, gemm *g)
{
    (void)i;
    *g = *(const gemm *)context;
}

segrt_status op_gemm(op *o, const gemm *g) { return op_gemm_batch(o, 1, the_one, g); }
