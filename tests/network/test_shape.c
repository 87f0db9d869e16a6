/* What network.h promises of shapes, the list of operations and their counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "model_support.h"
#include "network/network.h"

static network *folded(const random_model *wanted)
{
    segrt_model *model = random_model_open(wanted);
    network *net = NULL;
    assert_non_null(model);
    assert_int_equal(network_fold(&net, model, NETWORK_F32, NULL), SEGRT_OK);
    random_model_close(model);
    return net;
}

static void token_grids_round_up_and_key_grids_down(void **state)
{
    (void)state;
    network *net = folded(&(random_model){0});
    network_shape shape;
    assert_int_equal(network_shape_of(&shape, net, 2, 97, 65, NULL), SEGRT_OK);
    static const stage_shape expected[STAGES] = {{25, 17, 3, 2}, {13, 9, 3, 2}, {7, 5, 3, 2}, {4, 3, 4, 3}};
    assert_memory_equal(shape.stage, expected, sizeof expected);
    network_close(net);
}

static void below_the_smallest_side_the_message_names_it(void **state)
{
    (void)state;
    network *net = folded(&(random_model){0});
    network_shape shape;
    segrt_error error = {0};
    assert_int_equal(network_shape_of(&shape, net, 1, 29, 29, NULL), SEGRT_OK);
    assert_int_equal(network_shape_of(&shape, net, 1, 64, 28, &error), SEGRT_SHAPE);
    assert_non_null(strstr(error.message, "at least 29 pixels"));
    network_close(net);
}

static void empty_and_overflowing_inputs_are_refused(void **state)
{
    (void)state;
    network *net = folded(&(random_model){0});
    network_shape shape;
    static const int rows[][3] = {{0, 64, 64},           {1, -1, 64},       {1, 64, 0},
                                  {1, 1 << 20, 1 << 20}, {1 << 20, 64, 64}, {2147483647, 2147483647, 2147483647}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(network_shape_of(&shape, net, rows[i][0], rows[i][1], rows[i][2], NULL), SEGRT_SHAPE);
    network_close(net);
}

static void operations_of_a_block_depend_on_heads_and_reduction(void **state)
{
    (void)state;
    network *net = folded(&(random_model){.depth = {1, 1, 1, 1}});
    arena memory = {0};
    operation *list;
    size_t count;
    assert_int_equal(network_operations(net, &memory, &list, &count, NULL), SEGRT_OK);
    static const operation_kind expected[] = {OP_PATCH,      OP_REDUCE, OP_KEYS,       OP_ATTEND, OP_FC1,        OP_DEPTHWISE, OP_FC2,
                                              OP_STAGE_NORM, /* one head, reduced */
                                              OP_PATCH,      OP_REDUCE, OP_KEYS,       OP_QUERY,  OP_ATTEND,     OP_PROJECT,   OP_FC1,
                                              OP_DEPTHWISE,  OP_FC2,    OP_STAGE_NORM, /* heads, reduced */
                                              OP_PATCH,      OP_REDUCE, OP_KEYS,       OP_QUERY,  OP_ATTEND,     OP_PROJECT,   OP_FC1,
                                              OP_DEPTHWISE,  OP_FC2,    OP_STAGE_NORM, OP_PATCH,  OP_KEYS,       OP_QUERY,     OP_ATTEND,
                                              OP_PROJECT,    OP_FC1,    OP_DEPTHWISE,  OP_FC2,    OP_STAGE_NORM, /* heads, not reduced */
                                              OP_LEVEL,      OP_LEVEL,  OP_LEVEL,      OP_LEVEL,  OP_MERGE,      OP_CLASSIFY,  OP_LABEL};
    assert_int_equal(count, sizeof expected / sizeof *expected);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(list[i].kind, expected[i]);
    assert_int_equal(list[count - 4].stage, 0); /* the widest level last */
    arena_free(&memory);
    network_close(net);
}

static void a_backbone_ends_with_its_last_stage(void **state)
{
    (void)state;
    network *net = folded(&(random_model){.backbone = true});
    arena memory = {0};
    operation *list;
    size_t count;
    assert_int_equal(net->classes, 0);
    assert_int_equal(network_operations(net, &memory, &list, &count, NULL), SEGRT_OK);
    assert_int_equal(list[count - 1].kind, OP_STAGE_NORM);
    arena_free(&memory);
    network_close(net);
}

/* The figure known for the published b2 after folding: 133.3 GMAC at 1024x1024 with 19 classes. */
static void b2_takes_133_gmac_at_1024(void **state)
{
    (void)state;
    network *net = folded(&(random_model){.width = {64, 128, 320, 512}, .depth = {3, 4, 6, 3}, .decoder_width = 768, .classes = 19});
    arena memory = {0};
    operation *list;
    size_t count;
    network_shape shape;
    uint64_t macs = 0;
    assert_int_equal(network_shape_of(&shape, net, 1, 1024, 1024, NULL), SEGRT_OK);
    assert_int_equal(network_operations(net, &memory, &list, &count, NULL), SEGRT_OK);
    for (size_t i = 0; i < count; i++)
        macs += operation_macs(net, &shape, list[i]);
    assert_in_range(macs / 100000000, 1332, 1334);
    arena_free(&memory);
    network_close(net);
}

static void every_kind_has_a_name(void **state)
{
    (void)state;
    for (int kind = 0; kind < OPERATION_KINDS; kind++)
        assert_string_not_equal(operation_name((operation_kind)kind), "unknown");
    assert_string_equal(operation_name(OPERATION_KINDS), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(token_grids_round_up_and_key_grids_down),
        cmocka_unit_test(below_the_smallest_side_the_message_names_it),
        cmocka_unit_test(empty_and_overflowing_inputs_are_refused),
        cmocka_unit_test(operations_of_a_block_depend_on_heads_and_reduction),
        cmocka_unit_test(a_backbone_ends_with_its_last_stage),
        cmocka_unit_test(b2_takes_133_gmac_at_1024),
        cmocka_unit_test(every_kind_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
