/* What every emitted file promises: the operator rules of TensorRT that docs/export.md lists, no shape
 * arithmetic in static files, the model back when it is read again, nothing left where writing fails. */
#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "allocation_support.h"
#include "backend/reference/reference.h"
#include "export/emit.h"
#include "formats/onnx/graph.h"
#include "model_support.h"

static char folder[] = "/tmp/segrt_emitted_XXXXXX", path[64];

static const random_model models[] = {
    {.seed = 5},
    {.head = HEAD_CONV, .decoder_width = 24, .seed = 6},
    {.no_biases = true, .no_batch_norm = true, .fuse_bias = true, .fuse_first_to_last = true, .scale = 0.7, .seed = 7},
};
enum { MODELS = sizeof models / sizeof *models };

static network *centred_network(const segrt_model *model)
{
    network *net = NULL;
    double *mean[STAGES];
    uint64_t seed = 9;
    assert_int_equal(network_fold(&net, model, NETWORK_F64, NULL), SEGRT_OK);
    for (int s = 0; s < STAGES; s++) {
        mean[s] = malloc((size_t)model->stages[s].width * sizeof *mean[s]);
        assert_non_null(mean[s]);
        for (int i = 0; i < model->stages[s].width; i++)
            mean[s][i] = random_normal(&seed);
    }
    assert_int_equal(network_set_offsets(net, (const double *const *)mean, NULL), SEGRT_OK);
    for (int s = 0; s < STAGES; s++)
        free(mean[s]);
    return net;
}

/* ---------------------------------------------------------------------------------- the rules */

/* Is the value a shape tensor: integers, and not labels? */
static bool is_shape_tensor(const onnx_graph *g, int32_t value)
{
    const onnx_tensor *t = onnx_constant(g, value);
    if (t)
        return t->type == ONNX_INT64;
    const onnx_node *n = onnx_producer(g, value);
    if (!n)
        return false;
    if (onnx_node_is(n, "Shape"))
        return true;
    return (onnx_node_is(n, "Slice") || onnx_node_is(n, "Concat")) && is_shape_tensor(g, n->inputs[0]);
}

/* Every operator that is written, with the rule that its nodes keep beside being supported at all. */
static bool any(const onnx_graph *g, const onnx_node *n) { return g && n; }
static bool weights_are_initializers(const onnx_graph *g, const onnx_node *n)
{
    const onnx_tensor *w = onnx_constant(g, n->inputs[1]);
    return w && w->shape.rank == 4 && (n->input_count < 3 || onnx_constant(g, n->inputs[2]));
}
static bool is_bilinear(const onnx_graph *g, const onnx_node *n)
{
    return strcmp(onnx_attribute_text(n, "mode", ""), "linear") == 0 && n->input_count == 4 && is_shape_tensor(g, n->inputs[3]) &&
           strcmp(onnx_attribute_text(n, "coordinate_transformation_mode", ""), "half_pixel") == 0;
}
static bool shape_has_one_dimension(const onnx_graph *g, const onnx_node *n)
{
    const onnx_tensor *t = onnx_constant(g, n->inputs[1]);
    return !is_shape_tensor(g, n->inputs[0]) && (t ? t->shape.rank == 1 : is_shape_tensor(g, n->inputs[1])); /* no shape tensor is reshaped at all */
}
static bool slices_a_shape(const onnx_graph *g, const onnx_node *n)
{
    return is_shape_tensor(g, n->inputs[0]) && onnx_constant(g, n->inputs[1]) && onnx_constant(g, n->inputs[2]) && onnx_constant(g, n->inputs[3]);
}
static bool has_one_output_and_constants(const onnx_graph *g, const onnx_node *n)
{
    return n->output_count == 1 && onnx_constant(g, n->inputs[1]) && (n->input_count < 3 || onnx_constant(g, n->inputs[2])) && n->opset >= 17;
}
static bool is_between_floats(const onnx_graph *g, const onnx_node *n)
{
    const int64_t to = onnx_attribute_int(n, "to", 0);
    return g && (to == ONNX_FLOAT || to == ONNX_FLOAT16);
}
static bool is_of_the_last_axis(const onnx_graph *g, const onnx_node *n)
{
    const int64_t axis = onnx_attribute_int(n, "axis", 99);
    return g && (n->opset < 13 ? axis == 3 : axis == -1);
}
static bool has_axes_attribute(const onnx_graph *g, const onnx_node *n)
{
    const int64_t *axes;
    return g && n->opset < 18 && onnx_attribute_ints(n, "axes", &axes) == 1;
}
static bool is_of_opset_20(const onnx_graph *g, const onnx_node *n) { return g && n->opset >= 20; }
static bool is_of_two_vectors_or_images(const onnx_graph *g, const onnx_node *n) /* Concat: shape tensors, or activations along channels */
{
    return is_shape_tensor(g, n->inputs[0]) ? onnx_attribute_int(n, "axis", 9) == 0 : onnx_attribute_int(n, "axis", 9) == 1;
}

