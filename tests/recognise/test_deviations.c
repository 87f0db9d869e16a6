/* What deviates from SegFormer's arithmetic is refused, by a message that names the node and how far
 * recognition came; what a parameter can express is read.  Each row changes one thing in a good file. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "export/emit.h"
#include "model/model.h"
#include "model_support.h"
#include "recognise/edit_support.h"

static char path[] = "/tmp/segrt_deviation_XXXXXX";

static void write_file(int opset, segrt_shape shape, const random_model *wanted)
{
    segrt_model *model = random_model_open(wanted);
    const onnx_export_options options = {.opset = opset, .shape = shape};
    segrt_error error = {0};
    assert_non_null(model);
    if (onnx_export(model, NULL, &options, path, &error))
        fail_msg("%s", error.message);
    random_model_close(model);
}

static void write_good_file(int opset, const random_model *wanted) { write_file(opset, (segrt_shape){1, 64, 96}, wanted); }

static segrt_model *open_file(segrt_error *error)
{
    segrt_model *model = NULL;
    *error = (segrt_error){0};
    segrt_model_open(&model, path, NULL, error);
    return model;
}

/* ------------------------------------------------------------------------------------- refusals */

static void gelu_by_tanh(edit *e) { edit_text(e, edit_find(e, "stage1.block0.ffn.gelu"), "approximate", "tanh"); }
static void gelu_as_relu(edit *e)
{
    edit_node *n = edit_find(e, "stage2.block0.ffn.gelu");
    n->op = "Relu";
    n->attribute_count = 0;
}
static void gelu_with_another_root(edit *e)
{
    edit_constant(e, "another", 0, &(float){1.5f});
    edit_find(e, "stage1.block0.ffn.gelu.scaled")->inputs[1] = "another";
}
static void erf_as_tanh(edit *e) { edit_find(e, "stage1.block1.ffn.gelu.erf")->op = "Tanh"; }
static void no_gelu(edit *e) { edit_bypass(e, "stage3.block1.ffn.gelu", 0); }
static void a_further_relu(edit *e) { edit_insert(e, "stage2.block0.ffn.fc1", "Relu"); }
static void a_further_norm(edit *e)
{
    edit_node *n = edit_insert(e, "stage1.block0.norm1", "LayerNormalization");
    n->inputs[1] = "stage1.block0.norm2.weight";
    n->inputs[2] = "stage1.block0.norm2.bias";
    n->input_count = 3;
}
static void no_residual_around_attention(edit *e) { edit_bypass(e, "stage2.block0.attended", 1); }
static void no_residual_around_the_ffn(edit *e) { edit_bypass(e, "stage1.block1", 1); }
static void residual_from_elsewhere(edit *e) { edit_find(e, "stage1.block1")->inputs[0] = "stage1.block0.attended"; }
static void norm_over_tokens(edit *e) { edit_int(e, edit_find(e, "stage1.block0.norm1"), "axis", 1); }
static void mean_over_tokens(edit *e) { edit_ints(e, edit_find(e, "stage3.patch.norm.mean"), "axes", 1, &(const int64_t){1}); }
static void norm_without_mean(edit *e) { edit_find(e, "stage1.patch.norm.centred")->inputs[1] = "norm.two"; }
static void softmax_over_queries(edit *e) { edit_int(e, edit_find(e, "stage4.block0.attention.probabilities"), "axis", 2); }
static void no_softmax(edit *e) { edit_bypass(e, "stage4.block0.attention.probabilities", 0); }
static void operator_set_10(edit *e) /* Resize by scales alone, from the corner */
{
    static const char *const names[] = {"head.level2.resized", "head.level3.resized", "head.level4.resized"};
    static const char *const scales[] = {"by2", "by4", "by8"};
    for (int i = 0; i < 3; i++) {
        edit_node *n = edit_find(e, names[i]);
        const float by = (float)(2 << i);
        edit_constant(e, scales[i], 4, (const float[]){1, 1, by, by});
        n->inputs[1] = scales[i];
        n->input_count = 2;
        n->attributes[0].name = ""; /* the coordinate mode */
    }
    edit_opset(e, 10);
}
static void corners_aligned(edit *e)
{
    edit_text(e, edit_find(e, "head.level2.resized"), "coordinate_transformation_mode", "align_corners");
}
static void asymmetric(edit *e) { edit_text(e, edit_find(e, "head.level3.resized"), "coordinate_transformation_mode", "asymmetric"); }
static void nearest(edit *e) { edit_text(e, edit_find(e, "head.level4.resized"), "mode", "nearest"); }
static void cubic(edit *e) { edit_text(e, edit_find(e, "head.level2.resized"), "mode", "cubic"); }
static void no_relu_in_the_head(edit *e) { edit_bypass(e, "head.relu", 0); }
static void a_level_twice(edit *e) { edit_find(e, "head.concat")->inputs[0] = "head.level2.resized"; }
static void dilated(edit *e)
{
    edit_ints(e, edit_find(e, "stage1.block0.ffn.depthwise"), "dilations", 2, (const int64_t[]){2, 2});
    edit_ints(e, edit_find(e, "stage1.block0.ffn.depthwise"), "pads", 4, (const int64_t[]){2, 2, 2, 2});
}
static void queries_as_values(edit *e) { edit_find(e, "stage4.block0.attention.context")->inputs[1] = "stage4.block0.attention.query.heads"; }
static void sigmoid_behind_the_classifier(edit *e)
{
    edit_find(e, "logits")->output = "before";
    edit_node *n = edit_insert(e, "head.relu", "Sigmoid"); /* moved behind the classifier by its names */
    n->inputs[0] = "before";
    n->output = "logits";
    edit_find(e, "logits")->inputs[0] = "head.relu";
    const edit_node moved = *n;
    edit_node *classifier = edit_find(e, "logits");
    *n = *classifier;
    *classifier = moved;
}
static void an_operator_of_no_segformer(edit *e) { edit_insert(e, "stage1.patch", "HardSwish"); }

