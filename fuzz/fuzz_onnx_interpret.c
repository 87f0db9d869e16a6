/* Fuzzes the ONNX interpreter: files that open are run as they are and folded, within small limits. */
#include "formats/onnx/interpret.h"
#include "onnx_harness.h"

static const float picture[2 * 3 * 64 * 96];

static void run(const onnx_graph *graph)
{
    const onnx_run_limits limits = {.memory = 32 << 20, .work = 50 * 1000 * 1000};
    onnx_interpreter *interpreter = NULL;
    segrt_error error = {0};
    if (!succeeded(onnx_interpreter_open(&interpreter, graph, NULL, &limits, &error), &error))
        return;
    const onnx_value *input = &graph->values[graph->inputs[0]];
    int64_t dims[ONNX_MAX_RANK] = {1, 3, 64, 96};
    const int32_t rank = input->shape.rank < 0 ? 4 : input->shape.rank;
    int64_t count = 1;
    for (int32_t d = 0; d < rank; d++) {
        dims[d] = input->shape.rank >= 0 && input->shape.dims[d] >= 0 ? input->shape.dims[d] : d < 4 ? dims[d] : 1;
        count = dims[d] > 1000000 || count > 1000000 ? 1000000000 : count * dims[d];
    }
    const onnx_output *outputs = NULL;
    if (count <= (int64_t)(sizeof picture / sizeof *picture) && succeeded(onnx_interpreter_run(interpreter, picture, rank, dims, &outputs, &error), &error))
        for (int32_t k = 0; k < graph->output_count; k++) {
            double sum = 0;
            require(!outputs[k].floats != !outputs[k].ints);
            for (size_t n = 0; n < outputs[k].count; n++)
                sum += outputs[k].floats ? (double)outputs[k].floats[n] : (double)outputs[k].ints[n];
            require(sum == sum || sum != sum); /* reads every element */
        }
    onnx_interpreter_close(interpreter);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const onnx_limits limits = {.nodes = 5000, .values = 20000, .memory = 16 << 20};
    const file_map file = file_map_of(data, size);
    onnx_graph *graph = NULL;
    segrt_error error = {0};
    if (!succeeded(onnx_graph_open(&graph, &file, NULL, &limits, &error), &error))
        return 0;
    run(graph);
    if (succeeded(onnx_graph_fold(graph, NULL, &error), &error))
        run(graph);
    onnx_graph_close(graph);
    return 0;
}
