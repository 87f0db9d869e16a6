/* The products of every kernel table that this machine can run, against plain loops in double: awkward shapes, poisoned
 * outputs, buffers that end at a page nobody may touch.  `test_kernels --bench` times the kernels instead. */
#include "kernels/kernels_bench_support.h"
#include "kernels/kernels_support.h"

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
    {112, 16, 64, false, false, false, false, true, false, false},
    {48, 144, 40, true, false, false, false, false, false, true},
    {77, 80, 96, false, false, false, false, true, false, false},
    {163, 112, 33, false, true, true, false, true, true, true},
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
    enum { M = 125, N = 112, K = 352 };
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
                expect(k, "packed column", (size_t)i, got, wanted, k->operand_bytes == 4 ? 0 : fabs(wanted) / 256);
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

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "--bench")) {
        kernels_measure();
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_of_every_shape_layout_and_ending_are_right),
        cmocka_unit_test(a_rows_product_does_not_depend_on_where_the_row_stands),
        cmocka_unit_test(packed_columns_read_back_with_zeros_around),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
