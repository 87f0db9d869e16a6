/* operators: the table of all operators, one row each.  Formats layer; see op.h. */
#include <string.h>

#include "formats/onnx/op.h"

#define MS "com.microsoft"
#define ELEMENTWISE op_infer_unary, op_run_unary, true, false

static const op_row rows[] = {
    /* domain, name, opsets, inputs, infer, run, fold, moves */
    {"", "Abs", 0, 0, "t", ELEMENTWISE},
    {"", "Add", 7, 0, "tt", op_infer_binary, op_run_binary, true, false},
    {"", "And", 7, 0, "ii", op_infer_compare, op_run_compare, true, false},
    {"", "ArgMax", 0, 0, "t", op_infer_arg, op_run_arg, false, false},
    {"", "ArgMin", 0, 0, "t", op_infer_arg, op_run_arg, false, false},
    {"", "Attention", 23, 0, "fff?xffi", op_infer_attention, op_run_attention, false, false},
    {"", "BatchNormalization", 7, 0, "fffff", op_infer_batch_norm, op_run_batch_norm, false, false},
    {"", "Cast", 6, 0, "x", op_infer_cast, op_run_cast, true, true},
    {"", "CastLike", 15, 0, "xx", op_infer_cast_like, op_run_cast, true, false},
    {"", "Ceil", 0, 0, "f", ELEMENTWISE},
    {"", "Clip", 6, 10, "f", op_infer_clip, op_run_clip, true, false},
    {"", "Clip", 11, 0, "t?tt", op_infer_clip, op_run_clip, true, false},
    {"", "Concat", 0, 0, "t*", op_infer_concat, op_run_concat, true, true},
    {"", "ConstantOfShape", 9, 0, "i", op_infer_constant_of_shape, op_run_constant_of_shape, true, false},
    {"", "Conv", 0, 0, "ff?f", op_infer_conv, op_run_conv, false, false},
    {"", "Cos", 0, 0, "f", ELEMENTWISE},
    {"", "Div", 7, 0, "tt", op_infer_binary, op_run_binary, true, false},
    {"", "Dropout", 7, 11, "f", op_infer_dropout, NULL, true, false},
    {"", "Dropout", 12, 0, "f?fi", op_infer_dropout, NULL, true, false},
    {"", "Equal", 7, 0, "tt", op_infer_compare, op_run_compare, true, false},
    {"", "Erf", 0, 0, "f", ELEMENTWISE},
    {"", "Exp", 0, 0, "f", ELEMENTWISE},
    {"", "Expand", 8, 0, "xi", op_infer_expand, op_run_expand, true, false},
    {"", "Flatten", 0, 0, "x", op_infer_flatten, NULL, true, false},
    {"", "Floor", 0, 0, "f", ELEMENTWISE},
    {"", "Gather", 0, 0, "xi", op_infer_gather, op_run_gather, true, true},
    {"", "Gelu", 20, 0, "f", op_infer_same, op_run_gelu, false, false},
    {"", "Gemm", 7, 0, "ff?f", op_infer_gemm, op_run_gemm, false, false},
    {"", "Greater", 7, 0, "tt", op_infer_compare, op_run_compare, true, false},
    {"", "GreaterOrEqual", 12, 0, "tt", op_infer_compare, op_run_compare, true, false},
    {"", "Identity", 0, 0, "x", op_infer_same, NULL, true, true},
    {"", "IsNaN", 0, 0, "f", ELEMENTWISE},
    {"", "LayerNormalization", 0, 0, "ff?f", op_infer_layer_norm, op_run_layer_norm, false, false}, /* ONNX Runtime writes it below 17 too */
    {"", "Less", 7, 0, "tt", op_infer_compare, op_run_compare, true, false},
    {"", "LessOrEqual", 12, 0, "tt", op_infer_compare, op_run_compare, true, false},
    {"", "Log", 0, 0, "f", ELEMENTWISE},
    {"", "LogSoftmax", 0, 0, "f", op_infer_softmax, op_run_softmax, false, false},
    {"", "MatMul", 0, 0, "ff", op_infer_matmul, op_run_matmul, false, false},
    {"", "Max", 8, 0, "t*", op_infer_variadic, op_run_variadic, true, false},
    {"", "Min", 8, 0, "t*", op_infer_variadic, op_run_variadic, true, false},
    {"", "Mod", 10, 0, "tt", op_infer_binary, op_run_binary, true, false},
    {"", "Mul", 7, 0, "tt", op_infer_binary, op_run_binary, true, false},
    {"", "Neg", 0, 0, "t", ELEMENTWISE},
    {"", "Not", 0, 0, "i", ELEMENTWISE},
    {"", "Or", 7, 0, "ii", op_infer_compare, op_run_compare, true, false},
    {"", "Pad", 2, 10, "f", op_infer_pad, op_run_pad, false, false},
    {"", "Pad", 11, 0, "ti?ti", op_infer_pad, op_run_pad, false, false},
    {"", "Pow", 7, 0, "xx", op_infer_binary, op_run_binary, true, false},
    {"", "RMSNormalization", 23, 0, "ff", op_infer_layer_norm, op_run_layer_norm, false, false},
    {"", "Range", 11, 0, "ttt", op_infer_range, op_run_range, true, false},
    {"", "Reciprocal", 0, 0, "f", ELEMENTWISE},
    {"", "ReduceL1", 0, 17, "f", op_infer_reduce, op_run_reduce, true, false},
    {"", "ReduceL1", 18, 0, "f?i", op_infer_reduce, op_run_reduce, true, false},
    {"", "ReduceL2", 0, 17, "f", op_infer_reduce, op_run_reduce, true, false},
    {"", "ReduceL2", 18, 0, "f?i", op_infer_reduce, op_run_reduce, true, false},
    {"", "ReduceMax", 0, 17, "t", op_infer_reduce, op_run_reduce, true, false},
    {"", "ReduceMax", 18, 0, "t?i", op_infer_reduce, op_run_reduce, true, false},
    {"", "ReduceMean", 0, 17, "t", op_infer_reduce, op_run_reduce, true, false},
    {"", "ReduceMean", 18, 0, "t?i", op_infer_reduce, op_run_reduce, true, false},
    {"", "ReduceMin", 0, 17, "t", op_infer_reduce, op_run_reduce, true, false},
    {"", "ReduceMin", 18, 0, "t?i", op_infer_reduce, op_run_reduce, true, false},
    {"", "ReduceProd", 0, 17, "t", op_infer_reduce, op_run_reduce, true, false},
    {"", "ReduceProd", 18, 0, "t?i", op_infer_reduce, op_run_reduce, true, false},
    {"", "ReduceSum", 0, 12, "t", op_infer_reduce, op_run_reduce, true, false},
    {"", "ReduceSum", 13, 0, "t?i", op_infer_reduce, op_run_reduce, true, false},
    {"", "ReduceSumSquare", 0, 17, "f", op_infer_reduce, op_run_reduce, true, false},
    {"", "ReduceSumSquare", 18, 0, "f?i", op_infer_reduce, op_run_reduce, true, false},
    {"", "Relu", 0, 0, "t", ELEMENTWISE},
    {"", "Reshape", 5, 0, "xi", op_infer_reshape, NULL, true, true},
    {"", "Resize", 10, 10, "ff", op_infer_resize, op_run_resize, false, false},
    {"", "Resize", 11, 0, "f?ffi", op_infer_resize, op_run_resize, false, false},
    {"", "Round", 11, 0, "f", ELEMENTWISE},
    {"", "ScatterND", 11, 0, "tit", op_infer_scatter_nd, op_run_scatter_nd, true, false},
    {"", "Shape", 0, 0, "x", op_infer_shape, op_run_shape, true, false},
    {"", "Sigmoid", 0, 0, "f", ELEMENTWISE},
    {"", "Sign", 0, 0, "t", ELEMENTWISE},
    {"", "SimplifiedLayerNormalization", 0, 0, "ff", op_infer_layer_norm, op_run_layer_norm, false, false}, /* ONNX Runtime's, in this domain */
    {"", "Sin", 0, 0, "f", ELEMENTWISE},
    {"", "Size", 0, 0, "x", op_infer_size, op_run_size, true, false},
    {"", "Slice", 0, 9, "x", op_infer_slice, op_run_slice, true, true},
    {"", "Slice", 10, 0, "xii?ii", op_infer_slice, op_run_slice, true, true},
    {"", "Softmax", 0, 0, "f", op_infer_softmax, op_run_softmax, false, false},
    {"", "Split", 2, 12, "x", op_infer_split, op_run_split, true, true},
    {"", "Split", 13, 0, "x?i", op_infer_split, op_run_split, true, true},
    {"", "Sqrt", 0, 0, "f", ELEMENTWISE},
    {"", "Squeeze", 0, 12, "x", op_infer_squeeze, NULL, true, true},
    {"", "Squeeze", 13, 0, "x?i", op_infer_squeeze, NULL, true, true},
    {"", "Sub", 7, 0, "tt", op_infer_binary, op_run_binary, true, false},
    {"", "Sum", 8, 0, "f*", op_infer_variadic, op_run_variadic, true, false},
    {"", "Tanh", 0, 0, "f", ELEMENTWISE},
    {"", "Tile", 6, 0, "xi", op_infer_tile, op_run_tile, true, false},
    {"", "Transpose", 0, 0, "x", op_infer_transpose, op_run_transpose, true, true},
    {"", "Unsqueeze", 0, 12, "x", op_infer_unsqueeze, NULL, true, true},
    {"", "Unsqueeze", 13, 0, "xi", op_infer_unsqueeze, NULL, true, true},
    {"", "Upsample", 7, 8, "f", op_infer_resize, op_run_resize, false, false},
    {"", "Upsample", 9, 9, "ff", op_infer_resize, op_run_resize, false, false},
    {"", "Where", 9, 0, "itt", op_infer_where, op_run_where, true, false},
    {"", "Xor", 7, 0, "ii", op_infer_compare, op_run_compare, true, false},
    {MS, "Attention", 0, 0, "ff?fxxxx", op_infer_ms_attention, op_run_ms_attention, false, false},
    {MS, "BiasGelu", 0, 0, "ff", op_infer_same, op_run_bias_gelu, false, false},
    {MS, "FusedConv", 0, 0, "ff?ff", op_infer_conv, op_run_conv, false, false},
    {MS, "FusedGemm", 0, 0, "ff?f", op_infer_gemm, op_run_gemm, false, false},
    {MS, "FusedMatMul", 0, 0, "ff", op_infer_matmul, op_run_matmul, false, false},
    {MS, "Gelu", 0, 0, "f", op_infer_same, op_run_gelu, false, false},
    {MS, "LayerNormalization", 0, 0, "ff?f", op_infer_layer_norm, op_run_layer_norm, false, false},
    {MS, "MultiHeadAttention", 0, 0, "f?fffxxxxxx", op_infer_mha, op_run_mha, false, false},
    {MS, "SimplifiedLayerNormalization", 0, 0, "ff", op_infer_layer_norm, op_run_layer_norm, false, false},
    {MS, "SkipLayerNormalization", 0, 0, "fff?ff", op_infer_skip_norm, op_run_skip_norm, false, false},
    {MS, "SkipSimplifiedLayerNormalization", 0, 0, "fff?f", op_infer_skip_norm, op_run_skip_norm, false, false},
    {MS, "TransposeMatMul", 0, 0, "ff", op_infer_matmul, op_run_matmul, false, false},
};