static const struct {
    const char *op;
    bool (*rule)(const onnx_graph *g, const onnx_node *n);
} rules[] = {
    {"Add", any}, {"ArgMax", any}, {"Cast", is_between_floats}, {"Concat", is_of_two_vectors_or_images}, {"Conv", weights_are_initializers},
    {"Div", any}, {"Erf", any}, {"Gelu", is_of_opset_20}, {"LayerNormalization", has_one_output_and_constants}, {"MatMul", any}, {"Mul", any},
    {"Pow", any}, {"ReduceMean", has_axes_attribute}, {"Relu", any}, {"Reshape", shape_has_one_dimension}, {"Resize", is_bilinear}, {"Shape", any},
    {"Slice", slices_a_shape}, {"Softmax", is_of_the_last_axis}, {"Sqrt", any}, {"Sub", any}, {"Sum", any}, {"Transpose", any},
};

static void check_rules(const onnx_graph *g, bool is_static)
{
    assert_int_equal(g->opset_count, 1);
    assert_int_equal(g->input_count, 1);
    assert_int_equal(g->output_count, 1);
    for (int i = 0; i < g->node_count; i++) {
        const onnx_node *n = &g->nodes[i];
        bool known = false;
        for (size_t r = 0; r < sizeof rules / sizeof *rules; r++)
            if (onnx_node_is(n, rules[r].op)) {
                known = true;
                if (!rules[r].rule(g, n))
                    fail_msg("%s '%s' breaks its rule in operator set %d", n->op, n->name, (int)n->opset);
            }
        if (!known)
            fail_msg("%s '%s' is not in the table of operators", n->op, n->name);
        if (is_static && is_shape_tensor(g, n->outputs[0]))
            fail_msg("%s '%s' is shape arithmetic in a static file", n->op, n->name);
        assert_string_equal(n->name, g->values[n->outputs[0]].name);
        assert_true(n->name[0] != 0 && n->output_count == 1);
    }
    for (int v = 0; v < g->value_count; v++) {
        const onnx_tensor *t = g->values[v].constant;
        if (t && !g->values[v].use_count)
            fail_msg("the constant '%s' is read by nobody", g->values[v].name);
        assert_true(!t || t->type == ONNX_FLOAT || t->type == ONNX_FLOAT16 || (t->type == ONNX_INT64 && t->shape.rank == 1));
    }
}

static void every_file_keeps_the_operator_rules_of_tensorrt(void **state)
{
    (void)state;
    static const segrt_shape shapes[] = {{1, 64, 96}, {0, 0, 0}, {0, 97, 65}};
    for (int m = 0; m < MODELS; m++) {
        segrt_model *model = random_model_open(&models[m]);
        network *centred = centred_network(model);
        for (int opset = EXPORT_OLDEST_OPSET; opset <= EXPORT_NEWEST_OPSET; opset++)
            for (int variant = 0; variant < 36; variant++) { /* three forms, three shapes, two outputs, two precisions */
                const onnx_export_options options = {.form = variant % 3 ? EXPORT_FOLDED : EXPORT_PUBLISHED, .shape = shapes[variant / 3 % 3],
                                                     .output = variant / 9 % 2 ? EXPORT_LABELS : EXPORT_LOGITS, .opset = opset,
                                                     .precision = variant / 18 ? SEGRT_FLOAT16 : SEGRT_FLOAT32};
                segrt_error error = {0};
                file_map map;
                onnx_graph *graph = NULL;
                const bool plain = variant < 6; /* float32 logits, static or of any size: in every operator set, the rest in two */
                if ((m || !plain) && opset != EXPORT_OLDEST_OPSET && opset != 20)
                    continue; /* each file is synced, which takes its time */
                if (onnx_export(model, variant % 3 == 2 ? centred : NULL, &options, path, &error) || file_map_open(&map, path, &error) ||
                    onnx_graph_open(&graph, &map, NULL, NULL, &error))
                    fail_msg("%s", error.message);
                check_rules(graph, options.shape.n && options.shape.h);
                onnx_graph_close(graph);
                file_map_close(&map);
            }
        network_close(centred);
        random_model_close(model);
    }
}

