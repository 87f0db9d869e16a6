/* Fuzzes the ONNX reader, constant folding and simplification. */
#include "onnx_harness.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const onnx_limits limits = {.nodes = 5000, .values = 20000, .memory = 16 << 20};
    static const int64_t shapes[2][4] = {{1, 3, 64, 96}, {2, 3, 33, 32}};
    const file_map file = file_map_of(data, size);
    for (int how = 0; how < 3; how++) {
        onnx_graph *graph = NULL;
        segrt_error error = {0};
        const bool opened = succeeded(onnx_graph_open(&graph, &file, NULL, &limits, &error), &error);
        require(opened == (graph != NULL));
        if (!opened)
            return 0;
        check_graph(graph);
        if (succeeded(onnx_graph_fold(graph, how ? shapes[how - 1] : NULL, &error), &error)) {
            check_graph(graph);
            if (succeeded(onnx_graph_simplify(graph, &error), &error))
                check_graph(graph);
        }
        onnx_graph_close(graph);
    }
    return 0;
}
