/* The CPU backend against the reference: every level that this machine has, fused and one operation at a time, models of every
 * structure, odd sizes and batches, labels, confidence, threads. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/backend.h"
#include "base/cpu.h"
#include "model_support.h"

static const random_model published = {.seed = 1}, badly_scaled = {.badly_scaled = true, .seed = 2};

static const struct {
    const char *name;
    random_model model;
} structures[] = {
    {"published MLP head", {.seed = 1}},
    {"badly scaled channels", {.badly_scaled = true, .seed = 2}},
    {"convolution head", {.head = HEAD_CONV, .level_width = 24, .fuse_first_to_last = true, .seed = 3}},
    {"no biases, no affine", {.no_biases = true, .no_affine = true, .seed = 5}},
    {"no norm behind the reduction", {.no_reduce_norm = true, .seed = 7}},
    {"several heads in the first stage, one in the last", {.heads = {2, 4, 1, 1}, .seed = 10}},
    {"one head without reduction in the first stage", {.reduction = {1, 2, 2, 1}, .seed = 12}},
    {"odd widths, 19 decoder channels, one class",
     {.width = {12, 20, 30, 36}, .depth = {1, 2, 1, 2}, .heads = {1, 2, 3, 4}, .ratio = 3, .decoder_width = 19, .level_width = 23, .classes = 1, .seed = 13}},
    {"scores too large for weights without maxima", {.scale = 30, .seed = 15}},
    {"150 classes, head width 32", {.width = {32, 64, 96, 128}, .heads = {1, 2, 3, 4}, .decoder_width = 64, .classes = 150, .seed = 14}},
};
enum { STRUCTURES = sizeof structures / sizeof *structures };

static const int sizes[][3] = {{1, 64, 96}, {2, 97, 65}, {1, 29, 29}};
enum { SIZES = sizeof sizes / sizeof *sizes };

/* ------------------------------------------------------------------------------------ helpers */

static size_t quarter(int side) { return (size_t)(side + 3) / 4; }

static network *random_network(const random_model *as)
{
    segrt_model *model = random_model_open(as);
    assert_non_null(model);
    network *net;
    assert_int_equal(network_fold(&net, model, NETWORK_F32, NULL), SEGRT_OK);
    random_model_close(model);
    return net;
}

static float *noise(size_t count)
{
    uint64_t seed = 77;
    float *to = malloc(count * sizeof *to);
    assert_non_null(to);
    random_fill(&seed, to, count);
    return to;
}

static double difference(const float *a, const float *b, size_t count)
{
    double apart = 0, norm = 0;
    for (size_t i = 0; i < count; i++) {
        apart += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        norm += (double)b[i] * (double)b[i];
    }
    return norm > 0 ? sqrt(apart / norm) : sqrt(apart);
}

static void *open_backend(const backend *b, const network *net, const char *level, backend_options options)
{
    void *state;
    segrt_error error = {0};
    if (level)
        setenv("SEGRT_CPU", level, 1);
    if (b->open(&state, net, &options, &error))
        fail_msg("%s", error.message);
    unsetenv("SEGRT_CPU");
    return state;
}

static void run_backend(const backend *b, void *state, backend_run run)
{
    segrt_error error = {0};
    if (b->run(state, &run, &error))
        fail_msg("%s", error.message);
}

/* Calls `check` for each level that this machine has. */
static void for_levels(void (*check)(const char *level))
{
    const unsigned levels = cpu_levels();
    for (unsigned l = 0; l < CPU_LEVELS; l++)
        if (levels >> l & 1)
            check(cpu_level_name((cpu_level)l));
}

/* ------------------------------------------------------------------------------------- logits */

static double logits_apart(const network *net, const int size[3], const char *level, backend_options options)
{
    const int n = size[0], h = size[1], w = size[2];
    float *input = noise((size_t)n * 3 * (size_t)h * (size_t)w);
    const size_t count = (size_t)n * (size_t)net->classes * quarter(h) * quarter(w);
    float *expected = malloc(count * sizeof *expected), *got = malloc(count * sizeof *got);
    void *reference = open_backend(&backend_reference, net, NULL, (backend_options){0});
    run_backend(&backend_reference, reference, (backend_run){.n = n, .h = h, .w = w, .input = input, .logits = expected});
    backend_reference.close(reference);
    void *cpu = open_backend(&backend_cpu, net, level, options);
    for (int again = 0; again < 2; again++) { /* the second run finds used buffers */
        memset(got, 0xff, count * sizeof *got);
        run_backend(&backend_cpu, cpu, (backend_run){.n = n, .h = h, .w = w, .input = input, .logits = got});
    }
    backend_cpu.close(cpu);
    const double apart = difference(got, expected, count);
    free(got);
    free(expected);
    free(input);
    return apart;
}

