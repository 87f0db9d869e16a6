/* gelu: x * Phi(x), the erf form (Hendrycks and Gimpel 2016).  CUDA backend.
 *
 * 16 bits and tf32: Phi(x) = (1 + tanh(x q(x^2))) / 2 with q fitted to the erf form, off by at most 2.5e-5; the unit's tanh adds
 * 2^-11 of the result's size at most, no more than rounding what is multiplied.  fp32: erff. */
#ifndef SEGRT_CUDA_GELU_CUH
#define SEGRT_CUDA_GELU_CUH

#include "backend/cuda/numeric.cuh"

/* Of 2h, for 16 bits and tf32. */
__device__ __forceinline__ float gelu_of_half(float h)
{
    const float s = fminf(h * h, 12.5f); /* x^2 / 4; the fit turns down behind 69 / 4; at 12.5 the tanh is one */
    const float u = h * fmaf(fmaf(32 * -3.515178680961184e-4f, s, 8 * 3.700564437881496e-2f), s, 2 * 0.7975078889023589f);
    float t;
    asm("tanh.approx.f32 %0, %1;" : "=f"(t) : "f"(u));
    return fmaf(h, t, h);
}

template <numeric N> __device__ __forceinline__ float gelu(float x)
{
    return N == NUMERIC_F32 ? 0.5f * x * (1.0f + erff(x * 0.70710678118654752f)) : gelu_of_half(0.5f * x);
}

#endif
