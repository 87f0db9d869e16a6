/* What opening a checkpoint promises: every family's files become the same canonical model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "model/model.h"

static segrt_model *open_data(const char *name)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", TEST_DATA, name);
    segrt_error error = {0};
    segrt_model *model = NULL;
    if (segrt_model_open(&model, path, NULL, &error))
        fail_msg("%s: %s", error.file, error.message);
    return model;
}

static void a_hugging_face_folder_is_opened_with_names_and_preprocessing(void **state)
{
    (void)state;
    segrt_model *model = open_data("hf");
    segrt_model_info info = {.size = sizeof info};
    segrt_model_describe(model, &info);
    assert_string_equal(info.family, "hf");
    assert_string_equal(info.variant, "custom");
    assert_int_equal(info.classes, 7);
    assert_memory_equal(info.width, ((int32_t[]){8, 16, 40, 64}), sizeof info.width);
    assert_memory_equal(info.depth, ((int32_t[]){2, 1, 2, 1}), sizeof info.depth);
    assert_memory_equal(info.heads, ((int32_t[]){1, 2, 5, 8}), sizeof info.heads);
    assert_memory_equal(info.reduction, ((int32_t[]){8, 4, 2, 1}), sizeof info.reduction);
    assert_int_equal(info.decoder_width, 32);
    assert_string_equal(segrt_model_class_name(model, 2), "road");
    assert_null(segrt_model_class_name(model, 7));
    segrt_preprocessing p = {.size = sizeof p};
    segrt_model_preprocessing(model, &p);
    assert_int_equal(p.resize, SEGRT_RESIZE_EXACT);
    assert_int_equal(p.width, 512);
    assert_int_equal(p.resample, SEGRT_RESAMPLE_PILLOW_BILINEAR);
    assert_false(p.via_input);
    assert_true(p.mean[0] == 123.675f && p.deviation[2] == 57.375f);
    assert_int_equal(model_smallest_side(model), 29);
    assert_true(model->stages[0].blocks[0].norm1.eps == 1e-5);
    segrt_model_close(model);
}

static void a_lone_weights_file_needs_no_config(void **state)
{
    (void)state;
    char path[1024];
    snprintf(path, sizeof path, "%s/hf/model.safetensors", TEST_DATA);
    file_map file;
    assert_int_equal(file_map_open(&file, path, NULL), SEGRT_OK);
    segrt_model *model = NULL;
    const segrt_file given = {.name = "weights", .data = file.data, .size = file.size};
    segrt_error error = {0};
    assert_int_equal(segrt_model_open_files(&model, &given, 1, NULL, &error), SEGRT_OK);
    assert_string_equal(segrt_model_class_name(model, 2), "class 2");
    assert_true((const char *)model->stages[0].patch.weight >= (const char *)file.data); /* mapped, not copied */
    assert_true((const char *)model->stages[0].patch.weight < (const char *)file.data + file.size);
    segrt_model_close(model);
    file_map_close(&file);
}

static void a_caller_compiled_against_an_older_header_gets_its_fields_only(void **state)
{
    (void)state;
    segrt_model *model = open_data("hf");
    segrt_model_info info;
    memset(&info, 0x55, sizeof info);
    info.size = offsetof(segrt_model_info, classes);
    segrt_model_describe(model, &info);
    assert_string_equal(info.variant, "custom");
    assert_int_equal(info.classes, 0x55555555);
    assert_int_equal(info.size, offsetof(segrt_model_info, classes));
    segrt_model_close(model);
}

static void a_graph_takes_names_and_sizes_from_the_files_beside_it(void **state)
{
    (void)state;
    static const char config[] = "{\"model_type\": \"segformer\", \"id2label\": {\"0\": \"sky\", \"1\": \"sea\"}}",
                      sizes[] = "{\"size\": 96}";
    file_map graph;
    if (file_map_open(&graph, TEST_SHARED "/goldens/onnx/hf_ts_opset12_static.onnx", NULL)) {
        printf("skipped: the golden graphs are not here\n");
        skip();
    }
    const segrt_file files[] = {{"model.onnx", graph.data, graph.size},
                                {"config.json", config, strlen(config)},
                                {"preprocessor_config.json", sizes, strlen(sizes)}};
    segrt_model *model = NULL;
    segrt_error error = {0};
    if (segrt_model_open_files(&model, files, 3, NULL, &error))
        fail_msg("%s", error.message);
    assert_string_equal(segrt_model_class_name(model, 1), "sea");
    assert_string_equal(segrt_model_class_name(model, 2), "class 2");
    assert_int_equal(model->preprocessing.width, 96);
    segrt_model_close(model);
    file_map_close(&graph);
}

static void a_missing_path_is_an_io_error_that_names_it(void **state)
{
    (void)state;
    segrt_model *model = (segrt_model *)1;
    segrt_error error = {0};
    assert_int_equal(segrt_model_open(&model, "/nowhere/model.safetensors", NULL, &error), SEGRT_IO);
    assert_null(model);
    assert_string_equal(error.file, "/nowhere/model.safetensors");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hugging_face_folder_is_opened_with_names_and_preprocessing),
        cmocka_unit_test(a_lone_weights_file_needs_no_config),
        cmocka_unit_test(a_caller_compiled_against_an_older_header_gets_its_fields_only),
        cmocka_unit_test(a_graph_takes_names_and_sizes_from_the_files_beside_it),
        cmocka_unit_test(a_missing_path_is_an_io_error_that_names_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