/* What a file is told that uses these; name NULL: any of the domain. */
static const struct refusal {
    const char *domain, *name, *why;
} refusals[] = {
    {"com.microsoft.nchwc", NULL, "ONNX Runtime's blocked NCHWc layout, made for one machine; optimise with level basic or extended, or give the original file"},
    {"com.ms.internal.nhwc", NULL, "ONNX Runtime's internal layout of one device; give the original file"},
    {MS, "NhwcConv", "ONNX Runtime's channels-last convolution for GPUs; give the original file"},
    {MS, "NhwcFusedConv", "ONNX Runtime's channels-last convolution; give the original file"},
    {MS, "FastGelu", "an approximation of GELU; optimise without it, or give the original file"},
    {MS, "QuickGelu", "another function than GELU"},
    {"", "If", "its condition is not constant; fold the graph with the input's size"},
    {"", "Loop", "graphs with loops are not run"},
    {"", "Scan", "graphs with loops are not run"},
};

static segrt_status refuse(const onnx_graph *graph, const onnx_node *node, segrt_error *error)
{
    char text[ONNX_TEXT_ROOM];
    onnx_node_text(graph, node, text);
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
        if (!strcmp(refusals[i].domain, node->domain) && (!refusals[i].name || !strcmp(refusals[i].name, node->op)))
            return fail_at(error, SEGRT_UNSUPPORTED, node->offset, "%s: %s", text, refusals[i].why);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!strcmp(rows[i].domain, node->domain) && !strcmp(rows[i].name, node->op))
            return fail_at(error, SEGRT_UNSUPPORTED, node->offset, "%s: not in version %d of its operator set", text, (int)node->opset);
    return fail_at(error, SEGRT_UNSUPPORTED, node->offset, "%s: this operator is not known", text);
}

const op_row *op_find(const onnx_graph *graph, const onnx_node *node, segrt_error *error)
{
    if (!*node->domain && node->opset > OP_NEWEST_OPSET) {
        char text[ONNX_TEXT_ROOM];
        fail_at(error, SEGRT_UNSUPPORTED, node->offset, "%s: version %d of ONNX's operators is newer than %d, the newest known", onnx_node_text(graph, node, text),
                (int)node->opset, OP_NEWEST_OPSET);
        return NULL;
    }
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (node->opset >= rows[i].min && (!rows[i].max || node->opset <= rows[i].max) && !strcmp(rows[i].name, node->op) && !strcmp(rows[i].domain, node->domain))
            return &rows[i];
    refuse(graph, node, error);
    return NULL;
}
