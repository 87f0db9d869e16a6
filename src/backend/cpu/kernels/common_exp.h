/* common_exp: powers of two for the softmax, for any vector of vector_<level>.h. */
#ifndef SEGRT_COMMON_EXP_H
#define SEGRT_COMMON_EXP_H

#include "backend/cpu/kernels/common_operand.h"

/* 2^x, x <= 0 or small: 2^n times a polynomial in the fraction, |fraction| <= 1/2, minimax; below 2^-126: 2^-126.  Relative
 * error 7.5e-8, or with 16-bit operands 7.5e-5, a fiftieth of their rounding. */
static inline vf v_exp2(vf x)
{
    x = v_max(x, v_set(-126.0f));
    const vf n = v_round(x), f = v_sub(x, n);
#ifdef OPERAND_BF16
    vf p = v_set(0.0551716668f);
    p = v_fma(p, f, v_set(0.242611135f));
    p = v_fma(p, f, v_set(0.693260987f));
    p = v_fma(p, f, v_set(0.999928073f));
#else
    vf p = v_set(0.00132764717f);
    p = v_fma(p, f, v_set(0.00967554154f));
    p = v_fma(p, f, v_set(0.0555071328f));
    p = v_fma(p, f, v_set(0.240221197f));
    p = v_fma(p, f, v_set(0.693146967f));
    p = v_fma(p, f, v_set(1.00000007f));
#endif
    return v_scale2(p, n);
}

/* Rounded as it will be read, so that weights sum to what their sum says. */
static inline vf o_rounded(vf x)
{
#ifdef OPERAND_BF16
    return v_round_bf16(x);
#else
    return x;
#endif
}

/* The first `count` lanes, which may be none; zero in the others. */
static inline vf v_first(vf x, int count)
{
    float all[VL];
    v_store(all, x);
    return count > 0 ? v_load_part(all, count) : v_zero();
}

#endif
