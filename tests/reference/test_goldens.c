/* Both of the reference's ways through the network against float64 logits of the published implementations. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "backend/reference/reference.h"
#include "npy_support.h"

static const char *const inputs[] = {"64x96", "97x65", "batch3_32x64", "160x256", "batch2_64x64"};
enum { INPUTS = sizeof inputs / sizeof *inputs };

static const struct {
    const char *name, *model;
} families[] = {
    {"hf", "hf/model.safetensors"},
    {"nvlabs", "nvlabs/segformer_tiny.pth"},
    {"mmseg", "mmseg/segformer_tiny.pth"},
};
enum { FAMILIES = sizeof families / sizeof *families };

static segrt_model *opened(size_t family)
{
    char path[512];
    segrt_error error = {0};
    segrt_model *model;
    snprintf(path, sizeof path, "%s/%s", TEST_DATA, families[family].model);
    if (segrt_model_open(&model, path, NULL, &error))
        fail_msg("%s: %s", path, error.message);
    return model;
}

/* || a - b || / || b ||. */
static double relative(const double *a, const double *b, size_t count)
{
    double difference = 0, norm = 0;
    for (size_t i = 0; i < count; i++) {
        difference += (a[i] - b[i]) * (a[i] - b[i]);
        norm += b[i] * b[i];
    }
    return sqrt(difference / norm);
}

/* Tokens by channels to channels by tokens, as PyTorch has them. */
static double *turned(const double *from, size_t n, size_t pixels, size_t channels)
{
    double *to = malloc(n * pixels * channels * sizeof *to);
    assert_non_null(to);
    for (size_t i = 0; i < n; i++)
        for (size_t p = 0; p < pixels; p++)
            for (size_t c = 0; c < channels; c++)
                to[(i * channels + c) * pixels + p] = from[(i * pixels + p) * channels + c];
    return to;
}

static void each(void (*check)(size_t family, const segrt_model *model, const char *input_name, const npy *input, const npy *logits))
{
    char name[128];
    for (size_t f = 0; f < FAMILIES; f++) {
        segrt_model *model = opened(f);
        for (size_t i = 0; i < INPUTS; i++) {
            snprintf(name, sizeof name, "input_%s.npy", inputs[i]);
            npy input = npy_read_as(name, "<f4");
            snprintf(name, sizeof name, "%s/logits_%s.npy", families[f].name, inputs[i]);
            npy logits = npy_read_as(name, "<f8");
            check(f, model, inputs[i], &input, &logits);
            npy_free(&input);
            npy_free(&logits);
        }
        segrt_model_close(model);
    }
}

static void check_published(size_t family, const segrt_model *model, const char *name, const npy *input, const npy *logits)
{
    double *got = malloc(logits->count * sizeof *got);
    assert_non_null(got);
    assert_int_equal(
        reference_published(model, input->f32, (int)input->shape[0], (int)input->shape[2], (int)input->shape[3], got, NULL, NULL),
        SEGRT_OK);
    const double difference = relative(got, logits->f64, logits->count);
    free(got);
    printf("%s %s: %.1e\n", families[family].name, name, difference);
    if (!(difference <= 1e-10))
        fail_msg("%s, %s: %.2e", families[family].name, name, difference);
}

static double folded(const segrt_model *model, network_width width, const npy *input, const npy *logits)
{
    network *net;
    void *state;
    assert_int_equal(network_fold(&net, model, width, NULL), SEGRT_OK);
    assert_int_equal(backend_reference.open(&state, net, &(backend_options){0}, NULL), SEGRT_OK);
    const backend_run run = {.n = (int)input->shape[0], .h = (int)input->shape[2], .w = (int)input->shape[3], .input = input->f32};
    assert_int_equal(backend_reference.run(state, &run, NULL), SEGRT_OK);
    double *got = turned(reference_logits(state), logits->shape[0], logits->shape[2] * logits->shape[3], logits->shape[1]);
    const double difference = relative(got, logits->f64, logits->count);
    free(got);
    backend_reference.close(state);
    network_close(net);
    return difference;
}

static void check_folded(size_t family, const segrt_model *model, const char *name, const npy *input, const npy *logits)
{
    const double wide = folded(model, NETWORK_F64, input, logits), narrow = folded(model, NETWORK_F32, input, logits);
    if (!(wide <= 1e-10))
        fail_msg("%s, %s: %.2e", families[family].name, name, wide);
    if (!(narrow <= 1e-6))
        fail_msg("%s, %s, weights rounded to float32: %.2e", families[family].name, name, narrow);
    print_message("%s %s: float64 weights %.1e, float32 weights %.1e\n", families[family].name, name, wide, narrow);
}

static void the_published_forward_gives_the_golden_logits(void **state)
{
    (void)state;
    each(check_published);
}

static void the_folded_network_gives_the_golden_logits(void **state)
{
    (void)state;
    each(check_folded);
}

static void stage_outputs_are_the_golden_ones(void **state)
{
    (void)state;
    segrt_model *model = opened(0);
    npy input = npy_read_as("input_64x96.npy", "<f4"), stage[STAGES];
    double *got[STAGES];
    for (int i = 0; i < STAGES; i++) {
        char name[128];
        snprintf(name, sizeof name, "hf/stage%d_64x96.npy", i);
        stage[i] = npy_read_as(name, "<f8");
        got[i] = malloc(stage[i].count * sizeof *got[i]);
        assert_non_null(got[i]);
    }
    assert_int_equal(reference_published(model, input.f32, 1, 64, 96, NULL, got, NULL), SEGRT_OK);
    for (int i = 0; i < STAGES; i++) {
        double *channels_first = turned(got[i], 1, stage[i].shape[2] * stage[i].shape[3], stage[i].shape[1]);
        assert_true(relative(channels_first, stage[i].f64, stage[i].count) <= 1e-10);
        free(channels_first);
        free(got[i]);
        npy_free(&stage[i]);
    }
    npy_free(&input);
    segrt_model_close(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_published_forward_gives_the_golden_logits),
        cmocka_unit_test(the_folded_network_gives_the_golden_logits),
        cmocka_unit_test(stage_outputs_are_the_golden_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
