/* Every file format and naming scheme holds the same network: weights are bit-equal, whatever wrote them.  The fixtures are
 * tests/data/checkpoints, made by make_checkpoints.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "model/model.h"

static segrt_model *open_path(const char *folder, const char *name)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    segrt_error error = {0};
    segrt_model *model = NULL;
    if (segrt_model_open(&model, path, NULL, &error))
        fail_msg("%s: %s", error.file, error.message);
    return model;
}

static segrt_model *open_fixture(const char *name)
{
    return open_path(TEST_DATA "/checkpoints", name);
}

static void equal_floats(const char *what, const float *a, const float *b, size_t count)
{
    if (!a != !b || (a && memcmp(a, b, count * sizeof *a)))
        fail_msg("%s differs", what);
}

static void equal_linear(const char *what, const model_linear *a, const model_linear *b)
{
    if (a->out != b->out || a->in != b->in)
        fail_msg("%s is [%d, %d], not [%d, %d]", what, a->out, a->in, b->out, b->in);
    equal_floats(what, a->weight, b->weight, (size_t)a->out * (size_t)a->in);
    equal_floats(what, a->bias, b->bias, (size_t)a->out);
}

static void equal_conv(const char *what, const model_conv *a, const model_conv *b, bool depthwise)
{
    if (a->out != b->out || a->in != b->in || a->kernel != b->kernel || a->stride != b->stride || a->pad != b->pad)
        fail_msg("%s has another shape", what);
    equal_floats(what, a->weight, b->weight, (size_t)a->out * (size_t)(depthwise ? 1 : a->in) * (size_t)a->kernel * (size_t)a->kernel);
    equal_floats(what, a->bias, b->bias, (size_t)a->out);
}

static void equal_norm(const char *what, const model_norm *a, const model_norm *b)
{
    assert_int_equal(a->width, b->width);
    equal_floats(what, a->gamma, b->gamma, (size_t)a->width);
    equal_floats(what, a->beta, b->beta, (size_t)a->width);
}

static void equal_backbone(const segrt_model *a, const segrt_model *b)
{
    for (int i = 0; i < STAGES; i++) {
        const model_stage *s = &a->stages[i], *t = &b->stages[i];
        assert_int_equal(s->depth, t->depth);
        assert_int_equal(s->heads, t->heads);
        assert_int_equal(s->reduction, t->reduction);
        equal_conv("patch", &s->patch, &t->patch, false);
        equal_norm("patch norm", &s->patch_norm, &t->patch_norm);
        equal_norm("stage norm", &s->norm, &t->norm);
        for (int j = 0; j < s->depth; j++) {
            const model_block *p = &s->blocks[j], *q = &t->blocks[j];
            equal_norm("norm1", &p->norm1, &q->norm1);
            equal_norm("norm2", &p->norm2, &q->norm2);
            equal_linear("query", &p->query, &q->query);
            equal_linear("key", &p->key, &q->key);
            equal_linear("value", &p->value, &q->value);
            equal_conv("reduce", &p->reduce, &q->reduce, false);
            equal_norm("reduce norm", &p->reduce_norm, &q->reduce_norm);
            equal_linear("project", &p->project, &q->project);
            equal_linear("fc1", &p->fc1, &q->fc1);
            equal_conv("depthwise", &p->depthwise, &q->depthwise, true);
            equal_linear("fc2", &p->fc2, &q->fc2);
        }
    }
}

static void equal_batch_norm(const char *what, const model_batch_norm *a, const model_batch_norm *b)
{
    const size_t width = (size_t)a->width;
    assert_int_equal(a->width, b->width);
    equal_floats(what, a->gamma, b->gamma, width);
    equal_floats(what, a->beta, b->beta, width);
    equal_floats(what, a->mean, b->mean, width);
    equal_floats(what, a->variance, b->variance, width);
}

static void equal_head(const segrt_model *a, const segrt_model *b)
{
    assert_int_equal(a->head.kind, b->head.kind);
    for (int i = 0; i < STAGES; i++) {
        equal_linear("level", &a->head.level[i], &b->head.level[i]);
        assert_int_equal(a->head.fuse_order[i], b->head.fuse_order[i]);
    }
    equal_linear("fuse", &a->head.fuse, &b->head.fuse);
    equal_batch_norm("fuse norm", &a->head.fuse_norm, &b->head.fuse_norm);
    equal_linear("classifier", &a->head.classifier, &b->head.classifier);
}

static void every_format_and_naming_scheme_gives_bit_equal_weights(void **state)
{
    (void)state;
    static const struct {
        const char *name, *family;
        double block_eps, embed_eps;
        const char *first_class; /* where the file names its classes */
    } rows[] = {
        {"hf_f16.safetensors", "hf", 1e-5, 1e-5, NULL},
        {"hf_bf16.safetensors", "hf", 1e-5, 1e-5, NULL},
        {"sharded", "hf", 1e-5, 1e-5, "lawn"},
        {"sharded/model.safetensors.index.json", "hf", 1e-5, 1e-5, "lawn"},
        {"transformers5.safetensors", "hf", 1e-5, 1e-5, NULL},
        {"hf.bin", "hf", 1e-5, 1e-5, NULL},
        {"hf_bf16_legacy.bin", "hf", 1e-5, 1e-5, NULL},
        {"hf_zip64.bin", "hf", 1e-5, 1e-5, NULL},
        {"hf_strided.bin", "hf", 1e-5, 1e-5, NULL},
        {"hf_mixed.bin", "hf", 1e-5, 1e-5, NULL},
        {"nvlabs.pth", "nvlabs", 1e-6, 1e-5, "lawn"},
        {"nvlabs_legacy.pth", "nvlabs", 1e-6, 1e-5, "lawn"},
        {"smp", "smp", 1e-6, 1e-5, NULL},
        {"paddle.pdparams", "paddle", 1e-6, 1e-5, NULL},
        {"paddle_protocol2.pdparams", "paddle", 1e-6, 1e-5, NULL},
        {"paddle_tuples.pdparams", "paddle", 1e-6, 1e-5, NULL},
    };
    segrt_model *expected = open_fixture("hf");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        segrt_model *model = open_fixture(rows[i].name);
        assert_string_equal(model->family, rows[i].family);
        equal_backbone(model, expected);
        equal_head(model, expected);
        assert_true(model->parameters == expected->parameters);
        const model_stage *s = &model->stages[1];
        assert_true(s->blocks[1].norm1.eps == rows[i].block_eps && s->norm.eps == rows[i].block_eps);
        assert_true(s->patch_norm.eps == rows[i].embed_eps && s->blocks[0].reduce_norm.eps == rows[i].embed_eps);
        assert_string_equal(segrt_model_class_name(model, 0), rows[i].first_class ? rows[i].first_class : "class 0");
        segrt_model_close(model);
    }
    segrt_model_close(expected);
}

