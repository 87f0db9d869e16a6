/* common_depthwise: 3x3 depthwise convolution and GELU over one image row, for any vector of vector_<level>.h. */
#ifndef SEGRT_COMMON_DEPTHWISE_H
#define SEGRT_COMMON_DEPTHWISE_H

#include "backend/cpu/kernels/common_operand.h"

/* x Phi(x) (Hendrycks and Gimpel 2016, the erf form). */
#ifdef OPERAND_BF16

/* Phi(x) - 1/2 = x P(x^2) on |x| <= 4.5, minimax for x Phi(x): absolute error 6e-5, a thirtieth of the rounding of a result near 1.
 * Below -4.5 the result stays where it was there. */
static inline vf v_gelu(vf x)
{
    x = v_max(x, v_set(-4.5f));
    const vf t = v_min(x, v_set(4.5f)), u = v_mul(t, t);
    vf p = v_set(3.03641306e-11f);
    p = v_fma(p, u, v_set(-3.31465589e-09f));
    p = v_fma(p, u, v_set(1.59099564e-07f));
    p = v_fma(p, u, v_set(-4.45172722e-06f));
    p = v_fma(p, u, v_set(8.14251466e-05f));
    p = v_fma(p, u, v_set(-0.00103759119f));
    p = v_fma(p, u, v_set(0.00958520264f));
    p = v_fma(p, u, v_set(-0.0659846554f));
    p = v_fma(p, u, v_set(0.398712606f));
    return v_mul(x, v_fma(t, p, v_set(0.5f)));
}

#else

/* Phi(x) - 1/2 = x P(x^2) / Q(x^2) on |x| <= 5.3, minimax, error 1.3e-8; beyond, Phi is 0 or 1 to float's precision.  Absolute
 * error of the whole: 2.3e-7 |x|. */
static inline vf v_gelu(vf x)
{
    const vf t = v_max(v_min(x, v_set(5.3f)), v_set(-5.3f)), u = v_mul(t, t);
    vf p = v_set(1.21101228e-10f), q = v_set(5.52769812e-05f);
    p = v_fma(p, u, v_set(-2.25216886e-08f));
    q = v_fma(q, u, v_set(0.00170003181f));
    p = v_fma(p, u, v_set(3.03797063e-06f));
    q = v_fma(q, u, v_set(0.0277986785f));
    p = v_fma(p, u, v_set(0.000148164415f));
    q = v_fma(q, u, v_set(0.251129181f));
    p = v_fma(p, u, v_set(0.00436486666f));
    q = v_fma(q, u, v_set(1.0f));
    p = v_fma(p, u, v_set(0.0336962223f));
    p = v_fma(p, u, v_set(0.398942199f));
    return v_mul(x, v_add(v_set(0.5f), v_div(v_mul(t, p), q)));
}

#endif

enum { DEPTHWISE_BYTES = 10 * LANES * (int)sizeof(float) };

static void pack_depthwise(void *to, const float *weights) { memcpy(to, weights, DEPTHWISE_BYTES); }

/* Three columns of partial sums roll along the row: a loaded column is the right tap of the pixel before it, the middle of its
 * own and the left of the next, so every number is loaded once. */
static void depthwise(const void *const rows[3], int w, const void *weights, void *out)
{
    const float *taps = weights;
    for (int v = 0; v < LANES; v += VL) {
        const operand *in[3];
        vf tap[9];
        for (int y = 0; y < 3; y++) {
            in[y] = (const operand *)(rows[y] ? rows[y] : rows[1]) + v;
            for (int x = 0; x < 3; x++)
                tap[y * 3 + x] = rows[y] ? v_load(taps + (y * 3 + x) * LANES + v) : v_zero(); /* outside: times zero */
        }
        const vf bias = v_load(taps + 9 * LANES + v);
        operand *to = (operand *)out + v;
        vf here = bias, next = bias; /* sums of pixels x - 1 and x */
        for (int x = 0; x < w; x++) {
            const vf top = o_load(in[0] + x * LANES), middle = o_load(in[1] + x * LANES), bottom = o_load(in[2] + x * LANES);
            const vf done = v_fma(bottom, tap[8], v_fma(middle, tap[5], v_fma(top, tap[2], here)));
            here = v_fma(bottom, tap[7], v_fma(middle, tap[4], v_fma(top, tap[1], next)));
            next = v_fma(bottom, tap[6], v_fma(middle, tap[3], v_fma(top, tap[0], bias)));
            if (x > 0)
                o_store(to + (x - 1) * LANES, v_gelu(done));
        }
        o_store(to + (w - 1) * LANES, v_gelu(here));
    }
}

#endif
