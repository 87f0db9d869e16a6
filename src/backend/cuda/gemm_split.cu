/* gemm_split: the choice of tile and split for a product of split operands, and the way to its kernel (gemm_split.cuh). */
#include "backend/cuda/gemm_split.h"
#include "backend/cuda/bulk.h"
#include "backend/cuda/gemm_tiles.cuh"
#include "backend/cuda/split.cuh"

namespace {

/* at_once: blocks that a multiprocessor holds; microseconds of a block, of a slice, of finishing rows, of storing */
struct split_tile {
    const char *name;
    int bm, bn, threads, at_once;
    double begin, slice, rows, store;
};

const split_tile tiles[] = {
    {"split 128x128", 128, 128, 256, 1, 4.0, 0.50, 7.2, 2.5},
    {"split 128x64", 128, 64, 256, 2, 2.0, 0.32, 3.8, 2.2},
    {"split 64x128", 64, 128, 128, 2, 2.5, 0.34, 4.0, 1.6},
    {"split 64x64", 64, 64, 128, 3, 2.0, 0.28, 3.0, 0.8},
};
constexpr int TILES = sizeof tiles / sizeof *tiles, COPYING = 2; /* the one whose threads copy patches that are no boxes */

/* How much slower for each block beside; microseconds a byte; of a patch's norm; of a cluster, and of a split. */
constexpr double SHARE = 0.7, TRAFFIC = 0.19e-6, PATCH = 2.1, CLUSTER = 3.6, SPLIT = 0.13;

double split_cost(const gemm_args &p, const split_tile &t, long across, int splits, int slices, int processors)
{
    const long blocks = across * ((p.m + t.bm - 1) / t.bm) * splits, resident = (blocks + processors - 1) / processors;
    const long at_once = resident < t.at_once ? resident : t.at_once;
    const int each = (slices + splits - 1) / splits;
    const double waves = (double)((blocks + processors * at_once - 1) / (processors * at_once)), slower = 1 + SHARE * (double)(at_once - 1);
    const double traffic = (double)blocks * each * (t.bm + t.bn) * SLICE * TRAFFIC;
    double cost = waves * (t.begin + each * t.slice * slower);
    cost = cost > traffic ? cost : traffic;
    if (p.end != GEMM_ROWS)
        return cost + waves * slower * t.store;
    cost += waves * slower * t.rows / splits * (p.rows == ROW_PATCH ? PATCH : 1);
    return across * splits > 1 ? cost + CLUSTER + SPLIT * splits : cost;
}

} // namespace

void gemm_split_choose(gemm_args *args, int processors)
{
    const int slices = (args->k * 4 + SLICE - 1) / SLICE;
    double best = 0;
    args->tile = -1;
    for (int t = 0; t < TILES; t++) {
        if (args->kernel && t != COPYING && !gemm_boxes(args, tiles[t].bm, SPLIT_GROUP))
            continue;
        for (int splits = 1; splits <= 8; splits *= 2) {
            const long across = (args->n + tiles[t].bn - 1) / tiles[t].bn;
            if (splits > 1 && (args->end != GEMM_ROWS || slices / splits < 2))
                break;
            if (args->end == GEMM_ROWS && (across * splits > MOST_TILES || tiles[t].bm * tiles[t].bn / 4 / tiles[t].threads < splits))
                break; /* rows are finished by a cluster at most */
            const double cost = split_cost(*args, tiles[t], across, splits, slices, processors);
            if (args->tile < 0 || cost < best) {
                best = cost;
                args->tile = t;
                args->splits = splits;
                args->together = args->end == GEMM_ROWS;
            }
        }
    }
    const split_tile &t = tiles[args->tile];
    const int each = (slices + args->splits - 1) / args->splits, room = 226 * 1024 / t.at_once - 2048 - split_rows_bytes(t.bm, MOST_TILES), fit = room / ((t.bm + t.bn) * SLICE);
    args->stages = fit < each ? fit : each;
    args->stages = args->stages < MOST_STAGES ? args->stages : MOST_STAGES;
}

const char *gemm_split_name(const gemm_args *args) { return tiles[args->tile].name; }

cudaError_t gemm_split_launch(const gemm_args *args, numeric type, const launch *how)
{
    return type == NUMERIC_F32 ? gemm_split_launch_f32(args, how) : gemm_split_launch_tf32(args, how);
}
