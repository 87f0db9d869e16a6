/* The goldens' exports (two exporters, six operator sets, static and dynamic, slimmed, labels, sliding windows)
 * give the same network as the checkpoint that they were made of. */
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

#include "backend/reference/reference.h"
#include "export/emit.h"
#include "formats/onnx/graph.h"
#include "model/model.h"
#include "npy_support.h"

static const struct golden {
    const char *file, *family, *checkpoint, *input; /* a size that the file takes */
    bool folded;                                    /* the exporter folded batch norms */
    int window;
} goldens[] = {
    {"hf_dynamo_opset18_static", "hf", "hf/model.safetensors", "64x96", true, 0},
    {"hf_ts_opset12_static", "hf", "hf/model.safetensors", "64x96", true, 0},
    {"hf_ts_opset14_unfolded", "hf", "hf/model.safetensors", "64x96", false, 0},
    {"hf_ts_opset17_dynamic", "hf", "hf/model.safetensors", "97x65", true, 0},
    {"hf_ts_opset17_dynamic_slim", "hf", "hf/model.safetensors", "97x65", true, 0},
    {"mmseg_ts_opset11_static", "mmseg", "mmseg/segformer_tiny.pth", "64x96", true, 0},
    {"mmseg_ts_opset17_dynamic", "mmseg", "mmseg/segformer_tiny.pth", "batch3_32x64", true, 0},
    {"nvlabs_dynamo_opset20_dynamic_batch", "nvlabs", "nvlabs/segformer_tiny.pth", "batch2_64x64", true, 0},
    {"nvlabs_ts_opset11_slide_one_window", "nvlabs", "nvlabs/segformer_tiny.pth", "batch2_64x64", false, 0},
    {"nvlabs_ts_opset11_static", "nvlabs", "nvlabs/segformer_tiny.pth", "64x96", true, 0},
    {"nvlabs_ts_opset11_static_slim", "nvlabs", "nvlabs/segformer_tiny.pth", "64x96", true, 0},
    {"nvlabs_ts_opset12_slide_windows", "nvlabs", "nvlabs/segformer_tiny.pth", "64x96", true, 64},
    {"nvlabs_ts_opset13_labels_dynamic", "nvlabs", "nvlabs/segformer_tiny.pth", "97x65", true, 0},
    {"nvlabs_ts_opset17_dynamic", "nvlabs", "nvlabs/segformer_tiny.pth", "160x256", true, 0},
};
enum { GOLDENS = sizeof goldens / sizeof *goldens };

static segrt_model *open_model(const char *folder, const char *file, const char *suffix)
{
    char path[1024];
    segrt_model *model = NULL;
    segrt_error error = {0};
    snprintf(path, sizeof path, "%s/%s%s", folder, file, suffix);
    if (segrt_model_open(&model, path, NULL, &error))
        fail_msg("%s: %s", file, error.message);
    return model;
}

static segrt_model *open_golden(const struct golden *g)
{
    return open_model(TEST_SHARED "/goldens/onnx", g->file, ".onnx");
}
static segrt_model *open_checkpoint(const struct golden *g)
{
    return open_model(TEST_DATA, g->checkpoint, "");
}

static void every_export_gives_the_goldens_logits(void **state)
{
    (void)state;
    for (int i = 0; i < GOLDENS; i++) {
        const struct golden *g = &goldens[i];
        segrt_model *model = open_golden(g);
        char name[128];
        snprintf(name, sizeof name, "input_%s.npy", g->input);
        npy input = npy_read_as(name, "<f4");
        snprintf(name, sizeof name, "%s/logits_%s.npy", g->family, g->input);
        npy expected = npy_read_as(name, "<f8");
        double *logits = malloc(expected.count * sizeof *logits), difference = 0, norm = 0;
        assert_non_null(logits);
        assert_int_equal(model->class_count, 7);
        assert_int_equal(model->preprocessing.window, g->window);
        assert_int_equal(
            reference_published(model, input.f32, (int)input.shape[0], (int)input.shape[2], (int)input.shape[3], logits, NULL, NULL),
            SEGRT_OK);
        for (size_t k = 0; k < expected.count; k++) {
            difference += (logits[k] - expected.f64[k]) * (logits[k] - expected.f64[k]);
            norm += expected.f64[k] * expected.f64[k];
        }
        if (!(sqrt(difference / norm) <= (g->folded ? 2e-7 : 1e-12))) /* folding rounds two layers' weights to float32 once */
            fail_msg("%s: relative difference %g", g->file, sqrt(difference / norm));
        free(logits);
        npy_free(&input);
        npy_free(&expected);
        segrt_model_close(model);
    }
}

