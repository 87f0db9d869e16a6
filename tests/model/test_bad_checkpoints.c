/* What is wrong with a checkpoint is said by name: one test a kind of fault, one row a fault.  Faults are made by changing a few bytes of a
 * whole fixture, or are written out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file_map.h"
#include "segrt/segrt.h"

typedef struct memory_file {
    char *data;
    size_t size;
} memory_file;

static memory_file read_file(const char *path)
{
    file_map map;
    if (file_map_open(&map, path, NULL))
        fail_msg("cannot open %s", path);
    memory_file f = {.data = malloc(map.size), .size = map.size};
    memcpy(f.data, map.data, map.size);
    file_map_close(&map);
    return f;
}

/* Replaces the first occurrence by a text of the same length. */
static void change(memory_file *f, const char *from, const char *to)
{
    char *at = memmem(f->data, f->size, from, strlen(from));
    assert_non_null(at);
    assert_int_equal(strlen(from), strlen(to));
    memcpy(at, to, strlen(to));
}

static void refused(const segrt_file *files, size_t count, segrt_status status, const char *words)
{
    segrt_model *model = (segrt_model *)1;
    segrt_error error = {0};
    const segrt_status got = segrt_model_open_files(&model, files, count, NULL, &error);
    assert_null(model);
    if (got != status || error.status != status || !strstr(error.message, words))
        fail_msg("status %d '%s'; expected %d '%s'", (int)got, error.message, (int)status, words);
}

static void refused_weights(const char *data, size_t size, segrt_status status, const char *words)
{
    refused(&(segrt_file){.name = "weights", .data = data, .size = size}, 1, status, words);
}

#define HF TEST_DATA "/checkpoints/hf/"

static void a_tensor_that_is_missing_misshapen_or_too_many_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *words;
    } rows[] = {
        {"decode_head.classifier.bias\"", "decode_head.classifier.bia5\"", "tensor 'decode_head.classifier.bias' is missing"},
        {"encoder.block.1.1.layer_norm_1.weight\"", "encoder.block.1.1.layer_norm_1.Weight\"",
         "tensor 'segformer.encoder.block.1.1.layer_norm_1.weight' is missing"},
        {"batch_norm.num_batches_tracked\"", "batch_norm.num_batches_trackeD\"",
         "tensor 'decode_head.batch_norm.num_batches_trackeD' [] is one too many"},
        {"mlp.dense2.weight\":{\"dtype\":\"F32\",\"shape\":[8,32]", "mlp.dense2.weight\":{\"dtype\":\"F32\",\"shape\":[32,8]",
         "tensor 'segformer.encoder.block.0.0.mlp.dense2.weight' has shape [32, 8]; [8, 32] was expected"},
        {"patch_embeddings.0.proj.weight\":{\"dtype\":\"F32\",\"shape\":[8,3,7,7]",
         "patch_embeddings.0.proj.weight\":{\"dtype\":\"F32\",\"shape\":[8,7,3,7]", "has shape [8, 7, 3, 7]; [any, 3, 3, 3] was expected"},
        {"decode_head.classifier.bias\":{\"dtype\":\"F32\"", "decode_head.classifier.bias\":{\"dtype\":\"I32\"", "has type I32"},
        {"encoder.patch_embeddings.0.proj.weight\"", "encoder.patch_embeddings.0.proj.wEight\"", "no SegFormer's patch embedding among"},
        {"encoder.layer_norm.0.weight\"", "encoder.layer_norm.1.weight\"", "not valid JSON: duplicate object key"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        memory_file f = read_file(HF "model.safetensors");
        change(&f, rows[i].from, rows[i].to);
        const segrt_status status = strstr(rows[i].words, "JSON")   ? SEGRT_MALFORMED
                                    : strstr(rows[i].words, "type") ? SEGRT_UNSUPPORTED
                                                                    : SEGRT_NOT_SEGFORMER;
        refused_weights(f.data, f.size, status, rows[i].words);
        free(f.data);
    }
}

