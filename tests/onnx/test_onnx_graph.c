/* What formats/onnx/graph.h promises of well-formed files: reading, folding, simplifying, looking around. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "onnx_support.h"

static const char *const goldens[] = {
    "hf_dynamo_opset18_static",         "hf_ts_opset12_static",           "hf_ts_opset14_unfolded",
    "hf_ts_opset17_dynamic",            "hf_ts_opset17_dynamic_slim",     "mmseg_ts_opset11_static",
    "mmseg_ts_opset17_dynamic",         "nvlabs_dynamo_opset20_dynamic_batch", "nvlabs_ts_opset11_slide_one_window",
    "nvlabs_ts_opset11_static",         "nvlabs_ts_opset11_static_slim",  "nvlabs_ts_opset12_slide_windows",
    "nvlabs_ts_opset13_labels_dynamic", "nvlabs_ts_opset17_dynamic",
};

static void every_golden_file_opens(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof goldens / sizeof *goldens; i++) {
        char path[512];
        snprintf(path, sizeof path, TEST_SHARED "/goldens/onnx/%s.onnx", goldens[i]);
        if (!file_exists(path)) {
            print_message("skipped: no %s\n", path);
            skip();
        }
        segrt_error error = {0};
        file_map file;
        onnx_graph *graph = NULL;
        assert_int_equal(file_map_open(&file, path, &error), SEGRT_OK);
        if (onnx_graph_open(&graph, &file, NULL, NULL, &error))
            fail_msg("%s: %s", goldens[i], error.message);
        assert_int_equal(graph->input_count, 1);
        assert_int_equal(graph->output_count, 1);
        assert_string_equal(graph->values[graph->inputs[0]].name, "input");
        assert_int_equal(graph->values[graph->inputs[0]].shape.rank, 4);
        assert_string_equal(graph->producer_name, "pytorch");
        for (int32_t n = 0; n < graph->node_count; n++)
            assert_false(onnx_node_is(&graph->nodes[n], "Constant"));
        onnx_graph_close(graph);
        file_map_close(&file);
    }
}

/* --- constants --------------------------------------------------------------------------------------- */

static const int64_t three[1] = {3};

/* The graph of one tensor 'w' that 'y' = Identity('w') reads, as doubles. */
static void read_back(message tensor, size_t count, double *out)
{
    message g = {0};
    put_message(&g, GRAPH_INITIALIZER, tensor);
    put_message(&g, GRAPH_NODE, make_node("Identity", "w", "y"));
    put_message(&g, GRAPH_OUTPUT, make_value("y", ONNX_FLOAT, -1, NULL));
    message model = make_model(g, 17);
    const file_map file = file_map_of(model.data, model.size);
    onnx_graph *graph = NULL;
    segrt_error error = {0};
    if (onnx_graph_open(&graph, &file, NULL, NULL, &error))
        fail_msg("%s", error.message);
    const onnx_tensor *t = onnx_constant(graph, onnx_find_value(graph, "w"));
    assert_non_null(t);
    assert_int_equal(t->count, count);
    onnx_tensor_doubles(t, out);
    onnx_graph_close(graph);
    message_free(&model);
}

