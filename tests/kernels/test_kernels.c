/* Every function of every kernel table that this machine can run, against plain loops in double: awkward shapes, poisoned
 * outputs, buffers that end at a page nobody may touch.  `test_kernels --bench` times them instead. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "backend/cpu/kernels/kernels.h"
#include "kernels/guard_support.h"
#include "model_support.h"

extern const cpu_kernels cpu_kernels_bf16_amx_emulated, cpu_kernels_f32_amx_emulated;

/* ------------------------------------------------------------------------------------ helpers */

static uint64_t seed;

static int lanes_of(const cpu_kernels *k) { return LINE / k->operand_bytes; }
static int up(int x, int unit) { return (x + unit - 1) / unit * unit; }

static float operand_at(const cpu_kernels *k, const void *p, size_t i)
{
    if (k->operand_bytes == sizeof(float) && !k->parts)
        return ((const float *)p)[i];
    const uint32_t both = k->parts ? ((const uint32_t *)p)[i] : (uint32_t)((const uint16_t *)p)[i] << 16;
    const uint32_t upper = both & 0xffff0000u, lower = both << 16; /* a bfloat16 number, or the sum of two */
    float f, rest;
    memcpy(&f, &upper, sizeof f);
    memcpy(&rest, &lower, sizeof rest);
    return f + rest;
}

static uint16_t nearest_bf16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static void put_operand(const cpu_kernels *k, void *p, size_t i, float x)
{
    const uint32_t upper = (uint32_t)nearest_bf16(x) << 16;
    float larger;
    memcpy(&larger, &upper, sizeof larger);
    if (k->parts)
        ((uint32_t *)p)[i] = upper | nearest_bf16(x - larger);
    else if (k->operand_bytes == sizeof(float))
        ((float *)p)[i] = x;
    else
        ((uint16_t *)p)[i] = nearest_bf16(x);
}

/* Rounding of one number that is stored as an operand. */
static double operand_error(const cpu_kernels *k) { return k->parts ? 1.0 / 65536 : k->operand_bytes == sizeof(float) ? 2e-6 : 1.0 / 256; }

static guarded floats(size_t count)
{
    guarded g = guarded_open(count * sizeof(float));
    random_fill(&seed, g.data, count);
    return g;
}

static guarded operands(const cpu_kernels *k, size_t count)
{
    guarded g = guarded_open(count * (size_t)k->operand_bytes);
    for (size_t i = 0; i < count; i++)
        put_operand(k, g.data, i, (float)random_normal(&seed));
    return g;
}

static void for_tables(void (*check)(const cpu_kernels *k))
{
    const unsigned levels = cpu_levels();
    for (size_t i = 0; i < cpu_kernel_table_count; i++)
        if (levels >> cpu_kernel_tables[i]->level & 1) {
            seed = 1;
            check(cpu_kernel_tables[i]);
        }
    check(&cpu_kernels_bf16_amx_emulated);
    seed = 1;
    check(&cpu_kernels_f32_amx_emulated);
}

static void expect(const cpu_kernels *k, const char *what, size_t at, double got, double wanted, double allowed)
{
    if (!(fabs(got - wanted) <= allowed))
        fail_msg("%s: %s[%zu] is %.9g, should be %.9g within %.1e", k->name, what, at, got, wanted, allowed);
}

/* ------------------------------------------------------------------------------------ products */

typedef struct product {
    int m, n, k;
    bool blocked_a, blocked_c, narrow, relu, add, row_scale, bias;
} product;

static const product products[] = {
    {1, 1, 1, false, false, false, false, false, false, false},
    {6, 16, 32, false, false, false, false, false, false, false},
    {12, 32, 64, false, false, false, false, false, false, false},
    {48, 256, 64, false, false, false, false, false, false, false},
    {64, 96, 32, false, false, false, false, false, true, true},
    {7, 17, 33, false, false, false, false, true, true, true},
    {13, 40, 700, false, false, false, false, true, true, true},
    {97, 11, 256, true, false, false, false, false, false, true},
    {33, 64, 32, false, true, true, false, false, true, true},
    {31, 96, 160, false, true, true, true, true, false, false},
    {16, 64, 128, true, true, true, true, true, true, true},
    {5, 150, 96, true, false, false, true, true, false, true},
    {2, 19, 1000, true, false, false, false, true, false, false},
    {50, 48, 147, false, true, false, false, false, false, true},
};