static void check_structures(const char *level)
{
    for (size_t m = 0; m < STRUCTURES; m++) {
        network *net = random_network(&structures[m].model);
        for (size_t s = 0; s < SIZES; s++)
            for (int no_fuse = 0; no_fuse < 2; no_fuse++) {
                const double apart = logits_apart(net, sizes[s], level, (backend_options){.no_fuse = no_fuse});
                /* scores of hundreds: their rounding alone moves weights by 1e-4 */
                if (!(apart <= (structures[m].model.scale > 10 ? 1e-3 : 1e-5)))
                    fail_msg("%s, %s, %dx%dx%d%s: %.2e apart", level, structures[m].name, sizes[s][0], sizes[s][1], sizes[s][2],
                             no_fuse ? ", one operation at a time" : "", apart);
            }
        network_close(net);
    }
}

static void float32_is_within_1e_5_of_the_reference_for_every_structure_and_size(void **state)
{
    (void)state;
    for_levels(check_structures);
}

static void check_bfloat16(const char *level)
{
    network *net = random_network(&published);
    const double apart = logits_apart(net, sizes[0], level, (backend_options){.precision = SEGRT_BFLOAT16});
    if (!(apart <= 2e-2))
        fail_msg("%s: %.2e apart", level, apart);
    network_close(net);
}

static void bfloat16_is_within_2e_2_of_the_reference(void **state)
{
    (void)state;
    for_levels(check_bfloat16);
}

/* So wide that Mix-FFN's 128 hidden channels of the first stage do not stay in a core's cache at once, whatever the operands. */
static void check_chunks(const char *level)
{
    static const int wide[3] = {1, 29, 4800};
    network *net = random_network(&structures[STRUCTURES - 1].model);
    const double floats = logits_apart(net, wide, level, (backend_options){0});
    const double narrow = logits_apart(net, wide, level, (backend_options){.precision = SEGRT_BFLOAT16});
    if (!(floats <= 1e-5 && narrow <= 2e-2))
        fail_msg("%s: %.2e apart in float32, %.2e in bfloat16", level, floats, narrow);
    network_close(net);
}

static void hidden_channels_in_several_chunks_give_the_references_result(void **state)
{
    (void)state;
    for_levels(check_chunks);
}

/* ------------------------------------------------------------------------- operation by operation */

typedef struct record {
    operation op;
    float *data;
    size_t count;
} record;

typedef struct records {
    record all[256];
    size_t count;
} records;

static void keep(void *user, operation op, const float *data, int n, int h, int w, int channels)
{
    records *r = user;
    const size_t count = (size_t)n * (size_t)h * (size_t)w * (size_t)channels;
    assert_true(r->count < sizeof r->all / sizeof *r->all);
    float *copy = malloc(count * sizeof *copy);
    memcpy(copy, data, count * sizeof *copy);
    r->all[r->count++] = (record){op, copy, count};
}

static void forget(records *r)
{
    for (size_t i = 0; i < r->count; i++)
        free(r->all[i].data);
    r->count = 0;
}

static void check_observed(const char *level)
{
    static records expected, got;
    network *net = random_network(&published);
    float *input = noise(3 * 64 * 96);
    backend_run run = {.n = 1, .h = 64, .w = 96, .input = input, .observe = keep, .observe_user = &expected};
    void *reference = open_backend(&backend_reference, net, NULL, (backend_options){0});
    run_backend(&backend_reference, reference, run);
    backend_reference.close(reference);
    void *cpu = open_backend(&backend_cpu, net, level, (backend_options){.no_fuse = true});
    run.observe_user = &got;
    run_backend(&backend_cpu, cpu, run);
    backend_cpu.close(cpu);
    assert_int_equal(got.count, expected.count);
    for (size_t i = 0; i < got.count; i++) {
        assert_int_equal(got.all[i].op.kind, expected.all[i].op.kind);
        assert_int_equal(got.all[i].op.stage, expected.all[i].op.stage);
        assert_int_equal(got.all[i].op.block, expected.all[i].op.block);
        assert_int_equal(got.all[i].count, expected.all[i].count);
        const double apart = difference(got.all[i].data, expected.all[i].data, got.all[i].count);
        if (!(apart <= 1e-5))
            fail_msg("%s: %s of stage %d, block %d: %.2e apart", level, operation_name(got.all[i].op.kind), got.all[i].op.stage,
                     got.all[i].op.block, apart);
    }
    forget(&got);
    forget(&expected);
    free(input);
    network_close(net);
}

