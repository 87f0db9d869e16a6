/* What backend.h promises, on the backend that all others are held against. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/reference/reference.h"
#include "model_support.h"

enum { N = 2, H = 45, W = 70, LOGIT_H = 12, LOGIT_W = 18, CLASSES = 7 };

static network *net;
static uint8_t pixels[N * H * W * 3];
static float input[N * 3 * H * W];

static int make_network(void **state)
{
    (void)state;
    segrt_model *model = random_model_open(&(random_model){.seed = 21});
    uint64_t seed = 4;
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)(256 * random_uniform(&seed));
    for (int p = 0; p < N; p++)
        for (int c = 0; c < 3; c++)
            for (int i = 0; i < H * W; i++)
                input[(p * 3 + c) * H * W + i] = (float)(((double)pixels[(p * H * W + i) * 3 + c] - (double)model->preprocessing.mean[c]) /
                                                         (double)model->preprocessing.deviation[c]);
    const segrt_status status = network_fold(&net, model, NETWORK_F64, NULL);
    random_model_close(model);
    return (int)status;
}

static int close_network(void **state)
{
    (void)state;
    network_close(net);
    return 0;
}

static void *opened(const backend_options *options)
{
    void *state;
    assert_int_equal(backend_reference.open(&state, net, options, NULL), SEGRT_OK);
    return state;
}

static void pixels_and_normalised_input_give_the_same(void **unused)
{
    (void)unused;
    static float a[N * CLASSES * LOGIT_H * LOGIT_W], b[N * CLASSES * LOGIT_H * LOGIT_W];
    void *state = opened(&(backend_options){0});
    assert_int_equal(backend_reference.run(state, &(backend_run){.n = N, .h = H, .w = W, .pixels = pixels, .logits = a}, NULL), SEGRT_OK);
    assert_int_equal(backend_reference.run(state, &(backend_run){.n = N, .h = H, .w = W, .input = input, .logits = b}, NULL), SEGRT_OK);
    for (size_t i = 0; i < sizeof a / sizeof *a; i++)
        assert_true(fabs((double)a[i] - (double)b[i]) < 1e-4); /* the input was rounded to float32 */
    backend_reference.close(state);
}

static void results_do_not_depend_on_threads_or_on_the_place_in_the_batch(void **unused)
{
    (void)unused;
    static float alone[CLASSES * LOGIT_H * LOGIT_W], both[N * CLASSES * LOGIT_H * LOGIT_W];
    segrt_pool *pool;
    assert_int_equal(pool_open(&pool, 3, NULL), SEGRT_OK);
    void *one = opened(&(backend_options){0}), *many = opened(&(backend_options){.pool = pool});
    assert_int_equal(
        backend_reference.run(one, &(backend_run){.n = 1, .h = H, .w = W, .pixels = pixels + H * W * 3, .logits = alone}, NULL), SEGRT_OK);
    assert_int_equal(backend_reference.run(many, &(backend_run){.n = N, .h = H, .w = W, .pixels = pixels, .logits = both}, NULL), SEGRT_OK);
    assert_memory_equal(alone, both + CLASSES * LOGIT_H * LOGIT_W, sizeof alone);
    backend_reference.close(one);
    backend_reference.close(many);
    pool_close(pool);
}

/* A plane resized the plain way: align_corners = false. */
static void resize(const double *from, int h, int w, double *to, int to_h, int to_w)
{
    for (int y = 0; y < to_h; y++)
        for (int x = 0; x < to_w; x++) {
            const double sy = fmax(0, (y + 0.5) * h / to_h - 0.5), sx = fmax(0, (x + 0.5) * w / to_w - 0.5);
            const int y0 = (int)floor(sy), x0 = (int)floor(sx), y1 = y0 + 1 < h ? y0 + 1 : h - 1, x1 = x0 + 1 < w ? x0 + 1 : w - 1;
            to[y * to_w + x] = (from[y0 * w + x0] * (1 - (sx - x0)) + from[y0 * w + x1] * (sx - x0)) * (1 - (sy - y0)) +
                               (from[y1 * w + x0] * (1 - (sx - x0)) + from[y1 * w + x1] * (sx - x0)) * (sy - y0);
        }
}

