/* What sessions promise in segrt.h: the network's logits, labels of pictures, refusals. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/engine.h"
#include "npy_support.h"

typedef struct opened {
    segrt_model *model;
    segrt_engine *engine;
    segrt_session *session;
} opened;

static opened open_model(const char *path, const char *device, network_width width)
{
    opened o = {0};
    segrt_error error = {0};
    const segrt_session_options options = {.size = sizeof options, .device = device, .threads = 2};
    if (segrt_model_open(&o.model, path, NULL, &error) || engine_build_width(&o.engine, o.model, NULL, width, &error) ||
        segrt_session_open(&o.session, o.engine, &options, &error))
        fail_msg("%s: %s", error.file, error.message);
    return o;
}

static opened open_tiny(const char *device, network_width width) { return open_model(TEST_DATA "/hf", device, width); }

static void close_tiny(opened *o)
{
    segrt_session_close(o->session);
    segrt_engine_close(o->engine);
    segrt_model_close(o->model);
}

/* Norm of the difference over the norm of the golden. */
static double relative_error(const float *got, const double *golden, size_t count)
{
    double difference = 0, norm = 0;
    for (size_t i = 0; i < count; i++) {
        difference += (got[i] - golden[i]) * (got[i] - golden[i]);
        norm += golden[i] * golden[i];
    }
    return sqrt(difference / norm);
}

static void family_gives_the_golden_logits_on(const char *family, const char *path, const char *device, double tolerance)
{
    static const char *const inputs[] = {"64x96", "97x65", "160x256", "batch2_64x64", "batch3_32x64"};
    opened o = open_model(path, device, NETWORK_F32);
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) {
        char name[64];
        segrt_error error = {0};
        snprintf(name, sizeof name, "input_%s.npy", inputs[i]);
        npy input = npy_read_as(name, "<f4");
        snprintf(name, sizeof name, "%s/logits_%s.npy", family, inputs[i]);
        npy golden = npy_read_as(name, "<f8");
        float *logits = malloc(golden.count * sizeof *logits);
        assert_non_null(logits);
        if (segrt_session_forward(o.session, input.f32, (int32_t)input.shape[0], (int32_t)input.shape[2], (int32_t)input.shape[3], logits, &error))
            fail_msg("%s", error.message);
        const double off = relative_error(logits, golden.f64, golden.count);
        print_message("%s %s %s: %.2e\n", device, family, inputs[i], off);
        assert_true(off <= tolerance);
        free(logits);
        npy_free(&golden);
        npy_free(&input);
    }
    close_tiny(&o);
}

static void forward_gives_the_golden_logits_on(const char *device, double tolerance)
{
    family_gives_the_golden_logits_on("hf", TEST_DATA "/hf", device, tolerance);
    family_gives_the_golden_logits_on("nvlabs", TEST_DATA "/nvlabs/segformer_tiny.pth", device, tolerance);
    family_gives_the_golden_logits_on("mmseg", TEST_DATA "/mmseg/segformer_tiny.pth", device, tolerance);
}

static void the_reference_gives_the_golden_logits(void **state)
{
    (void)state;
    forward_gives_the_golden_logits_on("reference", 1e-6); /* the engine's weights are float32; tests/reference holds 1e-10 */
}

static void the_cpu_gives_the_golden_logits(void **state)
{
    (void)state;
    forward_gives_the_golden_logits_on("cpu", 1e-5);
}

static void a_picture_in_any_layout_gives_the_same_labels(void **state)
{
    (void)state;
    enum { W = 75, H = 53 };
    static uint8_t rgb[H][W][3], bgra[H][W + 5][4], upside_down[H][W][3], labels[4][H][W];
    static uint16_t wide[H][W + 3];
    opened o = open_tiny("reference", NETWORK_F32);
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++)
            for (int c = 0; c < 3; c++)
                rgb[y][x][c] = bgra[y][x][2 - c] = upside_down[H - 1 - y][x][c] = (uint8_t)(x * 3 + y * 2 * c + (x / 9 ^ y / 7) * 31);
    segrt_image views[] = {
        segrt_image_packed(SEGRT_RGB8, &rgb[0][0][0], W, H),
        {.format = SEGRT_BGRA8, .width = W, .height = H, .plane = {&bgra[0][0][0]}, .stride = {sizeof bgra[0]}},
        {.format = SEGRT_RGB8, .width = W, .height = H, .plane = {&upside_down[H - 1][0][0]}, .stride = {-(ptrdiff_t)sizeof upside_down[0]}},
    };
    for (size_t i = 0; i < 3; i++) {
        segrt_error error = {0};
        segrt_result result = {.size = sizeof result, .labels = labels[i]};
        if (segrt_session_segment(o.session, &views[i], NULL, &result, &error))
            fail_msg("%s", error.message);
        assert_memory_equal(labels[i], labels[0], sizeof labels[0]);
        assert_true(result.input_width >= 32 && result.input_height >= 32 && result.network_ms > 0);
    }
    segrt_result result = {.size = sizeof result, .labels = wide, .label_bytes = 2, .label_stride = W + 3};
    assert_int_equal(segrt_session_segment(o.session, &views[0], NULL, &result, NULL), SEGRT_OK);
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++)
            assert_int_equal(wide[y][x], labels[0][y][x]);
    close_tiny(&o);
}

