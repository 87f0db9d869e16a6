/* gemm_split_rows: rows of a product that stay in the registers where it made them, from their first bias to the last norm.  Part of
 * gemm_split.cuh; k is not split over blocks (gemm_rows.cuh is for those).
 *
 * Sums begin as bias and residual, so nothing is read at the end that the product could not wait beside.  A thread has two rows, eight
 * apart, and four lanes a row of a block's columns; the blocks of a cluster have the other columns and tell each other their sums. */
#ifndef SEGRT_CUDA_GEMM_SPLIT_ROWS_CUH
#define SEGRT_CUDA_GEMM_SPLIT_ROWS_CUH

#include "backend/cuda/gemm_rows.cuh"
#include "backend/cuda/gemm_split.h"

namespace {

template <int BM, int RIGHT> struct split_rows {
    const gemm_args &p;
    uint32_t exchanged; /* [SPLIT_ROUNDS][across][BM] in shared memory */
    int local, row, column;

    __device__ __forceinline__ split_rows(const gemm_args &args, uint32_t shared, int wm)
        : p(args), exchanged(shared), local(wm + (threadIdx.x >> 2 & 7)), row(blockIdx.y * BM + local), column(blockIdx.x * RIGHT * 8 + (threadIdx.x & 3) * 2)
    {
    }

    __device__ __forceinline__ float2 read(const float *from, int j, bool there) const
    {
        return there && column + j * 8 < p.n ? *(const float2 *)(from + j * 8) : make_float2(0, 0);
    }

    /* Before the product: biases, and the stream, which the kernel before may have written. */
    __device__ __forceinline__ void begin(float (&sum)[RIGHT][4]) const
    {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int r = min(row + half * 8, p.m - 1);
            const float *bias = p.bias + column, *x = p.x + (size_t)r * p.ldo + column;
            if (p.end == GEMM_ROWS && p.rows == ROW_PATCH) {
                const int pixel = r % (p.out_h * p.out_w), oy = pixel / p.out_w, ox = pixel - oy * p.out_w;
                bias += (size_t)(p.case_y[oy] * p.cases_x + p.case_x[ox]) * p.n;
            }
#pragma unroll
            for (int j = 0; j < RIGHT; j++) {
                const float2 b = read(bias, j, p.bias), before = read(x, j, p.end == GEMM_ROWS && p.rows == ROW_RESIDUAL);
                sum[j][2 * half] = b.x + before.x;
                sum[j][2 * half + 1] = b.y + before.y;
            }
        }
    }

    template <numeric N> __device__ __forceinline__ void store(float (&sum)[RIGHT][4]) const
    {
        const float least = p.relu ? 0 : -INFINITY;
#pragma unroll
        for (int half = 0; half < 2; half++)
            if (row + half * 8 < p.m)
#pragma unroll
                for (int j = 0; j < RIGHT; j++)
                    if (column + j * 8 < p.n)
                        *(pair<N> *)((float *)p.out + (size_t)(row + half * 8) * p.ldo + column + j * 8) =
                            narrow2<N>(fmaxf(sum[j][2 * half], least), fmaxf(sum[j][2 * half + 1], least));
    }

    /* Both rows' numbers, added up over the row. */
    __device__ __forceinline__ void add_up(float (&v)[2], int round) const
    {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            v[half] += __shfl_xor_sync(0xffffffffu, v[half], 1);
            v[half] += __shfl_xor_sync(0xffffffffu, v[half], 2);
        }
        const int across = gridDim.x;
        if (across == 1)
            return;
        const uint32_t own = exchanged + (uint32_t)(round * across * BM + local) * 4;
        for (int to = threadIdx.x & 3; to < across; to += 4)
#pragma unroll
            for (int half = 0; half < 2; half++)
                peer_store(peer_address(own + (uint32_t)(blockIdx.x * BM + half * 8) * 4, to), v[half]);
        cluster_sync();
#pragma unroll
        for (int half = 0; half < 2; half++) {
            v[half] = 0;
            for (int from = 0; from < across; from++) {
                float there;
                asm volatile("ld.shared.f32 %0, [%1];" : "=f"(there) : "r"(own + (uint32_t)(from * BM + half * 8) * 4) : "memory");
                v[half] += there;
            }
        }
    }

    __device__ __forceinline__ void squares(const float (&sum)[RIGHT][4], float (&v)[2], int round) const
    {
        v[0] = v[1] = 0;
#pragma unroll
        for (int j = 0; j < RIGHT; j++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                v[e >> 1] += sum[j][e] * sum[j][e];
        add_up(v, round);
    }

    template <numeric N> __device__ __forceinline__ void end(float (&sum)[RIGHT][4]) const
    {
        float v[2];
        squares(sum, v, 0);
        if (p.rows == ROW_PATCH) {
            const float scale[2] = {inverse_rms(v[0], p.inverse_width, p.eps), inverse_rms(v[1], p.inverse_width, p.eps)};
            v[0] = v[1] = 0;
#pragma unroll
            for (int j = 0; j < RIGHT; j++) {
                const float2 gamma = read(p.gamma + column, j, true), beta = read(p.beta + column, j, true);
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    sum[j][e] = sum[j][e] * scale[e >> 1] * (e & 1 ? gamma.y : gamma.x) + (e & 1 ? beta.y : beta.x);
                    v[e >> 1] += sum[j][e];
                }
            }
            add_up(v, 1);
#pragma unroll
            for (int j = 0; j < RIGHT; j++)
#pragma unroll
                for (int e = 0; e < 4; e++)
                    sum[j][e] = column + j * 8 + (e & 1) < p.true_width ? sum[j][e] - v[e >> 1] * p.inverse_width : 0;
            squares(sum, v, 2);
        }
        const float eps = p.rows == ROW_REDUCE ? p.eps : p.eps_out;
        const bool plain = p.rows == ROW_REDUCE && p.plain;
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const float scale = plain ? 1 : inverse_rms(v[half], p.inverse_width, eps);
            const size_t at = (size_t)(row + half * 8) * p.ldo + column;
#pragma unroll
            for (int j = 0; j < RIGHT; j++) {
                const float2 shift = read(p.offset + column, j, p.offset);
                if (row + half * 8 >= p.m || column + j * 8 >= p.n)
                    continue;
                if (p.rows != ROW_REDUCE)
                    *(float2 *)(p.x + at + j * 8) = make_float2(sum[j][2 * half], sum[j][2 * half + 1]);
                *(pair<N> *)((float *)p.out + at + j * 8) = narrow2<N>(sum[j][2 * half] * scale - shift.x, sum[j][2 * half + 1] * scale - shift.y);
            }
        }
    }
};

} // namespace

#endif
