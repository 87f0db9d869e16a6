/* cpu: see cpu.h.
 *
 * Source: Intel SDM vol. 2A CPUID, vol. 1 chapter 13 (XCR0) and 18 (AMX); AMD APM vol. 3 appendix E;
 * Linux Documentation/arch/x86/xstate.rst (ARCH_REQ_XCOMP_PERM), arch/arm64/elf_hwcaps.rst. */
#include "base/cpu.h"

#include <string.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

static const char *const names[CPU_LEVELS] = {
    [CPU_PORTABLE] = "portable",     [CPU_AVX2] = "avx2",             [CPU_AVXVNNI] = "avxvnni",       [CPU_AVX512] = "avx512",
    [CPU_AVX512VNNI] = "avx512vnni", [CPU_AVX512BF16] = "avx512bf16", [CPU_AVX512FP16] = "avx512fp16", [CPU_AMX] = "amx",
    [CPU_NEON] = "neon",             [CPU_NEONDOT] = "neondot",       [CPU_NEONBF16] = "neonbf16",
};

const char *cpu_level_name(cpu_level level) { return (unsigned)level < CPU_LEVELS ? names[level] : "unknown"; }

#if defined(__x86_64__)

enum { REGISTERS_AVX = 0x6, REGISTERS_AVX512 = 0xe6, REGISTERS_AMX = 0x60000 };

/* XCR0: which registers the operating system saves. */
static uint64_t saved_registers(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

/* The kernel grants tiles to a process that asks; one that doesn't faults at the first use. */
static bool tiles_granted(void)
{
    enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };
    return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}

static bool all_of(uint32_t value, uint32_t bits) { return (value & bits) == bits; }

unsigned cpu_levels(void)
{
    unsigned levels = 1u << CPU_PORTABLE;
    uint32_t a, b1, c1, d1, b7, c7, d7, a71 = 0, unused;
    if (!__get_cpuid(1, &a, &b1, &c1, &d1) || !__get_cpuid_count(7, 0, &a, &b7, &c7, &d7))
        return levels;
    if (a >= 1)
        __get_cpuid_count(7, 1, &a71, &unused, &unused, &unused);
    enum { OSXSAVE = 1 << 27, FMA = 1 << 12, F16C = 1 << 29, AVX2 = 1 << 5 };
    const uint64_t saved = c1 & OSXSAVE ? saved_registers() : 0;
    if (!all_of(c1, FMA | F16C) || !(b7 & AVX2) || !all_of((uint32_t)saved, REGISTERS_AVX))
        return levels;
    levels |= 1u << CPU_AVX2;
    const uint32_t avx_vnni = 1u << 4, vnni = 1u << 11, bf16 = 1u << 5;
    if (a71 & avx_vnni)
        levels |= 1u << CPU_AVXVNNI;
    const uint32_t avx512 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31; /* F, DQ, BW, VL */
    if (!all_of(b7, avx512) || !all_of((uint32_t)saved, REGISTERS_AVX512))
        return levels;
    levels |= 1u << CPU_AVX512;
    if (!(c7 & vnni))
        return levels;
    levels |= 1u << CPU_AVX512VNNI;
    if (!(a71 & bf16))
        return levels;
    levels |= 1u << CPU_AVX512BF16;
    if (!(d7 & 1u << 23))
        return levels;
    levels |= 1u << CPU_AVX512FP16;
    const uint32_t amx = 1u << 22 | 1u << 24 | 1u << 25, vbmi = 1u << 1; /* bf16, tile, int8 */
    if (all_of(d7, amx) && (c7 & vbmi) && all_of((uint32_t)saved, REGISTERS_AMX) && tiles_granted())
        levels |= 1u << CPU_AMX;
    return levels;
}

#elif defined(__aarch64__)

unsigned cpu_levels(void)
{
    unsigned levels = 1u << CPU_PORTABLE | 1u << CPU_NEON; /* part of the base architecture */
#if defined(__linux__)
    const unsigned long dot = 1ul << 20, bf16 = 1ul << 14; /* HWCAP_ASIMDDP, HWCAP2_BF16 */
    if (!(getauxval(AT_HWCAP) & dot))
        return levels;
    levels |= 1u << CPU_NEONDOT;
    if (getauxval(AT_HWCAP2) & bf16)
        levels |= 1u << CPU_NEONBF16;
#endif
    return levels;
}

#else

unsigned cpu_levels(void) { return 1u << CPU_PORTABLE; }

#endif

segrt_status cpu_limit(unsigned *levels, const char *name, segrt_error *error)
{
    if (!name || !*name)
        return SEGRT_OK;
    for (unsigned i = 0; i < CPU_LEVELS; i++)
        if (!strcmp(name, names[i])) {
            *levels &= (2u << i) - 1;
            return SEGRT_OK;
        }
    return fail_with(error, SEGRT_ARGUMENT,
                     "SEGRT_CPU=%.40s: not a level; give portable, avx2, avxvnni, avx512, avx512vnni, avx512bf16, avx512fp16, amx, neon, neondot or neonbf16",
                     name);
}

cpu_level cpu_highest(unsigned levels)
{
    unsigned highest = CPU_PORTABLE;
    for (unsigned i = 0; i < CPU_LEVELS; i++)
        if (levels >> i & 1)
            highest = i;
    return (cpu_level)highest;
}

size_t cpu_cache_bytes(void)
{
    long bytes = -1;
#ifdef _SC_LEVEL2_CACHE_SIZE
    bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
#endif
    return bytes >= 128 << 10 && bytes <= 64 << 20 ? (size_t)bytes : 512 << 10;
}
