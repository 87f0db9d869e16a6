/* gemm: the choice of tile and split for a product, and the way to its kernel (gemm.cuh).  CUDA backend. */
#include "backend/cuda/bulk.h"
#include "backend/cuda/gemm_split.h"
#include "backend/cuda/gemm_tiles.cuh"

namespace {

struct tile_row {
    const char *name;
    int bm, bn, threads, stages, at_once; /* stages 0: by the copy engine only; at_once: blocks that the registers of a multiprocessor hold */
    double begin, rows;                   /* microseconds: of a block, of finishing rows */
    struct {
        int at_once;
        double begin, slice, rows, store; /* of a block, of a slice, of finishing rows, of storing */
    } bulk;                               /* the same where the copy engine brings operands */
};

const tile_row tiles[] = {
    {"gemm 128x128", 128, 128, threads_of(128, 128, 64, 32), 3, 2, 0.32, 5.84, {2, 2.83, 0.375, 3.83, 1.65}},
    {"gemm 128x64", 128, 64, threads_of(128, 64, 32, 32), 4, 2, 0.95, 3.35, {3, 2.21, 0.285, 1.53, 0.08}},
    {"gemm 64x64", 64, 64, threads_of(64, 64, 32, 16), 4, 3, 1.32, 1.80, {4, 1.91, 0.293, 0.57, 0.13}},
    {"gemm 128x160", 128, 160, 256, 0, 2, 0, 0, {2, 1.29, 0.492, 4.43, 2.54}},
    {"gemm 64x160", 64, 160, 128, 0, 3, 0, 0, {3, 3.68, 0.256, 1.69, 0}},
    {"gemm 64x128", 64, 128, 128, 0, 3, 0, 0, {3, 2.80, 0.193, 2.11, 0.23}},
};
constexpr int TILES = sizeof tiles / sizeof *tiles;

/* By the copy engine: how much slower for each block beside; microseconds a byte; how much dearer a patch's norm; of k split at
 * all, and of each 4096 sums of a tile. */
constexpr double BULK_SHARE = 0.54, BULK_TRAFFIC = 0.189e-6, BULK_PATCH = 2.46, BULK_SPLIT = 0.62, BULK_PART = 0.84;

/* A product in tiles of a kind, its k split over `splits` blocks. */
struct layout_of {
    long across, blocks;
    int each;      /* slices of a block */
    bool together; /* the blocks of a row are a cluster */
};

layout_of lay_out(const gemm_args &p, const tile_row &t, int splits, int slices, bool clusters)
{
    const long across = (p.n + t.bn - 1) / t.bn, down = (p.m + t.bm - 1) / t.bm;
    return {across, across * down * splits, (slices + splits - 1) / splits, clusters && across * splits <= MOST_TILES && t.bm * t.bn / 4 / t.threads % splits == 0};
}

/* Slices in the ring that the copy engine fills, as many as fit: blocks of a multiprocessor share its memory.  0: too few. */
int bulk_ring(const gemm_args &p, const tile_row &t, const layout_of &l, int splits, int processors)
{
    const int cluster = p.end == GEMM_ROWS ? (int)l.across * splits : 1;
    long beside = (l.blocks + processors - 1) / processors;
    if (cluster > 4 && beside < 2) /* a large cluster needs its places at once: one a multiprocessor leaves too few */
        beside = 2;
    const int room = 227 * 1024 / (int)(beside < t.at_once ? beside : t.at_once) - 1024 - BULK_BARRIERS - finish_bytes(t.bm, t.bn, t.threads, cluster, splits);
    const int fit = room / ((t.bm + t.bn) * SLICE), most = l.each < MOST_STAGES ? l.each : MOST_STAGES;
    return fit >= most ? most : fit < 2 ? 0 : fit;
}

/* Microseconds by models that rank well enough: a slice costs time by its size, at least its way from the second-level
 * cache; blocks beyond what fits at once wait; finishing rows is cheap in a cluster and dear without.  The numbers are fitted
 * to every tile and split of the products of b0 and b2: copied by threads on an H200 (what it chooses is 2 % slower than the
 * best of each), by the copy engine on an H100 (1.3 %). */
double threads_cost(const gemm_args &p, const tile_row &t, const layout_of &l, int splits, int processors, int element, double rate)
{
    const int stages = l.each < t.stages ? l.each : t.stages, room = 220 * 1024 / shared_of(t.bm, t.bn, stages, p.end == GEMM_ROWS, element);
    const int fit = room < t.at_once ? room : t.at_once, resident = (int)((l.blocks + processors - 1) / processors);
    const int at_once = resident < fit ? resident : fit;
    const double waves = (double)((l.blocks + (long)processors * at_once - 1) / ((long)processors * at_once));
    const double work = (double)t.bm * t.bn * SLICE * 8e-7 / rate * at_once;
    const double traffic = (double)l.blocks * l.each * (t.bm + t.bn) * SLICE / processors * 46e-6; /* from the second-level cache */
    double cost = waves * (t.begin + l.each * work);
    cost = cost > traffic ? cost : traffic;
    if (p.end == GEMM_ROWS) {
        cost += waves * t.rows / splits * (p.rows == ROW_PATCH ? 2.64 : 1) * (1 + 0.14 * (at_once - 1));
        if (l.across * splits > 1)
            cost += l.together ? 0.9 + 0.1 * splits : 30 + (double)t.bm * p.n * (splits + 1) * 2.2e-4;
    }
    return cost;
}

double bulk_cost(const gemm_args &p, const tile_row &t, const layout_of &l, int splits, int processors)
{
    const long resident = (l.blocks + processors - 1) / processors, at_once = resident < t.bulk.at_once ? resident : t.bulk.at_once;
    const double waves = (double)((l.blocks + processors * at_once - 1) / (processors * at_once)), slower = 1 + BULK_SHARE * (double)(at_once - 1);
    const double traffic = (double)l.blocks * l.each * (t.bm + t.bn) * SLICE * BULK_TRAFFIC;
    double cost = waves * (t.bulk.begin + l.each * t.bulk.slice * slower);
    cost = cost > traffic ? cost : traffic;
    if (p.end != GEMM_ROWS)
        return cost + waves * slower * t.bulk.store;
    cost += waves * slower * t.bulk.rows / splits * (p.rows == ROW_PATCH ? BULK_PATCH : 1);
    return splits > 1 ? cost + BULK_SPLIT + waves * t.bm * t.bn / 4096 * BULK_PART : cost;
}

} // namespace