/* ---------------------------------------------------------------------------------- there and back */

static double *logits_of(const segrt_model *model, size_t *count)
{
    enum { N = 2, H = 64, W = 96 };
    float *input = malloc(sizeof(float) * N * 3 * H * W);
    *count = (size_t)N * (size_t)model->class_count * (H / 4) * (W / 4);
    double *logits = malloc(*count * sizeof *logits);
    uint64_t seed = 3;
    assert_true(input && logits);
    random_fill(&seed, input, (size_t)N * 3 * H * W);
    assert_int_equal(reference_published(model, input, N, H, W, logits, NULL, NULL), SEGRT_OK);
    free(input);
    return logits;
}

static void every_form_read_again_is_the_same_function(void **state)
{
    (void)state;
    for (int m = 0; m < MODELS; m++) {
        segrt_model *model = random_model_open(&models[m]);
        network *centred = centred_network(model);
        size_t count;
        double *expected = logits_of(model, &count);
        for (int variant = 0; variant < 24; variant++) {
            static const int opsets[] = {11, 16, 17, 22};
            const onnx_export_options options = {.form = variant % 3 ? EXPORT_FOLDED : EXPORT_PUBLISHED, .opset = opsets[variant / 3 % 4],
                                                 .output = variant / 12 ? EXPORT_LABELS : EXPORT_LOGITS};
            segrt_error error = {0};
            segrt_model *again = NULL;
            if (onnx_export(model, variant % 3 == 2 ? centred : NULL, &options, path, &error) || segrt_model_open(&again, path, NULL, &error))
                fail_msg("model %d, variant %d: %s", m, variant, error.message);
            double *got = logits_of(again, &count), difference = 0, norm = 0;
            for (size_t i = 0; i < count; i++) {
                difference += (got[i] - expected[i]) * (got[i] - expected[i]);
                norm += expected[i] * expected[i];
            }
            if (!(sqrt(difference / norm) < 1e-6)) /* weights folded in double, rounded to float32 once */
                fail_msg("model %d, variant %d: relative difference %g", m, variant, sqrt(difference / norm));
            free(got);
            segrt_model_close(again);
        }
        free(expected);
        network_close(centred);
        random_model_close(model);
    }
}

static void the_same_arguments_give_the_same_bytes(void **state)
{
    (void)state;
    segrt_model *model = random_model_open(&models[0]);
    const onnx_export_options options = {.form = EXPORT_FOLDED};
    file_map a, b;
    char other[80];
    snprintf(other, sizeof other, "%s/b.onnx", folder);
    assert_int_equal(onnx_export(model, NULL, &options, path, NULL), SEGRT_OK);
    assert_int_equal(onnx_export(model, NULL, &options, other, NULL), SEGRT_OK);
    assert_int_equal(file_map_open(&a, path, NULL), SEGRT_OK);
    assert_int_equal(file_map_open(&b, other, NULL), SEGRT_OK);
    assert_int_equal(a.size, b.size);
    assert_memory_equal(a.data, b.data, a.size);
    file_map_close(&a);
    file_map_close(&b);
    unlink(other);
    random_model_close(model);
}

/* -------------------------------------------------------------------------------------- refusals */

