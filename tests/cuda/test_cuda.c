/* The CUDA backend: what is said where it or a GPU is missing; with a GPU, a small network against the reference. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cuda_loader.h"
#include "model_support.h"

static void a_missing_library_is_a_device_error_that_says_what_to_do(void **state)
{
    (void)state;
    segrt_error error = {0};
    const backend *found = NULL;
    char before[4096] = "";
    const char *named = getenv("SEGRT_CUDA_LIBRARY");
    if (named)
        snprintf(before, sizeof before, "%s", named);
    assert_int_equal(setenv("SEGRT_CUDA_LIBRARY", "/nowhere/libsegrt-cuda.so", 1), 0);
    assert_int_equal(cuda_loader_find(&found, &error), SEGRT_DEVICE);
    assert_null(found);
    assert_non_null(strstr(error.message, "SEGRT_CUDA_LIBRARY"));
    if (named)
        setenv("SEGRT_CUDA_LIBRARY", before, 1);
    else
        unsetenv("SEGRT_CUDA_LIBRARY");
}

enum { H = 65, W = 97, CLASSES = 7 };

static void run(const backend *device, const network *net, segrt_precision precision, const uint8_t *pixels, float *logits, uint8_t *labels)
{
    segrt_error error = {0};
    void *session = NULL;
    const backend_options options = {.precision = precision};
    const backend_run wanted = {
        .n = 1,
        .h = H,
        .w = W,
        .pixels = pixels,
        .logits = logits,
        .output = {.labels = labels, .label_bytes = 1, .stride = W, .picture_stride = (ptrdiff_t)H * W, .h = H, .w = W}};
    if (device->open(&session, net, &options, &error) || device->run(session, &wanted, &error))
        fail_msg("%s", error.message);
    device->close(session);
}

static void the_network_is_the_references_in_every_precision(void **state)
{
    static const struct {
        segrt_precision precision;
        double tolerance;
    } rows[] = {{SEGRT_FLOAT32, 1e-5}, {SEGRT_TF32, 1e-2}, {SEGRT_FLOAT16, 1e-2}, {SEGRT_BFLOAT16, 8e-2}};
    enum { LOGITS = CLASSES * 17 * 25 };
    const backend *cuda = *state;
    segrt_error error = {0};
    network *net = NULL;
    segrt_model *model = random_model_open(&(random_model){.seed = 11, .classes = CLASSES});
    static uint8_t pixels[H * W * 3], expected_labels[H * W], labels[H * W];
    static float expected[LOGITS], logits[LOGITS];
    uint64_t seed = 12;
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)(256 * random_uniform(&seed));
    assert_non_null(model);
    assert_int_equal(network_fold(&net, model, NETWORK_F32, &error), SEGRT_OK);
    run(&backend_reference, net, SEGRT_FLOAT32, pixels, expected, expected_labels);
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        double difference = 0, size = 0;
        size_t same = 0;
        memset(logits, 0xff, sizeof logits); /* NaN where nothing is written */
        run(cuda, net, rows[r].precision, pixels, logits, labels);
        for (size_t i = 0; i < LOGITS; i++) {
            difference += ((double)logits[i] - (double)expected[i]) * ((double)logits[i] - (double)expected[i]);
            size += (double)expected[i] * (double)expected[i];
        }
        for (size_t i = 0; i < sizeof labels; i++)
            same += labels[i] == expected_labels[i];
        assert_true(sqrt(difference / size) <= rows[r].tolerance);
        assert_true((double)same >= 0.98 * (double)sizeof labels);
    }
    network_close(net);
    random_model_close(model);
}

int main(void)
{
    const struct CMUnitTest always[] = {cmocka_unit_test(a_missing_library_is_a_device_error_that_says_what_to_do)};
    const int failed = cmocka_run_group_tests_name("cuda loader", always, NULL, NULL);
    const backend *cuda = NULL;
    segrt_error error = {0};
    void *session = NULL;
    network *net = NULL;
    segrt_model *model = random_model_open(&(random_model){.seed = 1});
    if (failed || !model || network_fold(&net, model, NETWORK_F32, NULL))
        return 1;
    const bool here = !cuda_loader_find(&cuda, &error) && !cuda->open(&session, net, &(backend_options){0}, &error);
    if (here)
        cuda->close(session);
    network_close(net);
    random_model_close(model);
    if (!here) {
        printf("skipped: %s\n", error.message);
        return 77;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test_prestate(the_network_is_the_references_in_every_precision, (void *)cuda)};
    return cmocka_run_group_tests_name("cuda", tests, NULL, NULL);
}
