/* Products of 8-bit integers of every table that this machine can run, against plain loops of integers: the sums are exact, so a
 * product without bias is the same number everywhere; buffers end at a page nobody may touch. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "backend/cpu/kernels/int8.h"
#include "kernels/guard_support.h"
#include "model_support.h"

extern const int8_kernels int8_kernels_amx_emulated;

static uint64_t seed;

static int up(int x, int unit) { return (x + unit - 1) / unit * unit; }

static void for_table(void (*check)(const int8_kernels *q), const int8_kernels *q)
{
    seed = 1;
    kernels_begin(q->base);
    check(q);
    kernels_end(q->base);
}

static void for_tables(void (*check)(const int8_kernels *q))
{
    const unsigned levels = cpu_levels();
    for (size_t i = 0; i < int8_kernel_table_count; i++)
        if (levels >> int8_kernel_tables[i]->level & 1)
            for_table(check, int8_kernel_tables[i]);
    for_table(check, &int8_kernels_amx_emulated);
}

static int integer(void)
{
    const int extreme = (int)(random_uniform(&seed) * 4);
    return extreme == 0 ? 127 : extreme == 1 ? -127 : (int)(random_uniform(&seed) * 255) - 127;
}

static int at(const int8_kernels *q, const void *p, ptrdiff_t i)
{
    return q->element_bytes == 1 ? ((const int8_t *)p)[i] : ((const int16_t *)p)[i];
}

static void check_product(const int8_kernels *q, int m, int n, int k)
{
    const int row = up(k, 64), width = up(n, PANEL);
    guarded a = guarded_open((size_t)(m * row * q->element_bytes)), x = guarded_open((size_t)(m * k) * sizeof(float));
    guarded w = guarded_open((size_t)(n * k) * sizeof(float)), scale = guarded_open((size_t)width * sizeof(float));
    guarded b = guarded_open(q->panel_bytes(k) * (size_t)(width / PANEL)), c = guarded_open((size_t)(m * n) * sizeof(float));
    guarded ones = guarded_open((size_t)n * sizeof(float)), add = guarded_open((size_t)(m * n) * sizeof(float));
    float *from = x.data, *weights = w.data, *factor = scale.data, *inverse = ones.data, *sums = add.data;
    for (int i = 0; i < m * k; i++)
        from[i] = (float)integer();
    for (int i = 0; i < n * k; i++)
        weights[i] = (float)integer();
    for (int i = 0; i < m * n; i++)
        sums[i] = (float)integer();
    for (int j = 0; j < width; j++)
        factor[j] = 0.25f;
    for (int j = 0; j < n; j++)
        inverse[j] = 1;
    memset(b.data, 0, b.bytes);
    q->quantise(from, k, m, k, NULL, 1, a.data, row);
    q->pack(b.data, weights, inverse, n, k);
    q->gemm(&(int8_args){.m = m, .n = n, .k = k, .a = a.data, .a_row = row, .b = b.data, .b_panel = q->panel_bytes(k), .scale = factor, .c = c.data,
                         .c_row = n, .c_panel = FLOATS, .add = sums, .add_row = n, .add_panel = FLOATS});
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            int32_t sum = 0;
            for (int p = 0; p < k; p++)
                sum += (int32_t)from[i * k + p] * (int32_t)weights[j * k + p];
            const float wanted = (float)sum * 0.25f + sums[i * n + j];
            if (((const float *)c.data)[i * n + j] != wanted)
                fail_msg("%s: %d x %d x %d: (%d, %d) is %.9g, should be %.9g", q->name, m, n, k, i, j, (double)((const float *)c.data)[i * n + j],
                         (double)wanted);
        }
    guarded *const all[] = {&a, &x, &w, &scale, &b, &c, &ones, &add};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        assert_true(guarded_whole(all[i]));
        guarded_close(all[i]);
    }
}

static void check_products(const int8_kernels *q)
{
    static const int rows[] = {1, 2, 5, 6, 7, 12, 13, 16, 17, 31, 32, 33, 49}, columns[] = {1, 15, 16, 17, 32, 33, 48, 80}, inner[] = {1, 2, 3, 63, 64, 65, 130, 320};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (size_t j = 0; j < sizeof columns / sizeof *columns; j++)
            for (size_t k = 0; k < sizeof inner / sizeof *inner; k++)
                check_product(q, rows[i], columns[j], inner[k]);
}

static void products_are_exact(void **state)
{
    (void)state;
    for_tables(check_products);
}

static void check_rounding(const int8_kernels *q)
{
    static const float x[] = {0, 0.5f, 1.5f, -0.5f, -1.5f, -2.5f, 126.4f, 127.6f, 1e30f, -1e30f, INFINITY, -INFINITY, NAN, 3};
    static const int wanted[] = {0, 0, 2, 0, -2, -2, 126, 127, 127, -127, 127, -127, 127, 3};
    enum { COUNT = sizeof wanted / sizeof *wanted };
    const int row = up(COUNT, 64);
    guarded out = guarded_open((size_t)(row * q->element_bytes));
    q->quantise(x, COUNT, 1, COUNT, &(float){0.5f}, 2, out.data, row);
    for (int i = 0; i < up(COUNT, q->k_unit); i++)
        assert_int_equal(at(q, out.data, i), i < COUNT ? wanted[i] : 0);
    guarded_close(&out);
}

static void rounds_to_nearest_even_and_saturates(void **state)
{
    (void)state;
    for_tables(check_rounding);
}

static void check_blocked(const int8_kernels *q)
{
    enum { M = 7, N = 70 };
    const int lanes = LINE / q->base->operand_bytes, groups = up(N, lanes) / lanes, row = up(N, 64);
    guarded x = guarded_open((size_t)groups * M * LINE), out = guarded_open((size_t)(M * row * q->element_bytes)), plain = guarded_open(M * N * sizeof(float));
    for (int i = 0; i < M * N; i++)
        ((float *)plain.data)[i] = (float)integer();
    memset(x.data, 0, x.bytes);
    for (int j = 0; j < groups * lanes; j++)
        for (int i = 0; i < M; i++)
            if (j < N) {
                const float *from = (const float *)plain.data + i * N + j;
                char *to = (char *)x.data + ((j / lanes * M + i) * lanes + j % lanes) * q->base->operand_bytes;
                memcpy(to, (const char *)from + sizeof(float) - (size_t)q->base->operand_bytes, (size_t)q->base->operand_bytes); /* exact in bfloat16 */
            }
    q->quantise_blocked(x.data, M * lanes, M, N, 1, out.data, row);
    for (int i = 0; i < M; i++)
        for (int j = 0; j < up(N, q->k_unit); j++)
            assert_int_equal(at(q, out.data, i * row + j), j < N ? (int)((const float *)plain.data)[i * N + j] : 0);
    guarded_close(&plain);
    guarded_close(&out);
    guarded_close(&x);
}

static void blocked_operands_become_rows(void **state)
{
    (void)state;
    for_tables(check_blocked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_are_exact),
        cmocka_unit_test(rounds_to_nearest_even_and_saturates),
        cmocka_unit_test(blocked_operands_become_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
