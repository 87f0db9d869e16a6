/* wgmma: products of four warps at once with the right operand in shared memory (compute capability 9.0a only).
 * Elsewhere these functions are empty, and no kernel that calls them is launched. */
#ifndef SEGRT_CUDA_WGMMA_CUH
#define SEGRT_CUDA_WGMMA_CUH

#include "backend/cuda/numeric.cuh"

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
#define WGMMA(...) asm volatile(__VA_ARGS__)
#else
#define WGMMA(...) (void)0
#endif

#define WGMMA_C8(c, j) "+f"(c[j][0]), "+f"(c[j][1]), "+f"(c[j][2]), "+f"(c[j][3])

/* Makes what this thread wrote to shared memory visible to wgmma; before the barrier. */
__device__ __forceinline__ void wide_publish() { WGMMA("fence.proxy.async.shared::cta;" ::: "memory"); }
__device__ __forceinline__ void wide_begin() { WGMMA("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void wide_commit() { WGMMA("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int PENDING> __device__ __forceinline__ void wide_wait() { WGMMA("wgmma.wait_group.sync.aligned %0;" ::"n"(PENDING) : "memory"); }

/* Behind a wait: nothing that reads these sums is moved before it. */
template <int TILES> __device__ __forceinline__ void wide_ready(float (&c)[TILES][4])
{
#pragma unroll
    for (int j = 0; j < TILES; j++)
        WGMMA("" : WGMMA_C8(c, j)::"memory");
}

/* A tile with rows of BYTES (64 or 128), laid out by tile_offset, aligned to 1024: rows are columns of the right
 * operand.  32 bytes further along k: add 2. */
template <int BYTES> __device__ __forceinline__ uint64_t wide_tile(uint32_t address)
{
    static_assert(BYTES == 64 || BYTES == 128, "swizzles of 64 and 128 bytes");
    return (uint64_t)((address & 0x3ffff) >> 4) | (uint64_t)1 << 16 | (uint64_t)(BYTES * 8 >> 4) << 32 | (uint64_t)(BYTES == 128 ? 1 : 2) << 62;
}

/* Four 8 x 8 matrices of 16 bits, as they lie in registers after a product, into shared memory: a lane says where one row of one goes. */
__device__ __forceinline__ void store_matrices(uint32_t address, const uint32_t (&r)[4])
{
    WGMMA("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1,%2,%3,%4};" ::"r"(address), "r"(r[0]), "r"(r[1]), "r"(r[2]), "r"(r[3]) : "memory");
}

#define WGMMA_N64(TYPE, ACROSS)                                                                                                                          \
    WGMMA("{\n.reg .pred p;\nsetp.ne.b32 p, %37, 0;\n"                                                                                           \
          "wgmma.mma_async.sync.aligned.m64n64k16.f32." TYPE "." TYPE " "                                                                        \
          "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31}, "            \
          "{%32,%33,%34,%35}, %36, p, 1, 1, " ACROSS ";\n}\n"                                                                                       \
          : WGMMA_C8(c, 0), WGMMA_C8(c, 1), WGMMA_C8(c, 2), WGMMA_C8(c, 3), WGMMA_C8(c, 4), WGMMA_C8(c, 5), WGMMA_C8(c, 6), WGMMA_C8(c, 7)       \
          : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(tile), "r"((int)add))

#define WGMMA_N32(TYPE)                                                                                                                          \
    WGMMA("{\n.reg .pred p;\nsetp.ne.b32 p, %21, 0;\n"                                                                                           \
          "wgmma.mma_async.sync.aligned.m64n32k16.f32." TYPE "." TYPE " {%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15}, "               \
          "{%16,%17,%18,%19}, %20, p, 1, 1, 0;\n}\n"                                                                                             \
          : WGMMA_C8(c, 0), WGMMA_C8(c, 1), WGMMA_C8(c, 2), WGMMA_C8(c, 3)                                                                       \
          : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(tile), "r"((int)add))

#define WGMMA_N128(TYPE)                                                                                                                            \
    WGMMA("{\n.reg .pred p;\nsetp.ne.b32 p, %69, 0;\n"                                                                                              \
          "wgmma.mma_async.sync.aligned.m64n128k16.f32." TYPE "." TYPE " "                                                                          \
          "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,"                                                 \
          "%24,%25,%26,%27,%28,%29,%30,%31,%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,"                                        \
          "%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63}, "                                                                      \
          "{%64,%65,%66,%67}, %68, p, 1, 1, 0;\n}\n"                                                                                               \
          : WGMMA_C8(c, 0), WGMMA_C8(c, 1), WGMMA_C8(c, 2), WGMMA_C8(c, 3), WGMMA_C8(c, 4), WGMMA_C8(c, 5), WGMMA_C8(c, 6), WGMMA_C8(c, 7),         \
            WGMMA_C8(c, 8), WGMMA_C8(c, 9), WGMMA_C8(c, 10), WGMMA_C8(c, 11), WGMMA_C8(c, 12), WGMMA_C8(c, 13), WGMMA_C8(c, 14), WGMMA_C8(c, 15)    \
          : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(tile), "r"((int)add))

/* c (+)= a tile^T, 64 rows, 8 TILES columns, one step of k. */
template <numeric N, int TILES> __device__ __forceinline__ void wide_multiply(float (&c)[TILES][4], const uint32_t (&a)[4], uint64_t tile, bool add)
{
    static_assert(TILES == 4 || TILES == 8 || (TILES == 16 && N == NUMERIC_F16), "32, 64 or 128 columns");
    if constexpr (TILES == 16)
        WGMMA_N128("f16");
    else if constexpr (TILES == 8 && N == NUMERIC_F16)
        WGMMA_N64("f16", "0");
    else if constexpr (TILES == 8)
        WGMMA_N64("bf16", "0");
    else if constexpr (N == NUMERIC_F16)
        WGMMA_N32("f16");
    else
        WGMMA_N32("bf16");
}

/* The same, 64 columns, with columns beside each other and k across the rows of the tile (8 rows of 64 columns are a turn; 16
 * further along k: add 128). */
template <numeric N> __device__ __forceinline__ void wide_multiply_across(float (&c)[8][4], const uint32_t (&a)[4], uint64_t tile, bool add = true)
{
    if constexpr (N == NUMERIC_F16)
        WGMMA_N64("f16", "1");
    else
        WGMMA_N64("bf16", "1");
}

/* Both operands in shared memory; `left` holds 64 rows. */
#define WGMMA_BOTH_N32(TYPE)                                                                                                                        \
    WGMMA("{\n.reg .pred p;\nsetp.ne.b32 p, %18, 0;\n"                                                                                              \
          "wgmma.mma_async.sync.aligned.m64n32k16.f32." TYPE "." TYPE " "                                                                             \
          "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15}, "                                                                               \
          "%16, %17, p, 1, 1, 0, 0;\n}\n"                                                                                                       \
          : WGMMA_C8(c, 0), WGMMA_C8(c, 1), WGMMA_C8(c, 2), WGMMA_C8(c, 3)                                                                          \
          : "l"(left), "l"(right), "r"((int)add))

#define WGMMA_BOTH_N64(TYPE)                                                                                                                        \
    WGMMA("{\n.reg .pred p;\nsetp.ne.b32 p, %34, 0;\n"                                                                                              \
          "wgmma.mma_async.sync.aligned.m64n64k16.f32." TYPE "." TYPE " "                                                                             \
          "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,"                                                 \
          "%24,%25,%26,%27,%28,%29,%30,%31}, "                                                                                                      \
          "%32, %33, p, 1, 1, 0, 0;\n}\n"                                                                                                       \
          : WGMMA_C8(c, 0), WGMMA_C8(c, 1), WGMMA_C8(c, 2), WGMMA_C8(c, 3), WGMMA_C8(c, 4), WGMMA_C8(c, 5), WGMMA_C8(c, 6), WGMMA_C8(c, 7)          \
          : "l"(left), "l"(right), "r"((int)add))

#define WGMMA_BOTH_N128(TYPE)                                                                                                                       \
    WGMMA("{\n.reg .pred p;\nsetp.ne.b32 p, %66, 0;\n"                                                                                              \
          "wgmma.mma_async.sync.aligned.m64n128k16.f32." TYPE "." TYPE " "                                                                            \
          "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,"                                                 \
          "%24,%25,%26,%27,%28,%29,%30,%31,%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,"                                        \
          "%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63}, "                                                                      \
          "%64, %65, p, 1, 1, 0, 0;\n}\n"                                                                                                       \
          : WGMMA_C8(c, 0), WGMMA_C8(c, 1), WGMMA_C8(c, 2), WGMMA_C8(c, 3), WGMMA_C8(c, 4), WGMMA_C8(c, 5), WGMMA_C8(c, 6), WGMMA_C8(c, 7),         \
            WGMMA_C8(c, 8), WGMMA_C8(c, 9), WGMMA_C8(c, 10), WGMMA_C8(c, 11), WGMMA_C8(c, 12), WGMMA_C8(c, 13), WGMMA_C8(c, 14), WGMMA_C8(c, 15)    \
          : "l"(left), "l"(right), "r"((int)add))

#define WGMMA_BOTH_N160(TYPE)                                                                                                                       \
    WGMMA("{\n.reg .pred p;\nsetp.ne.b32 p, %82, 0;\n"                                                                                             \
          "wgmma.mma_async.sync.aligned.m64n160k16.f32." TYPE "." TYPE " "                                                                           \
          "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,"                                                \
          "%24,%25,%26,%27,%28,%29,%30,%31,%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,"                                       \
          "%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63,%64,%65,%66,%67,%68,%69,%70,%71,"                                       \
          "%72,%73,%74,%75,%76,%77,%78,%79}, "                                                                                                     \
          "%80, %81, p, 1, 1, 0, 0;\n}\n"                                                                                                      \
          : WGMMA_C8(c, 0), WGMMA_C8(c, 1), WGMMA_C8(c, 2), WGMMA_C8(c, 3), WGMMA_C8(c, 4), WGMMA_C8(c, 5), WGMMA_C8(c, 6), WGMMA_C8(c, 7),        \
            WGMMA_C8(c, 8), WGMMA_C8(c, 9), WGMMA_C8(c, 10), WGMMA_C8(c, 11), WGMMA_C8(c, 12), WGMMA_C8(c, 13), WGMMA_C8(c, 14), WGMMA_C8(c, 15),  \
            WGMMA_C8(c, 16), WGMMA_C8(c, 17), WGMMA_C8(c, 18), WGMMA_C8(c, 19)                                                                     \
          : "l"(left), "l"(right), "r"((int)add))

/* c (+)= left right^T, 64 rows, 8 TILES columns, one step of k. */
template <numeric N, int TILES> __device__ __forceinline__ void wide_multiply_both(float (&c)[TILES][4], uint64_t left, uint64_t right, bool add = true)
{
    static_assert((TILES == 4 || TILES == 8 || TILES == 16 || TILES == 20) && (N == NUMERIC_F16 || N == NUMERIC_BF16), "32, 64, 128 or 160 columns");
    if constexpr (TILES == 4 && N == NUMERIC_F16)
        WGMMA_BOTH_N32("f16");
    else if constexpr (TILES == 4 && N == NUMERIC_BF16)
        WGMMA_BOTH_N32("bf16");
    else if constexpr (TILES == 8 && N == NUMERIC_F16)
        WGMMA_BOTH_N64("f16");
    else if constexpr (TILES == 8 && N == NUMERIC_BF16)
        WGMMA_BOTH_N64("bf16");
    else if constexpr (TILES == 16 && N == NUMERIC_F16)
        WGMMA_BOTH_N128("f16");
    else if constexpr (TILES == 16 && N == NUMERIC_BF16)
        WGMMA_BOTH_N128("bf16");
    else if constexpr (N == NUMERIC_F16)
        WGMMA_BOTH_N160("f16");
    else
        WGMMA_BOTH_N160("bf16");
}

#endif
