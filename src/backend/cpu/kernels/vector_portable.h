/* vector_portable: four floats at once in the compiler's own vectors, for any processor. */
#ifndef SEGRT_VECTOR_PORTABLE_H
#define SEGRT_VECTOR_PORTABLE_H

#include <math.h>
#include <stdint.h>
#include <string.h>

enum { VL = 4, TILE_ROWS = 2, TILE_PANELS = 1 };
typedef float vf __attribute__((vector_size(16)));
typedef int32_t vi __attribute__((vector_size(16)));
typedef uint32_t vu __attribute__((vector_size(16)));

static inline vf v_set(float x) { return (vf){x, x, x, x}; }
static inline vf v_zero(void) { return v_set(0); }
static inline vf v_load(const float *p)
{
    vf x;
    memcpy(&x, p, sizeof x);
    return x;
}
static inline void v_store(float *p, vf x) { memcpy(p, &x, sizeof x); }
static inline vf v_add(vf a, vf b) { return a + b; }
static inline vf v_sub(vf a, vf b) { return a - b; }
static inline vf v_mul(vf a, vf b) { return a * b; }
static inline vf v_div(vf a, vf b) { return a / b; }
static inline vf v_min(vf a, vf b)
{
    const vi less = a < b;
    return (vf)(((vi)a & less) | ((vi)b & ~less));
}
static inline vf v_max(vf a, vf b)
{
    const vi more = a > b;
    return (vf)(((vi)a & more) | ((vi)b & ~more));
}
static inline vf v_fma(vf a, vf b, vf c) { return a * b + c; }
/* To the nearest integer, |x| < 2^22: adding 1.5 * 2^23 leaves no room for a fraction. */
static inline vf v_round(vf x) { return (x + v_set(12582912.0f)) - v_set(12582912.0f); }
/* x * 2^n, n integral, x * 2^n normal. */
static inline vf v_scale2(vf x, vf n)
{
    const vu bits = (vu)(n + v_set(12582912.0f)); /* n in the low bits */
    return (vf)((vu)x + (bits << 23));
}

/* The first `count` of VL; the others read as zero. */
static inline vf v_load_part(const float *p, int count)
{
    vf x = v_zero();
    memcpy(&x, p, (size_t)(count < VL ? count : VL) * sizeof *p);
    return x;
}
static inline void v_store_part(float *p, vf x, int count) { memcpy(p, &x, (size_t)(count < VL ? count : VL) * sizeof *p); }

static inline float v_sum(vf x) { return (x[0] + x[2]) + (x[1] + x[3]); }
static inline float v_highest(vf x)
{
    const float a = x[0] > x[2] ? x[0] : x[2], b = x[1] > x[3] ? x[1] : x[3];
    return a > b ? a : b;
}
/* Bit i: a[i] >= b[i]. */
static inline unsigned v_at_least(vf a, vf b)
{
    const vi yes = a >= b;
    return (unsigned)((yes[0] & 1) | (yes[1] & 2) | (yes[2] & 4) | (yes[3] & 8));
}

/* bfloat16, rounded to nearest, ties to even. */
static inline vf v_load_bf16(const uint16_t *p)
{
    const vu bits = {p[0], p[1], p[2], p[3]};
    return (vf)(bits << 16);
}
static inline void v_store_bf16(uint16_t *p, vf x)
{
    for (int i = 0; i < VL; i++) {
        const float one = x[i];
        uint32_t bits;
        memcpy(&bits, &one, sizeof bits);
        p[i] = (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
    }
}
static inline vf v_round_bf16(vf x)
{
    uint16_t kept[VL];
    v_store_bf16(kept, x);
    return v_load_bf16(kept);
}

#endif
