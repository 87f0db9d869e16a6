/* bilinear: where a coordinate of a larger grid lies in a smaller one (align_corners = false).  CUDA backend. */
#ifndef SEGRT_CUDA_BILINEAR_CUH
#define SEGRT_CUDA_BILINEAR_CUH

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

#endif
