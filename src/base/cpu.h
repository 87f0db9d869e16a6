/* cpu: what the processor at hand can do, and what of it may be used.  Base layer; the CPU backend
 * chooses its kernels by it.
 *
 * A level is a set of instructions that a kernel file is compiled for (cmake/isa.cmake).  A level is
 * present only where the processor has all of it and the operating system saves its registers. */
#ifndef SEGRT_BASE_CPU_H
#define SEGRT_BASE_CPU_H

#include "base/error.h"

typedef enum cpu_level {
    CPU_PORTABLE,
    CPU_AVX2,       /* AVX2, FMA, F16C */
    CPU_AVXVNNI,    /* VNNI of 256 bits; levels above need not have it */
    CPU_AVX512,     /* F, BW, VL, DQ */
    CPU_AVX512VNNI,
    CPU_AVX512BF16,
    CPU_AVX512FP16,
    CPU_AMX,        /* tile, bf16, int8; with AVX-512 VBMI */
    CPU_NEON,
    CPU_NEONDOT,    /* sdot */
    CPU_NEONBF16,   /* bf16 */
    CPU_LEVELS
} cpu_level;

/* Bit 1 << level for each level that this machine has; CPU_PORTABLE always.  Asks the operating
 * system for the use of AMX tiles, once and for the whole process, where the processor has them. */
unsigned cpu_levels(void);

/* The levels that SEGRT_CPU (a level's name, or NULL: no limit) leaves of `levels`: that one and those
 * below.  Errors: ARGUMENT with the names. */
segrt_status cpu_limit(unsigned *levels, const char *name, segrt_error *error);

/* "portable", "avx2", "avx512", ... */
const char *cpu_level_name(cpu_level level);

/* The highest level of a set. */
cpu_level cpu_highest(unsigned levels);

/* Bytes of a core's second-level cache, or 512 KiB where nobody tells. */
size_t cpu_cache_bytes(void);

#endif
