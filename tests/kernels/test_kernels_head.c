/* The head's merge and labels of every kernel table that this machine can run, against plain loops in double. */
#include "kernels/kernels_support.h"

static void check_merge(const cpu_kernels *k)
{
    enum { WIDTH = 13 };
    static const int from[3] = {7, 4, 1};
    merge_level levels[3];
    guarded top[3], bottom[3], out = guarded_open(WIDTH * LINE), bias = floats(FLOATS), line = guarded_open(2 * 12 * LINE);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels_are_upsampled_and_added),
        cmocka_unit_test(labels_are_those_of_the_interpolated_logits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
