/* The folded network gives what the published one gives, logits and stage outputs: models of every structure, odd
 * sizes, both widths of weights. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/reference/reference.h"
#include "model_support.h"

static const struct {
    const char *name;
    random_model model;
} structures[] = {
    {"published MLP head", {.seed = 1}},
    {"badly scaled channels", {.badly_scaled = true, .seed = 2}},
    {"convolution head, inner ReLU", {.head = HEAD_CONV, .level_width = 24, .fuse_first_to_last = true, .seed = 3}},
    {"convolution head without batch norm", {.head = HEAD_CONV, .no_batch_norm = true, .fuse_bias = true, .seed = 4}},
    {"no biases", {.no_biases = true, .seed = 5}},
    {"no affine in any norm", {.no_affine = true, .seed = 6}},
    {"no norm behind the reduction", {.no_reduce_norm = true, .seed = 7}},
    {"no batch norm, biased fusion, other concat order", {.no_batch_norm = true, .fuse_bias = true, .fuse_first_to_last = true, .seed = 8}},
    {"scores scaled otherwise", {.scale = 1.7, .seed = 9}},
    {"several heads in the first stage, one in the last", {.heads = {2, 4, 1, 1}, .seed = 10}},
    {"other reductions", {.reduction = {4, 2, 1, 1}, .seed = 11}},
    {"one head without reduction in the first stage", {.reduction = {1, 2, 2, 1}, .seed = 12}},
    {"other widths, depths and ratio",
     {.width = {12, 20, 30, 36},
      .depth = {1, 2, 1, 2},
      .heads = {1, 2, 3, 4},
      .ratio = 3,
      .decoder_width = 19,
      .level_width = 23,
      .classes = 1,
      .seed = 13}},
};
enum { STRUCTURES = sizeof structures / sizeof *structures };

static const int sizes[][3] = {{1, 64, 96}, {1, 97, 65}, {2, 33, 40}, {1, 29, 29}};
enum { SIZES = sizeof sizes / sizeof *sizes };

static size_t quarter(int side)
{
    return (size_t)(side + 3) / 4;
}

static float *picture_of_noise(int n, int h, int w)
{
    uint64_t state = 77;
    const size_t count = (size_t)n * 3 * (size_t)h * (size_t)w;
    float *input = malloc(count * sizeof *input);
    assert_non_null(input);
    random_fill(&state, input, count);
    return input;
}

/* || a - b || / || b ||; a is tokens by channels, b channels by tokens. */
static double relative_difference(const double *a, const double *b, size_t n, size_t pixels, size_t classes)
{
    double difference = 0, norm = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t p = 0; p < pixels; p++)
            for (size_t c = 0; c < classes; c++) {
                const double x = a[(i * pixels + p) * classes + c], y = b[(i * classes + c) * pixels + p];
                difference += (x - y) * (x - y);
                norm += y * y;
            }
    return sqrt(difference / norm);
}

/* Worst relative difference of a stage's output: folded x^ - offset against the published gamma x^ + beta. */
static double stage_difference(const segrt_model *model, const network *net, const void *state, double *const published[STAGES],
                               const network_shape *shape)
{
    double worst = 0;
    for (int i = 0; i < STAGES; i++) {
        const model_norm *norm = &model->stages[i].norm;
        const size_t c = (size_t)norm->width, count = (size_t)shape->n * (size_t)shape->stage[i].h * (size_t)shape->stage[i].w * c;
        const double *folded = reference_stage(state, i);
        double difference = 0, sum = 0;
        for (size_t k = 0; k < count; k++) {
            const double plain = folded[k] + weight_at(net->stages[i].offset, k % c);
            const double x = plain * (norm->gamma ? (double)norm->gamma[k % c] : 1) + (norm->beta ? (double)norm->beta[k % c] : 0);
            difference += (x - published[i][k]) * (x - published[i][k]);
            sum += published[i][k] * published[i][k];
        }
        worst = fmax(worst, sqrt(difference / sum));
    }
    return worst;
}

/* The larger relative difference between folded and published: of the logits, or of a stage's output.  offsets: drawn
 * ones are set.  Closes the model. */