static int files_in_folder(void)
{
    int count = 0;
    DIR *listing = opendir(folder);
    assert_non_null(listing);
    for (struct dirent *entry; (entry = readdir(listing));)
        count += entry->d_name[0] != '.';
    closedir(listing);
    return count;
}

static void what_cannot_be_written_is_refused_and_leaves_no_file(void **state)
{
    (void)state;
    segrt_model *model = random_model_open(&models[0]), *backbone = random_model_open(&(const random_model){.backbone = true});
    float *weight = (float *)(uintptr_t)model->head.classifier.weight;
    unlink(path);
    const struct {
        const segrt_model *model;
        onnx_export_options options;
        segrt_status status;
        const char *words;
    } rows[] = {
        {model, {.opset = 10}, SEGRT_ARGUMENT, "11 to 22"},
        {model, {.opset = 23}, SEGRT_ARGUMENT, "11 to 22"},
        {model, {.precision = SEGRT_INT8}, SEGRT_ARGUMENT, "float16"},
        {model, {.shape = {1, 64, 0}}, SEGRT_ARGUMENT, "64"},
        {model, {.shape = {1, 28, 64}}, SEGRT_SHAPE, "29"},
        {backbone, {.opset = 17}, SEGRT_NOT_SEGFORMER, "backbone"},
        {model, {.precision = SEGRT_FLOAT16}, SEGRT_UNSUPPORTED, "classifier.weight'"},
    };
    weight[3] = 1e6f;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        segrt_error error = {0};
        assert_int_equal(onnx_export(rows[i].model, NULL, &rows[i].options, path, &error), rows[i].status);
        if (!strstr(error.message, rows[i].words))
            fail_msg("row %zu: %s", i, error.message);
        assert_int_equal(files_in_folder(), 0);
    }
    segrt_error error = {0};
    assert_int_equal(onnx_export(model, NULL, NULL, "/nowhere/x.onnx", &error), SEGRT_IO);
    assert_string_equal(error.file, "/nowhere/x.onnx");
    random_model_close(model);
    random_model_close(backbone);
}

static void a_failed_export_leaves_what_was_there(void **state)
{
    (void)state;
    segrt_model *model = random_model_open(&models[0]);
    struct stat before, after;
    assert_int_equal(onnx_export(model, NULL, NULL, path, NULL), SEGRT_OK);
    assert_int_equal(stat(path, &before), 0);
    ((float *)(uintptr_t)model->head.classifier.weight)[3] = 1e6f; /* found when most of the file is written */
    assert_int_equal(onnx_export(model, NULL, &(const onnx_export_options){.precision = SEGRT_FLOAT16}, path, NULL), SEGRT_UNSUPPORTED);
    assert_int_equal(stat(path, &after), 0);
    assert_true(before.st_ino == after.st_ino && before.st_size == after.st_size);
    unlink(path);
    random_model_close(model);
}

static int attempt(void *user)
{
    const onnx_export_options options = {.form = EXPORT_FOLDED, .opset = 11};
    return onnx_export(user, NULL, &options, path, NULL) != SEGRT_OK;
}

static void every_failed_allocation_is_survived(void **state)
{
    (void)state;
    segrt_model *model = random_model_open(&(const random_model){.width = {2, 4, 5, 8}, .depth = {1, 1, 1, 1}, .decoder_width = 4, .classes = 2});
    assert_true(allocation_fail_each(attempt, model) > 10);
    assert_true(allocation_fail_each_once(attempt, model) > 10);
    unlink(path);
    assert_int_equal(files_in_folder(), 0);
    random_model_close(model);
}

int main(void)
{
    if (!mkdtemp(folder))
        return 1;
    snprintf(path, sizeof path, "%s/a.onnx", folder);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_file_keeps_the_operator_rules_of_tensorrt),
        cmocka_unit_test(every_form_read_again_is_the_same_function),
        cmocka_unit_test(the_same_arguments_give_the_same_bytes),
        cmocka_unit_test(what_cannot_be_written_is_refused_and_leaves_no_file),
        cmocka_unit_test(a_failed_export_leaves_what_was_there),
        cmocka_unit_test(every_failed_allocation_is_survived),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    rmdir(folder);
    return failed;
}
