/* kernels_bench: times the kernels; see kernels_bench_support.h. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "backend/cpu/kernels/int8.h"
#include "kernels/kernels_bench_support.h"

static int lanes_of(const cpu_kernels *k) { return LINE / k->operand_bytes; }

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

typedef struct timing {
    const cpu_kernels *k;
    gemm_args g;
    attend_args a;
    const int8_kernels *q;
    int8_args integers;
    float *x, *y, *weights;
    int n;
} timing;

static void run_gemm(const timing *t) { t->k->gemm(&t->g); }
static void run_attend(const timing *t) { t->k->attend(&t->a); }
static void run_int8(const timing *t) { t->q->gemm(&t->integers); }
static void run_quantise(const timing *t) { t->q->quantise_blocked(t->x, t->n * lanes_of(t->q->base), t->n, t->integers.k, 1, t->y, t->integers.k); }
static void run_depthwise(const timing *t)
{
    const void *const rows[3] = {t->x, t->x + 4096, t->x + 8192};
    t->k->depthwise(rows, 128, t->weights, t->y);
}

static double best_time(const timing *t, void (*run)(const timing *t))
{
    double best = 1;
    int times = 1;
    for (int round = 0; round < 12; round++) {
        const double begin = seconds();
        for (int i = 0; i < times; i++)
            run(t);
        const double each = (seconds() - begin) / times;
        best = each < best ? each : best;
        times = each * times < 2e-3 ? times * 4 : times;
    }
    return best;
}

/* Products of the published models: columns, inner size, rows as the steps call them. */
static const struct {
    const char *what;
    int m, n, k;
} measured[] = {
    {"scores, head of 32", 48, 256, 32}, {"scores, head of 64", 48, 256, 64}, {"values, head of 32", 48, 32, 256}, {"values, head of 64", 48, 64, 256},
    {"fc1, b0 stage 1", 128, 64, 32},    {"fc2, b0 stage 1", 128, 32, 64},    {"fc1, b2 stage 3", 96, 512, 320},   {"fc2, b2 stage 3", 96, 320, 512},
    {"query, b2 stage 4", 48, 512, 512}, {"reduction, b0 stage 1", 32, 32, 2048}, {"classifier", 96, 19, 256},     {"patch, b0 stage 1", 96, 32, 147},
};

/* Heads of the published models: parts of a block of tokens. */
static const struct {
    int keys, d, parts;
    bool small;
} attended[] = {{256, 32, 1, true}, {1024, 32, 1, true}, {256, 64, 1, true}, {1024, 64, 1, true}, {1024, 64, 2, true}, {1024, 64, 1, false}};

static void measure(const cpu_kernels *k)
{
    enum { ROOM = 1 << 18 };
    static float memory[6][ROOM];
    static _Alignas(64) char packed[1 << 22], scratch[1 << 19];
    memset(memory, 0, sizeof memory);
    kernels_begin(k);
    timing t = {.k = k, .x = memory[0], .y = memory[1], .weights = memory[2]};
    for (size_t i = 0; i < sizeof measured / sizeof *measured; i++) {
        const int m = measured[i].m, n = measured[i].n, inner = measured[i].k, row = (inner + lanes_of(k) - 1) / lanes_of(k) * lanes_of(k);
        t.g = (gemm_args){.m = m, .n = n, .k = inner, .a = memory[0], .a_row = row, .a_panel = lanes_of(k), .b = packed, .b_panel = k->panel_bytes(inner),
                          .c = memory[5], .c_row = n, .c_panel = FLOATS};
        const double each = best_time(&t, run_gemm);
        printf("%s,gemm %s,%dx%dx%d,%.3f,us,%.1f,GMAC/s\n", k->name, measured[i].what, m, n, inner, each * 1e6, (double)m * n * inner / each / 1e9);
    }
    for (size_t i = 0; i < sizeof attended / sizeof *attended; i++) {
        const int keys = attended[i].keys, d = attended[i].d, m = k->attend_rows / attended[i].parts;
        t.a = (attend_args){.m = m, .keys = keys, .d = d, .q = memory[0], .q_row = d, .k = packed, .v = packed + (1 << 20), .small = attended[i].small,
                            .sums = memory[1], .sum = memory[2], .scratch = scratch};
        const double each = best_time(&t, run_attend);
        printf("%s,attention%s,%dx%dx%d,%.3f,us,%.2f,G weights/s\n", k->name, attended[i].small ? "" : " with maxima", m, keys, d, each * 1e6,
               (double)m * keys / each / 1e9);
    }
    const double each = best_time(&t, run_depthwise);
    printf("%s,depthwise and gelu,128x%d,%.3f,us,%.2f,G/s\n", k->name, lanes_of(k), each * 1e6, 128 * lanes_of(k) / each / 1e9);
    kernels_end(k);
}

static void measure_int8(const int8_kernels *q)
{
    enum { ROOM = 1 << 18, TOKENS = 96, CHANNELS = 512 };
    static float memory[2][ROOM];
    static _Alignas(64) char packed[1 << 21];
    static const float scale[CHANNELS];
    kernels_begin(q->base);
    timing t = {.q = q, .x = memory[0], .y = memory[1], .n = TOKENS};
    for (size_t i = 0; i < sizeof measured / sizeof *measured; i++) {
        const int m = measured[i].m, n = measured[i].n, inner = measured[i].k;
        if (strncmp(measured[i].what, "fc", 2) != 0)
            continue;
        t.integers = (int8_args){.m = m, .n = n, .k = inner, .a = memory[0], .a_row = (inner + 63) / 64 * 64, .b = packed, .b_panel = q->panel_bytes(inner),
                                 .scale = scale, .c = memory[1], .c_row = n, .c_panel = FLOATS};
        const double each = best_time(&t, run_int8);
        printf("%s,gemm %s,%dx%dx%d,%.3f,us,%.1f,GMAC/s\n", q->name, measured[i].what, m, n, inner, each * 1e6, (double)m * n * inner / each / 1e9);
    }
    t.integers.k = CHANNELS;
    const double each = best_time(&t, run_quantise);
    printf("%s,gelu's results to integers,%dx%d,%.3f,us,%.2f,G/s\n", q->name, TOKENS, CHANNELS, each * 1e6, TOKENS * CHANNELS / each / 1e9);
    kernels_end(q->base);
}

void kernels_measure(void)
{
    const unsigned levels = cpu_levels();
    puts("kernels,what,shape,time,unit,rate,unit");
    for (size_t i = 0; i < cpu_kernel_table_count; i++)
        if (levels >> cpu_kernel_tables[i]->level & 1)
            measure(cpu_kernel_tables[i]);
    for (size_t i = 0; i < int8_kernel_table_count; i++)
        if (levels >> int8_kernel_tables[i]->level & 1)
            measure_int8(int8_kernel_tables[i]);
}