static void deviations_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        int opset;
        void (*change)(edit *e);
        const char *place, *node; /* both stand in the message */
    } rows[] = {
        {20, gelu_by_tanh, "stage 1, block 0, after the depthwise convolution", "stage1.block0.ffn.gelu"},
        {20, gelu_as_relu, "stage 2, block 0, after the depthwise convolution", "stage2.block0.ffn.gelu"},
        {17, gelu_with_another_root, "stage 1, block 0, after the depthwise convolution", "stage1.block0.ffn.gelu"},
        {17, erf_as_tanh, "stage 1, block 1, after the depthwise convolution", "stage1.block1.ffn.gelu"},
        {20, no_gelu, "stage 3, block 1, after the depthwise convolution", "stage3.block1.ffn.fc2"},
        {17, a_further_relu, "stage 2, block 0, after fc1", "stage2.block0.ffn.fc1.more"},
        {17, a_further_norm, "stage 1, block 0, after the first norm", "stage1.block0.norm1.more"},
        {17, no_residual_around_attention, "stage 2, block 0, after the output projection", "stage2.block0.norm2"},
        {17, no_residual_around_the_ffn, "stage 1, block 1, after fc2", "stage1.norm"},
        {17, residual_from_elsewhere, "stage 1, block", "stage1.block1"},
        {17, norm_over_tokens, "stage 1, after the patch embedding", "stage1.block0.norm1"},
        {11, mean_over_tokens, "stage 3, after the patch convolution", "stage3.patch.norm"},
        {11, norm_without_mean, "stage 1, after the patch convolution", "stage1.patch.norm"},
        {17, softmax_over_queries, "stage 4, block 0", "stage4.block0.attention.probabilities"},
        {17, no_softmax, "stage 4, block 0", "stage4.block0.attention"},
        {11, operator_set_10, "decode head, after stage 2's level", "old operator set"},
        {17, corners_aligned, "decode head, after stage 2's level", "head.level2.resized"},
        {17, asymmetric, "decode head, after stage 3's level", "head.level3.resized"},
        {17, nearest, "decode head, after stage 4's level", "head.level4.resized"},
        {17, cubic, "cubic", "head.level2.resized"},
        {17, no_relu_in_the_head, "decode head, after the fusion", "logits"},
        {17, a_level_twice, "stage 3, after block 1", "head.level3"},
        {17, dilated, "stage 1, block 0, after fc1", "stage1.block0.ffn.depthwise"},
        {17, queries_as_values, "stage 4, block 0, in attention", "stage4.block0.attention.context"},
        {17, sigmoid_behind_the_classifier, "after the classifier", "Sigmoid"},
        {17, an_operator_of_no_segformer, "stage 1, after the patch convolution", "HardSwish 'stage1.patch.more'"},
    };
    int wrong = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        write_good_file(rows[i].opset, &(const random_model){.seed = 3});
        edit *e = edit_open(path);
        rows[i].change(e);
        edit_write(e, path);
        edit_close(e);
        segrt_error error;
        segrt_model *model = open_file(&error);
        if (model || !strstr(error.message, rows[i].place) || !strstr(error.message, rows[i].node)) {
            print_error("row %zu (%s, %s): %s\n", i, rows[i].place, rows[i].node, model ? "taken as a SegFormer" : error.message);
            wrong++;
        }
        segrt_model_close(model);
    }
    assert_int_equal(wrong, 0);
}