static void mmsegmentations_container_brings_its_own_head_classes_and_window(void **state)
{
    (void)state;
    segrt_model *expected = open_fixture("hf"), *model = open_fixture("mmseg.pth");
    assert_string_equal(model->family, "mmseg");
    equal_backbone(model, expected);
    assert_int_equal(model->head.kind, HEAD_CONV);
    assert_null(model->head.level[2].bias);
    assert_int_equal(model->head.level_norm[3].width, 8);
    assert_int_equal(model->head.fuse_order[0], 0);
    assert_true(model->stages[0].patch_norm.eps == 1e-6);
    assert_string_equal(segrt_model_class_name(model, 2), "house");
    uint8_t rgb[3];
    segrt_model_class_color(model, 1, rgb);
    assert_memory_equal(rgb, ((uint8_t[]){4, 5, 6}), 3);
    assert_int_equal(model->preprocessing.window, 512);
    assert_int_equal(model->preprocessing.stride, 384);
    assert_true(model->preprocessing.via_input);
    segrt_model_close(model);
    segrt_model_close(expected);
}

static void a_backbone_has_no_head_unless_a_random_one_is_asked_for(void **state)
{
    (void)state;
    segrt_model *expected = open_fixture("hf"), *model = open_fixture("mit.pth"), *twice[2];
    equal_backbone(model, expected);
    assert_int_equal(model->head.kind, HEAD_NONE);
    assert_int_equal(model->class_count, 0);
    assert_null(segrt_model_class_name(model, 0));
    segrt_model_close(model);
    segrt_model_close(expected);
    const segrt_model_options options = {.size = sizeof options, .random_head_classes = 5};
    for (int i = 0; i < 2; i++)
        assert_int_equal(segrt_model_open(&twice[i], TEST_DATA "/checkpoints/mit.pth", &options, NULL), SEGRT_OK);
    assert_true(twice[0]->random_head);
    assert_int_equal(twice[0]->class_count, 5);
    assert_int_equal(twice[0]->decoder_width, 256);
    equal_head(twice[0], twice[1]);
    segrt_model_close(twice[0]);
    segrt_model_close(twice[1]);
}