static void check_product(const cpu_kernels *k, const product *p)
{
    const int lanes = lanes_of(k), c_lanes = p->narrow ? lanes : FLOATS, ku = up(p->k, k->k_unit), n = p->blocked_c ? up(p->n, c_lanes) : p->n;
    const ptrdiff_t a_row = p->blocked_a ? lanes : ku + 3, c_row = p->blocked_c ? c_lanes : n + 5;
    const ptrdiff_t a_panel = p->blocked_a ? (ptrdiff_t)p->m * lanes : lanes, c_panel = p->blocked_c ? (ptrdiff_t)p->m * c_lanes : c_lanes;
    const size_t a_count = p->blocked_a ? (size_t)(up(ku, lanes) * p->m) : (size_t)((p->m - 1) * a_row + ku);
    const size_t c_count = p->blocked_c ? (size_t)(n * p->m) : (size_t)((p->m - 1) * c_row + n);
    guarded a = operands(k, a_count), w = floats((size_t)(n * p->k)), scale = floats((size_t)p->m), bias = floats((size_t)up(n, PANEL));
    guarded add = floats((size_t)(p->m * up(n, FLOATS))), c = guarded_open(c_count * (p->narrow ? (size_t)k->operand_bytes : sizeof(float)));
    guarded b = guarded_open((size_t)(up(n, PANEL) / PANEL) * k->panel_bytes(p->k));
    k->pack_rows(b.data, w.data, p->k, n, p->k);
    k->gemm(&(gemm_args){.m = p->m, .n = n, .k = p->k, .a = a.data, .a_row = a_row, .a_panel = a_panel, .b = b.data, .b_panel = k->panel_bytes(p->k),
                         .c = c.data, .c_row = c_row, .c_panel = c_panel, .narrow = p->narrow, .relu = p->relu, .add = p->add ? add.data : NULL,
                         .add_row = FLOATS, .add_panel = (ptrdiff_t)p->m * FLOATS, .row_scale = p->row_scale ? scale.data : NULL,
                         .bias = p->bias ? bias.data : NULL});
    for (int i = 0; i < p->m; i++)
        for (int j = 0; j < n; j++) {
            double sum = 0, size = 0;
            for (int l = 0; l < p->k; l++) {
                const double x = operand_at(k, a.data, (size_t)(l / lanes * a_panel + i * a_row + l % lanes));
                const double y = k->packed_at((const char *)b.data + (size_t)(j / PANEL) * k->panel_bytes(p->k), l, j % PANEL);
                sum += x * y;
                size += fabs(x * y);
            }
            const double factor = p->row_scale ? ((float *)scale.data)[i] : 1;
            sum = sum * factor + (p->bias ? ((float *)bias.data)[j] : 0) + (p->add ? ((float *)add.data)[j / FLOATS * p->m * FLOATS + i * FLOATS + j % FLOATS] : 0);
            sum = p->relu && sum < 0 ? 0 : sum;
            const size_t at = (size_t)(j / c_lanes * c_panel + i * c_row + j % c_lanes);
            const double got = p->narrow ? operand_at(k, c.data, at) : ((float *)c.data)[at];
            expect(k, "product", at, got, sum, 1e-6 + 5e-7 * size * fabs(factor) + (p->narrow ? operand_error(k) * fabs(sum) : 0));
        }
    for (int i = 0; !p->blocked_c && i + 1 < p->m; i++) /* what lies between rows stays */
        for (int j = n; j < c_row; j++)
            assert_true(isnan(p->narrow ? operand_at(k, c.data, (size_t)(i * c_row + j)) : ((float *)c.data)[i * c_row + j]));
    guarded *const all[] = {&a, &w, &scale, &bias, &add, &c, &b};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        assert_true(guarded_whole(all[i]));
        guarded_close(all[i]);
    }
}

static void check_products(const cpu_kernels *k)
{
    for (size_t i = 0; i < sizeof products / sizeof *products; i++)
        check_product(k, &products[i]);
}

static void products_of_every_shape_layout_and_ending_are_right(void **state)
{
    (void)state;
    for_tables(check_products);
}

