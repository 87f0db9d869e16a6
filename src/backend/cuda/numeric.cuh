/* numeric: storage types, fragments of matrix products and their loads.  Device side of every kernel.
 *
 * All modes move the same bytes: one step of a product takes 32 bytes of a row (16 halves or 8 floats),
 * so ldmatrix serves both, and a kernel is written once over bytes. */
#ifndef SEGRT_CUDA_NUMERIC_CUH
#define SEGRT_CUDA_NUMERIC_CUH

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "backend/cuda/kernels.h"

template <numeric N> struct storage { using type = float; };
template <> struct storage<NUMERIC_F16> { using type = __half; };
template <> struct storage<NUMERIC_BF16> { using type = __nv_bfloat16; };
template <numeric N> using storage_t = typename storage<N>::type;
template <numeric N> constexpr bool is_float = N == NUMERIC_TF32 || N == NUMERIC_F32;
template <numeric N> constexpr int chunk_elements = is_float<N> ? 4 : 8; /* of 16 bytes */

__device__ __forceinline__ uint32_t round_tf32(float x)
{
    uint32_t r;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(r) : "f"(x));
    return r;
}

/* float -> T, rounded as the products read it */
template <numeric N> __device__ __forceinline__ storage_t<N> narrow(float x)
{
    if constexpr (N == NUMERIC_F16)
        return __float2half_rn(x);
    else if constexpr (N == NUMERIC_BF16)
        return __float2bfloat16_rn(x);
    else if constexpr (N == NUMERIC_TF32)
        return __uint_as_float(round_tf32(x));
    else
        return x;
}

/* Two neighbours as they lie in memory: 4 bytes of halves, 8 of floats. */
template <numeric N> struct pair { uint32_t bits; };
template <> struct pair<NUMERIC_TF32> { float2 bits; };
template <> struct pair<NUMERIC_F32> { float2 bits; };

__device__ __forceinline__ uint32_t pack_half(float low, float high)
{
    const __half2 h = __floats2half2_rn(low, high);
    return *reinterpret_cast<const uint32_t *>(&h);
}

__device__ __forceinline__ uint32_t pack_bfloat(float low, float high)
{
    const __nv_bfloat162 h = __floats2bfloat162_rn(low, high);
    return *reinterpret_cast<const uint32_t *>(&h);
}

template <numeric N> __device__ __forceinline__ uint32_t pack16(float low, float high)
{
    return N == NUMERIC_F16 ? pack_half(low, high) : pack_bfloat(low, high);
}

template <numeric N> __device__ __forceinline__ pair<N> narrow2(float low, float high)
{
    pair<N> p;
    if constexpr (is_float<N>)
        p.bits = make_float2(narrow<N>(low), narrow<N>(high));
    else
        p.bits = pack16<N>(low, high);
    return p;
}

template <numeric N> __device__ __forceinline__ float2 widen2(uint32_t bits)
{
    if constexpr (N == NUMERIC_F16)
        return __half22float2(*reinterpret_cast<const __half2 *>(&bits));
    else /* a bfloat16 is the upper half of a float */
        return make_float2(__uint_as_float(bits << 16), __uint_as_float(bits & 0xffff0000u));
}

/* Four neighbouring channels. */
template <numeric N> __device__ __forceinline__ float4 load4(const storage_t<N> *from)
{
    if constexpr (is_float<N>) {
        return *reinterpret_cast<const float4 *>(from);
    } else {
        const uint2 raw = *reinterpret_cast<const uint2 *>(from);
        const float2 a = widen2<N>(raw.x), b = widen2<N>(raw.y);
        return make_float4(a.x, a.y, b.x, b.y);
    }
}

template <numeric N> __device__ __forceinline__ void store4(storage_t<N> *to, float4 v)
{
    if constexpr (is_float<N>)
        *reinterpret_cast<float4 *>(to) = make_float4(narrow<N>(v.x), narrow<N>(v.y), narrow<N>(v.z), narrow<N>(v.w));
    else
        *reinterpret_cast<uint2 *>(to) = make_uint2(pack16<N>(v.x, v.y), pack16<N>(v.z, v.w));
}

/* ------------------------------------------------------------------------------------ fragments */

/* Of mma m16n8k16 (16 bits) and m16n8k8 (tf32).  F32 carries what tf32 loses as a second number. */
template <numeric N, int R> struct fragment { uint32_t high[R]; };
template <int R> struct fragment<NUMERIC_F32, R> { uint32_t high[R], low[R]; };

template <numeric N, int R> __device__ __forceinline__ void split(fragment<N, R> &f)
{
    if constexpr (N == NUMERIC_F32) {
#pragma unroll
        for (int i = 0; i < R; i++) {
            const float x = __uint_as_float(f.high[i]);
            f.high[i] = round_tf32(x);
            f.low[i] = __float_as_uint(x - __uint_as_float(f.high[i]));
        }
    }
}