static void same(const char *file, const char *what, const float *a, const float *b, size_t count)
{
    if ((a == NULL) != (b == NULL) || (a && memcmp(a, b, count * sizeof *a)))
        fail_msg("%s: %s differs from the checkpoint's", file, what);
}

static void same_linear(const char *file, const char *what, const model_linear *a, const model_linear *b)
{
    assert_int_equal(a->out, b->out);
    assert_int_equal(a->in, b->in);
    same(file, what, a->weight, b->weight, (size_t)a->out * (size_t)a->in);
    same(file, what, a->bias, b->bias, (size_t)a->out);
}

static void same_conv(const char *file, const char *what, const model_conv *a, const model_conv *b, int in)
{
    assert_true(a->out == b->out && a->kernel == b->kernel && a->stride == b->stride && a->pad == b->pad);
    same(file, what, a->weight, b->weight, (size_t)a->out * (size_t)in * (size_t)a->kernel * (size_t)a->kernel);
    same(file, what, a->bias, b->bias, (size_t)a->out);
}

static void same_norm(const char *file, const char *what, const model_norm *a, const model_norm *b)
{
    assert_int_equal(a->width, b->width);
    assert_true(a->eps == b->eps);
    same(file, what, a->gamma, b->gamma, (size_t)a->width);
    same(file, what, a->beta, b->beta, (size_t)a->width);
}

static void weights_are_the_checkpoints_bit_for_bit(void **state)
{
    (void)state;
    for (int i = 0; i < GOLDENS; i++) {
        const struct golden *g = &goldens[i];
        segrt_model *a = open_golden(g), *b = open_checkpoint(g);
        for (int s = 0; s < STAGES; s++) {
            const model_stage *x = &a->stages[s], *y = &b->stages[s];
            assert_true(x->depth == y->depth && x->heads == y->heads && x->reduction == y->reduction);
            same_conv(g->file, "a patch convolution", &x->patch, &y->patch, y->patch.in);
            same_norm(g->file, "a patch norm", &x->patch_norm, &y->patch_norm);
            same_norm(g->file, "a stage norm", &x->norm, &y->norm);
            for (int j = 0; j < x->depth; j++) {
                const model_block *p = &x->blocks[j], *q = &y->blocks[j];
                same_norm(g->file, "norm1", &p->norm1, &q->norm1);
                same_linear(g->file, "a query", &p->query, &q->query);
                same_linear(g->file, "a key", &p->key, &q->key);
                same_linear(g->file, "a value", &p->value, &q->value);
                assert_true(p->scale == q->scale);
                same_conv(g->file, "a reduction", &p->reduce, &q->reduce, q->reduce.in);
                if (q->reduce.out)
                    same_norm(g->file, "a reduction's norm", &p->reduce_norm, &q->reduce_norm);
                same_linear(g->file, "a projection", &p->project, &q->project);
                same_norm(g->file, "norm2", &p->norm2, &q->norm2);
                same_linear(g->file, "fc1", &p->fc1, &q->fc1);
                same_conv(g->file, "a depthwise convolution", &p->depthwise, &q->depthwise, 1);
                same_linear(g->file, "fc2", &p->fc2, &q->fc2);
            }
            if (!g->folded || b->head.kind == HEAD_MLP)
                same_linear(g->file, "a level", &a->head.level[s], &b->head.level[s]);
            assert_int_equal(a->head.fuse_order[s], b->head.fuse_order[s]);
        }
        if (!g->folded)
            same_linear(g->file, "the fusion", &a->head.fuse, &b->head.fuse);
        same_linear(g->file, "the classifier", &a->head.classifier, &b->head.classifier);
        segrt_model_close(a);
        segrt_model_close(b);
    }
}

