/* What the folded network promises of its numbers (network.h), and what folding refuses.  That it computes the same is
 * tests/reference. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "allocation_support.h"
#include "model_support.h"
#include "network/network.h"

/* Largest |mean over rows| of any column, against the largest element. */
static double off_centre(weights w, size_t rows)
{
    const size_t columns = w.count / rows;
    double worst = 0, largest = 0;
    for (size_t c = 0; c < columns; c++) {
        double mean = 0;
        for (size_t r = 0; r < rows; r++) {
            mean += weight_at(w, r * columns + c) / (double)rows;
            largest = fmax(largest, fabs(weight_at(w, r * columns + c)));
        }
        worst = fmax(worst, fabs(mean));
    }
    return worst / largest;
}

static void what_enters_the_residual_stream_has_zero_mean(void **state)
{
    (void)state;
    segrt_model *model = random_model_open(&(random_model){.badly_scaled = true});
    network *net;
    assert_int_equal(network_fold(&net, model, NETWORK_F64, NULL), SEGRT_OK);
    for (int i = 0; i < STAGES; i++) {
        const size_t c = (size_t)net->stages[i].width;
        assert_true(off_centre(net->stages[i].patch.weight, c) < 1e-15);
        for (int b = 0; b < net->stages[i].depth; b++) {
            const network_block *block = &net->stages[i].blocks[b];
            const weights into[] = {block->project, block->out_bias, block->fc2, block->fc2_bias, block->reduce, block->reduce_bias};
            for (size_t k = 0; k < sizeof into / sizeof *into; k++)
                if (into[k].count)
                    assert_true(off_centre(into[k], c) < 1e-15);
            if (net->stages[i].heads == 1)
                assert_true(off_centre(block->value, c) < 1e-15); /* the projection is inside */
        }
    }
    network_close(net);
    random_model_close(model);
}

static void one_head_has_no_query_and_several_no_key_bias(void **state)
{
    (void)state;
    segrt_model *model = random_model_open(&(random_model){.seed = 2});
    network *net;
    assert_int_equal(network_fold(&net, model, NETWORK_F32, NULL), SEGRT_OK);
    for (int i = 0; i < STAGES; i++) {
        const network_block *block = &net->stages[i].blocks[0];
        const bool one = net->stages[i].heads == 1;
        assert_int_equal(block->query.count == 0, one);
        assert_int_equal(block->project.count == 0, one);
        assert_int_equal(block->key_bias.count != 0, one);
        assert_int_equal(block->reduce.count != 0, net->stages[i].reduction > 1);
        assert_non_null(block->key.f32);
        assert_null(block->key.f64);
    }
    network_close(net);
    random_model_close(model);
}

static void a_weight_that_is_not_finite_is_named(void **state)
{
    (void)state;
    segrt_model *model = random_model_open(&(random_model){.seed = 2});
    network *net;
    segrt_error error = {0};
    ((float *)model->stages[2].blocks[1].fc1.weight)[5] = NAN;
    assert_int_equal(network_fold(&net, model, NETWORK_F32, &error), SEGRT_MALFORMED);
    assert_null(net);
    assert_non_null(strstr(error.message, "stage 2, block 1"));
    assert_non_null(strstr(error.message, "fc1"));
    random_model_close(model);
}

static void a_deviation_of_zero_is_refused(void **state)
{
    (void)state;
    segrt_model *model = random_model_open(&(random_model){.seed = 2});
    network *net;
    model->preprocessing.deviation[1] = 0;
    assert_int_equal(network_fold(&net, model, NETWORK_F32, NULL), SEGRT_MALFORMED);
    random_model_close(model);
}

static const segrt_model *shared_model;

static int fold_and_centre(void *user)
{
    (void)user;
    network *net;
    if (network_fold(&net, shared_model, NETWORK_F32, NULL))
        return 1;
    static const double mean[64] = {1, 2, 3};
    const segrt_status status = network_set_offsets(net, (const double *const[STAGES]){mean, mean, mean, mean}, NULL);
    network_close(net);
    return (int)status;
}

static void every_failed_allocation_is_survived_without_a_leak(void **state)
{
    (void)state;
    static const random_model models[] = {{.seed = 1}, {.head = HEAD_CONV, .seed = 2}, {.backbone = true, .seed = 3}};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        segrt_model *model = random_model_open(&models[i]);
        shared_model = model;
        assert_true(allocation_fail_each(fold_and_centre, NULL) > 50);
        random_model_close(model);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_enters_the_residual_stream_has_zero_mean),
        cmocka_unit_test(one_head_has_no_query_and_several_no_key_bias),
        cmocka_unit_test(a_weight_that_is_not_finite_is_named),
        cmocka_unit_test(a_deviation_of_zero_is_refused),
        cmocka_unit_test(every_failed_allocation_is_survived_without_a_leak),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