template <numeric N> __device__ __forceinline__ void product(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2])
{
    if constexpr (N == NUMERIC_F16)
        asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
            : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
    else if constexpr (N == NUMERIC_BF16)
        asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
            : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
    else
        asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
            : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

template <numeric N> __device__ __forceinline__ void multiply(float (&c)[4], const fragment<N, 4> &a, const fragment<N, 2> &b)
{
    if constexpr (N == NUMERIC_F32) { /* tensor cores cut sums off; only three terms are summed there, small ones first */
        float sum[4] = {0, 0, 0, 0};
        product<N>(sum, a.low, b.high);
        product<N>(sum, a.high, b.low);
        product<N>(sum, a.high, b.high);
#pragma unroll
        for (int e = 0; e < 4; e++)
            c[e] += sum[e];
    } else {
        product<N>(c, a.high, b.high);
    }
}

/* A 16x8 tile of results as the left operand of the next product.  16 bits: two neighbouring tiles make
 * one step of 16.  Floats: one tile makes a step of 8, in the order 0 2 4 6 1 3 5 7 of its columns, which
 * the other operand must have been stored in (float_position). */
template <numeric N> constexpr int tiles_per_step = is_float<N> ? 1 : 2;
__host__ __device__ __forceinline__ int float_position(int column) { return (column & ~7) | ((column & 1) << 2) | ((column & 7) >> 1); }

template <numeric N, int TILES> __device__ __forceinline__ fragment<N, 4> as_left(const float (&c)[TILES][4], int step)
{
    fragment<N, 4> f;
    if constexpr (is_float<N>) {
        f.high[0] = N == NUMERIC_TF32 ? round_tf32(c[step][0]) : __float_as_uint(c[step][0]);
        f.high[1] = N == NUMERIC_TF32 ? round_tf32(c[step][2]) : __float_as_uint(c[step][2]);
        f.high[2] = N == NUMERIC_TF32 ? round_tf32(c[step][1]) : __float_as_uint(c[step][1]);
        f.high[3] = N == NUMERIC_TF32 ? round_tf32(c[step][3]) : __float_as_uint(c[step][3]);
        split(f);
    } else {
        f.high[0] = pack16<N>(c[2 * step][0], c[2 * step][1]);
        f.high[1] = pack16<N>(c[2 * step][2], c[2 * step][3]);
        f.high[2] = pack16<N>(c[2 * step + 1][0], c[2 * step + 1][1]);
        f.high[3] = pack16<N>(c[2 * step + 1][2], c[2 * step + 1][3]);
    }
    return f;
}

/* ---------------------------------------------------------------------------------- shared memory */

__device__ __forceinline__ uint32_t shared_address(const void *p) { return (uint32_t)__cvta_generic_to_shared(p); }

/* `address` in the shared memory of block `rank` of the cluster. */
__device__ __forceinline__ uint32_t peer_address(uint32_t address, unsigned rank)
{
    uint32_t there = address;
#if __CUDA_ARCH__ >= 900
    asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(address), "r"(rank));
#endif
    return there;
}

/* Byte offset of a 16-byte chunk in a tile with rows of BYTES: chunks are exchanged so that eight rows of a column
 * of chunks lie in different banks. */
template <int BYTES> __device__ __forceinline__ uint32_t tile_offset(int row, int chunk)
{
    static_assert(BYTES >= 64, "a row is at least four chunks");
    return (uint32_t)(row * BYTES + ((BYTES == 64 ? chunk ^ ((row >> 1) & 3) : chunk ^ (row & 7)) << 4));
}

__device__ __forceinline__ void load_matrices(uint32_t (&r)[4], uint32_t address)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(address) : "memory");
}

/* Left operand: rows [row, row + 16) of a tile, 32 bytes at `step`. */
template <numeric N, int BYTES> __device__ __forceinline__ fragment<N, 4> load_left(uint32_t tile, int row, int step)
{
    const int lane = threadIdx.x & 31;
    fragment<N, 4> f;
    load_matrices(f.high, tile + tile_offset<BYTES>(row + (lane & 15), 2 * step + (lane >> 4)));
    split(f);
    return f;
}

/* Right operands of two tiles of 8 columns: the tile holds the columns as rows [row, row + 16). */
template <numeric N, int BYTES> __device__ __forceinline__ void load_right(fragment<N, 2> &first, fragment<N, 2> &second, uint32_t tile, int row, int step)
{
    const int lane = threadIdx.x & 31;
    uint32_t r[4];
    load_matrices(r, tile + tile_offset<BYTES>(row + (lane & 7) + ((lane >> 4) << 3), 2 * step + ((lane >> 3) & 1)));
    first.high[0] = r[0], first.high[1] = r[1], second.high[0] = r[2], second.high[1] = r[3];
    split(first);
    split(second);
}

/* The first `bytes` of 16 from device memory to shared memory in the background, zeros behind them. */
__device__ __forceinline__ void copy_part(uint32_t to, const void *from, int bytes)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes) : "memory");
}