static void the_old_form_of_the_preprocessor_is_read(void **state)
{
    (void)state;
    segrt_model *model = open_fixture("hf");
    const segrt_preprocessing *p = &model->preprocessing;
    assert_int_equal(p->resize, SEGRT_RESIZE_EXACT);
    assert_int_equal(p->width, 256);
    assert_int_equal(p->height, 256);
    assert_int_equal(p->resample, SEGRT_RESAMPLE_PILLOW_BICUBIC);
    assert_true(p->mean[1] == 127.5f && p->deviation[1] == 63.75f);
    segrt_model_close(model);
}

static void sources_say_where_each_weight_came_from(void **state)
{
    (void)state;
    segrt_model *model = open_fixture("nvlabs.pth");
    bool found = false;
    for (size_t i = 0; i < model->source_count; i++) {
        const model_source *s = &model->sources[i];
        if (strcmp(s->role, "segformer.encoder.block.1.1.attention.self.value.weight"))
            continue;
        found = true;
        assert_string_equal(s->name, "backbone.block2.1.attn.kv.weight");
        assert_string_equal(s->type, "F16");
        assert_int_equal(s->rank, 2);
        assert_int_equal(s->shape[0], 16);
    }
    assert_true(found);
    char digest[MODEL_DIGEST];
    model_digest(model, digest);
    assert_int_equal(strlen(digest), 64);
    segrt_model_close(model);
}

static void heads_come_from_the_options_where_no_config_tells(void **state)
{
    (void)state;
    const segrt_model_options options = {.size = sizeof options, .heads = {2, 4, 2, 4}};
    segrt_model *model;
    assert_int_equal(segrt_model_open(&model, TEST_DATA "/checkpoints/nvlabs.pth", &options, NULL), SEGRT_OK);
    assert_int_equal(model->stages[1].heads, 4);
    assert_true(model->stages[0].blocks[0].scale == 0.5);
    segrt_model_close(model);
    const segrt_model_options wrong = {.size = sizeof wrong, .heads = {3, 1, 1, 1}};
    segrt_error error = {0};
    assert_int_equal(segrt_model_open(&model, TEST_DATA "/checkpoints/nvlabs.pth", &wrong, &error), SEGRT_NOT_SEGFORMER);
    assert_non_null(strstr(error.message, "8 channels cannot be shared by 3 heads"));
}

/* The larger files that the goldens were computed from are not copied. */
static void the_goldens_of_one_network_are_bit_equal_too(void **state)
{
    (void)state;
    static const char *const same[][2] = {
        {"hf", "hf/pytorch_model.bin"}, {"hf", "hf5"}, {"nvlabs/segformer_tiny.pth", "nvlabs/segformer_tiny_legacy.pth"}};
    if (access(TEST_SHARED "/goldens", R_OK)) {
        printf("skipped: the goldens are not here\n");
        skip();
    }
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        segrt_model *a = open_path(TEST_SHARED "/goldens", same[i][0]), *b = open_path(TEST_SHARED "/goldens", same[i][1]);
        equal_backbone(a, b);
        equal_head(a, b);
        segrt_model_close(a);
        segrt_model_close(b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_format_and_naming_scheme_gives_bit_equal_weights),
        cmocka_unit_test(mmsegmentations_container_brings_its_own_head_classes_and_window),
        cmocka_unit_test(a_backbone_has_no_head_unless_a_random_one_is_asked_for),
        cmocka_unit_test(the_old_form_of_the_preprocessor_is_read),
        cmocka_unit_test(sources_say_where_each_weight_came_from),
        cmocka_unit_test(heads_come_from_the_options_where_no_config_tells),
        cmocka_unit_test(the_goldens_of_one_network_are_bit_equal_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
