/* bilinear: where a coordinate of a larger grid lies in a smaller one (align_corners = false).  CUDA backend. */
#ifndef SEGRT_CUDA_BILINEAR_CUH
#define SEGRT_CUDA_BILINEAR_CUH

#include "backend/cuda/numeric.cuh"

struct tap {
    int i0, i1;
    float t; /* weight of i1 */
};

/* In whole numbers, so that it is exact; sides up to 32767. */
__device__ __forceinline__ tap bilinear_tap(int at, int from, int to)
{
    const int numerator = max((int)((2u * (unsigned)at + 1) * (unsigned)from - (unsigned)to), 0);
    const int i0 = numerator / (2 * to);
    return {i0, min(i0 + 1, from - 1), (float)(numerator - i0 * 2 * to) / (float)(2 * to)};
}

/* The weights of a point's four neighbours, added to those of a window of the smaller grid that begins with row `top` and column `left`,
 * `across` columns wide; it lies at row[first]. */
template <numeric N> __device__ __forceinline__ void add_taps(storage_t<N> *row, int first, int across, int top, int left, const tap &y, const tap &x)
{
    auto put = [&](int iy, int ix, float w) {
        storage_t<N> *to = row + first + (iy - top) * across + ix - left;
        *to = narrow<N>((float)*to + w); /* at the border both taps are one */
    };
    put(y.i0, x.i0, (1 - y.t) * (1 - x.t));
    put(y.i0, x.i1, (1 - y.t) * x.t);
    put(y.i1, x.i0, y.t * (1 - x.t));
    put(y.i1, x.i1, y.t * x.t);
}

#endif
