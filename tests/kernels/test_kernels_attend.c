/* Attention of every kernel table that this machine can run, against a softmax in double: ragged blocks of tokens and keys, flat
 * and peaked scores, buffers that end at a page nobody may touch. */
#include "kernels/kernels_support.h"

#if defined(__x86_64__)
extern const cpu_kernels cpu_kernels_bf16_amx_vectors, cpu_kernels_f32_amx_vectors;
#endif

typedef struct head_case {
    int m, keys, d; /* m 0: all rows of a block */
    float spread;   /* of the scores */
    bool small, scaled, shifted;
} head_case;

static const head_case heads[] = {
    {1, 1, 32, 1, true, false, false},     {7, 17, 32, 1, true, false, false},   {0, 64, 64, 4, true, true, true},
    {33, 300, 64, 8, true, true, false},   {0, 700, 32, 12, true, true, true},   {17, 31, 96, 1, true, false, true},
    {3, 40, 352, 4, true, false, false},   {5, 1030, 64, 1, true, false, false}, {1, 1, 32, 1, false, false, false},
    {7, 17, 64, 300, false, false, false}, {0, 600, 32, 30, false, true, true},  {33, 300, 64, 1, false, true, false},
    {0, 321, 32, 2000, false, true, true},
};

typedef struct head_buffers {
    guarded q, source, k, values, v, scale, shift, sums, sum, scratch;
} head_buffers;

static double score_of(const cpu_kernels *k, const head_case *h, const head_buffers *b, int i, int j, double *size)
{
    double sum = 0;
    for (int l = 0; l < h->d; l++) {
        const double term = (double)operand_at(k, b->q.data, (size_t)(i * h->d + l)) *
                            (double)k->key_at((const char *)b->k.data + (size_t)(j / PANEL) * k->key_bytes(h->d), l, j % PANEL);
        sum += term;
        *size += fabs(term);
    }
    const double scale = h->scaled ? (double)((float *)b->scale.data)[i] : 1;
    *size *= fabs(scale);
    return sum * scale + (h->shifted ? (double)((float *)b->shift.data)[j] : 0);
}

static void expect_row(const cpu_kernels *k, const head_case *h, const head_buffers *b, int i)
{
    static double weight[2048];
    double largest = -INFINITY, total = 0, size = 0;
    for (int j = 0; j < h->keys; j++) {
        double magnitude = 0;
        weight[j] = score_of(k, h, b, i, j, &magnitude);
        largest = fmax(largest, weight[j]);
        size = fmax(size, magnitude);
    }
    if (h->small)
        assert_true(fabs(largest) < SMALL_SCORE);
    for (int j = 0; j < h->keys; j++)
        total += weight[j] = exp2(weight[j] - (h->small ? 0 : largest));
    const double error = (k->parts ? 1.0 / 65536 : operand_error(k)) * 1.8 + (k->parts ? 2e-5 : 1e-6) * size; /* of a weight */
    const double sum = (double)((float *)b->sum.data)[i];
    if (h->small)
        expect(k, "sum of weights", (size_t)i, sum, total, error * total);
    const int width = up(h->d, PANEL);
    for (int c = 0; c < h->d; c++) {
        double wanted = 0, around = 0;
        for (int j = 0; j < h->keys; j++) {
            const double value = (double)operand_at(k, b->values.data, (size_t)(j * h->d + c));
            wanted += weight[j] * value;
            around += weight[j] * fabs(value);
        }
        const double got = (double)((float *)b->sums.data)[i * width + c] / sum;
        expect(k, "attended", (size_t)(i * h->d + c), got, wanted / total,
               c ? 2 * error * around / total : 1e-5); /* values of channel 0 are ones */
    }
}

static void check_head(const cpu_kernels *k, const head_case *given)
{
    head_case h = *given;
    h.m = h.m && h.m < k->attend_rows ? h.m : k->attend_rows;
    const int width = up(h.d, PANEL);
    head_buffers b = {.q = operands(k, (size_t)(k->attend_rows * h.d)),
                      .source = floats((size_t)(h.keys * h.d)),
                      .values = operands(k, (size_t)(h.keys * h.d)),
                      .k = guarded_open((size_t)(up(h.keys, PANEL) / PANEL) * k->key_bytes(h.d)),
                      .v = guarded_open((size_t)(width / PANEL) * k->value_bytes(h.keys)),
                      .scale = floats((size_t)h.m),
                      .shift = floats((size_t)up(h.keys, PANEL)),
                      .sums = guarded_open((size_t)(k->attend_rows * width) * sizeof(float)),
                      .sum = guarded_open((size_t)h.m * sizeof(float)),
                      .scratch = guarded_open(k->attend_bytes(h.d))};
    float *source = b.source.data;
    for (int i = 0; i < h.keys * h.d; i++)
        source[i] *= h.spread / sqrtf((float)h.d);
    k->pack_keys(b.k.data, source, h.d, h.keys, h.d);
    for (int i = 0; i < h.m; i++)
        ((float *)b.scale.data)[i] = 0.5f + 0.5f * fabsf(((float *)b.scale.data)[i]);
    for (int i = 0; i < h.keys * h.d; i++) {
        if (i % h.d == 0)
            put_operand(k, b.values.data, (size_t)i, 1);
        source[i] = operand_at(k, b.values.data, (size_t)i);
    }
    const int middle = h.keys / 2 / 32 * 32;
    if (middle)
        k->pack_values(b.v.data, k->value_bytes(h.keys), source, h.d, h.d, 0, middle);
    k->pack_values(b.v.data, k->value_bytes(h.keys), source + middle * h.d, h.d, h.d, middle, h.keys);
    k->attend(&(attend_args){.m = h.m,
                             .keys = h.keys,
                             .d = h.d,
                             .q = b.q.data,
                             .q_row = h.d,
                             .k = b.k.data,
                             .v = b.v.data,
                             .row_scale = h.scaled ? b.scale.data : NULL,
                             .shift = h.shifted ? b.shift.data : NULL,
                             .small = h.small,
                             .sums = b.sums.data,
                             .sum = b.sum.data,
                             .scratch = b.scratch.data});
    for (int i = 0; i < h.m; i++)
        expect_row(k, &h, &b, i);
    guarded *const all[] = {&b.q, &b.source, &b.k, &b.values, &b.v, &b.scale, &b.shift, &b.sums, &b.sum, &b.scratch};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        assert_true(guarded_whole(all[i]));
        guarded_close(all[i]);
    }
}

static void check_heads(const cpu_kernels *k)
{
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        check_head(k, &heads[i]);
}

static void a_heads_attention_is_the_softmax_of_its_scores_times_the_values(void **state)
{
    (void)state;
    for_tables(check_heads);
#if defined(__x86_64__)
    if (cpu_levels() >> cpu_kernels_bf16_amx_vectors.level & 1) {
        for_table(check_heads, &cpu_kernels_bf16_amx_vectors);
        for_table(check_heads, &cpu_kernels_f32_amx_vectors);
    }
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_heads_attention_is_the_softmax_of_its_scores_times_the_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
