/* common_operand: float or bfloat16 in the kernels' common text.  The including file has chosen a vector_<level>.h, and OPERAND_BF16 or
 * nothing. */
#ifndef SEGRT_COMMON_OPERAND_H
#define SEGRT_COMMON_OPERAND_H

#include <string.h>

#include "backend/cpu/kernels/kernels.h"

#ifdef OPERAND_BF16
typedef uint16_t operand;
static inline float o_float(operand x)
{
    const uint32_t bits = (uint32_t)x << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}
static inline operand o_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (operand)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
static inline vf o_load(const operand *p) { return v_load_bf16(p); }
static inline void o_store(operand *p, vf x) { v_store_bf16(p, x); }
static inline void o_store_part(operand *p, vf x, int count)
{
    operand all[VL];
    if (count >= VL) {
        v_store_bf16(p, x);
        return;
    }
    v_store_bf16(all, x);
    memcpy(p, all, (size_t)count * sizeof *p);
}
#else
typedef float operand;
static inline float o_float(operand x) { return x; }
static inline operand o_of(float x) { return x; }
static inline vf o_load(const operand *p) { return v_load(p); }
static inline void o_store(operand *p, vf x) { v_store(p, x); }
static inline void o_store_part(operand *p, vf x, int count) { v_store_part(p, x, count); }
#endif

enum { LANES = LINE / sizeof(operand) }; /* L of kernels.h */

#endif