static void check_rows_do_not_matter(const cpu_kernels *k)
{
    enum { M = 61, N = 48, K = 352 };
    guarded a = operands(k, M * K), w = floats(N * K), whole = guarded_open(M * N * sizeof(float)), one = guarded_open(N * sizeof(float));
    guarded b = guarded_open(N / PANEL * k->panel_bytes(K));
    k->pack_rows(b.data, w.data, K, N, K);
    gemm_args g = {.m = M, .n = N, .k = K, .a = a.data, .a_row = K, .a_panel = lanes_of(k), .b = b.data, .b_panel = k->panel_bytes(K), .c = whole.data,
                   .c_row = N, .c_panel = FLOATS};
    k->gemm(&g);
    g.m = 1;
    g.c = one.data;
    for (int i = 0; i < M; i++) {
        g.a = (const char *)a.data + i * K * k->operand_bytes;
        k->gemm(&g);
        assert_memory_equal(one.data, (float *)whole.data + i * N, N * sizeof(float));
    }
    guarded_close(&a), guarded_close(&w), guarded_close(&whole), guarded_close(&one), guarded_close(&b);
}

static void a_rows_product_does_not_depend_on_where_the_row_stands(void **state)
{
    (void)state;
    for_tables(check_rows_do_not_matter);
}

static void check_packing(const cpu_kernels *k)
{
    static const int sizes[][2] = {{1, 1}, {8, 40}, {64, 96}, {17, 70}}; /* n, k */
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        const int n = sizes[s][0], rows = sizes[s][1], middle = rows / 2 / 32 * 32;
        guarded columns = floats((size_t)(n * rows)), b = guarded_open((size_t)(up(n, PANEL) / PANEL) * k->panel_bytes(rows));
        const float *src = columns.data;
        if (middle)
            k->pack_columns(b.data, k->panel_bytes(rows), src, n, n, 0, middle);
        k->pack_columns(b.data, k->panel_bytes(rows), src + middle * n, n, n, middle, rows);
        for (int i = 0; i < up(rows, k->k_unit); i++)
            for (int j = 0; j < up(n, PANEL); j++) {
                const double got = k->packed_at((char *)b.data + (size_t)(j / PANEL) * k->panel_bytes(rows), i, j % PANEL);
                const double wanted = i < rows && j < n ? (double)src[i * n + j] : 0;
                expect(k, "packed column", (size_t)i, got, wanted, k->parts ? fabs(wanted) / 65536 : k->operand_bytes == 4 ? 0 : fabs(wanted) / 256);
            }
        assert_true(guarded_whole(&b));
        guarded_close(&columns), guarded_close(&b);
    }
}

static void packed_columns_read_back_with_zeros_around(void **state)
{
    (void)state;
    for_tables(check_packing);
}

/* ---------------------------------------------------------------------------------- rows of x */

static const int widths[] = {1, 3, 8, 15, 16, 40, 64, 160};

static double mean_square(const float *x, int n)
{
    double s = 0;
    for (int i = 0; i < n; i++)
        s += (double)x[i] * (double)x[i];
    return s / n;
}

static void check_norms(const cpu_kernels *k)
{
    for (size_t s = 0; s < sizeof widths / sizeof *widths; s++) {
        const int n = widths[s], m = 3;
        guarded x = floats((size_t)(m * n)), out = guarded_open((size_t)m * sizeof(float)), offset = floats((size_t)n), f = guarded_open((size_t)(m * n) * sizeof(float));
        const float *from = x.data, *mu = offset.data;
        k->rstd(from, n, m, n, 1e-5f, out.data);
        k->stage_norm(from, n, m, n, mu, 1e-5f, f.data, n);
        for (int i = 0; i < m; i++) {
            const double factor = 1 / sqrt(mean_square(from + i * n, n) + 1e-5);
            expect(k, "rstd", (size_t)i, ((float *)out.data)[i], factor, 1e-6 * factor);
            for (int j = 0; j < n; j++)
                expect(k, "stage norm", (size_t)j, ((float *)f.data)[i * n + j], from[i * n + j] * factor - mu[j], 4e-6);
        }
        k->scale_rows(f.data, n, m, n, out.data);
        assert_true(guarded_whole(&f) && guarded_whole(&out));
        guarded_close(&x), guarded_close(&out), guarded_close(&offset), guarded_close(&f);
    }
}

static void norms_are_right_for_every_width(void **state)
{
    (void)state;
    for_tables(check_norms);
}