static double difference_of(segrt_model *model, network_width width, bool offsets, const int size[3])
{
    network *net;
    void *state;
    network_shape shape;
    const int n = size[0], h = size[1], w = size[2];
    const size_t pixels = quarter(h) * quarter(w), classes = (size_t)model->class_count;
    float *input = picture_of_noise(n, h, w);
    double *expected = malloc((size_t)n * pixels * classes * sizeof *expected), *stages[STAGES], *mean[STAGES];
    uint64_t seed = 5;
    assert_int_equal(network_fold(&net, model, width, NULL), SEGRT_OK);
    assert_int_equal(network_shape_of(&shape, net, n, h, w, NULL), SEGRT_OK);
    for (int i = 0; i < STAGES; i++) {
        stages[i] =
            malloc((size_t)n * (size_t)shape.stage[i].h * (size_t)shape.stage[i].w * (size_t)model->stages[i].width * sizeof *stages[i]);
        mean[i] = malloc((size_t)model->stages[i].width * sizeof *mean[i]);
        for (int c = 0; c < model->stages[i].width; c++)
            mean[i][c] = random_normal(&seed);
    }
    if (offsets)
        assert_int_equal(network_set_offsets(net, (const double *const *)mean, NULL), SEGRT_OK);
    assert_int_equal(reference_published(model, input, n, h, w, expected, stages, NULL), SEGRT_OK);
    assert_int_equal(backend_reference.open(&state, net, &(backend_options){0}, NULL), SEGRT_OK);
    assert_int_equal(backend_reference.run(state, &(backend_run){.n = n, .h = h, .w = w, .input = input}, NULL), SEGRT_OK);
    const double difference = fmax(relative_difference(reference_logits(state), expected, (size_t)n, pixels, classes),
                                   stage_difference(model, net, state, stages, &shape));
    backend_reference.close(state);
    network_close(net);
    random_model_close(model);
    for (int i = 0; i < STAGES; i++) {
        free(stages[i]);
        free(mean[i]);
    }
    free(expected);
    free(input);
    return difference;
}

static double folded_against_published(const random_model *as, network_width width, bool offsets, const int size[3])
{
    segrt_model *model = random_model_open(as);
    assert_non_null(model);
    return difference_of(model, width, offsets, size);
}

static void silence(const model_linear *l)
{
    memset((float *)l->weight, 0, (size_t)l->out * (size_t)l->in * sizeof(float));
    memset((float *)l->bias, 0, (size_t)l->out * sizeof(float));
}

/* The parts of a block are silenced by their last map, so that what remains is one fold at work (patch embedding and
 * stage norm are always there; the head's folds show in the logits alone). */
static void each_fold_by_itself_agrees_to_1e_12(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool attention, feed_forward;
    } rows[] = {{"patch embedding and head", false, false}, {"attention", true, false}, {"Mix-FFN", false, true}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int badly_scaled = 0; badly_scaled < 2; badly_scaled++) {
            segrt_model *model = random_model_open(&(random_model){.badly_scaled = badly_scaled, .seed = 31 + i});
            assert_non_null(model);
            for (int s = 0; s < STAGES; s++)
                for (int b = 0; b < model->stages[s].depth; b++) {
                    if (!rows[i].attention)
                        silence(&model->stages[s].blocks[b].project);
                    if (!rows[i].feed_forward)
                        silence(&model->stages[s].blocks[b].fc2);
                }
            const double difference = difference_of(model, NETWORK_F64, false, sizes[1]);
            if (!(difference <= 1e-12))
                fail_msg("%s: %.2e", rows[i].name, difference);
        }
}

static void folded_and_published_agree_to_1e_12_for_every_structure_and_size(void **state)
{
    (void)state;
    double worst = 0;
    for (size_t m = 0; m < STRUCTURES; m++)
        for (size_t s = 0; s < SIZES; s++) {
            const double difference = folded_against_published(&structures[m].model, NETWORK_F64, false, sizes[s]);
            worst = fmax(worst, difference);
            if (!(difference <= 1e-12))
                fail_msg("%s, %dx%dx%d: %.2e", structures[m].name, sizes[s][0], sizes[s][1], sizes[s][2], difference);
        }
    print_message("float64 weights: worst relative difference %.1e\n", worst);
}

static void any_offsets_change_nothing(void **state)
{
    (void)state;
    double worst = 0;
    for (size_t m = 0; m < STRUCTURES; m++) {
        const double difference = folded_against_published(&structures[m].model, NETWORK_F64, true, sizes[1]);
        worst = fmax(worst, difference);
        if (!(difference <= 1e-12))
            fail_msg("%s: %.2e", structures[m].name, difference);
    }
    print_message("drawn offsets: worst relative difference %.1e\n", worst);
}

static void weights_rounded_to_float32_stay_within_1e_6(void **state)
{
    (void)state;
    double worst = 0;
    for (size_t m = 0; m < STRUCTURES; m++) {
        const double difference = folded_against_published(&structures[m].model, NETWORK_F32, m % 2, sizes[1]);
        worst = fmax(worst, difference);
        if (!(difference <= (structures[m].model.badly_scaled ? 1e-5 : 1e-6)))
            fail_msg("%s: %.2e", structures[m].name, difference);
    }
    print_message("float32 weights: worst relative difference %.1e\n", worst);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_fold_by_itself_agrees_to_1e_12),
        cmocka_unit_test(folded_and_published_agree_to_1e_12_for_every_structure_and_size),
        cmocka_unit_test(any_offsets_change_nothing),
        cmocka_unit_test(weights_rounded_to_float32_stay_within_1e_6),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
