/* tolerance: how far a kernel may be from the reference, by operation and precision; see reference.h. */
#include "backend/reference/reference.h"

double reference_tolerance(operation_kind kind, segrt_precision precision)
{
    /* Relative errors in norm.  Sums of products in float32: 0.15e-6 to 0.95e-6 measured for sequential sums
     * of the network's lengths.  16 bits: two rounded operands and a rounded result, each 2^-9 (bf16) or 2^-12
     * (f16) over sqrt(3) in norm, with a factor of two to spare. */
    static const double product[] = {[SEGRT_PRECISION_DEFAULT] = 2e-6, [SEGRT_FLOAT32] = 2e-6, [SEGRT_TF32] = 1e-3,
                                     [SEGRT_BFLOAT16] = 5e-3,          [SEGRT_FLOAT16] = 7e-4, [SEGRT_INT8] = 3e-2};
    /* The factor over a product that an operation gets: exponentials of scores carry the scores' absolute error. */
    static const double factor[OPERATION_KINDS] = {
        [OP_PATCH] = 1,     [OP_REDUCE] = 1, [OP_KEYS] = 1,       [OP_QUERY] = 1, [OP_ATTEND] = 4, [OP_PROJECT] = 1,  [OP_FC1] = 1,
        [OP_DEPTHWISE] = 1, [OP_FC2] = 1,    [OP_STAGE_NORM] = 1, [OP_LEVEL] = 1, [OP_MERGE] = 1,  [OP_CLASSIFY] = 1, [OP_LABEL] = 0,
    };
    return product[precision] * factor[kind];
}
