/* Norms, conversions, depthwise convolution of every kernel table that this machine can run, against plain loops in
 * double. */
#include "kernels/kernels_support.h"

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

static void check_depthwise(const cpu_kernels *k)
{
    const int lanes = lanes_of(k);
    for (int w = 1; w <= 9; w += 1 + w / 3)
        for (int outside = 0; outside < 4; outside++) {
            guarded in[3], weights = floats((size_t)(10 * lanes)), packed = guarded_open((size_t)k->depthwise_bytes), out = guarded_open((size_t)w * LINE);
            for (int i = 0; k->operand_bytes == 2 && i < 9 * lanes; i++) /* a table may round taps: then these stay what they are */
                ((float *)weights.data)[i] = rounded_bf16(((float *)weights.data)[i]);
            k->pack_depthwise(packed.data, weights.data);
            for (int y = 0; y < 3; y++)
                in[y] = operands(k, (size_t)(w * lanes));
            for (int i = 0; i < w * lanes; i++) /* far tails of GELU too */
                put_operand(k, in[1].data, (size_t)i, operand_at(k, in[1].data, (size_t)i) * 4);
            const void *const rows[3] = {outside & 1 ? NULL : in[0].data, in[1].data, outside & 2 ? NULL : in[2].data};
            k->depthwise(rows, w, packed.data, out.data);
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
                           k->operand_bytes == 4 ? 4e-6 + 1e-6 * fabs(sum) : 2e-4 + fabs(wanted) / 256);
                }
            assert_true(guarded_whole(&out) && guarded_whole(&packed));
            for (int y = 0; y < 3; y++)
                guarded_close(&in[y]);
            guarded_close(&weights), guarded_close(&packed), guarded_close(&out);
        }
}

static void the_depthwise_convolution_and_gelu_are_right_at_every_edge(void **state)
{
    (void)state;
    for_tables(check_depthwise);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(norms_are_right_for_every_width),
        cmocka_unit_test(the_patch_embeddings_norm_is_right_for_every_width),
        cmocka_unit_test(operands_are_rounded_scaled_and_padded),
        cmocka_unit_test(the_longest_rows_square_is_found),
        cmocka_unit_test(one_heads_result_joins_the_residual_stream),
        cmocka_unit_test(the_depthwise_convolution_and_gelu_are_right_at_every_edge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