__device__ __forceinline__ void copy_chunk(uint32_t to, const void *from, bool valid) { copy_part(to, from, valid ? 16 : 0); }

__device__ __forceinline__ void copy_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int PENDING> __device__ __forceinline__ void copy_wait() { asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory"); }

/* f(i) for i in [0, COUNT), spread over THREADS threads, without a loop that the compiler cannot see through. */
template <int COUNT, int THREADS, typename F> __device__ __forceinline__ void each(F f)
{
#pragma unroll
    for (int pass = 0; pass < (COUNT + THREADS - 1) / THREADS; pass++) {
        const int i = pass * THREADS + threadIdx.x;
        if (COUNT % THREADS == 0 || i < COUNT)
            f(i);
    }
}

/* The kernel before is complete from here on; the one behind may be started. */
__device__ __forceinline__ void wait_for_previous()
{
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

__device__ __forceinline__ void start_next()
{
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

/* ---------------------------------------------------------------------------------------- scalars */

__device__ __forceinline__ float exp2_fast(float x)
{
    float r;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
    return r;
}

__device__ __forceinline__ float sum_over_warp(float v)
{
#pragma unroll
    for (int d = 16; d; d >>= 1)
        v += __shfl_xor_sync(0xffffffffu, v, d);
    return v;
}

__device__ __forceinline__ float inverse_rms(float squares, float inverse_width, float eps) { return rsqrtf(squares * inverse_width + eps); }

/* Calls `f` with the numeric mode as a compile-time constant: dispatch(type, [&](auto n) { return ...<n()>(...); }). */
template <numeric N> struct mode {
    constexpr numeric operator()() const { return N; }
};

template <typename F> cudaError_t dispatch(numeric type, F f)
{
    switch (type) {
    case NUMERIC_F16:
        return f(mode<NUMERIC_F16>());
    case NUMERIC_BF16:
        return f(mode<NUMERIC_BF16>());
    case NUMERIC_TF32:
        return f(mode<NUMERIC_TF32>());
    default:
        return f(mode<NUMERIC_F32>());
    }
}

/* The limit is the kernel's, for the whole process: were it set to what a launch needs, a session on another thread could lower it
 * between this thread's two calls.  So it is always the device's most.  Kernels that overlap want a multiprocessor divided alike
 * between cache and shared memory, or one waits until the other has left: all for shared memory. */
static inline cudaError_t prepare_kernel(const void *kernel, bool overlap)
{
    int device, most;
    cudaFuncAttributes own;
    cudaError_t status = cudaGetDevice(&device);
    if (status == cudaSuccess)
        status = cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
    if (status == cudaSuccess)
        status = cudaFuncGetAttributes(&own, kernel);
    if (status == cudaSuccess && own.maxDynamicSharedSizeBytes < most - (int)own.sharedSizeBytes)
        status = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, most - (int)own.sharedSizeBytes);
    if (status == cudaSuccess && overlap && own.preferredShmemCarveout != cudaSharedmemCarveoutMaxShared)
        status = cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout, cudaSharedmemCarveoutMaxShared);
    return status;
}

/* Launches with the attribute that lets a kernel start before the one before it has ended; `cluster`: all blocks of the
 * same y are one. */
template <typename... P, typename... A>
static inline cudaError_t start_cluster(void (*kernel)(P...), dim3 grid, int threads, size_t shared, const launch *how, bool cluster, A... arguments)
{
    cudaLaunchConfig_t config = {};
    config.gridDim = grid;
    config.blockDim = dim3((unsigned)threads);
    config.dynamicSmemBytes = shared;
    config.stream = how->stream;
    cudaLaunchAttribute attributes[2] = {};
    config.attrs = attributes;
    if (how->overlap) {
        attributes[config.numAttrs].id = cudaLaunchAttributeProgrammaticStreamSerialization;
        attributes[config.numAttrs++].val.programmaticStreamSerializationAllowed = 1;
    }
    if (cluster) {
        attributes[config.numAttrs].id = cudaLaunchAttributeClusterDimension;
        attributes[config.numAttrs].val.clusterDim.x = grid.x;
        attributes[config.numAttrs].val.clusterDim.y = 1;
        attributes[config.numAttrs++].val.clusterDim.z = grid.z;
    }
    if (how->overlap || shared > 40 * 1024) { /* of 48 KiB without asking, some may be the kernel's own */
        const cudaError_t prepared = prepare_kernel((const void *)kernel, how->overlap);
        if (prepared != cudaSuccess)
            return prepared;
    }
    return cudaLaunchKernelEx(&config, kernel, arguments...);
}

template <typename... P, typename... A>
static inline cudaError_t start(void (*kernel)(P...), dim3 grid, int threads, size_t shared, const launch *how, A... arguments)
{
    return start_cluster(kernel, grid, threads, shared, how, false, arguments...);
}

#endif