static void one_operation_at_a_time_every_result_is_reported_and_right(void **state)
{
    (void)state;
    for_levels(check_observed);
}

/* ------------------------------------------------------------------------------------- labels */

typedef struct picture_labels {
    uint8_t *labels, *confidence;
} picture_labels;

static picture_labels labels_of(const backend *b, void *state, const uint8_t *pixels, int n, int h, int w, int to_h, int to_w, bool via_input, bool confidence)
{
    const size_t count = (size_t)n * (size_t)to_h * (size_t)to_w;
    picture_labels p = {malloc(count), confidence ? malloc(count) : NULL};
    memset(p.labels, 0xee, count);
    backend_run run = {.n = n, .h = h, .w = w, .pixels = pixels};
    run.output = (label_output){.labels = p.labels, .label_bytes = 1, .stride = to_w, .picture_stride = (ptrdiff_t)to_h * to_w,
                                .confidence = p.confidence, .h = to_h, .w = to_w, .via_input = via_input};
    run_backend(b, state, run);
    return p;
}

static void check_labels(const char *level)
{
    static const struct {
        int n, h, w, to_h, to_w;
        bool via_input, confidence;
    } rows[] = {
        {1, 64, 96, 64, 96, false, false},   {2, 61, 45, 61, 45, false, true},   {1, 64, 64, 150, 91, true, false},
        {1, 64, 64, 40, 100, true, true},    {1, 32, 45, 7, 5, false, false},    {1, 33, 100, 300, 100, false, false},
        {1, 29, 29, 1, 1, true, false},
    };
    for (size_t m = 0; m < STRUCTURES; m += STRUCTURES - 1) {
        network *net = random_network(&structures[m].model);
        void *reference = open_backend(&backend_reference, net, NULL, (backend_options){0});
        for (int no_fuse = 0; no_fuse < 2; no_fuse++) {
            void *cpu = open_backend(&backend_cpu, net, level, (backend_options){.no_fuse = no_fuse});
            for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
                const size_t pixels = (size_t)rows[i].n * 3 * (size_t)rows[i].h * (size_t)rows[i].w;
                const size_t count = (size_t)rows[i].n * (size_t)rows[i].to_h * (size_t)rows[i].to_w;
                uint64_t seed = 5;
                uint8_t *picture = malloc(pixels);
                for (size_t p = 0; p < pixels; p++)
                    picture[p] = (uint8_t)(random_uniform(&seed) * 256);
                picture_labels expected = labels_of(&backend_reference, reference, picture, rows[i].n, rows[i].h, rows[i].w, rows[i].to_h, rows[i].to_w,
                                                    rows[i].via_input, rows[i].confidence);
                picture_labels got = labels_of(&backend_cpu, cpu, picture, rows[i].n, rows[i].h, rows[i].w, rows[i].to_h, rows[i].to_w, rows[i].via_input,
                                               rows[i].confidence);
                size_t wrong = 0, far = 0;
                for (size_t p = 0; p < count; p++) {
                    wrong += got.labels[p] != expected.labels[p];
                    far += rows[i].confidence && abs(got.confidence[p] - expected.confidence[p]) > 1;
                }
                if (wrong > count / 1000 || far)
                    fail_msg("%s, %s, row %zu%s: %zu of %zu labels and %zu confidences differ", level, structures[m].name, i,
                             no_fuse ? ", one operation at a time" : "", wrong, count, far);
                free(got.labels);
                free(got.confidence);
                free(expected.labels);
                free(expected.confidence);
                free(picture);
            }
            backend_cpu.close(cpu);
        }
        backend_reference.close(reference);
        network_close(net);
    }
}

static void labels_and_confidence_are_the_references_for_both_chains_of_resizes(void **state)
{
    (void)state;
    for_levels(check_labels);
}

/* ------------------------------------------------------------------------------------ threads */

