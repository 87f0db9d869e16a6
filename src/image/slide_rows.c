/* slide_rows: see slide_rows.h.  The portable variant. */
#include "image/slide_rows.h"

#include <string.h>

#include "base/cpu.h"

static void keep_larger(size_t n, int32_t class, const float *logit, float *best, int32_t *label)
{
    for (size_t i = 0; i < n; i++)
        if (logit[i] > best[i]) {
            best[i] = logit[i];
            label[i] = class;
        }
}

static float exp_nonpositive(float x)
{
    static const float series[] = SLIDE_EXP_SERIES;
    const float to_integer = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer, halves to even */
    const float scaled = (x > SLIDE_EXP_LEAST ? x : SLIDE_EXP_LEAST) * SLIDE_LOG2_E, whole = (scaled + to_integer) - to_integer,
                f = scaled - whole;
    float p = series[0];
    for (size_t i = 1; i < sizeof series / sizeof *series; i++)
        p = p * f + series[i];
    const int32_t bits = (int32_t)((uint32_t)((int32_t)whole + 127) << 23);
    float power;
    memcpy(&power, &bits, sizeof power);
    return p * power;
}

static void add_exp(size_t n, const float *logit, const float *best, float *sum)
{
    for (size_t i = 0; i < n; i++)
        sum[i] += exp_nonpositive(logit[i] - best[i]);
}

const slide_rows slide_rows_portable = {keep_larger, add_exp};

const slide_rows *slide_rows_best(void)
{
#if defined(__x86_64__)
    if (cpu_levels() & 1u << CPU_AVX2)
        return &slide_rows_avx2;
#endif
    return &slide_rows_portable;
}