static void a_safetensors_header_is_checked_against_the_file(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t data;
        segrt_status status;
        const char *words;
    } rows[] = {
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,12]}}", 8, SEGRT_MALFORMED, "tensor 'a' lies at bytes 0 to 12 of 8"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", 8, SEGRT_MALFORMED,
         "tensor 'a' has 8 bytes, which its shape and type F32 do not make"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", 8, SEGRT_MALFORMED, "tensor 'a' lies at bytes 8 to 0"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", 8, SEGRT_MALFORMED, "dimension 0"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,8]}}", 8, SEGRT_MALFORMED, "do not make"},
        {"{\"a\":{\"dtype\":\"F4\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, SEGRT_UNSUPPORTED, "unknown type 'F4'"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,2],\"data_offsets\":[0,8]}}", 8, SEGRT_UNSUPPORTED, "9 dimensions"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, SEGRT_MALFORMED, "lacks dtype, shape or data_offsets"},
        {"{\"a\":7}", 0, SEGRT_MALFORMED, "lacks dtype, shape or data_offsets"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 9, SEGRT_MALFORMED, "1 bytes behind the last tensor"},
        {"{\"\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, SEGRT_MALFORMED, "name is empty"},
        {"{\"a\\n\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, SEGRT_MALFORMED, "control characters"},
        {"{\"a\":[[[[[[[[", 0, SEGRT_MALFORMED, "not valid JSON"},
        {"{}", 0, SEGRT_NOT_SEGFORMER, "no SegFormer's patch embedding"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const uint64_t length = strlen(rows[i].header);
        const size_t size = 8 + length + rows[i].data;
        char *data = calloc(1, size);
        memcpy(data, &length, 8);
        memcpy(data + 8, rows[i].header, length);
        refused_weights(data, size, rows[i].status, rows[i].words);
        free(data);
    }
    refused_weights("\xff\xff\0\0\0\0\0\0{}", 10, SEGRT_MALFORMED, "the header has 65535 bytes, the file 10");
}

static void deep_nesting_in_json_is_refused(void **state)
{
    (void)state;
    enum { DEPTH = 1 << 20 };
    char *data = malloc(8 + 5 + DEPTH);
    const uint64_t length = 5 + DEPTH;
    memcpy(data, &length, 8);
    memcpy(data + 8, "{\"a\":", 5);
    memset(data + 13, '[', DEPTH);
    refused_weights(data, 8 + length, SEGRT_MALFORMED, "maximum parsing depth");
    free(data);
}

#define PICKLE(text) text, sizeof text - 1

static void a_pickle_runs_nothing_and_stays_in_its_bounds(void **state)
{
    (void)state;
    static const struct {
        const char *data;
        size_t size;
        segrt_status status;
        const char *words;
    } rows[] = {
        {PICKLE("\x80\x02"
                "cposix\nsystem\nX\x11\0\0\0echo broken > /aa\x85R."),
         SEGRT_UNSUPPORTED, "holds a Python object (posix.system)"},
        {PICKLE("\x80\x02"
                "ctorch.nn\nLinear\n)\x81}b."),
         SEGRT_UNSUPPORTED, "save model.state_dict() instead"},
        {PICKLE("\x80\x02}q\0X\1\0\0\0ah\0s."), SEGRT_NOT_SEGFORMER, "no dictionary of tensors"}, /* holds itself */
        {PICKLE("\x80\x02]q\0h\0\x61."), SEGRT_NOT_SEGFORMER, "no dictionary of tensors"},
        {PICKLE("\x80\x02N."), SEGRT_NOT_SEGFORMER, "no dictionary of tensors"},
        {PICKLE("\x80\x02."), SEGRT_MALFORMED, "ends without a value"},
        {PICKLE("\x80\x02"
                "0."),
         SEGRT_MALFORMED, "nothing to take"},
        {PICKLE("\x80\x02(0."), SEGRT_MALFORMED, "nothing to take"}, /* not through the mark */
        {PICKLE("\x80\x02t."), SEGRT_MALFORMED, "no mark"},
        {PICKLE("\x80\x02h\7."), SEGRT_MALFORMED, "recalls what it never remembered"},
        {PICKLE("\x80\x02Nr\xff\xff\xff\xff."), SEGRT_UNSUPPORTED, "more remembered values"},
        {PICKLE("\x80\x02(Nd."), SEGRT_MALFORMED, "a key without a value"},
        {PICKLE("\x80\x02NNa."), SEGRT_MALFORMED, "not a container"},
        {PICKLE("\x80\x02\x82\1."), SEGRT_UNSUPPORTED, "pickle opcode 0x82"},
        {PICKLE("\x80\x02X\xff\xff\xff\x7f"
                "abc"),
         SEGRT_MALFORMED, "ends in the middle"},
        {PICKLE("\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xff"
                "abc"),
         SEGRT_MALFORMED, "ends in the middle"},
        {PICKLE("\x80\x02"
                "cposix\n"),
         SEGRT_MALFORMED, "ends in the middle"},
        {PICKLE("\x80\x04NN\x93."), SEGRT_MALFORMED, "a global without a name"},
        {PICKLE("\x80\x02NQ."), SEGRT_NOT_SEGFORMER, "no dictionary of tensors"},
        {PICKLE("\x80\x02"
                "c_codecs\nencode\nX\2\0\0\0\xe2\x82X\6\0\0\0latin1\x86R."),
         SEGRT_MALFORMED, "not Latin-1"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        refused_weights(rows[i].data, rows[i].size, rows[i].status, rows[i].words);
}

/* `before`, then `unit` so many times, then `after`. */
static void refused_repetition(const char *before, size_t before_size, const char *unit, size_t times, const char *after,
                               segrt_status status, const char *words)
{
    const size_t unit_size = strlen(unit), size = before_size + unit_size * times + strlen(after);
    char *data = malloc(size), *at = data + before_size;
    memcpy(data, before, before_size);
    for (size_t i = 0; i < times; i++, at += unit_size)
        memcpy(at, unit, unit_size);
    memcpy(at, after, strlen(after));
    refused_weights(data, size, status, words);
    free(data);
}

static void a_pickle_of_millions_of_values_is_refused_before_they_are_made(void **state)
{
    (void)state;
    enum { MILLIONS = 3000000 };
    refused_repetition(PICKLE("\x80\x02"), "}", MILLIONS, ".", SEGRT_UNSUPPORTED, "more values");
    refused_repetition(PICKLE("\x80\x02N"), "2", MILLIONS, ".", SEGRT_UNSUPPORTED, "more values");
    refused_repetition(PICKLE("\x80\x02"), "(", MILLIONS, ".", SEGRT_UNSUPPORTED, "more marks");
    refused_repetition(PICKLE("\x80\x02)"), "\x85", 500000, ".", SEGRT_NOT_SEGFORMER, "no dictionary of tensors"); /* half a million deep */
    refused_repetition(PICKLE("\x80\x02]q\0"), "h", 1, "", SEGRT_MALFORMED, "ends in the middle");
}

static void a_zip_archive_is_believed_only_where_it_can_be(void **state)
{
    (void)state;
    static const struct {
        size_t at; /* in the first entry of the directory */
        char byte;
        segrt_status status;
        const char *words;
    } rows[] = {
        {10, 8, SEGRT_UNSUPPORTED, "is compressed"},   {8, 1, SEGRT_UNSUPPORTED, "is encrypted"},
        {0, 'Q', SEGRT_MALFORMED, "a broken entry"},   {43, 1, SEGRT_MALFORMED, "does not lie in the file"}, /* its offset */
        {31, 1, SEGRT_MALFORMED, "a broken entry"}, /* the length of its extra field */
        {46, 0, SEGRT_MALFORMED, "holds a zero byte"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        memory_file f = read_file(TEST_DATA "/checkpoints/hf.bin");
        char *entry = memmem(f.data, f.size, "PK\1\2", 4);
        assert_non_null(entry);
        entry[rows[i].at] = rows[i].byte;
        refused_weights(f.data, f.size, rows[i].status, rows[i].words);
        free(f.data);
    }
    memory_file f = read_file(TEST_DATA "/checkpoints/hf.bin");
    change(&f, "little", "biggie");
    refused_weights(f.data, f.size, SEGRT_UNSUPPORTED, "big-endian");
    free(f.data);
    f = read_file(TEST_DATA "/checkpoints/hf.bin");
    for (char *at = f.data; (at = memmem(at, f.size - (size_t)(at - f.data), "data.pkl", 8)) != NULL;)
        memcpy(at, "dato", 4);
    refused_weights(f.data, f.size, SEGRT_UNSUPPORTED, "without data.pkl");
    free(f.data);
    refused_weights(PICKLE("PK\5\6\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), SEGRT_UNSUPPORTED, "without data.pkl");
}

static void a_tensor_cannot_reach_beyond_its_storage(void **state)
{
    (void)state;
    static const struct {
        const char *from;
        size_t size;
        const char *to, *words;
    } rows[] = {
        /* sizes (8, 3, 7, 7) of the first tensor: BININT1 each */
        {"K\x08K\x03K\x07K\x07t", 9, "K\x09K\x03K\x07K\x07t", "reaches beyond the 1176 elements of its storage"},
        {"K\x08K\x03K\x07K\x07t", 9, "N0K\x03K\x07K\x07t", "are not those of a tensor"},
        {"M\x98\x04t", 4, "M\x99\x04t", "1177 elements of F16 were announced"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        memory_file f = read_file(TEST_DATA "/checkpoints/hf.bin");
        char *at = memmem(f.data, f.size, rows[i].from, rows[i].size);
        assert_non_null(at);
        memcpy(at, rows[i].to, rows[i].size);
        refused_weights(f.data, f.size, SEGRT_MALFORMED, rows[i].words);
        free(f.data);
    }
}

static void an_index_leads_nowhere_but_into_its_own_folder(void **state)
{
    (void)state;
    static const char *const names[] = {"../model.safetensors", "/etc/hostname", "a/b", "..", ".hidden", "", "a\\\\b"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char index[256];
        snprintf(index, sizeof index, "{\"weight_map\": {\"x\": \"%s\"}}", names[i]);
        refused(&(segrt_file){.name = "model.safetensors.index.json", .data = index, .size = strlen(index)}, 1, SEGRT_MALFORMED,
                "is not a plain name in the model's own folder");
    }
    static const char missing[] = "{\"weight_map\": {\"x\": \"gone\"}}", empty[] = "{}",
                      itself[] = "{\"weight_map\": {\"x\": \"model.safetensors.index.json\"}}";
    refused(&(segrt_file){.name = "model.safetensors.index.json", .data = missing, .size = strlen(missing)}, 1, SEGRT_IO,
            "the model's file 'gone' is missing");
    refused(&(segrt_file){.name = "model.safetensors.index.json", .data = empty, .size = strlen(empty)}, 1, SEGRT_MALFORMED,
            "no \"weight_map\"");
    refused(&(segrt_file){.name = "model.safetensors.index.json", .data = itself, .size = strlen(itself)}, 1, SEGRT_UNSUPPORTED,
            "not a format that is read");
}

static void what_stands_beside_the_weights_must_fit_them(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text;
        segrt_status status;
        const char *words;
    } rows[] = {
        {"config.json", "{\"model_type\": \"bert\"}", SEGRT_NOT_SEGFORMER, "\"model_type\" is 'bert'"},
        {"config.json", "{}", SEGRT_NOT_SEGFORMER, "neither \"model_type\""},
        {"config.json", "[]", SEGRT_MALFORMED, "a JSON object was expected"},
        {"config.json", "{\"model_type\": \"segformer\"", SEGRT_MALFORMED, "not valid JSON"},
        {"config.json", "{\"model_type\": \"segformer\", \"hidden_act\": \"relu\"}", SEGRT_UNSUPPORTED, "\"hidden_act\" is 'relu'"},
        {"config.json", "{\"model_type\": \"segformer\", \"num_channels\": 4}", SEGRT_UNSUPPORTED, "\"num_channels\" is not 3"},
        {"config.json", "{\"model_type\": \"segformer\", \"depths\": [1, 2]}", SEGRT_MALFORMED, "\"depths\" must be a list of 4 numbers"},
        {"config.json", "{\"model_type\": \"segformer\", \"depths\": [1, 2, 1, 1e9]}", SEGRT_MALFORMED,
         "\"depths\"[3] must be a whole number"},
        {"config.json", "{\"model_type\": \"segformer\", \"depths\": [1, 3, 1, 1]}", SEGRT_NOT_SEGFORMER,
         "config.json says 3 for depths[1], the tensors' shapes say 2"},
        {"config.json", "{\"model_type\": \"segformer\", \"num_attention_heads\": [1, 3, 5, 8]}", SEGRT_NOT_SEGFORMER,
         "8 channels cannot be shared by 3 heads"},
        {"config.json", "{\"model_type\": \"segformer\", \"id2label\": {\"0\": \"a\", \"2\": \"b\"}}", SEGRT_MALFORMED,
         "must name the labels 0 to 1"},
        {"config.json", "{\"model_type\": \"segformer\", \"palette\": [[1, 2]]}", SEGRT_MALFORMED, "\"palette\"[0]"},
        {"config.json", "{\"encoder_name\": \"mit_b0\", \"classes\": 4}", SEGRT_NOT_SEGFORMER, "config.json says 4 classes"},
        {"config.json", "{\"encoder_name\": \"mit_b0\", \"_model_class\": \"Unet\"}", SEGRT_NOT_SEGFORMER, "\"_model_class\" is 'Unet'"},
        {"preprocessor_config.json", "{\"size\": 0}", SEGRT_MALFORMED, "\"size\" must be"},
        {"preprocessor_config.json", "{\"size\": {\"height\": 512}}", SEGRT_MALFORMED, "\"width\" must be"},
        {"preprocessor_config.json", "{\"size\": {\"shortest_edge\": 2, \"longest_edge\": 4}}", SEGRT_UNSUPPORTED, "longest_edge"},
        {"preprocessor_config.json", "{\"resample\": 1}", SEGRT_UNSUPPORTED, "\"resample\" is 1"},
        {"preprocessor_config.json", "{\"image_std\": [0, 1, 1]}", SEGRT_MALFORMED, "\"image_std\" must be three numbers"},
        {"preprocessor_config.json", "{\"rescale_factor\": 0}", SEGRT_MALFORMED, "\"rescale_factor\" is 0"},
        {"preprocessor_config.json", "{\"do_center_crop\": true}", SEGRT_UNSUPPORTED, "\"do_center_crop\" is set"},
    };
    memory_file weights = read_file(HF "model.safetensors");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const segrt_file files[] = {{.name = "model.safetensors", .data = weights.data, .size = weights.size},
                                    {.name = rows[i].name, .data = rows[i].text, .size = strlen(rows[i].text)}};
        refused(files, 2, rows[i].status, rows[i].words);
    }
    free(weights.data);
}

static void what_is_not_a_model_is_refused_as_such(void **state)
{
    (void)state;
    refused_weights("hello", 5, SEGRT_UNSUPPORTED, "not a format that is read");
    refused_weights("", 0, SEGRT_UNSUPPORTED, "not a format that is read");
    segrt_model *model;
    segrt_error error = {0};
    assert_int_equal(segrt_model_open(&model, TEST_DATA, NULL, &error), SEGRT_NOT_SEGFORMER);
    assert_non_null(strstr(error.message, "the folder holds no model.safetensors"));
    assert_int_equal(segrt_model_open(&model, "", NULL, NULL), SEGRT_ARGUMENT);
    assert_int_equal(segrt_model_open(NULL, "x", NULL, NULL), SEGRT_ARGUMENT);
    assert_int_equal(segrt_model_open(&model, HF, &(segrt_model_options){.random_head_classes = 3}, NULL), SEGRT_ARGUMENT); /* no size */
    assert_int_equal(segrt_model_open_files(&model, NULL, 0, NULL, NULL), SEGRT_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tensor_that_is_missing_misshapen_or_too_many_is_named),
        cmocka_unit_test(a_safetensors_header_is_checked_against_the_file),
        cmocka_unit_test(deep_nesting_in_json_is_refused),
        cmocka_unit_test(a_pickle_runs_nothing_and_stays_in_its_bounds),
        cmocka_unit_test(a_pickle_of_millions_of_values_is_refused_before_they_are_made),
        cmocka_unit_test(a_zip_archive_is_believed_only_where_it_can_be),
        cmocka_unit_test(a_tensor_cannot_reach_beyond_its_storage),
        cmocka_unit_test(an_index_leads_nowhere_but_into_its_own_folder),
        cmocka_unit_test(what_stands_beside_the_weights_must_fit_them),
        cmocka_unit_test(what_is_not_a_model_is_refused_as_such),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