static void check_patch_norm(const cpu_kernels *k)
{
    for (size_t s = 0; s < sizeof widths / sizeof *widths; s++) {
        const int n = widths[s];
        guarded x = floats((size_t)n), bias = floats((size_t)n), gamma = floats((size_t)n), beta = floats((size_t)n);
        double y[160], square = 0, mean = 0;
        for (int j = 0; j < n; j++)
            y[j] = (double)((float *)x.data)[j] + (double)((float *)bias.data)[j];
        for (int j = 0; j < n; j++)
            square += y[j] * y[j];
        for (int j = 0; j < n; j++)
            mean += (y[j] = y[j] / sqrt(square / n + 1e-5) * (double)((float *)gamma.data)[j] + (double)((float *)beta.data)[j]);
        k->patch_norm(x.data, n, bias.data, gamma.data, beta.data, 1e-5f);
        for (int j = 0; j < n; j++)
            expect(k, "patch norm", (size_t)j, ((float *)x.data)[j], y[j] - mean / n, 5e-6);
        assert_true(guarded_whole(&x));
        guarded_close(&x), guarded_close(&bias), guarded_close(&gamma), guarded_close(&beta);
    }
}

static void the_patch_embeddings_norm_is_right_for_every_width(void **state)
{
    (void)state;
    for_tables(check_patch_norm);
}

static void check_operands(const cpu_kernels *k)
{
    for (size_t s = 0; s < sizeof widths / sizeof *widths; s++) {
        const int n = widths[s], m = 3, row = up(n, k->k_unit);
        guarded x = floats((size_t)(m * n)), scale = floats((size_t)m), out = guarded_open((size_t)(m * row * k->operand_bytes));
        k->operands(x.data, n, m, n, scale.data, out.data, row);
        for (int i = 0; i < m; i++)
            for (int j = 0; j < row; j++) {
                const double wanted = j < n ? (double)((float *)x.data)[i * n + j] * (double)((float *)scale.data)[i] : 0;
                expect(k, "operand", (size_t)j, operand_at(k, out.data, (size_t)(i * row + j)), wanted, operand_error(k) * fabs(wanted));
            }
        assert_true(guarded_whole(&out));
        guarded_close(&x), guarded_close(&scale), guarded_close(&out);
    }
}

static void operands_are_rounded_scaled_and_padded(void **state)
{
    (void)state;
    for_tables(check_operands);
}

/* ------------------------------------------------------------------------------------ softmax */

static void check_softmax(const cpu_kernels *k)
{
    static const int tiles[][2] = {{1, 0}, {7, 0}, {16, 5}, {33, 64}, {256, 100}}; /* columns of two tiles */
    static const float spreads[] = {1, 30, 300};                                  /* flat, peaked, mostly far below the largest */
    for (size_t s = 0; s < sizeof tiles / sizeof *tiles; s++)
        for (size_t spread = 0; spread < 3; spread++) {
            enum { M = 3 };
            const int row = up(tiles[s][0] > tiles[s][1] ? tiles[s][0] : tiles[s][1], k->k_unit);
            float maximum[M], sum[M], shrink[M];
            double all[M][512], kept[M][512];
            int at = 0;
            for (int t = 0; t < 2 && tiles[s][t]; t++) {
                const int n = tiles[s][t];
                guarded scores = floats((size_t)(M * row)), weights = guarded_open((size_t)(M * row * k->operand_bytes));
                float *x = scores.data;
                for (int i = 0; i < M * row; i++)
                    x[i] *= spreads[spread];
                for (int i = 0; i < M; i++)
                    for (int j = 0; j < n; j++)
                        all[i][at + j] = x[i * row + j];
                k->softmax(x, row, M, n, t == 0, maximum, sum, shrink, weights.data, row);
                for (int i = 0; i < M; i++) {
                    for (int j = 0; j < at; j++)
                        kept[i][j] *= (double)shrink[i];
                    for (int j = 0; j < n; j++)
                        kept[i][at + j] = operand_at(k, weights.data, (size_t)(i * row + j));
                    for (int j = n; j < up(n, k->k_unit); j++)
                        assert_true(operand_at(k, weights.data, (size_t)(i * row + j)) == 0);
                }
                at += n;
                assert_true(guarded_whole(&weights));
                guarded_close(&scores), guarded_close(&weights);
            }
            for (int i = 0; i < M; i++) {
                double largest = all[i][0], total = 0, kept_total = 0;
                for (int j = 1; j < at; j++)
                    largest = fmax(largest, all[i][j]);
                for (int j = 0; j < at; j++) {
                    total += exp2(all[i][j] - largest);
                    kept_total += kept[i][j];
                }
                expect(k, "sum of weights", (size_t)i, (double)sum[i], kept_total, 3e-6 * kept_total);
                for (int j = 0; j < at; j++)
                    expect(k, "weight", (size_t)j, kept[i][j] / (double)sum[i], exp2(all[i][j] - largest) / total, operand_error(k) * 2 * exp2(all[i][j] - largest) / total + operand_error(k) * 0.1);
            }
        }
}