/* ------------------------------------------------------------------------------------ around the network */

static segrt_model *open_named(const char *file)
{
    char path[512];
    segrt_model *m = NULL;
    segrt_error error = {0};
    snprintf(path, sizeof path, TEST_SHARED "/goldens/onnx/%s", file);
    if (segrt_model_open(&m, path, NULL, &error))
        fail_msg("%s: %s", file, error.message);
    return m;
}

static void what_a_graph_does_around_the_network_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        int64_t n, h, w;
        int opset, windows;
        bool labels, full_size;
    } rows[] = {
        {"hf_ts_opset12_static.onnx", 1, 64, 96, 12, 0, false, false},
        {"hf_ts_opset17_dynamic.onnx", 0, 0, 0, 17, 0, false, false},
        {"nvlabs_dynamo_opset20_dynamic_batch.onnx", 0, 64, 64, 20, 0, false, false},
        {"nvlabs_ts_opset13_labels_dynamic.onnx", 0, 0, 0, 13, 0, true, true},
        {"nvlabs_ts_opset11_slide_one_window.onnx", 2, 64, 64, 11, 0, true, true},
        {"nvlabs_ts_opset12_slide_windows.onnx", 1, 64, 96, 12, 2, true, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        segrt_model *m = open_named(rows[i].file);
        const model_graph *g = &m->graph;
        assert_int_equal(g->input[0], rows[i].n);
        assert_int_equal(g->input[2], rows[i].h);
        assert_int_equal(g->input[3], rows[i].w);
        assert_int_equal(g->opset, rows[i].opset);
        assert_int_equal(g->windows, rows[i].windows);
        assert_int_equal(g->labels, rows[i].labels);
        assert_int_equal(g->full_size, rows[i].full_size);
        assert_int_equal(m->preprocessing.width, rows[i].h && rows[i].w ? rows[i].w : 512); /* pictures of the size that it takes */
        assert_true(g->unit == 0 && !g->align_corners);
        assert_true(strncmp(g->producer, "pytorch 2.", 10) == 0);
        segrt_model_close(m);
    }
}

/* Two windows of 64 over 96 columns lie so by any stride from 32 to 64; the file was made with 48. */
static void an_ambiguous_stride_is_the_usual_share_of_the_window(void **state)
{
    (void)state;
    segrt_model *m = open_named("nvlabs_ts_opset12_slide_windows.onnx");
    assert_int_equal(m->preprocessing.window, 64);
    assert_int_equal(m->preprocessing.stride, 48);
    assert_int_equal(m->graph.stride[0], 32);
    assert_int_equal(m->graph.stride[1], 64);
    segrt_model_close(m);
}

static const model_source *source_of(const segrt_model *m, const char *role)
{
    for (size_t i = 0; i < m->source_count; i++)
        if (strcmp(m->sources[i].role, role) == 0)
            return &m->sources[i];
    fail_msg("no source of %s", role);
    return NULL;
}

static void every_tensor_tells_its_constant_and_its_node(void **state)
{
    (void)state;
    for (int i = 0; i < GOLDENS; i++) {
        segrt_model *m = open_golden(&goldens[i]);
        assert_true(m->source_count > 100);
        for (size_t k = 0; k < m->source_count; k++)
            if (!m->sources[k].name[0] || !m->sources[k].node)
                fail_msg("%s: %s comes from nowhere", goldens[i].file, m->sources[k].role);
        segrt_model_close(m);
    }
    segrt_model *m = open_named("hf_ts_opset14_unfolded.onnx");
    const model_source *query = source_of(m, "segformer.encoder.block.0.0.attention.self.query.weight");
    assert_string_equal(query->how, "folded: Transpose, transposed");
    assert_non_null(strstr(query->name, "q_proj"));
    assert_non_null(strstr(query->node, "MatMul"));
    assert_null(source_of(m, "segformer.encoder.layer_norm.3.weight")->how);
    segrt_model_close(m);
}

