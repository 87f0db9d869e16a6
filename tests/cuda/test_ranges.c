/* What the CUDA backend says of how large numbers can be holds for the numbers of a run, and is of use. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "backend/cuda/ranges.h"
#include "backend/reference/reference.h"
#include "model_support.h"

typedef struct seen {
    const network *net;
    head_ranges head;
    int checked;
    double loosest; /* range over the largest number */
} seen;

static double range_of(const seen *s, operation op)
{
    const block_ranges b =
        op.block >= 0 ? ranges_of_block(&s->net->stages[op.stage], &s->net->stages[op.stage].blocks[op.block]) : (block_ranges){0};
    switch (op.kind) {
    case OP_REDUCE:
        return b.reduced;
    case OP_KEYS:
        return b.key;
    case OP_QUERY:
        return b.query;
    case OP_ATTEND: /* of several heads; with one it is the stream */
        return s->net->stages[op.stage].heads > 1 ? b.value : 0;
    case OP_DEPTHWISE:
        return b.hidden;
    case OP_STAGE_NORM:
        return s->head.stage[op.stage];
    case OP_LEVEL:
        return s->head.level;
    case OP_MERGE:
        return s->head.merged;
    default:
        return 0;
    }
}

static void look(void *user, operation op, const float *data, int n, int h, int w, int channels)
{
    seen *s = user;
    const double range = range_of(s, op);
    double most = 0;
    if (range <= 0)
        return;
    for (size_t i = 0; i < (size_t)n * (size_t)h * (size_t)w * (size_t)channels; i++)
        most = fmax(most, fabs((double)data[i]));
    s->checked++;
    s->loosest = fmax(s->loosest, range / most);
    if (!(most <= range * 1.001))
        fail_msg("%s of stage %d, block %d: %g, beyond the range of %g", operation_name(op.kind), op.stage, op.block, most, range);
}

static void numbers_of_a_run_are_within_their_ranges(void **state)
{
    static const random_model models[] = {
        {.seed = 1},
        {.seed = 2, .badly_scaled = true},
        {.seed = 3, .head = HEAD_CONV, .level_width = 24, .badly_scaled = true},
        {.seed = 4, .no_reduce_norm = true, .badly_scaled = true},
    };
    enum { H = 65, W = 97 };
    static uint8_t pixels[H * W * 3];
    uint64_t drawn = 5;
    (void)state;
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)(256 * random_uniform(&drawn));
    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        segrt_error error = {0};
        network *net = NULL;
        void *session = NULL;
        segrt_model *model = random_model_open(&models[m]);
        assert_non_null(model);
        assert_int_equal(network_fold(&net, model, NETWORK_F32, &error), SEGRT_OK);
        double means[STAGES][1024];
        const double *mean[STAGES];
        for (int i = 0; i < STAGES; i++) {
            mean[i] = means[i];
            for (int c = 0; c < net->stages[i].width; c++)
                means[i][c] = random_normal(&drawn);
        }
        assert_int_equal(network_set_offsets(net, mean, &error), SEGRT_OK);
        seen s = {.net = net, .head = ranges_of_head(net)};
        const backend_run run = {.n = 1, .h = H, .w = W, .pixels = pixels, .observe = look, .observe_user = &s};
        assert_int_equal(backend_reference.open(&session, net, &(backend_options){0}, &error), SEGRT_OK);
        assert_int_equal(backend_reference.run(session, &run, &error), SEGRT_OK);
        assert_true(s.checked > 30);
        assert_true(s.loosest < 1e6); /* more would cost bits: split.cuh */
        backend_reference.close(session);
        network_close(net);
        random_model_close(model);
    }
}

static void a_scale_brings_a_range_close_below_two_to_the_fifteenth(void **state)
{
    (void)state;
    for (double most = 1e-9; most < 1e14; most *= 1.7)
        assert_true(most * (double)range_scale(most) < 0x1p15 && most * (double)range_scale(most) >= 0x1p14);
    assert_true(range_scale(0) > 0 && range_scale(1e30) > 0 && range_scale((double)INFINITY) > 0 && range_scale((double)NAN) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(numbers_of_a_run_are_within_their_ranges),
                                       cmocka_unit_test(a_scale_brings_a_range_close_below_two_to_the_fifteenth)};
    return cmocka_run_group_tests_name("ranges", tests, NULL, NULL);
}
