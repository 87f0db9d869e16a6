/* The interpreter runs the golden files as they are, and folded and simplified, to their families' logits. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "formats/onnx/interpret.h"
#include "onnx_support.h"

/* Relative error (norm) against float64 logits: float32 sums along 30 layers. */
#define TOLERANCE 1e-5

typedef struct golden {
    const char *name, *family, *input;
    int64_t dims[4];
    bool is_labels; /* of full size */
} golden;

static const golden goldens[] = {
    {"hf_dynamo_opset18_static", "hf", "64x96", {1, 3, 64, 96}, false},
    {"hf_ts_opset12_static", "hf", "64x96", {1, 3, 64, 96}, false},
    {"hf_ts_opset14_unfolded", "hf", "64x96", {1, 3, 64, 96}, false},
    {"hf_ts_opset17_dynamic", "hf", "64x96", {1, 3, 64, 96}, false},
    {"hf_ts_opset17_dynamic", "hf", "97x65", {1, 3, 97, 65}, false},
    {"hf_ts_opset17_dynamic", "hf", "batch3_32x64", {3, 3, 32, 64}, false},
    {"hf_ts_opset17_dynamic_slim", "hf", "160x256", {1, 3, 160, 256}, false},
    {"mmseg_ts_opset11_static", "mmseg", "64x96", {1, 3, 64, 96}, false},
    {"mmseg_ts_opset17_dynamic", "mmseg", "97x65", {1, 3, 97, 65}, false},
    {"nvlabs_dynamo_opset20_dynamic_batch", "nvlabs", "batch2_64x64", {2, 3, 64, 64}, false},
    {"nvlabs_ts_opset11_static", "nvlabs", "64x96", {1, 3, 64, 96}, false},
    {"nvlabs_ts_opset11_static_slim", "nvlabs", "64x96", {1, 3, 64, 96}, false},
    {"nvlabs_ts_opset17_dynamic", "nvlabs", "97x65", {1, 3, 97, 65}, false},
    {"nvlabs_ts_opset13_labels_dynamic", "nvlabs", "64x96", {1, 3, 64, 96}, true},
    {"nvlabs_ts_opset11_slide_one_window", "nvlabs", "batch2_64x64", {2, 3, 64, 64}, true},
    {"nvlabs_ts_opset12_slide_windows", "nvlabs", "64x96", {1, 3, 64, 96}, true},
};

enum { AS_IT_IS, FOLDED, FOLDED_AND_SIMPLIFIED };

/* Full-size logits' argmax from quarter logits: bilinear, half_pixel; -1 where two classes are as good as equal. */
static int label_at(const numbers *logits, size_t n, int64_t y, int64_t x, int64_t height, int64_t width)
{
    const int64_t classes = logits->dims[1], h = logits->dims[2], w = logits->dims[3];
    const double sy = fmax(((double)y + .5) * (double)h / (double)height - .5, 0), sx = fmax(((double)x + .5) * (double)w / (double)width - .5, 0);
    const int64_t y0 = (int64_t)sy, x0 = (int64_t)sx, y1 = y0 + 1 < h ? y0 + 1 : y0, x1 = x0 + 1 < w ? x0 + 1 : x0;
    const double fy = sy - (double)y0, fx = sx - (double)x0;
    double best = -1e300, second = -1e300;
    int label = 0;
    for (int64_t c = 0; c < classes; c++) {
        const double *p = logits->data + ((int64_t)n * classes + c) * h * w;
        const double v = (1 - fy) * ((1 - fx) * p[y0 * w + x0] + fx * p[y0 * w + x1]) + fy * ((1 - fx) * p[y1 * w + x0] + fx * p[y1 * w + x1]);
        if (v > best) {
            second = best;
            best = v;
            label = (int)c;
        } else
            second = fmax(second, v);
    }
    return best - second < 1e-4 ? -1 : label;
}