static void raw_constants_of_every_type_are_read(void **state)
{
    (void)state;
    static const struct {
        onnx_type type;
        uint8_t raw[24];
        double values[3];
    } rows[] = {
        {ONNX_UINT8, {1, 2, 255}, {1, 2, 255}},
        {ONNX_INT8, {1, 2, 255}, {1, 2, -1}},
        {ONNX_BOOL, {0, 1, 7}, {0, 1, 1}},
        {ONNX_UINT16, {1, 0, 0, 1, 255, 255}, {1, 256, 65535}},
        {ONNX_INT16, {1, 0, 0, 1, 255, 255}, {1, 256, -1}},
        {ONNX_INT32, {1, 0, 0, 0, 255, 255, 255, 255, 0, 0, 1, 0}, {1, -1, 65536}},
        {ONNX_UINT32, {1, 0, 0, 0, 255, 255, 255, 255, 0, 0, 1, 0}, {1, 4294967295.0, 65536}},
        {ONNX_INT64, {1, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255, 0, 1}, {1, -1, 256}},
        {ONNX_FLOAT16, {0, 0x3c, 0, 0xc0, 1, 0}, {1, -2, 0x1p-24}},
        {ONNX_FLOAT16, {0xff, 0x7b, 0xff, 3, 0, 0x84}, {65504, 1023 * 0x1p-24, -0x1p-14}},
        {ONNX_BFLOAT16, {0x80, 0x3f, 0, 0xc0, 0x80, 0}, {1, -2, 0x1p-126}},
        {ONNX_FLOAT, {0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0, 0, 0, 0, 0x3f}, {1, -2, 0.5}},
        {ONNX_DOUBLE, {0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0, 0, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0xe0, 0x3f}, {1, -2, 0.5}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        double got[3];
        read_back(make_tensor("w", rows[i].type, 1, three, rows[i].raw, 3 * onnx_type_bytes(rows[i].type)), 3, got);
        for (int k = 0; k < 3; k++)
            if (got[k] != rows[i].values[k])
                fail_msg("%s, element %d: %.17g, not %.17g", onnx_type_text(rows[i].type), k, got[k], rows[i].values[k]);
    }
}

static void constants_in_typed_fields_are_read_packed_or_one_by_one(void **state)
{
    (void)state;
    double got[3];
    for (int packed = 0; packed < 2; packed++) {
        message halves = {0}, floats = {0};
        static const float values[3] = {1.5f, -2, 3};
        static const uint8_t bits[] = {0x80, 0x78, 0x80, 0x80, 0x03, 0}; /* varints of 0x3c00, 0xc000, 0 */
        put_varint(&halves, 1, 3);
        put_varint(&halves, 2, ONNX_FLOAT16);
        put_text(&halves, 8, "w");
        put_varint(&floats, 1, 3);
        put_varint(&floats, 2, ONNX_FLOAT);
        put_text(&floats, 8, "w");
        if (packed) {
            put_bytes(&halves, 5, bits, sizeof bits);
            put_bytes(&floats, 4, values, sizeof values);
        } else
            for (int k = 0; k < 3; k++) {
                put_varint(&halves, 5, k == 0 ? 0x3c00 : k == 1 ? 0xc000 : 0);
                put_float(&floats, 4, values[k]);
            }
        read_back(halves, 3, got);
        assert_true(got[0] == 1 && got[1] == -2 && got[2] == 0);
        read_back(floats, 3, got);
        assert_true(got[0] == 1.5 && got[1] == -2 && got[2] == 3);
    }
    message ints = {0};
    put_varint(&ints, 1, 1);
    put_varint(&ints, 2, ONNX_INT64);
    put_text(&ints, 8, "w");
    put_varint(&ints, 7, (uint64_t)-5);
    read_back(ints, 1, got);
    assert_true(got[0] == -5);
}

/* --- folding -------------------------------------------------------------------------------------------- */

static onnx_graph *open_sample(const char *name, file_map *file)
{
    char path[512];
    onnx_graph *graph = NULL;
    segrt_error error = {0};
    snprintf(path, sizeof path, TEST_DATA "/onnx/%s.onnx", name);
    if (file_map_open(file, path, &error) || onnx_graph_open(&graph, file, NULL, NULL, &error))
        fail_msg("%s: %s", name, error.message);
    return graph;
}

static void shape_arithmetic_disappears_where_the_input_is_given(void **state)
{
    (void)state;
    static const int64_t input[4] = {2, 3, 8, 6};
    file_map file;
    onnx_graph *graph = open_sample("tokens", &file);
    assert_int_equal(onnx_graph_fold(graph, input, NULL), SEGRT_OK);
    assert_int_equal(graph->node_count, 6); /* Reshape, Transpose, MatMul, Add, LayerNormalization, Softmax */
    assert_true(onnx_node_is(&graph->nodes[0], "Reshape"));
    int64_t shape[4];
    assert_int_equal(onnx_constant_ints(graph, onnx_input(&graph->nodes[0], 1), shape, 4), 3);
    assert_true(shape[0] == 2 && shape[1] == 3 && shape[2] == -1);
    const onnx_shape *out = &graph->values[graph->outputs[0]].shape;
    assert_true(out->rank == 3 && out->dims[0] == 2 && out->dims[1] == 48 && out->dims[2] == 4);
    onnx_graph_close(graph);
    file_map_close(&file);
}

static void what_is_known_of_a_shape_is_carried_past_what_is_not(void **state)
{
    (void)state;
    file_map file;
    onnx_graph *graph = open_sample("tokens", &file); /* [n, 3, h, w] -> Reshape to [n, 3, -1] -> ... -> 4 channels */
    assert_int_equal(onnx_graph_fold(graph, NULL, NULL), SEGRT_OK);
    const onnx_shape *out = &graph->values[graph->outputs[0]].shape;
    assert_true(out->rank == 3 && out->dims[0] == ONNX_UNKNOWN && out->dims[1] == ONNX_UNKNOWN && out->dims[2] == 4);
    onnx_graph_close(graph);
    file_map_close(&file);
}

static void an_input_of_another_size_than_declared_is_refused(void **state)
{
    (void)state;
    static const int64_t input[4] = {2, 4, 8, 6};
    file_map file;
    segrt_error error = {0};
    onnx_graph *graph = open_sample("tokens", &file);
    assert_int_equal(onnx_graph_fold(graph, input, &error), SEGRT_SHAPE);
    assert_string_equal(error.message, "input 'x' is float32 [?, 3, ?, ?], not [2, 4, 8, 6]");
    onnx_graph_close(graph);
    file_map_close(&file);
}

static void a_branch_takes_the_place_of_an_if_whose_condition_is_constant(void **state)
{
    (void)state;
    file_map file;
    onnx_graph *graph = open_sample("branch", &file);
    assert_int_equal(onnx_graph_fold(graph, NULL, NULL), SEGRT_OK);
    assert_int_equal(graph->node_count, 2);
    assert_true(onnx_node_is(&graph->nodes[0], "Relu"));
    assert_true(onnx_node_is(&graph->nodes[1], "Identity"));
    onnx_graph_close(graph);
    file_map_close(&file);
}

static void calls_of_functions_are_inlined_with_their_attributes(void **state)
{
    (void)state;
    file_map file;
    onnx_graph *graph = open_sample("functions", &file); /* F(axis) = Softmax, Identity; called with axis 1 and without */
    assert_int_equal(graph->node_count, 5);
    assert_true(onnx_node_is(&graph->nodes[0], "Softmax"));
    assert_int_equal(onnx_attribute_int(&graph->nodes[0], "axis", -1), 1);
    assert_true(onnx_node_is(&graph->nodes[2], "Softmax"));
    assert_null(onnx_attribute_find(&graph->nodes[2], "axis"));
    assert_int_equal(onnx_attribute_int(&graph->nodes[2], "axis", -1), -1);
    assert_int_equal(onnx_graph_simplify(graph, NULL), SEGRT_OK);
    assert_int_equal(graph->node_count, 3);
    assert_ptr_equal(onnx_producer(graph, graph->nodes[1].inputs[0]), &graph->nodes[0]);
    assert_ptr_equal(onnx_only_consumer(graph, graph->nodes[1].outputs[0]), &graph->nodes[2]);
    assert_null(onnx_only_consumer(graph, graph->nodes[2].outputs[0])); /* an output of the graph */
    onnx_graph_close(graph);
    file_map_close(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_golden_file_opens),
        cmocka_unit_test(raw_constants_of_every_type_are_read),
        cmocka_unit_test(constants_in_typed_fields_are_read_packed_or_one_by_one),
        cmocka_unit_test(shape_arithmetic_disappears_where_the_input_is_given),
        cmocka_unit_test(what_is_known_of_a_shape_is_carried_past_what_is_not),
        cmocka_unit_test(an_input_of_another_size_than_declared_is_refused),
        cmocka_unit_test(a_branch_takes_the_place_of_an_if_whose_condition_is_constant),
        cmocka_unit_test(calls_of_functions_are_inlined_with_their_attributes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
