/* bulk: the copy engine and its barriers, seen by a kernel (compute capability 9.0a only; see wgmma.cuh).
 *
 * A barrier in shared memory expects arrivals, and bytes, a phase: one thread arrives with the number of bytes, the engine
 * counts them, and who wants waits for the phase by its parity (the first is 0). */
#ifndef SEGRT_CUDA_BULK_CUH
#define SEGRT_CUDA_BULK_CUH

#include <initializer_list>

#include "backend/cuda/bulk.h"
#include "backend/cuda/wgmma.cuh"

/* One of a kernel's tensors. */
struct bulk_described {
    CUtensorMap *map;
    numeric type;
    const bulk_tensor *tensor;
};

/* All that have an address, until one fails. */
inline cudaError_t bulk_describe(std::initializer_list<bulk_described> all)
{
    for (const bulk_described &one : all) {
        const cudaError_t status = one.tensor->at ? bulk_describe(one.map, one.type, one.tensor) : cudaSuccess;
        if (status != cudaSuccess)
            return status;
    }
    return cudaSuccess;
}

__device__ __forceinline__ void barrier_begin(uint32_t barrier, int arrivals) { WGMMA("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory"); }

/* By the thread that began barriers, before the others may use them. */
__device__ __forceinline__ void barriers_begun() { WGMMA("fence.mbarrier_init.release.cluster;\nfence.proxy.async.shared::cta;" ::: "memory"); }

