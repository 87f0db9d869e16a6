/* What formats/onnx/graph.h promises of reading well-formed files. */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_golden_file_opens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