/* Powers of two in a product's ending: several k_units and panels, a last column group of each size. */
static void check_exp_sums(const cpu_kernels *k)
{
    for (int n = 1; n < 70; n += 1 + n / 4) {
        enum { M = 37, K = 64 };
        const int row = up(n, k->k_unit);
        guarded a = operands(k, M * K), w = floats((size_t)(n * K)), bias = floats((size_t)up(n, PANEL)), sums = floats(M * FLOATS), scale = floats(M);
        guarded b = guarded_open((size_t)(up(n, PANEL) / PANEL) * k->panel_bytes(K)), c = guarded_open((size_t)(M * row * k->operand_bytes));
        memset(sums.data, 0, sums.bytes);
        k->pack_rows(b.data, w.data, K, n, K);
        k->gemm(&(gemm_args){.m = M, .n = n, .k = K, .a = a.data, .a_row = K, .a_panel = lanes_of(k), .b = b.data, .b_panel = k->panel_bytes(K), .c = c.data,
                             .c_row = row, .c_panel = lanes_of(k), .narrow = true, .bias = bias.data, .row_scale = scale.data, .exp_sums = sums.data});
        float total[M];
        k->sum_lanes(sums.data, M, total);
        for (int i = 0; i < M; i++) {
            double stored = 0;
            for (int j = 0; j < row; j++) {
                double score = j < n ? (double)((float *)bias.data)[j] : 0, size = 0;
                for (int l = 0; l < K && j < n; l++) {
                    const double term = (double)operand_at(k, a.data, (size_t)(i * K + l)) *
                                           (double)k->packed_at((char *)b.data + (size_t)(j / PANEL) * k->panel_bytes(K), l, j % PANEL) * (double)((float *)scale.data)[i];
                    score += term;
                    size += fabs(term);
                }
                const double got = operand_at(k, c.data, (size_t)(i * row + j)), wanted = j < n ? exp2(score) : 0;
                expect(k, "power", (size_t)(i * row + j), got, wanted, wanted * (operand_error(k) * 1.03 + 1e-6 * size));
                stored += got;
            }
            expect(k, "sum of powers", (size_t)i, (double)total[i], stored, operand_error(k) * stored * (k->operand_bytes == 2 ? 0.0005 : 1));
        }
        assert_true(guarded_whole(&c));
        guarded *const all[] = {&a, &w, &bias, &sums, &scale, &b, &c};
        for (size_t i = 0; i < sizeof all / sizeof *all; i++)
            guarded_close(all[i]);
    }
}

static void a_products_ending_can_be_powers_of_two_and_their_sums(void **state)
{
    (void)state;
    for_tables(check_exp_sums);
}

static void check_largest_square(const cpu_kernels *k)
{
    for (size_t s = 0; s < sizeof widths / sizeof *widths; s++) {
        const int n = widths[s];
        guarded x = operands(k, (size_t)(3 * n));
        double largest = 0;
        for (int i = 0; i < 3; i++) {
            double sum = 0;
            for (int j = 0; j < n; j++)
                sum += (double)operand_at(k, x.data, (size_t)(i * n + j)) * (double)operand_at(k, x.data, (size_t)(i * n + j));
            largest = sum > largest ? sum : largest;
        }
        expect(k, "largest square", 0, (double)k->largest_square(x.data, n, 3, n), largest, 1e-5 * largest);
        guarded_close(&x);
    }
}

static void the_longest_rows_square_is_found(void **state)
{
    (void)state;
    for_tables(check_largest_square);
}

static void a_softmax_in_tiles_is_the_softmax_of_all(void **state)
{
    (void)state;
    for_tables(check_softmax);
}

static void check_attend_out(const cpu_kernels *k)
{
    for (size_t s = 0; s < sizeof widths / sizeof *widths; s++) {
        const int n = widths[s], row = up(n, PANEL);
        guarded x = floats((size_t)(2 * row)), bias = floats((size_t)n), out = floats((size_t)(2 * n));
        const float sum[2] = {3, 0.5f};
        float before[2 * 160];
        memcpy(before, out.data, (size_t)(2 * n) * sizeof(float));
        k->attend_out(x.data, row, sum, 2, n, bias.data, out.data, n);
        for (int i = 0; i < 2; i++)
            for (int j = 0; j < n; j++) {
                const double wanted = (double)before[i * n + j] + (double)((float *)x.data)[i * row + j] / (double)sum[i] + (double)((float *)bias.data)[j];
                expect(k, "attended", (size_t)j, ((float *)out.data)[i * n + j], wanted, 3e-6);
            }
        assert_true(guarded_whole(&out));
        guarded_close(&x), guarded_close(&bias), guarded_close(&out);
    }
}

