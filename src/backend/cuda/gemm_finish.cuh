/* gemm_finish: what goes before and comes behind a product whose sums stay in registers (compute capability 9.0a).  Sums begin
 * as bias and residual rather than zero, so that nothing is read at the end; rows are finished where they lie.
 *
 * A thread holds rows row and row + 8, columns column + 8 j and the next of them.  Blocks of a cluster that hold the other
 * columns of its rows (x), or the other parts of k (z), send numbers into each other's shared memory, where barriers count
 * their bytes: who needs them waits for them, and for nothing else. */
#ifndef SEGRT_CUDA_GEMM_FINISH_CUH
#define SEGRT_CUDA_GEMM_FINISH_CUH

#include "backend/cuda/bulk.cuh"
#include "backend/cuda/gemm_tiles.cuh"

namespace {

/* What a kernel is made for: instructions are fetched anew by every kernel, short code is fetched faster. */
enum finish_kind { FINISH_STORE, FINISH_KEYS, FINISH_RESIDUAL, FINISH_PATCH, FINISH_REDUCE };

template <int BM, int BN, int THREADS, finish_kind KIND> struct finish {
    static constexpr int SIDES = THREADS / 128 * 64 / BM; /* groups of warps beside each other */
    static constexpr int WN = BN / SIDES, RIGHT = WN / 8;
    static constexpr bool NORMS = KIND == FINISH_RESIDUAL || KIND == FINISH_PATCH || KIND == FINISH_REDUCE;
    static_assert(SIDES * BM == THREADS / 128 * 64, "each group of four warps has 64 rows");

    const gemm_args &p;
    float *vectors;
    uint32_t parts, rows, barriers; /* in shared memory */
    int local_row, row, column;     /* within the tile; of the matrix */
    int blocks, sides;              /* of the cluster; that share a row */
    int each, first;                /* this block finishes j from first on, each of them */

    /* Shared memory: finish_needs, and barriers. */
    __device__ __forceinline__ finish(const gemm_args &args, unsigned char *shared, uint32_t own_barriers) : p(args), barriers(own_barriers)
    {
        const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, group = warp >> 2;
        local_row = group / SIDES * 64 + (warp & 3) * 16;
        row = blockIdx.y * BM + local_row + (lane >> 2);
        column = blockIdx.x * BN + group % SIDES * WN + (lane & 3) * 2;
        blocks = NORMS ? (int)(gridDim.x * gridDim.z) : 1;
        sides = blocks * SIDES;
        each = NORMS ? RIGHT >> (__ffs(gridDim.z) - 1) : RIGHT; /* splits are powers of two */
        first = NORMS ? (int)blockIdx.z * each : 0;
        const finish_shared needs = finish_needs(BM, BN, THREADS, blocks, NORMS ? gridDim.z : 1);
        parts = shared_address(shared);
        rows = parts + needs.parts;
        vectors = (float *)(shared + needs.parts + needs.rows);
    }

    /* By one thread, before the block's first barrier. */
    __device__ __forceinline__ void begin() const
    {
        if (blocks == 1)
            return;
        barrier_begin(barriers, 1);
        barrier_expect(barriers, BM * BN * 4);
        for (int i = 1; i <= FINISH_ROUNDS; i++) {
            barrier_begin(barriers + i * 8, 1);
            barrier_expect(barriers + i * 8, sides * BM * 4);
        }
    }

    /* By all, behind it: peers may send from where they have waited for this. */
    __device__ __forceinline__ void meet() const
    {
        if (NORMS)
            WGMMA("barrier.cluster.arrive.relaxed.aligned;" ::: "memory");
    }

    __device__ __forceinline__ void met() const
    {
        if (NORMS)
            WGMMA("barrier.cluster.wait.acquire.aligned;" ::: "memory");
    }

    /* Vectors that are read at the end: offset and bias; offset, gamma and beta of a patch.  By all, before the block's first barrier. */
    __device__ __forceinline__ void load_vectors() const
    {
        if (KIND != FINISH_RESIDUAL && KIND != FINISH_PATCH)
            return;
        ::each<BN, THREADS>([&](int i) {
            const int c = blockIdx.x * BN + i;
            const bool inside = c < p.n;
            vectors[i] = inside && p.offset ? p.offset[c] : 0;
            vectors[BN + i] = inside ? (KIND == FINISH_PATCH ? p.gamma : p.bias)[c] : 0;
            if (KIND == FINISH_PATCH)
                vectors[2 * BN + i] = inside ? p.beta[c] : 0;
        });
    }

    /* Of the columns j: whether they are this block's to begin, and inside. */
    __device__ __forceinline__ bool mine(int j) const { return j >= first && j < first + each && column + j * 8 < p.n; }

    /* Biases, which no kernel before has written. */
    __device__ __forceinline__ void bias(float (&sum)[RIGHT][4]) const
    {
        if (KIND == FINISH_RESIDUAL)
            return;
        const float *of[2] = {p.bias + column, p.bias + column};
        if (KIND == FINISH_PATCH) {
#pragma unroll
            for (int half = 0; half < 2; half++) {
                const int pixel = min(row + half * 8, p.m - 1) % (p.out_h * p.out_w), oy = pixel / p.out_w, ox = pixel - oy * p.out_w;
                of[half] += (size_t)(p.case_y[oy] * p.cases_x + p.case_x[ox]) * p.n;
            }
        }
#pragma unroll
        for (int j = 0; j < RIGHT; j++) {
            /* each asked for, were it the same: a copy between them and the products makes the assembler put these in order */
            const bool has = KIND != FINISH_KEYS && p.bias && mine(j);
            const float2 upper = load_where(of[0] + j * 8, has), lower = load_where(of[1] + j * 8, has);
            sum[j][0] = upper.x, sum[j][1] = upper.y, sum[j][2] = lower.x, sum[j][3] = lower.y;
        }
    }

    /* x, which the kernel before may have written. */
    __device__ __forceinline__ void residual(float (&sum)[RIGHT][4]) const
    {
        if (KIND != FINISH_RESIDUAL)
            return;
        const float *x = p.x + (size_t)row * p.ldo + column;
#pragma unroll
        for (int j = 0; j < RIGHT; j++) {
            const float2 upper = load_where(x + j * 8, row < p.m && mine(j)), lower = load_where(x + 8 * p.ldo + j * 8, row + 8 < p.m && mine(j));
            sum[j][0] = upper.x, sum[j][1] = upper.y, sum[j][2] = lower.x, sum[j][3] = lower.y;
        }
    }

    /* Parts of k: each block gets those of its columns; from here on sum[0 .. each) are the columns from `first` on, zeros behind. */
    __device__ __forceinline__ void add_parts(float (&sum)[RIGHT][4])
    {
        const int across = gridDim.x, splits = gridDim.z;
        const uint32_t own = parts + threadIdx.x * 16;
#pragma unroll
        for (int j = 0; j < RIGHT; j++) {
            const int owner = j * splits / RIGHT;
            const unsigned rank = blockIdx.x + across * owner;
            peer_send(peer_address(own + (first + j - owner * each) * (THREADS * 16), rank), sum[j], peer_address(barriers, rank));
        }
        barrier_wait(barriers, 0);
#pragma unroll
        for (int j = 0; j < RIGHT; j++) {
            float4 total = make_float4(0, 0, 0, 0);
            if (j < RIGHT / 2 && j < each)
#pragma unroll 1
                for (int z = 0; z < splits; z += 2) {
                    const float4 a = shared_load4(own + (z * each + j) * (THREADS * 16)), b = shared_load4(own + ((z + 1) * each + j) * (THREADS * 16));
                    total = make_float4(total.x + a.x + b.x, total.y + a.y + b.y, total.z + a.z + b.z, total.w + a.w + b.w);
                }
            sum[j][0] = total.x, sum[j][1] = total.y, sum[j][2] = total.z, sum[j][3] = total.w;
        }
        column += first * 8;
    }

    /* Numbers of this thread's two rows, to be added over all columns: sent, */
    __device__ __forceinline__ float2 give(int round, float2 v) const
    {
#pragma unroll
        for (int d = 1; d < 4; d <<= 1) {
            v.x += __shfl_xor_sync(0xffffffffu, v.x, d);
            v.y += __shfl_xor_sync(0xffffffffu, v.y, d);
        }
        if (sides > 1) {
            const int lane = threadIdx.x & 31, rank = blockIdx.x + gridDim.x * blockIdx.z, side = rank * SIDES + (threadIdx.x >> 7) % SIDES;
            const uint32_t to = rows + (((round & 1) * sides + side) * BM + local_row + (lane >> 2) * 2) * 4, counted = barriers + (1 + round) * 8;
            if (blocks == 1) { /* no cluster, whose instructions a block alone must not use */
                if ((lane & 3) == 0)
                    shared_store2(to, v);
                return v;
            }
#pragma unroll
            for (int i = 0; i < MOST_TILES; i += 4)
                if (i + (lane & 3) < blocks)
                    peer_send(peer_address(to, i + (lane & 3)), v, peer_address(counted, i + (lane & 3)));
        }
        return v;
    }

    /* and received. */
    __device__ __forceinline__ float2 take(int round, float2 v) const
    {
        if (sides == 1)
            return v;
        const int lane = threadIdx.x & 31;
        const uint32_t from = rows + ((round & 1) * sides * BM + local_row + (lane >> 2) * 2) * 4;
        if (blocks == 1)
            asm volatile("barrier.cta.sync 1, %0;" ::"n"(THREADS) : "memory");
        else
            barrier_wait(barriers + (1 + round) * 8, 0);
        v = make_float2(0, 0);
#pragma unroll
        for (int i = 0; i < MOST_TILES * SIDES; i += 4)
            if (i + (lane & 3) < sides) {
                const float2 part = shared_load2(from + (i + (lane & 3)) * BM * 4);
                v.x += part.x;
                v.y += part.y;
            }
#pragma unroll
        for (int d = 1; d < 4; d <<= 1) {
            v.x += __shfl_xor_sync(0xffffffffu, v.x, d);
            v.y += __shfl_xor_sync(0xffffffffu, v.y, d);
        }
        return v;
    }

    __device__ __forceinline__ float2 squares(const float (&sum)[RIGHT][4]) const
    {
        float2 s = make_float2(0, 0);
#pragma unroll
        for (int j = 0; j < RIGHT; j++) {
            s.x += sum[j][0] * sum[j][0] + sum[j][1] * sum[j][1];
            s.y += sum[j][2] * sum[j][2] + sum[j][3] * sum[j][3];
        }
        return s;
    }

    __device__ __forceinline__ float2 vector(int which, int j) const
    {
        return j < each ? *(const float2 *)(vectors + which * BN + column - blockIdx.x * BN + j * 8) : make_float2(0, 0);
    }

    __device__ __forceinline__ bool stored(int j, int half) const { return row + half * 8 < p.m && j < each && column + j * 8 < p.n; }

    __device__ __forceinline__ void store_x(const float (&sum)[RIGHT][4]) const
    {
        float *x = p.x + (size_t)row * p.ldo + column;
#pragma unroll
        for (int half = 0; half < 2; half++)
#pragma unroll
            for (int j = 0; j < RIGHT; j++)
                if (stored(j, half))
                    *(float2 *)(x + half * 8 * p.ldo + j * 8) = make_float2(sum[j][2 * half], sum[j][2 * half + 1]);
    }

    /* f(j, half): the pair of a row that becomes out.  Neighbouring threads exchange halves of two tiles, so that put(half,
     * column, v, inside) gets four numbers from `column` on, and what four threads put is a whole sector of 32 bytes. */
    template <numeric N, typename F, typename P> __device__ __forceinline__ void put_out(F f, P put) const
    {
        const bool odd = threadIdx.x & 1;
#pragma unroll
        for (int half = 0; half < 2; half++)
#pragma unroll
            for (int j = 0; j < RIGHT; j += 2) {
                const float2 v = f(j, half), w = f(j + 1, half);
                const pair<N> low = narrow2<N>(v.x, v.y), high = narrow2<N>(w.x, w.y);
                const uint32_t got = __shfl_xor_sync(0xffffffffu, odd ? low.bits : high.bits, 1);
                const int own = odd ? j + 1 : j;
                if (own < each)
                    put(half, column + j * 8 + (odd ? 6 : 0), odd ? make_uint2(got, high.bits) : make_uint2(low.bits, got), stored(own, half));
            }
    }

    template <numeric N> __device__ __forceinline__ void end(float (&sum)[RIGHT][4])
    {
        storage_t<N> *out = (storage_t<N> *)p.out + (size_t)row * p.ldo;
        end<N>(sum, [&](int half, int to, uint2 v, bool inside) {
            if (inside)
                *(uint2 *)(out + half * 8 * p.ldo + to) = v;
        });
    }

    template <numeric N, typename P> __device__ __forceinline__ void end(float (&sum)[RIGHT][4], P put)
    {
        if constexpr (KIND == FINISH_STORE) {
            const float least = p.relu ? 0 : -INFINITY;
            put_out<N>([&](int j, int half) { return make_float2(fmaxf(sum[j][2 * half], least), fmaxf(sum[j][2 * half + 1], least)); }, put);
            return;
        }
        met();
        if (NORMS && gridDim.z > 1)
            add_parts(sum);
        if (KIND == FINISH_RESIDUAL) {
#pragma unroll
            for (int j = 0; j < RIGHT; j++) {
                const float2 b = vector(1, j);
                sum[j][0] += b.x, sum[j][1] += b.y, sum[j][2] += b.x, sum[j][3] += b.y;
            }
        }
        float2 s = give(0, squares(sum));
        if constexpr (KIND == FINISH_PATCH) {
            s = take(0, s);
            const float scale[2] = {inverse_rms(s.x, p.inverse_width, p.eps), inverse_rms(s.y, p.inverse_width, p.eps)};
            s = make_float2(0, 0);
#pragma unroll
            for (int j = 0; j < RIGHT; j++) {
                const float2 gamma = vector(1, j), beta = vector(2, j);
                sum[j][0] = sum[j][0] * scale[0] * gamma.x + beta.x;
                sum[j][1] = sum[j][1] * scale[0] * gamma.y + beta.y;
                sum[j][2] = sum[j][2] * scale[1] * gamma.x + beta.x;
                sum[j][3] = sum[j][3] * scale[1] * gamma.y + beta.y;
                s.x += sum[j][0] + sum[j][1];
                s.y += sum[j][2] + sum[j][3];
            }
            s = take(1, give(1, s));
            const float2 mean = make_float2(s.x * p.inverse_width, s.y * p.inverse_width);
#pragma unroll
            for (int j = 0; j < RIGHT; j++) {
                const int c = column + j * 8;
                sum[j][0] = c < p.true_width ? sum[j][0] - mean.x : 0;
                sum[j][1] = c + 1 < p.true_width ? sum[j][1] - mean.x : 0;
                sum[j][2] = c < p.true_width ? sum[j][2] - mean.y : 0;
                sum[j][3] = c + 1 < p.true_width ? sum[j][3] - mean.y : 0;
            }
            s = give(2, squares(sum));
        }
        if (KIND != FINISH_REDUCE)
            store_x(sum); /* while the others' numbers are on their way */
        s = take(KIND == FINISH_PATCH ? 2 : 0, s);
        const float eps = KIND == FINISH_REDUCE ? p.eps : p.eps_out;
        const bool plain = KIND == FINISH_REDUCE && p.plain;
        const float scale[2] = {plain ? 1 : inverse_rms(s.x, p.inverse_width, eps), plain ? 1 : inverse_rms(s.y, p.inverse_width, eps)};
        put_out<N>([&](int j, int half) {
            float2 v = make_float2(sum[j][2 * half] * scale[half], sum[j][2 * half + 1] * scale[half]);
            if (KIND != FINISH_REDUCE) {
                const float2 shift = vector(0, j);
                v = make_float2(v.x - shift.x, v.y - shift.y);
            }
            return v;
        }, put);
    }
};

} // namespace

#endif