static void labels_follow_both_chains(void **unused)
{
    (void)unused;
    enum { OUT_H = 50, OUT_W = 33, STRIDE = 40 };
    static double plane[LOGIT_H * LOGIT_W], between[H * W], full[CLASSES][OUT_H * OUT_W];
    static uint16_t labels[N * OUT_H * STRIDE];
    static uint8_t confidence[N * OUT_H * OUT_W];
    void *state = opened(&(backend_options){0});
    for (int via_input = 0; via_input < 2; via_input++) {
        const label_output output = {.labels = labels,
                                     .label_bytes = 2,
                                     .stride = STRIDE,
                                     .picture_stride = OUT_H * STRIDE,
                                     .confidence = confidence,
                                     .h = OUT_H,
                                     .w = OUT_W,
                                     .via_input = via_input};
        assert_int_equal(backend_reference.run(state, &(backend_run){.n = N, .h = H, .w = W, .pixels = pixels, .output = output}, NULL),
                         SEGRT_OK);
        const double *logits = reference_logits(state);
        for (int n = 0; n < N; n++) {
            for (int c = 0; c < CLASSES; c++) {
                for (int i = 0; i < LOGIT_H * LOGIT_W; i++)
                    plane[i] = logits[(n * LOGIT_H * LOGIT_W + i) * CLASSES + c];
                if (via_input) {
                    resize(plane, LOGIT_H, LOGIT_W, between, H, W);
                    resize(between, H, W, full[c], OUT_H, OUT_W);
                } else {
                    resize(plane, LOGIT_H, LOGIT_W, full[c], OUT_H, OUT_W);
                }
            }
            for (int i = 0; i < OUT_H * OUT_W; i++) {
                int winner = 0;
                double sum = 0;
                for (int c = 1; c < CLASSES; c++)
                    winner = full[c][i] > full[winner][i] ? c : winner;
                for (int c = 0; c < CLASSES; c++)
                    sum += exp(full[c][i] - full[winner][i]);
                assert_int_equal(labels[(n * OUT_H + i / OUT_W) * STRIDE + i % OUT_W], winner);
                assert_int_equal(confidence[n * OUT_H * OUT_W + i], lround(255 / sum));
            }
        }
    }
    backend_reference.close(state);
}

static void the_lowest_class_wins_a_tie(void **unused)
{
    (void)unused;
    static const double logits[4 * 3] = {1, 2, 2, 2, 2, 1, 3, 3, 3, 0, 0, 0};
    uint8_t labels[4];
    reference_label(logits, 3, (grid){1, 2, 2}, 8, 8,
                    &(label_output){.labels = labels, .label_bytes = 1, .stride = 2, .picture_stride = 4, .h = 2, .w = 2}, NULL);
    assert_int_equal(labels[0], 1);
    assert_int_equal(labels[1], 0);
    assert_int_equal(labels[2], 0);
    assert_int_equal(labels[3], 0);
}

static void stage_means_are_those_of_the_normalised_stream_with_or_without_offsets(void **unused)
{
    (void)unused;
    double plain[8], again[8], zero[STAGES][64] = {{0}}, drawn[STAGES][64];
    uint64_t seed = 2;
    for (int i = 0; i < STAGES; i++)
        for (int c = 0; c < 64; c++)
            drawn[i][c] = random_normal(&seed);
    void *state = opened(&(backend_options){0});
    assert_int_equal(backend_reference.run(state, &(backend_run){.n = N, .h = H, .w = W, .pixels = pixels, .stage_mean = {plain}}, NULL),
                     SEGRT_OK);
    assert_int_equal(network_set_offsets(net, (const double *const[STAGES]){drawn[0], drawn[1], drawn[2], drawn[3]}, NULL), SEGRT_OK);
    assert_int_equal(backend_reference.run(state, &(backend_run){.n = N, .h = H, .w = W, .pixels = pixels, .stage_mean = {again}}, NULL),
                     SEGRT_OK);
    for (int c = 0; c < 8; c++) {
        double sum = 0;
        for (int i = 0; i < N * LOGIT_H * LOGIT_W; i++)
            sum += reference_stage(state, 0)[i * 8 + c] + drawn[0][c];
        assert_true(fabs(again[c] - sum / (N * LOGIT_H * LOGIT_W)) < 1e-12);
        assert_true(fabs(again[c] - plain[c]) < 1e-12);
    }
    assert_int_equal(network_set_offsets(net, (const double *const[STAGES]){zero[0], zero[1], zero[2], zero[3]}, NULL), SEGRT_OK);
    backend_reference.close(state);
}

typedef struct seen {
    operation list[256];
    size_t count;
    float logit;
} seen;

static void see(void *user, operation op, const float *data, int n, int h, int w, int channels)
{
    seen *s = user;
    assert_int_equal(n, N);
    assert_true(h > 0 && w > 0 && channels > 0);
    s->list[s->count++] = op;
    s->logit = data[channels - 1];
}

static void every_operation_but_the_labels_is_observed_in_order(void **unused)
{
    (void)unused;
    static float logits[N * CLASSES * LOGIT_H * LOGIT_W];
    seen s = {.count = 0};
    arena memory = {0};
    operation *operations;
    size_t count;
    assert_int_equal(network_operations(net, &memory, &operations, &count, NULL), SEGRT_OK);
    void *state = opened(&(backend_options){0});
    assert_int_equal(
        backend_reference.run(
            state, &(backend_run){.n = N, .h = H, .w = W, .pixels = pixels, .logits = logits, .observe = see, .observe_user = &s}, NULL),
        SEGRT_OK);
    assert_int_equal(s.count, count - 1);
    for (size_t i = 0; i < s.count; i++)
        assert_int_equal(s.list[i].kind, operations[i].kind);
    assert_true(s.logit == logits[(CLASSES - 1) * LOGIT_H * LOGIT_W]); /* the last one seen: logits, channels last */
    backend_reference.close(state);
    arena_free(&memory);
}