static void compare_logits(const golden *g, const onnx_output *out, const numbers *expected)
{
    double difference = 0, norm = 0;
    assert_non_null(out->floats);
    assert_int_equal(out->count, expected->count);
    for (size_t n = 0; n < out->count; n++) {
        difference += pow((double)out->floats[n] - expected->data[n], 2);
        norm += pow(expected->data[n], 2);
    }
    if (!(sqrt(difference / norm) <= TOLERANCE))
        fail_msg("%s: relative error %.2e", g->name, sqrt(difference / norm));
}

static void compare_labels(const golden *g, const onnx_output *out, const numbers *logits, const numbers *slide)
{
    size_t different = 0;
    assert_non_null(out->ints);
    assert_int_equal(out->count, (size_t)(g->dims[0] * g->dims[2] * g->dims[3]));
    for (size_t at = 0; at < out->count; at++) {
        const int64_t x = (int64_t)at % g->dims[3], y = (int64_t)at / g->dims[3] % g->dims[2], n = (int64_t)at / g->dims[3] / g->dims[2];
        const int label = slide ? (int)slide->data[at] : label_at(logits, (size_t)n, y, x, g->dims[2], g->dims[3]);
        different += label >= 0 && label != out->ints[at];
    }
    if (different)
        fail_msg("%s: %zu of %zu labels differ", g->name, different, out->count);
}

static void run_goldens(int how)
{
    segrt_pool *pool = NULL;
    assert_int_equal(pool_open(&pool, 2, NULL), SEGRT_OK);
    for (size_t i = 0; i < sizeof goldens / sizeof *goldens; i++) {
        const golden *g = &goldens[i];
        char path[512];
        numbers input, expected, slide = {0};
        segrt_error error = {0};
        file_map file = {0};
        onnx_graph *graph = NULL;
        onnx_interpreter *interpreter = NULL;
        const onnx_output *out = NULL;
        snprintf(path, sizeof path, TEST_SHARED "/goldens/input_%s.npy", g->input);
        if (!numbers_load(&input, path)) {
            pool_close(pool);
            print_message("skipped: no %s\n", path);
            skip();
        }
        snprintf(path, sizeof path, TEST_SHARED "/goldens/%s/logits_%s.npy", g->family, g->input);
        assert_true(numbers_load(&expected, path));
        if (strstr(g->name, "slide_windows"))
            assert_true(numbers_load(&slide, TEST_SHARED "/goldens/nvlabs/slide_labels_64x96.npy"));
        snprintf(path, sizeof path, TEST_SHARED "/goldens/onnx/%s.onnx", g->name);
        float *x = malloc(input.count * sizeof *x);
        for (size_t n = 0; n < input.count; n++)
            x[n] = (float)input.data[n];
        bool good = !file_map_open(&file, path, &error) && !onnx_graph_open(&graph, &file, NULL, NULL, &error);
        if (good && how != AS_IT_IS)
            good = !onnx_graph_fold(graph, g->dims, &error);
        if (good && how == FOLDED_AND_SIMPLIFIED)
            good = !onnx_graph_simplify(graph, &error);
        if (good)
            good = !onnx_interpreter_open(&interpreter, graph, pool, NULL, &error) && !onnx_interpreter_run(interpreter, x, 4, g->dims, &out, &error);
        if (!good)
            fail_msg("%s: %s", g->name, error.message);
        if (g->is_labels)
            compare_labels(g, out, &expected, slide.data ? &slide : NULL);
        else
            compare_logits(g, out, &expected);
        onnx_interpreter_close(interpreter);
        onnx_graph_close(graph);
        file_map_close(&file);
        free(x);
        free(input.data);
        free(expected.data);
        free(slide.data);
    }
    pool_close(pool);
}

static void golden_files_give_their_logits_as_they_are(void **state) { (void)state; run_goldens(AS_IT_IS); }
static void golden_files_give_their_logits_folded(void **state) { (void)state; run_goldens(FOLDED); }
static void golden_files_give_their_logits_folded_and_simplified(void **state) { (void)state; run_goldens(FOLDED_AND_SIMPLIFIED); }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_files_give_their_logits_as_they_are),
        cmocka_unit_test(golden_files_give_their_logits_folded),
        cmocka_unit_test(golden_files_give_their_logits_folded_and_simplified),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
