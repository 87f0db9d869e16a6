/* vector_portable_int: 32-bit integers beside vector_portable.h's floats. */
#ifndef SEGRT_VECTOR_PORTABLE_INT_H
#define SEGRT_VECTOR_PORTABLE_INT_H

#include <string.h>

#include "backend/cpu/kernels/vector_portable.h"

static inline vi vi_set(int32_t x) { return (vi){x, x, x, x}; }
static inline vi vi_load(const void *p)
{
    vi x;
    memcpy(&x, p, sizeof x);
    return x;
}
static inline vf vi_float(vi x) { return __builtin_convertvector(x, vf); }

#endif
