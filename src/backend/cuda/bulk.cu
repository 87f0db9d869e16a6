/* bulk: see bulk.h.  The driver's function is looked up, because nothing here is linked to the driver. */
#include "backend/cuda/bulk.h"

#include <cudaTypedefs.h>

namespace {

cudaError_t find_encoder(PFN_cuTensorMapEncodeTiled_v12000 *encode)
{
    static PFN_cuTensorMapEncodeTiled_v12000 found; /* the same for every thread */
    cudaDriverEntryPointQueryResult result = cudaDriverEntryPointSuccess;
    void *function = (void *)found;
    cudaError_t status = cudaSuccess;
    if (!function) {
#if CUDART_VERSION >= 12050
        status = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &result);
#else
        status = cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &function, cudaEnableDefault, &result);
#endif
        if (status == cudaSuccess && (result != cudaDriverEntryPointSuccess || !function))
            status = cudaErrorNotSupported;
        if (status == cudaSuccess)
            found = (PFN_cuTensorMapEncodeTiled_v12000)function;
    }
    *encode = (PFN_cuTensorMapEncodeTiled_v12000)function;
    return status;
}

} // namespace

cudaError_t bulk_describe(CUtensorMap *map, numeric type, const bulk_tensor *t)
{
    static const CUtensorMapDataType types[NUMERICS] = {CU_TENSOR_MAP_DATA_TYPE_FLOAT16, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, CU_TENSOR_MAP_DATA_TYPE_FLOAT32,
                                                        CU_TENSOR_MAP_DATA_TYPE_FLOAT32};
    PFN_cuTensorMapEncodeTiled_v12000 encode;
    const cudaError_t status = find_encoder(&encode);
    if (status != cudaSuccess)
        return status;
    cuuint64_t size[BULK_RANK], stride[BULK_RANK];
    cuuint32_t box[BULK_RANK], step[BULK_RANK];
    for (int i = 0; i < t->rank; i++) {
        step[i] = t->step[i] ? (cuuint32_t)t->step[i] : 1;
        size[i] = (cuuint64_t)t->size[i];
        box[i] = (cuuint32_t)t->box[i] * step[i];
        if (i)
            stride[i - 1] = (cuuint64_t)t->stride[i];
    }
    const int row = t->box[0] * (type == NUMERIC_F16 || type == NUMERIC_BF16 ? 2 : 4);
    const CUresult code = encode(map, types[type], (cuuint32_t)t->rank, (void *)t->at, size, stride, box, step, CU_TENSOR_MAP_INTERLEAVE_NONE,
                                 t->plain    ? CU_TENSOR_MAP_SWIZZLE_NONE
                                 : row == 64 ? CU_TENSOR_MAP_SWIZZLE_64B
                                             : CU_TENSOR_MAP_SWIZZLE_128B,
                                 CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    return code == CUDA_SUCCESS ? cudaSuccess : cudaErrorInvalidValue;
}