static void what_breaks_the_contract_is_an_argument_error_in_words(void **state)
{
    (void)state;
    opened o = open_tiny("reference", NETWORK_F32);
    static uint8_t rgb[40 * 40 * 3], labels[40 * 40];
    static float logits[7 * 10 * 10];
    const segrt_image picture = segrt_image_packed(SEGRT_RGB8, rgb, 40, 40), empty = segrt_image_packed(SEGRT_RGB8, rgb, 0, 40);
    segrt_preprocessing slide = {.size = sizeof slide};
    segrt_engine_preprocessing(o.engine, &slide);
    slide.window = slide.stride = 32;
    const struct {
        const segrt_image *picture;
        const segrt_preprocessing *preprocessing;
        segrt_result result;
        const char *words;
    } rows[] = {
        {&picture, NULL, {.labels = labels}, "size is not set"},
        {&empty, NULL, {.size = sizeof(segrt_result), .labels = labels}, "0"},
        {&picture, NULL, {.size = sizeof(segrt_result), .labels = labels, .label_bytes = 3}, "label_bytes"},
        {&picture, NULL, {.size = sizeof(segrt_result), .labels = labels, .label_stride = 39}, "label_stride"},
        {&picture, &slide, {.size = sizeof(segrt_result), .labels = labels, .logits = logits}, "sliding window"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        segrt_error error = {0};
        segrt_result result = rows[i].result;
        assert_int_equal(segrt_session_segment(o.session, rows[i].picture, rows[i].preprocessing, &result, &error), SEGRT_ARGUMENT);
        if (!strstr(error.message, rows[i].words))
            fail_msg("row %zu: '%s' does not say '%s'", i, error.message, rows[i].words);
    }
    close_tiny(&o);
}

static void a_sliding_window_averages_as_mmsegmentation_does(void **state)
{
    (void)state;
    enum { W = 96, H = 64 };
    static uint8_t rgb[H][W][3], labels[H][W];
    static float logits[2][7][16][16];
    opened o = open_tiny("reference", NETWORK_F32);
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++)
            for (int c = 0; c < 3; c++)
                rgb[y][x][c] = (uint8_t)(x * 5 * (c + 1) + y * 3 + (x / 11 ^ y / 5) * 29);
    segrt_preprocessing p = {.size = sizeof p}, whole = {.size = sizeof whole, .resize = SEGRT_RESIZE_NONE};
    p.resize = SEGRT_RESIZE_NONE;
    p.window = 64;
    p.stride = 48;
    segrt_error error = {0};
    const segrt_image picture = segrt_image_packed(SEGRT_RGB8, &rgb[0][0][0], W, H);
    segrt_result result = {.size = sizeof result, .labels = labels};
    if (segrt_session_segment(o.session, &picture, &p, &result, &error))
        fail_msg("%s", error.message);
    assert_int_equal(result.input_width, W);
    /* Two windows, the second moved back to end at the side: columns 0..63 and 32..95. */
    for (int i = 0; i < 2; i++) {
        segrt_image window = {.format = SEGRT_RGB8, .width = 64, .height = H, .plane = {&rgb[0][32 * i][0]}, .stride = {W * 3}};
        segrt_result part = {.size = sizeof part, .logits = &logits[i][0][0][0]};
        assert_int_equal(segrt_session_segment(o.session, &window, &whole, &part, NULL), SEGRT_OK);
    }
    int wrong = 0;
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++) {
            double best = -1e300;
            int winner = 0;
            for (int k = 0; k < 7; k++) {
                double sum = 0;
                int count = 0;
                for (int i = 0; i < 2; i++) {
                    const int at = x - 32 * i;
                    if (at < 0 || at >= 64)
                        continue;
                    const double fy = fmax(0, (y + 0.5) / 4 - 0.5), fx = fmax(0, (at + 0.5) / 4 - 0.5);
                    const int y0 = (int)fy, x0 = (int)fx, y1 = y0 < 15 ? y0 + 1 : 15, x1 = x0 < 15 ? x0 + 1 : 15;
                    const double ty = fy - y0, tx = fx - x0;
                    sum += (1 - ty) * ((1 - tx) * logits[i][k][y0][x0] + tx * logits[i][k][y0][x1]) +
                           ty * ((1 - tx) * logits[i][k][y1][x0] + tx * logits[i][k][y1][x1]);
                    count++;
                }
                if (sum / count > best) {
                    best = sum / count;
                    winner = k;
                }
            }
            wrong += winner != labels[y][x];
        }
    assert_true(wrong <= 2); /* float32 sums against double: a tie may fall the other way */
    close_tiny(&o);
}

static void an_input_below_what_the_reductions_allow_is_a_shape_error(void **state)
{
    (void)state;
    opened o = open_tiny("reference", NETWORK_F32);
    static float input[3 * 28 * 64], logits[7 * 7 * 16];
    segrt_error error = {0};
    assert_int_equal(segrt_session_forward(o.session, input, 1, 28, 64, logits, &error), SEGRT_SHAPE);
    assert_non_null(strstr(error.message, "29"));
    close_tiny(&o);
}

static void an_unknown_device_is_named(void **state)
{
    (void)state;
    opened o = open_tiny("reference", NETWORK_F32);
    segrt_session *session;
    segrt_error error = {0};
    const segrt_session_options options = {.size = sizeof options, .device = "abacus"};
    assert_int_equal(segrt_session_open(&session, o.engine, &options, &error), SEGRT_ARGUMENT);
    assert_null(session);
    assert_non_null(strstr(error.message, "abacus"));
    close_tiny(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_reference_gives_the_golden_logits),
        cmocka_unit_test(the_cpu_gives_the_golden_logits),
        cmocka_unit_test(a_picture_in_any_layout_gives_the_same_labels),
        cmocka_unit_test(what_breaks_the_contract_is_an_argument_error_in_words),
        cmocka_unit_test(a_sliding_window_averages_as_mmsegmentation_does),
        cmocka_unit_test(an_input_below_what_the_reductions_allow_is_a_shape_error),
        cmocka_unit_test(an_unknown_device_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
