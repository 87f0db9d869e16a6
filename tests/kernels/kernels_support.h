/* What the tests of the kernel tables share: operands as numbers, guarded random buffers, a walk over the tables that this
 * machine can run. */
#ifndef TESTS_KERNELS_SUPPORT_H
#define TESTS_KERNELS_SUPPORT_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/cpu/kernels/kernels.h"
#include "kernels/guard_support.h"
#include "model_support.h"

extern const cpu_kernels cpu_kernels_bf16_amx_emulated, cpu_kernels_f32_amx_emulated;

static uint64_t seed;

static inline int lanes_of(const cpu_kernels *k) { return LINE / k->operand_bytes; }
static inline int up(int x, int unit) { return (x + unit - 1) / unit * unit; }

static inline uint16_t nearest_bf16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static inline void put_operand(const cpu_kernels *k, void *p, size_t i, float x)
{
    if (k->operand_bytes == sizeof(float))
        ((float *)p)[i] = x;
    else
        ((uint16_t *)p)[i] = nearest_bf16(x);
}

static inline float operand_at(const cpu_kernels *k, const void *p, size_t i)
{
    if (k->operand_bytes == sizeof(float))
        return ((const float *)p)[i];
    const uint32_t bits = (uint32_t)((const uint16_t *)p)[i] << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static inline float rounded_bf16(float x)
{
    const uint32_t bits = (uint32_t)nearest_bf16(x) << 16;
    memcpy(&x, &bits, sizeof x);
    return x;
}


/* Rounding of one number that is stored as an operand. */
static inline double operand_error(const cpu_kernels *k) { return k->operand_bytes == sizeof(float) ? 2e-6 : 1.0 / 256; }

static inline guarded floats(size_t count)
{
    guarded g = guarded_open(count * sizeof(float));
    random_fill(&seed, g.data, count);
    return g;
}

static inline guarded operands(const cpu_kernels *k, size_t count)
{
    guarded g = guarded_open(count * (size_t)k->operand_bytes);
    for (size_t i = 0; i < count; i++)
        put_operand(k, g.data, i, (float)random_normal(&seed));
    return g;
}

static inline void for_table(void (*check)(const cpu_kernels *k), const cpu_kernels *k)
{
    seed = 1;
    kernels_begin(k);
    check(k);
    kernels_end(k);
}

static inline void for_tables(void (*check)(const cpu_kernels *k))
{
    const unsigned levels = cpu_levels();
    for (size_t i = 0; i < cpu_kernel_table_count; i++)
        if (levels >> cpu_kernel_tables[i]->level & 1)
            for_table(check, cpu_kernel_tables[i]);
    for_table(check, &cpu_kernels_bf16_amx_emulated);
    for_table(check, &cpu_kernels_f32_amx_emulated);
}

static inline void expect(const cpu_kernels *k, const char *what, size_t at, double got, double wanted, double allowed)
{
    if (!(fabs(got - wanted) <= allowed))
        fail_msg("%s: %s[%zu] is %.9g, should be %.9g within %.1e", k->name, what, at, got, wanted, allowed);
}

#endif
