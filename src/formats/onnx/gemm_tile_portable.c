/* gemm_tile_portable: see gemm_tile.h.  4 x 8: with vectors of four floats, 8 sums, 2 of b and 1 of a fit 16 registers. */
#include "formats/onnx/gemm_tile.h"

GEMM_TILE(gemm_tile_portable, 16, 4)