static void results_are_bit_identical_for_any_number_of_threads_and_any_place_in_the_batch(void **state)
{
    (void)state;
    network *net = random_network(&badly_scaled);
    enum { H = 97, W = 130, N = 3 };
    const size_t one = (size_t)net->classes * quarter(H) * quarter(W);
    float *input = noise(3 * H * W), *batch = malloc(N * 3 * H * W * sizeof *batch);
    float *expected = malloc(one * sizeof *expected), *got = malloc(N * one * sizeof *got);
    for (int i = 0; i < N; i++)
        memcpy(batch + (size_t)i * 3 * H * W, input, 3 * H * W * sizeof *input);
    for (int precision = SEGRT_FLOAT32; precision <= SEGRT_BFLOAT16; precision += SEGRT_BFLOAT16 - SEGRT_FLOAT32)
        for (int threads = 1; threads <= 5; threads++) {
            segrt_pool *pool;
            assert_int_equal(pool_open(&pool, threads, NULL), SEGRT_OK);
            void *cpu = open_backend(&backend_cpu, net, NULL, (backend_options){.pool = pool, .precision = (segrt_precision)precision});
            run_backend(&backend_cpu, cpu, (backend_run){.n = 1, .h = H, .w = W, .input = input, .logits = threads == 1 ? expected : got});
            if (threads > 1)
                assert_memory_equal(got, expected, one * sizeof *got);
            run_backend(&backend_cpu, cpu, (backend_run){.n = N, .h = H, .w = W, .input = batch, .logits = got});
            for (size_t i = 0; i < N; i++)
                assert_memory_equal(got + i * one, expected, one * sizeof *got);
            backend_cpu.close(cpu);
            pool_close(pool);
        }
    free(got);
    free(expected);
    free(batch);
    free(input);
    network_close(net);
}

/* ------------------------------------------------------------------- memory, cancelling, refusals */

static size_t allocations;
static long allowed = -1; /* negative: all */

static void *counted(void *user, size_t bytes, size_t alignment)
{
    (void)user;
    allocations++;
    if (allowed == 0)
        return NULL;
    allowed -= allowed > 0;
    return aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
}

static void release(void *user, void *memory)
{
    (void)user;
    free(memory);
}

static void a_steady_state_allocates_nothing_for_four_shapes_in_turn(void **state)
{
    (void)state;
    static const int shapes[][2] = {{64, 64}, {32, 96}, {97, 33}, {40, 40}};
    network *net = random_network(&published);
    uint8_t *pixels = calloc(3, 97 * 96), *labels = malloc(97 * 96);
    segrt_set_allocator(&(segrt_allocator){.allocate = counted, .release = release});
    void *cpu = open_backend(&backend_cpu, net, NULL, (backend_options){0});
    for (int round = 0; round < 3; round++) {
        if (round == 2)
            allocations = 0;
        for (int i = 0; i < 4; i++) {
            backend_run run = {.n = 1, .h = shapes[i][0], .w = shapes[i][1], .pixels = pixels};
            run.output = (label_output){.labels = labels, .label_bytes = 1, .h = run.h, .w = run.w, .stride = run.w};
            run_backend(&backend_cpu, cpu, run);
        }
    }
    assert_int_equal(allocations, 0);
    assert_true(backend_cpu.memory(cpu) > 0);
    backend_cpu.close(cpu);
    segrt_set_allocator(NULL);
    free(labels);
    free(pixels);
    network_close(net);
}

static void every_failed_allocation_is_survived(void **state)
{
    (void)state;
    network *net = random_network(&published);
    uint8_t *pixels = calloc(3, 64 * 64), *labels = malloc(64 * 64);
    segrt_set_allocator(&(segrt_allocator){.allocate = counted, .release = release});
    segrt_status status = SEGRT_NO_MEMORY;
    for (long n = 0; status; n++) {
        void *cpu;
        allowed = n;
        status = backend_cpu.open(&cpu, net, &(backend_options){.profile = true}, NULL);
        backend_run run = {.n = 1, .h = 64, .w = 64, .pixels = pixels};
        run.output = (label_output){.labels = labels, .label_bytes = 1, .h = 64, .w = 64, .stride = 64};
        if (!status) {
            status = backend_cpu.run(cpu, &run, NULL);
            if (status) {
                allowed = -1; /* the same session goes on */
                assert_int_equal(backend_cpu.run(cpu, &run, NULL), SEGRT_OK);
            }
        }
        backend_cpu.close(cpu);
        assert_true(status == SEGRT_OK || status == SEGRT_NO_MEMORY);
        assert_true(n < 1000);
    }
    allowed = -1;
    segrt_set_allocator(NULL);
    free(labels);
    free(pixels);
    network_close(net);
}