__device__ __forceinline__ void barrier_expect(uint32_t barrier, int bytes)
{
    WGMMA("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}

__device__ __forceinline__ void barrier_arrive(uint32_t barrier, int times = 1) { WGMMA("mbarrier.arrive.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(times) : "memory"); }

__device__ __forceinline__ bool barrier_passed(uint32_t barrier, int parity)
{
    uint32_t passed = 1;
    WGMMA("{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\nselp.u32 %0, 1, 0, p;\n}" : "=r"(passed) : "r"(barrier), "r"(parity) : "memory");
    return passed != 0;
}

__device__ __forceinline__ void barrier_wait(uint32_t barrier, int parity)
{
    while (!barrier_passed(barrier, parity))
        ;
}

/* A tensor will be asked for soon. */
__device__ __forceinline__ void bulk_ready(const CUtensorMap *map) { WGMMA("prefetch.tensormap [%0];" ::"l"((uint64_t)map) : "memory"); }

__device__ __forceinline__ void bulk_load(uint32_t to, const CUtensorMap *map, uint32_t barrier, int x, int y)
{
    WGMMA("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];" ::"r"(to), "l"((uint64_t)map), "r"(barrier), "r"(x), "r"(y)
          : "memory");
}

__device__ __forceinline__ void bulk_load(uint32_t to, const CUtensorMap *map, uint32_t barrier, int x, int y, int z)
{
    WGMMA("cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5}], [%2];" ::"r"(to), "l"((uint64_t)map), "r"(barrier), "r"(x),
          "r"(y), "r"(z)
          : "memory");
}

__device__ __forceinline__ void bulk_load(uint32_t to, const CUtensorMap *map, uint32_t barrier, int x, int y, int z, int w)
{
    WGMMA("cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5, %6}], [%2];" ::"r"(to), "l"((uint64_t)map), "r"(barrier),
          "r"(x), "r"(y), "r"(z), "r"(w)
          : "memory");
}

__device__ __forceinline__ void bulk_load(uint32_t to, const CUtensorMap *map, uint32_t barrier, int x, int y, int z, int w, int v)
{
    WGMMA("cp.async.bulk.tensor.5d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5, %6, %7}], [%2];" ::"r"(to), "l"((uint64_t)map),
          "r"(barrier), "r"(x), "r"(y), "r"(z), "r"(w), "r"(v)
          : "memory");
}

/* A tile from shared memory (published) to the tensor, without what leaves it; bulk_stored by the same thread before the block's end. */
__device__ __forceinline__ void bulk_store(const CUtensorMap *map, uint32_t from, int x, int y, int z, int w)
{
    WGMMA("cp.async.bulk.tensor.4d.global.shared::cta.bulk_group [%0, {%2, %3, %4, %5}], [%1];\ncp.async.bulk.commit_group;" ::"l"((uint64_t)map), "r"(from), "r"(x), "r"(y),
          "r"(z), "r"(w)
          : "memory");
}

/* What was stored has left shared memory, or is in the tensor. */
__device__ __forceinline__ void bulk_sent() { WGMMA("cp.async.bulk.wait_group.read 0;" ::: "memory"); }
__device__ __forceinline__ void bulk_stored() { WGMMA("cp.async.bulk.wait_group 0;" ::: "memory"); }

/* `bytes` in a row, a multiple of 16. */
__device__ __forceinline__ void bulk_load_row(uint32_t to, const void *from, uint32_t barrier, int bytes)
{
    WGMMA("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(to), "l"((uint64_t)__cvta_generic_to_global(from)), "r"(bytes),
          "r"(barrier)
          : "memory");
}

/* ------------------------------------------------------- into the shared memory of other blocks of the cluster */

/* Numbers to a peer, whose barrier counts their bytes. */
__device__ __forceinline__ void peer_send(uint32_t to, const float (&v)[4], uint32_t barrier)
{
    WGMMA("st.async.shared::cluster.mbarrier::complete_tx::bytes.v4.f32 [%0], {%1,%2,%3,%4}, [%5];" ::"r"(to), "f"(v[0]), "f"(v[1]), "f"(v[2]), "f"(v[3]), "r"(barrier)
          : "memory");
}

__device__ __forceinline__ void peer_send(uint32_t to, float2 v, uint32_t barrier)
{
    WGMMA("st.async.shared::cluster.mbarrier::complete_tx::bytes.v2.f32 [%0], {%1,%2}, [%3];" ::"r"(to), "f"(v.x), "f"(v.y), "r"(barrier) : "memory");
}

__device__ __forceinline__ float4 shared_load4(uint32_t from)
{
    float4 v = make_float4(0, 0, 0, 0);
    WGMMA("ld.shared.v4.f32 {%0,%1,%2,%3}, [%4];" : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w) : "r"(from) : "memory");
    return v;
}

__device__ __forceinline__ float2 shared_load2(uint32_t from)
{
    float2 v = make_float2(0, 0);
    WGMMA("ld.shared.v2.f32 {%0,%1}, [%2];" : "=f"(v.x), "=f"(v.y) : "r"(from) : "memory");
    return v;
}

__device__ __forceinline__ void shared_store2(uint32_t to, float2 v) { WGMMA("st.shared.v2.f32 [%0], {%1,%2};" ::"r"(to), "f"(v.x), "f"(v.y) : "memory"); }

/* Two numbers of device memory, zeros where not; asked for without a branch, so that many are on their way at once. */
__device__ __forceinline__ float2 load_where(const float *from, bool where)
{
    float2 v = make_float2(0, 0);
    WGMMA("{\n.reg .pred p;\nsetp.ne.u32 p, %3, 0;\n@p ld.global.v2.f32 {%0,%1}, [%2];\n}" : "+f"(v.x), "+f"(v.y) : "l"(from), "r"((uint32_t)where) : "memory");
    return v;
}

/* The four warps of group 0 or 1 meet; whether any thread said so. */
template <int BARRIER> __device__ __forceinline__ bool meet(bool said)
{
    uint32_t any = said;
    asm volatile("{\n.reg .pred p, q;\nsetp.ne.u32 p, %1, 0;\nbarrier.cta.red.or.aligned.pred q, %2, 128, p;\nselp.u32 %0, 1, 0, q;\n}"
                 : "=r"(any)
                 : "r"(any), "n"(BARRIER)
                 : "memory");
    return any != 0;
}

template <int GROUPS> __device__ __forceinline__ bool group_any(int group, bool said) { return GROUPS == 1 || group == 0 ? meet<1>(said) : meet<2>(said); }

#endif