static void one_heads_result_joins_the_residual_stream(void **state)
{
    (void)state;
    for_tables(check_attend_out);
}

/* ----------------------------------------------------------------------------------- depthwise */

static void check_depthwise(const cpu_kernels *k)
{
    const int lanes = lanes_of(k);
    for (int w = 1; w <= 9; w += 1 + w / 3)
        for (int outside = 0; outside < 4; outside++) {
            guarded in[3], weights = floats((size_t)(10 * lanes)), out = guarded_open((size_t)w * LINE);
            for (int y = 0; y < 3; y++)
                in[y] = operands(k, (size_t)(w * lanes));
            for (int i = 0; i < w * lanes; i++) /* far tails of GELU too */
                put_operand(k, in[1].data, (size_t)i, operand_at(k, in[1].data, (size_t)i) * 4);
            const void *const rows[3] = {outside & 1 ? NULL : in[0].data, in[1].data, outside & 2 ? NULL : in[2].data};
            k->depthwise(rows, w, weights.data, out.data);
            const float *taps = weights.data;
            for (int x = 0; x < w; x++)
                for (int c = 0; c < lanes; c++) {
                    double sum = taps[9 * lanes + c];
                    for (int y = 0; y < 3; y++)
                        for (int dx = -1; dx <= 1; dx++)
                            if (rows[y] && x + dx >= 0 && x + dx < w)
                                sum += (double)taps[(y * 3 + dx + 1) * lanes + c] * (double)operand_at(k, rows[y], (size_t)((x + dx) * lanes + c));
                    const double wanted = 0.5 * sum * erfc(-sum * 0.70710678118654752440);
                    expect(k, "gelu", (size_t)(x * lanes + c), operand_at(k, out.data, (size_t)(x * lanes + c)), wanted,
                           k->operand_bytes == 4 ? 4e-6 + (k->parts ? 2e-5 : 1e-6) * fabs(sum) : 2e-4 + fabs(wanted) / 256);
                }
            assert_true(guarded_whole(&out));
            for (int y = 0; y < 3; y++)
                guarded_close(&in[y]);
            guarded_close(&weights), guarded_close(&out);
        }
}

static void the_depthwise_convolution_and_gelu_are_right_at_every_edge(void **state)
{
    (void)state;
    for_tables(check_depthwise);
}

/* ---------------------------------------------------------------------------------------- head */

static void check_merge(const cpu_kernels *k)
{
    enum { WIDTH = 13 };
    static const int from[3] = {7, 4, 1};
    merge_level levels[3];
    guarded top[3], bottom[3], out = guarded_open(WIDTH * LINE), bias = floats(FLOATS), line = guarded_open(12 * LINE);
    int32_t left[3][WIDTH];
    float across[3][WIDTH];
    for (int l = 0; l < 3; l++) {
        top[l] = floats((size_t)(from[l] * FLOATS));
        bottom[l] = floats((size_t)(from[l] * FLOATS));
        for (int x = 0; x < WIDTH; x++) {
            left[l][x] = x * from[l] / WIDTH;
            across[l][x] = (float)(x % 3) * 0.25f;
        }
        levels[l] = (merge_level){.top = top[l].data, .bottom = bottom[l].data, .weight = 0.3f, .w = from[l], .from = 0, .to = from[l], .left = left[l], .across = across[l]};
    }
    k->merge(levels, WIDTH, bias.data, line.data, out.data);
    for (int x = 0; x < WIDTH; x++)
        for (int c = 0; c < FLOATS; c++) {
            double sum = ((float *)bias.data)[c];
            for (int l = 0; l < 3; l++) {
                const float *a = top[l].data, *b = bottom[l].data;
                const int i = left[l][x], j = i + 1 < from[l] ? i + 1 : i;
                const double t = across[l][x], u = 0.3f;
                sum += (1 - u) * ((1 - t) * a[i * FLOATS + c] + t * a[j * FLOATS + c]) + u * ((1 - t) * b[i * FLOATS + c] + t * b[j * FLOATS + c]);
            }
            expect(k, "merged", (size_t)(x * FLOATS + c), ((float *)out.data)[x * FLOATS + c], sum, 4e-6);
        }
    assert_true(guarded_whole(&out) && guarded_whole(&line));
    for (int l = 0; l < 3; l++)
        guarded_close(&top[l]), guarded_close(&bottom[l]);
    guarded_close(&out), guarded_close(&bias), guarded_close(&line);
}