static void a_cancelled_run_ends_and_the_next_one_is_whole(void **state)
{
    (void)state;
    network *net = random_network(&published);
    float *input = noise(3 * 64 * 64), logits[7 * 16 * 16];
    void *cpu = open_backend(&backend_cpu, net, NULL, (backend_options){.profile = true});
    atomic_bool cancel = true;
    backend_run run = {.n = 1, .h = 64, .w = 64, .input = input, .logits = logits, .cancel = &cancel};
    assert_int_equal(backend_cpu.run(cpu, &run, NULL), SEGRT_CANCELLED);
    atomic_store(&cancel, false);
    assert_int_equal(backend_cpu.run(cpu, &run, NULL), SEGRT_OK);
    const backend_profile_row *rows;
    const size_t count = backend_cpu.profile(cpu, &rows);
    uint64_t macs = 0, expected = 0;
    for (size_t i = 0; i < count; i++)
        macs += rows[i].macs;
    arena memory = {0};
    operation *operations;
    size_t operation_count;
    network_shape shape;
    assert_int_equal(network_operations(net, &memory, &operations, &operation_count, NULL), SEGRT_OK);
    assert_int_equal(network_shape_of(&shape, net, 1, 64, 64, NULL), SEGRT_OK);
    for (size_t i = 0; i < operation_count; i++)
        expected += operation_macs(net, &shape, operations[i]);
    assert_int_equal(macs, expected);
    arena_free(&memory);
    backend_cpu.close(cpu);
    free(input);
    network_close(net);
}

static void a_backbone_gives_means_but_neither_logits_nor_labels(void **state)
{
    (void)state;
    network *net = random_network(&(random_model){.backbone = true, .seed = 4});
    float *input = noise(3 * 64 * 64), logits[1];
    double means[2][STAGES][64];
    const backend *backends[] = {&backend_reference, &backend_cpu};
    for (int b = 0; b < 2; b++) {
        void *open = open_backend(backends[b], net, NULL, (backend_options){0});
        backend_run run = {.n = 1, .h = 64, .w = 64, .input = input};
        for (int i = 0; i < STAGES; i++)
            run.stage_mean[i] = means[b][i];
        run_backend(backends[b], open, run);
        run.logits = logits;
        assert_int_equal(backends[b]->run(open, &run, NULL), SEGRT_ARGUMENT);
        backends[b]->close(open);
    }
    for (int i = 0; i < STAGES; i++)
        for (int c = 0; c < net->stages[i].width; c++)
            assert_true(fabs(means[0][i][c] - means[1][i][c]) < 1e-5);
    free(input);
    network_close(net);
}

static void what_the_cpu_cannot_do_is_refused(void **state)
{
    (void)state;
    network *net = random_network(&published);
    void *cpu = &cpu;
    segrt_error error = {0};
    assert_int_equal(backend_cpu.open(&cpu, net, &(backend_options){.precision = SEGRT_FLOAT16}, &error), SEGRT_UNSUPPORTED);
    assert_null(cpu);
    setenv("SEGRT_CPU", "pentium", 1);
    assert_int_equal(backend_cpu.open(&cpu, net, &(backend_options){0}, NULL), SEGRT_ARGUMENT);
    unsetenv("SEGRT_CPU");
    network_close(net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(float32_is_within_1e_5_of_the_reference_for_every_structure_and_size),
        cmocka_unit_test(bfloat16_is_within_2e_2_of_the_reference),
        cmocka_unit_test(hidden_channels_in_several_chunks_give_the_references_result),
        cmocka_unit_test(one_operation_at_a_time_every_result_is_reported_and_right),
        cmocka_unit_test(labels_and_confidence_are_the_references_for_both_chains_of_resizes),
        cmocka_unit_test(results_are_bit_identical_for_any_number_of_threads_and_any_place_in_the_batch),
        cmocka_unit_test(a_steady_state_allocates_nothing_for_four_shapes_in_turn),
        cmocka_unit_test(every_failed_allocation_is_survived),
        cmocka_unit_test(a_cancelled_run_ends_and_the_next_one_is_whole),
        cmocka_unit_test(a_backbone_gives_means_but_neither_logits_nor_labels),
        cmocka_unit_test(what_the_cpu_cannot_do_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