bool gemm_boxes(const gemm_args *args, int bm, int elements)
{
    const gemm_args &p = *args;
    const int across = p.out_w < bm ? p.out_w : bm, down = bm / across;
    const bool box = p.out_w < bm ? bm % p.out_w == 0 : p.out_w % bm == 0, one = p.m == p.out_w * p.out_h || p.out_w * p.out_h % bm == 0;
    const int together = in_rows(p) ? p.kernel * p.channels : p.channels, step = in_rows(p) ? 1 : p.stride;
    return box && one && together % elements == 0 && p.lda == p.channels && p.stride <= BULK_STEP && across * step <= BULK_SIDE && down * p.stride <= BULK_SIDE;
}

size_t gemm_choose(gemm_args *args, numeric type, int processors, bool clusters, bool wide)
{
    if (args->split) {
        gemm_split_choose(args, processors);
        return 0;
    }
    const int elements = SLICE / (type == NUMERIC_F16 || type == NUMERIC_BF16 ? 2 : 4), slices = (args->k + elements - 1) / elements;
    args->wide = wide && (type == NUMERIC_F16 || type == NUMERIC_BF16);
    const double rate = type == NUMERIC_F32 ? 1.0 / 3 : 1;
    double best = 0;
    args->tile = -1;
    for (int t = 0; t < TILES; t++)
        for (int splits = 1; splits <= 16; splits *= 2) {
            if (splits > 1 && (args->end != GEMM_ROWS || slices / splits < 2))
                break;
            const layout_of l = lay_out(*args, tiles[t], splits, slices, clusters);
            const bool ends = args->end == GEMM_STORE || args->end == GEMM_KEYS || (args->end == GEMM_ROWS && (l.across * splits == 1 || l.together));
            const int stages = args->wide && ends && !args->pitch && (!args->kernel || gemm_boxes(args, tiles[t].bm, elements)) ? bulk_ring(*args, tiles[t], l, splits, processors) : 0;
            if (!stages && !tiles[t].stages)
                continue;
            const double cost =
                stages ? bulk_cost(*args, tiles[t], l, splits, processors) : threads_cost(*args, tiles[t], l, splits, processors, SLICE / elements, rate);
            if (args->tile < 0 || cost < best) {
                best = cost;
                args->stages = stages;
                args->tile = t;
                args->splits = splits;
                args->together = l.together;
            }
        }
    const layout_of l = lay_out(*args, tiles[args->tile], args->splits, slices, clusters);
    const bool partial = args->end == GEMM_ROWS && l.across * args->splits > 1 && !args->together && (args->splits > 1 || args->rows != ROW_RESIDUAL);
    return partial ? (size_t)args->splits * (size_t)args->m * (size_t)args->n : 0;
}

bool gemm_takes_picture(const gemm_args *args, numeric type, bool wide)
{
    return wide && (type == NUMERIC_F16 || type == NUMERIC_BF16) && args->n <= 64 && args->k <= PICTURE_SLICES * SLICE / 2;
}

const char *gemm_name(const gemm_args *args) { return args->split ? gemm_split_name(args) : args->pitch ? "patch from bytes" : tiles[args->tile].name; }

cudaError_t gemm_launch(const gemm_args *args, numeric type, const launch *how)
{
    static cudaError_t (*const launchers[NUMERICS])(const gemm_args *, const launch *) = {gemm_launch_f16, gemm_launch_bf16, gemm_launch_tf32, gemm_launch_f32};
    return args->split ? gemm_split_launch(args, type, how) : launchers[type](args, how);
}