static void levels_are_upsampled_and_added(void **state)
{
    (void)state;
    for_tables(check_merge);
}

/* One row of cells; `spread` small: many classes can win in a cell, large: one. */
static void check_label(const cpu_kernels *k)
{
    static const int classes[] = {1, 2, 11, 19, 150};
    for (size_t s = 0; s < sizeof classes / sizeof *classes; s++)
        for (int taps = 2; taps <= 3; taps++)
            for (int bias = 0; bias < 2; bias++) {
                enum { W = 5, TO = 17, ROWS = 4 };
                const int n = classes[s], pitch = up(n, PANEL);
                guarded rows[3], labels = guarded_open(ROWS * TO), confidence = guarded_open(ROWS * TO), lines = guarded_open((size_t)pitch * sizeof(float));
                for (int r = 0; r < 3; r++) {
                    rows[r] = floats((size_t)(W * pitch));
                    for (int x = 0; x < W; x++)
                        for (int c = 0; c < pitch; c++) {
                            float *value = (float *)rows[r].data + x * pitch + c;
                            *value = c < n ? *value + (bias && c == n / 2 ? 20 : 0) : -1e30f;
                        }
                }
                int32_t first_y[ROWS] = {0}, first_x[TO];
                float wy[ROWS * LABEL_TAPS], wx[TO * LABEL_TAPS];
                for (int i = 0; i < ROWS; i++)
                    for (int t = 0; t < LABEL_TAPS; t++)
                        wy[i * LABEL_TAPS + t] = t == 0 ? 0.8f - 0.2f * (float)i : t == taps - 1 ? 0.2f + 0.2f * (float)i : 0;
                for (int i = 0; i < TO; i++) {
                    first_x[i] = i * (W - taps) / (TO - 1);
                    for (int t = 0; t < LABEL_TAPS; t++)
                        wx[i * LABEL_TAPS + t] = t >= taps ? 0 : taps == 2 ? (t ? 0.25f : 0.75f) : (t == 1 ? 0.5f : 0.25f);
                }
                const label_axis down = {first_y, wy, ROWS, taps}, across = {first_x, wx, TO, taps};
                label_args a = {.rows = {rows[0].data, rows[1].data, rows[2].data}, .w = W, .classes = n, .pitch = pitch, .y0 = 0, .y1 = ROWS, .vertical = &down,
                                .horizontal = &across, .lines = lines.data, .labels = labels.data, .label_bytes = 1, .stride = TO};
                for (int sure = 0; sure < 2; sure++) {
                    a.confidence = sure ? confidence.data : NULL;
                    memset(labels.data, 0xff, labels.bytes);
                    k->label(&a);
                    for (int y = 0; y < ROWS; y++)
                        for (int x = 0; x < TO; x++) {
                            double best = -INFINITY, second = -INFINITY, values[160], total = 0;
                            int winner = 0;
                            for (int c = 0; c < n; c++) {
                                values[c] = 0;
                                for (int r = 0; r < taps; r++)
                                    for (int t = 0; t < taps; t++)
                                        values[c] += (double)wy[y * LABEL_TAPS + r] * (double)wx[x * LABEL_TAPS + t] * (double)((float *)rows[r].data)[(first_x[x] + t) * pitch + c];
                                if (values[c] > best)
                                    second = best, best = values[c], winner = c;
                                else if (values[c] > second)
                                    second = values[c];
                            }
                            for (int c = 0; c < n; c++)
                                total += exp(values[c] - best);
                            if (best - second > 1e-5)
                                assert_int_equal(((uint8_t *)labels.data)[y * TO + x], winner);
                            if (sure)
                                expect(k, "confidence", (size_t)(y * TO + x), ((uint8_t *)confidence.data)[y * TO + x], 255 / total, 0.51 + (k->operand_bytes == 2 ? 0.1 : 0));
                        }
                }
                assert_true(guarded_whole(&labels) && guarded_whole(&confidence) && guarded_whole(&lines));
                for (int r = 0; r < 3; r++)
                    guarded_close(&rows[r]);
                guarded_close(&labels), guarded_close(&confidence), guarded_close(&lines);
            }
}

