/* gemm_tiles: the tile sizes of gemm.cuh, and what they need. */
#ifndef SEGRT_CUDA_GEMM_TILES_CUH
#define SEGRT_CUDA_GEMM_TILES_CUH

#include "backend/cuda/kernels.h"

/* rows, columns, rows and columns of a warp, stages */
#define TILE_128x128 128, 128, 64, 32, 3
#define TILE_128x64 128, 64, 32, 32, 4
#define TILE_64x64 64, 64, 32, 16, 4

namespace {

constexpr int SLICE = 128; /* bytes of k that a stage holds */
constexpr int STEPS = SLICE / 32;

__host__ __device__ constexpr int threads_of(int bm, int bn, int wm, int wn) { return bm / wm * (bn / wn) * 32; }
constexpr int MOST_TILES = 8; /* blocks of a cluster */
constexpr int MOST_STAGES = 8;
constexpr int MORE = 512; /* bytes behind it: biases of the columns, or border cases of the rows (gemm_end.cuh) */
constexpr int PICTURE_SLICES = 3; /* of the first patch convolution, made from the picture's bytes */

/* Shared memory: the slices at work (fewer than `stages` where k is short), or the results afterwards if that is more. */
__host__ __device__ constexpr int shared_of(int bm, int bn, int stages, bool rows, int element)
{
    const int ring = (bm + bn) * SLICE * stages, results = rows ? bm * (bn + 4 + 3 * MOST_TILES) * 4 : bm * (bn * element + 16);
    return ring > results ? ring : results;
}

/* Shared memory behind the ring where sums stay in registers (gemm_finish.cuh): parts of k from the cluster, numbers of rows in
 * two rounds, three vectors of columns. */
struct finish_shared {
    int parts, rows, vectors;
};

__host__ __device__ constexpr finish_shared finish_needs(int bm, int bn, int threads, int blocks, int splits)
{
    return {splits > 1 ? bm * bn * 4 : 0, 2 * blocks * (threads / 2) * 4, 3 * bn * 4};
}

enum { FINISH_ROUNDS = 3, FINISH_BARRIERS = 1 + FINISH_ROUNDS }; /* of numbers of rows; of parts of k, and rounds */

__host__ __device__ constexpr int finish_bytes(int bm, int bn, int threads, int blocks, int splits)
{
    const finish_shared needs = finish_needs(bm, bn, threads, blocks, splits);
    return needs.parts + needs.rows + needs.vectors;
}

/* Of slices that are there, that are done with, and of the end: a multiple of 16 bytes. */
constexpr int BULK_BARRIERS = (2 * MOST_STAGES + FINISH_BARRIERS) * 8;

/* Patches that lie side by side: a row of one is contiguous in memory. */
__host__ __device__ inline bool in_rows(const gemm_args &p) { return p.kernel == p.stride && p.pad == 0; }

} // namespace

#endif
