/* vector_neon: four floats at once for the kernels' common text (common_*.h), on any 64-bit Arm. */
#ifndef SEGRT_VECTOR_NEON_H
#define SEGRT_VECTOR_NEON_H

#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

enum { VL = 4, TILE_ROWS = 6, TILE_PANELS = 1 }; /* 24 sums, 4 weights and a broadcast of 32 registers */
typedef float32x4_t vf;

static inline vf v_zero(void) { return vdupq_n_f32(0); }
static inline vf v_set(float x) { return vdupq_n_f32(x); }
static inline vf v_load(const float *p) { return vld1q_f32(p); }
static inline void v_store(float *p, vf x) { vst1q_f32(p, x); }
static inline vf v_add(vf a, vf b) { return vaddq_f32(a, b); }
static inline vf v_sub(vf a, vf b) { return vsubq_f32(a, b); }
static inline vf v_mul(vf a, vf b) { return vmulq_f32(a, b); }
static inline vf v_div(vf a, vf b) { return vdivq_f32(a, b); }
static inline vf v_min(vf a, vf b) { return vminq_f32(a, b); }
static inline vf v_max(vf a, vf b) { return vmaxq_f32(a, b); }
static inline vf v_fma(vf a, vf b, vf c) { return vfmaq_f32(c, a, b); }
static inline vf v_round(vf x) { return vrndnq_f32(x); }
/* x * 2^n, n integral, x * 2^n normal. */
static inline vf v_scale2(vf x, vf n)
{
    return vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(x), vshlq_n_s32(vcvtq_s32_f32(n), 23)));
}

/* The first `count` of VL; the others read as zero. */
static inline vf v_load_part(const float *p, int count)
{
    float all[VL] = {0};
    memcpy(all, p, (size_t)(count < VL ? count : VL) * sizeof *p);
    return vld1q_f32(all);
}
static inline void v_store_part(float *p, vf x, int count)
{
    float all[VL];
    vst1q_f32(all, x);
    memcpy(p, all, (size_t)(count < VL ? count : VL) * sizeof *p);
}

static inline float v_sum(vf x) { return vaddvq_f32(x); }
static inline float v_highest(vf x) { return vmaxvq_f32(x); }
/* Bit i: a[i] >= b[i]. */
static inline unsigned v_at_least(vf a, vf b)
{
    static const uint32_t bits[VL] = {1, 2, 4, 8};
    return vaddvq_u32(vandq_u32(vcgeq_f32(a, b), vld1q_u32(bits)));
}

/* bfloat16, rounded to nearest, ties to even. */
static inline vf v_load_bf16(const uint16_t *p) { return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16)); }
static inline vf v_round_bf16(vf x)
{
    const uint32x4_t bits = vreinterpretq_u32_f32(x), odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
    return vreinterpretq_f32_u32(vandq_u32(vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7fff))), vdupq_n_u32(0xffff0000u)));
}
static inline void v_store_bf16(uint16_t *p, vf x)
{
#ifdef __ARM_FEATURE_BF16_VECTOR_ARITHMETIC
    vst1_u16(p, vreinterpret_u16_bf16(vcvt_bf16_f32(x)));
#else
    const uint32x4_t bits = vreinterpretq_u32_f32(x), odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
    vst1_u16(p, vshrn_n_u32(vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7fff))), 16));
#endif
}

#ifdef __ARM_FEATURE_BF16_VECTOR_ARITHMETIC
/* Four pairs of bfloat16, one pair four times, and sums of both products of each. */
typedef bfloat16x8_t v_pairs;
static inline v_pairs v_load_pairs(const uint16_t *p) { return vreinterpretq_bf16_u16(vld1q_u16(p)); }
static inline v_pairs v_set_pairs(const uint16_t *p)
{
    uint32_t both;
    memcpy(&both, p, sizeof both);
    return vreinterpretq_bf16_u32(vdupq_n_u32(both));
}
static inline vf v_dot_pairs(v_pairs a, v_pairs b, vf sum) { return vbfdotq_f32(sum, a, b); }
#endif

#endif
