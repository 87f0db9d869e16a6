/* gemm: the choice of tile and split for a product, and the way to its kernel (gemm.cuh).  CUDA backend. */
#include "backend/cuda/gemm_tiles.cuh"
#include "backend/cuda/kernels.h"

namespace {

struct tile_row {
    const char *name;
    int bm, bn, threads, stages, at_once; /* at_once: blocks that the registers of a multiprocessor hold */
    double begin, rows;                   /* microseconds: of a block, of finishing rows */
};

const tile_row tiles[] = {
    {"gemm 128x128", 128, 128, threads_of(128, 128, 64, 32), 3, 2, 0.32, 5.84},
    {"gemm 128x64", 128, 64, threads_of(128, 64, 32, 32), 4, 2, 0.95, 3.35},
    {"gemm 64x64", 64, 64, threads_of(64, 64, 32, 16), 4, 3, 1.32, 1.80},
};
constexpr int TILES = sizeof tiles / sizeof *tiles;

} // namespace

/* Microseconds by a model that ranks well enough, its numbers fitted to every tile and split of 92 products of b0 and b2 on
 * an H200 (what it chooses is 2 % slower than the best of each): a slice costs time by its size, at least its way from the
 * second-level cache; blocks beyond what fits at once wait; finishing rows is cheap in a cluster
 * and dear without. */
size_t gemm_choose(gemm_args *args, numeric type, int processors, bool clusters, bool wide)
{
    const int elements = SLICE / (type == NUMERIC_F16 || type == NUMERIC_BF16 ? 2 : 4), slices = (args->k + elements - 1) / elements;
    args->wide = wide && type != NUMERIC_F32;
    const double rate = type == NUMERIC_F32 ? 1.0 / 3 : 1;
    double best = 0;
    args->tile = -1;
    for (int t = 0; t < TILES; t++) {
        const long across = (args->n + tiles[t].bn - 1) / tiles[t].bn, down = (args->m + tiles[t].bm - 1) / tiles[t].bm;
        for (int splits = 1; splits <= 16; splits *= 2) {
            if (splits > 1 && (args->end != GEMM_ROWS || slices / splits < 2))
                break;
            const long blocks = across * down * splits;
            const int each = (slices + splits - 1) / splits, stages = each < tiles[t].stages ? each : tiles[t].stages;
            const int room = 220 * 1024 / shared_of(tiles[t].bm, tiles[t].bn, stages, args->end == GEMM_ROWS, SLICE / elements);
            const int fit = room < tiles[t].at_once ? room : tiles[t].at_once, resident = (int)((blocks + processors - 1) / processors);
            const int at_once = resident < fit ? resident : fit;
            const double waves = (double)((blocks + (long)processors * at_once - 1) / ((long)processors * at_once));
            const double work = (double)tiles[t].bm * tiles[t].bn * SLICE * 8e-7 / rate * at_once;
            const double traffic = (double)blocks * each * (tiles[t].bm + tiles[t].bn) * SLICE / processors * 46e-6; /* from the second-level cache */
            const bool together = clusters && across * splits <= MOST_TILES && tiles[t].bm * tiles[t].bn / 4 / tiles[t].threads >= splits;
            double cost = waves * (tiles[t].begin + each * work);
            cost = cost > traffic ? cost : traffic;
            if (args->end == GEMM_ROWS) {
                cost += waves * tiles[t].rows / splits * (args->rows == ROW_PATCH ? 2.64 : 1) * (1 + 0.14 * (at_once - 1));
                if (across * splits > 1)
                    cost += together ? 0.9 + 0.1 * splits : 30 + (double)tiles[t].bm * args->n * (splits + 1) * 2.2e-4;
            }
            if (args->tile < 0 || cost < best) {
                best = cost;
                args->tile = t;
                args->splits = splits;
                args->together = together;
            }
        }
    }
    const bool alone = args->n <= tiles[args->tile].bn && args->splits == 1;
    const bool partial = args->end == GEMM_ROWS && !alone && !args->together && (args->splits > 1 || args->rows != ROW_RESIDUAL);
    return partial ? (size_t)args->splits * (size_t)args->m * (size_t)args->n : 0;
}

const char *gemm_name(const gemm_args *args) { return tiles[args->tile].name; }

cudaError_t gemm_launch(const gemm_args *args, numeric type, const launch *how)
{
    static cudaError_t (*const launchers[NUMERICS])(const gemm_args *, const launch *) = {gemm_launch_f16, gemm_launch_bf16, gemm_launch_tf32, gemm_launch_f32};
    return launchers[type](args, how);
}
