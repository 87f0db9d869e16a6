/* common_operand: float, bfloat16 or a pair of bfloat16 parts in the kernels' common text.  The including file has chosen a
 * vector_<level>.h, and OPERAND_BF16, OPERAND_PARTS or nothing. */
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
#elif defined(OPERAND_PARTS)
typedef uint32_t operand; /* two bfloat16 numbers side by side, the upper half the larger: their sum is the number, to 2^-17 */
static inline float o_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}
static inline uint32_t o_upper(float x) /* nearest bfloat16; ties do not matter, for the rest is kept too */
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (bits + 0x8000) & 0xffff0000u;
}
static inline float o_float(operand x) { return o_bits(x & 0xffff0000u) + o_bits(x << 16); }
static inline operand o_of(float x)
{
    const uint32_t upper = o_upper(x);
    return upper | o_upper(x - o_bits(upper)) >> 16;
}
static inline vf o_load(const operand *p) { return v_load_parts(p); }
static inline void o_store(operand *p, vf x) { v_store_parts(p, x); }
static inline void o_store_part(operand *p, vf x, int count)
{
    operand all[VL];
    v_store_parts(all, x);
    memcpy(p, all, (size_t)(count < VL ? count : VL) * sizeof *p);
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