static void labels_are_those_of_the_interpolated_logits(void **state)
{
    (void)state;
    for_tables(check_label);
}

/* --------------------------------------------------------------------------------- measurement */

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

typedef struct timing {
    const cpu_kernels *k;
    gemm_args g;
    float *x, *y, *maximum, *sum, *shrink;
    int n;
} timing;

static void run_gemm(const timing *t) { t->k->gemm(&t->g); }
static void run_softmax(const timing *t) { t->k->softmax(t->x, 256, 48, 256, true, t->maximum, t->sum, t->shrink, t->y, 256); }
static void run_depthwise(const timing *t)
{
    const void *const rows[3] = {t->x, t->x + 4096, t->x + 8192};
    t->k->depthwise(rows, 128, t->maximum, t->y);
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

static void measure(const cpu_kernels *k)
{
    enum { ROOM = 1 << 18 };
    static float memory[6][ROOM];
    static _Alignas(64) char packed[1 << 22];
    memset(memory, 0, sizeof memory);
    timing t = {.k = k, .x = memory[0], .y = memory[1], .maximum = memory[2], .sum = memory[3], .shrink = memory[4]};
    for (size_t i = 0; i < sizeof measured / sizeof *measured; i++) {
        const int m = measured[i].m, n = measured[i].n, inner = measured[i].k, row = up(inner, lanes_of(k));
        t.g = (gemm_args){.m = m, .n = n, .k = inner, .a = memory[0], .a_row = row, .a_panel = lanes_of(k), .b = packed, .b_panel = k->panel_bytes(inner),
                          .c = memory[5], .c_row = n, .c_panel = FLOATS};
        const double each = best_time(&t, run_gemm);
        printf("%s,gemm %s,%dx%dx%d,%.3f,us,%.1f,GMAC/s\n", k->name, measured[i].what, m, n, inner, each * 1e6, (double)m * n * inner / each / 1e9);
    }
    t.g = (gemm_args){.m = 48, .n = 256, .k = 32, .a = memory[0], .a_row = 32, .a_panel = lanes_of(k), .b = packed, .b_panel = k->panel_bytes(32),
                      .c = memory[5], .c_row = 256, .c_panel = lanes_of(k), .narrow = true, .exp_sums = memory[1]};
    double each = best_time(&t, run_gemm);
    printf("%s,weights of a head of 32,48x256x32,%.3f,us,%.2f,G/s\n", k->name, each * 1e6, 48 * 256 / each / 1e9);
    each = best_time(&t, run_softmax);
    printf("%s,softmax,48x256,%.3f,us,%.2f,G/s\n", k->name, each * 1e6, 48 * 256 / each / 1e9);
    each = best_time(&t, run_depthwise);
    printf("%s,depthwise and gelu,128x%d,%.3f,us,%.2f,G/s\n", k->name, lanes_of(k), each * 1e6, 128 * lanes_of(k) / each / 1e9);
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "--bench")) {
        const unsigned levels = cpu_levels();
        puts("kernels,what,shape,time,unit,rate,unit");
        for (size_t i = 0; i < cpu_kernel_table_count; i++)
            if (levels >> cpu_kernel_tables[i]->level & 1)
                measure(cpu_kernel_tables[i]);
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_of_every_shape_layout_and_ending_are_right),
        cmocka_unit_test(a_rows_product_does_not_depend_on_where_the_row_stands),
        cmocka_unit_test(packed_columns_read_back_with_zeros_around),
        cmocka_unit_test(norms_are_right_for_every_width),
        cmocka_unit_test(the_patch_embeddings_norm_is_right_for_every_width),
        cmocka_unit_test(operands_are_rounded_scaled_and_padded),
        cmocka_unit_test(a_softmax_in_tiles_is_the_softmax_of_all),
        cmocka_unit_test(a_products_ending_can_be_powers_of_two_and_their_sums),
        cmocka_unit_test(the_longest_rows_square_is_found),
        cmocka_unit_test(one_heads_result_joins_the_residual_stream),
        cmocka_unit_test(the_depthwise_convolution_and_gelu_are_right_at_every_edge),
        cmocka_unit_test(levels_are_upsampled_and_added),
        cmocka_unit_test(labels_are_those_of_the_interpolated_logits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