/* ------------------------------------------------------------------------ out again, from both sources */

static onnx_graph *exported(const segrt_model *model, export_form form, char *path, file_map *map)
{
    segrt_error error = {0};
    onnx_graph *graph = NULL;
    const onnx_export_options options = {.form = form, .shape = {1, 64, 96}};
    if (onnx_export(model, NULL, &options, path, &error) || file_map_open(map, path, &error) ||
        onnx_graph_open(&graph, map, NULL, NULL, &error))
        fail_msg("%s", error.message);
    return graph;
}

static double relative_difference(const onnx_tensor *a, const onnx_tensor *b)
{
    double *x = malloc((a->count + 1) * sizeof *x), *y = malloc((b->count + 1) * sizeof *y), difference = 0, norm = 1e-300;
    assert_true(x && y && a->count == b->count);
    onnx_tensor_doubles(a, x);
    onnx_tensor_doubles(b, y);
    for (size_t i = 0; i < a->count; i++) {
        difference += (x[i] - y[i]) * (x[i] - y[i]);
        norm += x[i] * x[i];
    }
    free(x);
    free(y);
    return sqrt(difference / norm);
}

static void an_import_and_its_checkpoint_export_the_same_graph(void **state)
{
    (void)state;
    char first[] = "/tmp/segrt_export_a_XXXXXX", second[] = "/tmp/segrt_export_b_XXXXXX";
    close(mkstemp(first));
    close(mkstemp(second));
    for (int i = 0; i < 2 * GOLDENS; i++) {
        const struct golden *g = &goldens[i / 2];
        segrt_model *from_onnx = open_golden(g), *from_checkpoint = open_checkpoint(g);
        file_map a_map, b_map;
        onnx_graph *a = exported(from_onnx, i % 2, first, &a_map), *b = exported(from_checkpoint, i % 2, second, &b_map);
        assert_int_equal(a->node_count, b->node_count);
        for (int n = 0; n < a->node_count; n++) {
            assert_string_equal(a->nodes[n].op, b->nodes[n].op);
            assert_string_equal(a->nodes[n].name, b->nodes[n].name);
            assert_int_equal(a->nodes[n].input_count, b->nodes[n].input_count);
            for (int k = 0; k < a->nodes[n].input_count; k++)
                assert_int_equal(a->nodes[n].inputs[k], b->nodes[n].inputs[k]);
        }
        for (int v = 0; v < a->value_count; v++) {
            assert_string_equal(a->values[v].name, b->values[v].name);
            const onnx_tensor *x = a->values[v].constant, *y = b->values[v].constant;
            assert_true((x == NULL) == (y == NULL));
            const double difference = x ? relative_difference(x, y) : 0;
            const bool touched =
                g->folded && (strncmp(a->values[v].name, "head.fuse", 9) == 0 || strncmp(a->values[v].name, "head.level", 10) == 0);
            if (difference > (touched ? 1e-6 : 0))
                fail_msg("%s: '%s' differs by %g", g->file, a->values[v].name, difference);
        }
        onnx_graph_close(a);
        onnx_graph_close(b);
        file_map_close(&a_map);
        file_map_close(&b_map);
        segrt_model_close(from_onnx);
        segrt_model_close(from_checkpoint);
    }
    unlink(first);
    unlink(second);
}

int main(void)
{
    if (access(TEST_SHARED "/goldens/onnx", R_OK)) {
        puts("skipped: ../shared/goldens is not here");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_export_gives_the_goldens_logits),
        cmocka_unit_test(weights_are_the_checkpoints_bit_for_bit),
        cmocka_unit_test(what_a_graph_does_around_the_network_is_told),
        cmocka_unit_test(an_ambiguous_stride_is_the_usual_share_of_the_window),
        cmocka_unit_test(every_tensor_tells_its_constant_and_its_node),
        cmocka_unit_test(an_import_and_its_checkpoint_export_the_same_graph),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
