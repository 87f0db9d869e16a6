/* gelu: x * Phi(x), the erf form (Hendrycks and Gimpel 2016).  CUDA backend.
 *
 * 16 bits: Phi(x) = (1 + tanh(x q(x^2))) / 2 with q fitted to the erf form, off by at most 2.5e-5; the unit's tanh adds
 * 2^-11 of the result's size at most, less than rounding to 16 bits does.  Floats: erff. */
#ifndef SEGRT_CUDA_GELU_CUH
#define SEGRT_CUDA_GELU_CUH

#include "backend/cuda/numeric.cuh"

template <numeric N> __device__ __forceinline__ float gelu(float x)
{
    if constexpr (is_float<N>)
        return 0.5f * x * (1.0f + erff(x * 0.70710678118654752f));
    const float s = fminf(x * x, 50.0f); /* the fit turns down behind 69; at 50 the tanh is one */
    const float u = x * fmaf(fmaf(-3.515178680961184e-4f, s, 3.700564437881496e-2f), s, 0.7975078889023589f);
    float t;
    asm("tanh.approx.f32 %0, %1;" : "=f"(t) : "f"(u));
    const float half = 0.5f * x;
    return fmaf(half, t, half);
}

#endif