static void a_cancelled_run_says_so(void **unused)
{
    (void)unused;
    atomic_bool cancel = true;
    void *state = opened(&(backend_options){0});
    assert_int_equal(backend_reference.run(state, &(backend_run){.n = N, .h = H, .w = W, .pixels = pixels, .cancel = &cancel}, NULL),
                     SEGRT_CANCELLED);
    atomic_store(&cancel, false);
    assert_int_equal(backend_reference.run(state, &(backend_run){.n = N, .h = H, .w = W, .pixels = pixels, .cancel = &cancel}, NULL),
                     SEGRT_OK);
    backend_reference.close(state);
}

static void the_profile_has_a_row_an_operation(void **unused)
{
    (void)unused;
    const backend_profile_row *rows;
    void *state = opened(&(backend_options){.profile = true});
    assert_int_equal(backend_reference.profile(state, &rows), 0); /* nothing has run */
    assert_int_equal(backend_reference.run(state, &(backend_run){.n = N, .h = H, .w = W, .pixels = pixels}, NULL), SEGRT_OK);
    const size_t count = backend_reference.profile(state, &rows);
    assert_true(count > 40 && rows[0].first.kind == OP_PATCH && rows[0].seconds > 0 &&
                rows[0].macs == (uint64_t)N * LOGIT_H * LOGIT_W * 8 * 49 * 3);
    assert_true(backend_reference.memory(state) > 0);
    backend_reference.close(state);
}

static void what_cannot_be_computed_is_refused(void **unused)
{
    (void)unused;
    static float logits[1];
    network *backbone;
    segrt_model *model = random_model_open(&(random_model){.backbone = true});
    void *state = opened(&(backend_options){0}), *headless;
    assert_int_equal(backend_reference.run(state, &(backend_run){.n = 1, .h = 16, .w = 64, .pixels = pixels}, NULL), SEGRT_SHAPE);
    assert_int_equal(backend_reference.run(state, &(backend_run){.n = N, .h = H, .w = W, .pixels = pixels}, NULL),
                     SEGRT_OK); /* and goes on */
    backend_reference.close(state);

    assert_int_equal(network_fold(&backbone, model, NETWORK_F32, NULL), SEGRT_OK);
    assert_int_equal(backend_reference.open(&headless, backbone, &(backend_options){0}, NULL), SEGRT_OK);
    assert_int_equal(backend_reference.run(headless, &(backend_run){.n = 1, .h = H, .w = W, .pixels = pixels, .logits = logits}, NULL),
                     SEGRT_ARGUMENT);
    assert_int_equal(backend_reference.run(headless, &(backend_run){.n = 1, .h = H, .w = W, .pixels = pixels}, NULL), SEGRT_OK);
    backend_reference.close(headless);
    network_close(backbone);
    random_model_close(model);
}

static void tolerances_widen_with_narrower_numbers(void **unused)
{
    (void)unused;
    for (int kind = 0; kind < OP_LABEL; kind++) {
        const operation_kind op = (operation_kind)kind;
        assert_true(reference_tolerance(op, SEGRT_FLOAT32) > 0);
        assert_true(reference_tolerance(op, SEGRT_FLOAT32) < reference_tolerance(op, SEGRT_FLOAT16));
        assert_true(reference_tolerance(op, SEGRT_FLOAT16) < reference_tolerance(op, SEGRT_BFLOAT16));
        assert_true(reference_tolerance(op, SEGRT_BFLOAT16) < reference_tolerance(op, SEGRT_INT8));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pixels_and_normalised_input_give_the_same),
        cmocka_unit_test(results_do_not_depend_on_threads_or_on_the_place_in_the_batch),
        cmocka_unit_test(labels_follow_both_chains),
        cmocka_unit_test(the_lowest_class_wins_a_tie),
        cmocka_unit_test(stage_means_are_those_of_the_normalised_stream_with_or_without_offsets),
        cmocka_unit_test(every_operation_but_the_labels_is_observed_in_order),
        cmocka_unit_test(a_cancelled_run_says_so),
        cmocka_unit_test(the_profile_has_a_row_an_operation),
        cmocka_unit_test(what_cannot_be_computed_is_refused),
        cmocka_unit_test(tolerances_widen_with_narrower_numbers),
    };
    return cmocka_run_group_tests(tests, make_network, close_network);
}
