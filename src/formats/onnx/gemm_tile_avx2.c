/* gemm_tile_avx2: see gemm_tile.h.  6 x 16: 12 sums, 2 of b and 1 of a fit 16 registers. */
#include "formats/onnx/gemm_tile.h"

GEMM_TILE(gemm_tile_avx2, 32, 6)
