/* Fuzzes the recogniser by structure: the input is a list of changes to good graphs (segrt's own exports), so
 * that what comes out is nearly always a readable file that is nearly a SegFormer.  Whatever opens must fold, and
 * must compute what the file as it stands computes: nothing is ever silently approximated. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../tests/model_support.c"
#include "../tests/recognise/edit_support.c"
#include "backend/reference/reference.h"
#include "entry.h"
#include "export/emit.h"
#include "formats/onnx/interpret.h"
#include "network/network.h"

enum { BASES = 6 };

/* Made once: each form in three operator sets. */
static struct base {
    void *data;
    size_t size;
} bases[BASES];

static void make_bases(void)
{
    static const int opsets[] = {11, 17, 20};
    char path[] = "/tmp/segrt_fuzz_XXXXXX";
    const int file = mkstemp(path);
    if (file < 0)
        abort();
    for (int i = 0; i < BASES; i++) {
        const random_model wanted = {.width = {4, 4, 6, 8}, .depth = {1, 1, 1, 1}, .heads = {1, 2, 3, 4}, .decoder_width = 4, .classes = 2,
                                     .head = i == 4 ? HEAD_CONV : HEAD_NONE};
        const onnx_export_options options = {.form = i % 2 ? EXPORT_FOLDED : EXPORT_PUBLISHED, .opset = opsets[i / 2],
                                             .shape = i % 3 ? (segrt_shape){1, 64, 32} : (segrt_shape){0, 0, 0},
                                             .output = i % 4 ? EXPORT_LOGITS : EXPORT_LABELS};
        segrt_model *model = random_model_open(&wanted);
        file_map map;
        if (!model || onnx_export(model, NULL, &options, path, NULL) || file_map_open(&map, path, NULL))
            abort();
        bases[i].data = malloc(map.size);
        bases[i].size = map.size;
        if (!bases[i].data)
            abort();
        memcpy(bases[i].data, map.data, map.size);
        file_map_close(&map);
        random_model_close(model);
    }
    close(file);
    unlink(path);
}

static const char *const operators[] = {
    "Add", "Sub", "Mul", "Div", "Relu", "Gelu", "Erf", "Tanh", "Softmax", "MatMul", "Gemm", "Conv", "Resize", "Concat", "Transpose", "Reshape",
    "Slice", "Split", "Gather", "Squeeze", "Unsqueeze", "Flatten", "Expand", "Identity", "Cast", "Pow", "Sqrt", "Reciprocal", "ReduceMean",
    "LayerNormalization", "BatchNormalization", "ArgMax", "Pad", "Shape", "Attention", "SimplifiedLayerNormalization", "Sum", "Where", "If",
};
static const char *const attributes[] = {"axis", "axes", "perm", "pads", "strides", "dilations", "group", "kernel_shape", "keepdims", "to", "epsilon"};

/* One change, of six bytes. */
static void change(edit *e, const uint8_t *b)
{
    edit_node *n = &e->nodes[(size_t)(b[1] << 8 | b[2]) % (size_t)e->node_count];
    const edit_node *other = &e->nodes[(size_t)(b[3] << 8 | b[4]) % (size_t)e->node_count];
    const int slot = n->input_count ? b[5] % n->input_count : 0;
    const int64_t numbers[] = {(int8_t)b[4], (int8_t)b[5], (int8_t)(b[4] >> 4), (int8_t)(b[5] & 15)};
    const char *attribute = attributes[b[3] % (sizeof attributes / sizeof *attributes)];
    switch (b[0] % 10) {
    case 0:
        n->op = operators[b[3] % (sizeof operators / sizeof *operators)];
        break;
    case 1:
        if (n->input_count)
            n->inputs[slot] = other->output;
        break;
    case 2:
        if (n->input_count && other->input_count)
            n->inputs[slot] = other->inputs[b[0] / 10 % other->input_count];
        break;
    case 3:
        if (n->input_count && e->node_count > 2)
            edit_bypass(e, n->name, slot);
        break;
    case 4:
        if (e->node_count < EDIT_NODES - 1)
            edit_insert(e, n->name, operators[b[3] % (sizeof operators / sizeof *operators)]);
        break;
    case 5:
        if (n->attribute_count < EDIT_ATTRIBUTES)
            edit_int(e, n, attribute, numbers[0]);
        break;
    case 6:
        if (n->attribute_count < EDIT_ATTRIBUTES)
            edit_ints(e, n, attribute, 1 + b[0] / 10 % 4, numbers);
        break;
    case 7:
        if (n->attribute_count)
            n->attributes[b[3] % n->attribute_count].name = "";
        break;
    case 8:
        if (n->input_count)
            n->input_count--;
        break;
    default: {
        const char *kept = n->output;
        n->output = other->output;
        e->nodes[other - e->nodes].output = kept;
    }
    }
}

enum { H = 64, W = 32 };

/* The file through the interpreter, the model through the reference; only where the file gives quarter logits. */
static void compare(const file_map *file, const segrt_model *model)
{
    static float input[3 * H * W];
    const int64_t dims[] = {1, 3, H, W};
    const size_t count = (size_t)model->class_count * (H / 4) * (W / 4);
    const onnx_output *outputs;
    onnx_graph *graph = NULL;
    onnx_interpreter *interpreter = NULL;
    uint64_t seed = 1;
    random_fill(&seed, input, 3 * H * W);
    double *logits = malloc(count * sizeof *logits), difference = 0, norm = 0;
    if (logits && !onnx_graph_open(&graph, file, NULL, NULL, NULL) && !onnx_interpreter_open(&interpreter, graph, NULL, 0, NULL) &&
        !onnx_interpreter_run(interpreter, input, 4, dims, &outputs, NULL) && outputs[0].floats && outputs[0].count == count &&
        !reference_published(model, input, 1, H, W, logits, NULL, NULL)) {
        for (size_t i = 0; i < count; i++) {
            difference += pow(logits[i] - (double)outputs[0].floats[i], 2);
            norm += logits[i] * logits[i];
        }
        if (isfinite(difference) && difference > 1e-6 * norm && norm > 1e-12)
            abort();
    }
    onnx_interpreter_close(interpreter);
    onnx_graph_close(graph);
    free(logits);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!bases[0].data)
        make_bases();
    if (size < 1 || size > 6 * 64 + 1)
        return 0;
    const struct base *base = &bases[data[0] % BASES];
    edit *e = edit_read(base->data, base->size);
    for (size_t at = 1; at + 6 <= size; at += 6)
        change(e, data + at);
    proto file = {0};
    edit_encode(e, &file);
    edit_close(e);
    const segrt_file given = {.name = "model.onnx", .data = file.data, .size = file.size};
    segrt_model *model = NULL;
    segrt_error error = {0};
    const segrt_status status = segrt_model_open_files(&model, &given, 1, NULL, &error);
    if (status != error.status || !status != !!model || (status && !error.message[0]))
        abort();
    if (size == 1 && status)
        abort(); /* unchanged, it is a SegFormer */
    if (model) {
        network *net = NULL;
        if (!network_fold(&net, model, NETWORK_F32, NULL))
            network_close(net);
        const file_map map = file_map_of(file.data, file.size);
        compare(&map, model);
    }
    segrt_model_close(model);
    proto_free(&file);
    return 0;
}