/* A file that says it takes any size, and does not. */
static void a_size_baked_in_by_the_exporter_is_told(void **state)
{
    (void)state;
    write_file(17, (segrt_shape){0, 0, 0}, &(const random_model){.seed = 3});
    edit *e = edit_open(path);
    edit_shape(e, "baked", 4, (const int64_t[]){1, 8, 32, 32});
    edit_find(e, "stage1.block0.ffn.image")->inputs[1] = "baked";
    edit_write(e, path);
    edit_close(e);
    segrt_error error;
    assert_null(open_file(&error));
    if (!strstr(error.message, "at 1 x 3 x 64 x 96, which the input's open dimensions allow: Reshape 'stage1.block0.ffn.image'") ||
        !strstr(error.message, "baked in the size"))
        fail_msg("%s", error.message);
}

/* What torch.export makes of open dimensions where it traced one picture. */
static void a_batch_of_one_baked_in_is_taken(void **state)
{
    (void)state;
    write_file(17, (segrt_shape){0, 0, 0}, &(const random_model){.seed = 3});
    edit *e = edit_open(path);
    edit_shape(e, "one", 3, (const int64_t[]){1, -1, 8});
    edit_find(e, "stage1.block0.attention.context.joined")->inputs[1] = "one";
    edit_write(e, path);
    edit_close(e);
    segrt_error error;
    segrt_model *model = open_file(&error);
    if (!model)
        fail_msg("%s", error.message);
    assert_int_equal(model->stages[0].depth, 2);
    segrt_model_close(model);
}

/* ----------------------------------------------------------------------------------- parameters */

static void eps_is_read_from_the_graph(void **state)
{
    (void)state;
    write_good_file(17, &(const random_model){.seed = 3});
    edit *e = edit_open(path);
    edit_float(e, edit_find(e, "stage2.block0.norm2"), "epsilon", 1e-12f);
    edit_write(e, path);
    edit_close(e);
    segrt_error error;
    segrt_model *model = open_file(&error);
    if (!model)
        fail_msg("%s", error.message);
    assert_true(model->stages[1].blocks[0].norm2.eps == 1e-12);
    segrt_model_close(model);
}

static void scale_heads_widths_reductions_and_order_are_read_from_the_graph(void **state)
{
    (void)state;
    const random_model wanted = {.width = {6, 12, 20, 24}, .depth = {1, 2, 1, 1}, .heads = {2, 3, 4, 1}, .reduction = {4, 4, 1, 2}, .ratio = 3,
                                 .decoder_width = 10, .classes = 3, .no_biases = true, .fuse_first_to_last = true, .scale = 0.5, .seed = 5};
    for (int opset = EXPORT_OLDEST_OPSET; opset <= EXPORT_NEWEST_OPSET; opset += 3) {
        write_good_file(opset, &wanted);
        segrt_error error;
        segrt_model *model = open_file(&error);
        if (!model)
            fail_msg("%s", error.message);
        for (int s = 0; s < STAGES; s++) {
            assert_int_equal(model->stages[s].width, wanted.width[s]);
            assert_int_equal(model->stages[s].depth, wanted.depth[s]);
            assert_int_equal(model->stages[s].heads, wanted.heads[s]);
            assert_int_equal(model->stages[s].reduction, wanted.reduction[s]);
            assert_int_equal(model->head.fuse_order[s], s);
            const model_block *b = &model->stages[s].blocks[0];
            assert_int_equal(b->fc1.out, 3 * wanted.width[s]);
            assert_null(b->query.bias);
            assert_true(fabs(b->scale * sqrt((double)wanted.width[s] / wanted.heads[s]) - 0.5) < 1e-6);
        }
        assert_int_equal(model->class_count, 3);
        segrt_model_close(model);
    }
}

int main(void)
{
    const int file = mkstemp(path);
    if (file < 0)
        return 1;
    close(file);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deviations_are_refused_by_name),
        cmocka_unit_test(a_size_baked_in_by_the_exporter_is_told),
        cmocka_unit_test(a_batch_of_one_baked_in_is_taken),
        cmocka_unit_test(eps_is_read_from_the_graph),
        cmocka_unit_test(scale_heads_widths_reductions_and_order_are_read_from_the_graph),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return failed;
}
