/* Files that are cut off, damaged, or made to harm: each is refused with words, quickly, and without a leak. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "allocation_support.h"
#include "formats/onnx/interpret.h"
#include "onnx_support.h"

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static uint8_t *load(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    uint8_t *data = malloc(1 << 20);
    *size = fread(data, 1, 1 << 20, f);
    fclose(f);
    return data;
}

/* Opens, folds, runs; whatever happens, every failure has words. */
static void try_all(const uint8_t *data, size_t size)
{
    const onnx_limits limits = {.nodes = 2000, .values = 8000, .memory = 4 << 20};
    const onnx_run_limits run = {.memory = 8 << 20, .work = 4000000};
    static const float picture[3 * 8 * 8 * 2];
    static const int64_t dims[4] = {1, 3, 8, 8};
    const file_map file = file_map_of(data, size);
    onnx_graph *graph = NULL;
    onnx_interpreter *interpreter = NULL;
    const onnx_output *outputs;
    segrt_error error = {0};
    if (onnx_graph_open(&graph, &file, NULL, &limits, &error) == SEGRT_OK)
        if (onnx_graph_fold(graph, dims, &error) == SEGRT_OK && onnx_graph_simplify(graph, &error) == SEGRT_OK)
            if (onnx_interpreter_open(&interpreter, graph, NULL, &run, &error) == SEGRT_OK)
                onnx_interpreter_run(interpreter, picture, 4, dims, &outputs, &error);
    assert_true((error.status == SEGRT_OK) == (error.message[0] == 0));
    onnx_interpreter_close(interpreter);
    onnx_graph_close(graph);
}

static const char *const samples[] = {"conv", "tokens", "functions", "branch", "scatter", "ms_attention"};

static void a_file_cut_off_anywhere_is_survived(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        char path[512];
        size_t size;
        snprintf(path, sizeof path, TEST_DATA "/onnx/%s.onnx", samples[i]);
        uint8_t *data = load(path, &size);
        for (size_t cut = 0; cut < size; cut++) {
            uint8_t *exact = malloc(cut ? cut : 1); /* so that a sanitizer sees the first byte beyond */
            memcpy(exact, data, cut);
            try_all(exact, cut);
            free(exact);
        }
        free(data);
    }
}

static void a_file_with_any_byte_changed_is_survived(void **state)
{
    (void)state;
    static const uint8_t changes[] = {0x01, 0x80, 0xff, 0x08};
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        char path[512];
        size_t size;
        snprintf(path, sizeof path, TEST_DATA "/onnx/%s.onnx", samples[i]);
        uint8_t *data = load(path, &size);
        for (size_t at = 0; at < size; at++)
            for (size_t k = 0; k < sizeof changes; k++) {
                data[at] ^= changes[k];
                try_all(data, size);
                data[at] ^= changes[k];
            }
        free(data);
    }
}

/* --- refusals, each by its words ------------------------------------------------------------------- */

static const int64_t picture_dims[4] = {1, 3, 8, 8}, one[1] = {1};
static const float number = 1;

static message graph_with_ports(const char *output)
{
    message g = {0};
    put_message(&g, GRAPH_INPUT, make_value("x", ONNX_FLOAT, 4, picture_dims));
    put_message(&g, GRAPH_OUTPUT, make_value(output, ONNX_FLOAT, -1, NULL));
    return g;
}

/* Opens `graph` (and folds it, if it opens): the error must have this status and hold these words. */
static void refuses(message graph, segrt_status status, const char *words)
{
    message model = make_model(graph, 17);
    const file_map file = file_map_of(model.data, model.size);
    onnx_graph *g = NULL;
    segrt_error error = {0};
    segrt_status got = onnx_graph_open(&g, &file, NULL, NULL, &error);
    if (!got)
        got = onnx_graph_fold(g, NULL, &error);
    if (got != status || !strstr(error.message, words))
        fail_msg("status %d, \"%s\"; expected %d, \"%s\"", (int)got, error.message, (int)status, words);
    onnx_graph_close(g);
    message_free(&model);
}

static void a_cycle_is_named(void **state)
{
    (void)state;
    message g = graph_with_ports("y");
    put_message(&g, GRAPH_NODE, make_node("Add", "x b", "a"));
    put_message(&g, GRAPH_NODE, make_node("Relu", "a", "b"));
    put_message(&g, GRAPH_NODE, make_node("Relu", "b", "y"));
    refuses(g, SEGRT_MALFORMED, "cycle");
}

static void a_node_that_reads_itself_is_named(void **state)
{
    (void)state;
    message g = graph_with_ports("y");
    put_message(&g, GRAPH_NODE, make_node("Relu", "y", "y"));
    refuses(g, SEGRT_MALFORMED, "cycle");
}

static void nodes_out_of_order_are_sorted(void **state)
{
    (void)state;
    message g = graph_with_ports("y");
    put_message(&g, GRAPH_NODE, make_node("Relu", "a", "y"));
    put_message(&g, GRAPH_NODE, make_node("Neg", "x", "a"));
    message model = make_model(g, 17);
    const file_map file = file_map_of(model.data, model.size);
    onnx_graph *graph = NULL;
    assert_int_equal(onnx_graph_open(&graph, &file, NULL, NULL, NULL), SEGRT_OK);
    assert_string_equal(graph->nodes[0].op, "Neg");
    onnx_graph_close(graph);
    message_free(&model);
}

static void a_value_made_twice_is_named(void **state)
{
    (void)state;
    message g = graph_with_ports("y");
    put_message(&g, GRAPH_NODE, make_node("Relu", "x", "y"));
    put_message(&g, GRAPH_NODE, make_node("Neg", "x", "y"));
    refuses(g, SEGRT_MALFORMED, "makes 'y'");
}

static void a_value_that_nothing_makes_is_named(void **state)
{
    (void)state;
    message g = graph_with_ports("y");
    put_message(&g, GRAPH_NODE, make_node("Add", "x ghost", "y"));
    refuses(g, SEGRT_MALFORMED, "'ghost', which nothing makes");
    message h = graph_with_ports("y");
    put_message(&h, GRAPH_NODE, make_node("Relu", "x", "z"));
    refuses(h, SEGRT_MALFORMED, "output 'y'");
}

static void an_initializer_that_is_there_twice_is_named(void **state)
{
    (void)state;
    message g = graph_with_ports("y");
    put_message(&g, GRAPH_INITIALIZER, make_tensor("w", ONNX_FLOAT, 1, one, &number, sizeof number));
    put_message(&g, GRAPH_INITIALIZER, make_tensor("w", ONNX_FLOAT, 1, one, &number, sizeof number));
    put_message(&g, GRAPH_NODE, make_node("Add", "x w", "y"));
    refuses(g, SEGRT_MALFORMED, "'w' is there twice");
}

static void bad_dimensions_of_a_tensor_are_named(void **state)
{
    (void)state;
    static const struct {
        int rank;
        int64_t dims[9];
        const char *words;
        segrt_status status;
    } rows[] = {
        {1, {-1}, "negative dimension -1", SEGRT_MALFORMED},
        {2, {INT64_MAX, INT64_MAX}, "more than memory holds", SEGRT_MALFORMED},
        {1, {INT64_MAX / 2}, "more than memory holds", SEGRT_MALFORMED},
        {1, {1000000000}, "4000000000 bytes comes with 4", SEGRT_MALFORMED},
        {1, {2}, "8 bytes comes with 4", SEGRT_MALFORMED},
        {9, {1, 1, 1, 1, 1, 1, 1, 1, 1}, "more than 8 dimensions", SEGRT_UNSUPPORTED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        message g = graph_with_ports("y");
        put_message(&g, GRAPH_INITIALIZER, make_tensor("w", ONNX_FLOAT, rows[i].rank, rows[i].dims, &number, sizeof number));
        put_message(&g, GRAPH_NODE, make_node("Add", "x w", "y"));
        refuses(g, rows[i].status, rows[i].words);
    }
    message g = graph_with_ports("y"), dim = {0}, shape = {0}, tensor = {0}, typed = {0}, value = {0};
    put_varint(&dim, 1, (uint64_t)-7);
    put_message(&shape, 1, dim);
    put_varint(&tensor, 1, ONNX_FLOAT);
    put_message(&tensor, 2, shape);
    put_message(&typed, 1, tensor);
    put_text(&value, 1, "y");
    put_message(&value, 2, typed);
    put_message(&g, GRAPH_VALUE_INFO, value);
    put_message(&g, GRAPH_NODE, make_node("Relu", "x", "y"));
    refuses(g, SEGRT_MALFORMED, "negative dimension -7");
}

static void a_hundred_million_nodes_are_refused_within_a_second(void **state)
{
    (void)state;
    /* 10^9 nodes are refused by the same count, which stops at the limit; they would need 2 GB here. */
    const size_t count = 100 * 1000 * 1000;
    uint8_t *data = malloc(2 * count + 16);
    assert_non_null(data);
    size_t at = 0;
    data[at++] = 7 << 3 | 2; /* graph */
    for (size_t left = 2 * count; left; left >>= 7)
        data[at++] = (uint8_t)((left & 0x7f) | (left > 0x7f ? 0x80 : 0));
    for (size_t n = 0; n < count; n++) {
        data[at++] = 1 << 3 | 2;
        data[at++] = 0;
    }
    const file_map file = file_map_of(data, at);
    onnx_graph *graph = NULL;
    segrt_error error = {0};
    allocation_start(SIZE_MAX);
    const double start = now();
    assert_int_equal(onnx_graph_open(&graph, &file, NULL, NULL, &error), SEGRT_UNSUPPORTED);
    assert_true(now() - start < 1);
    assert_true(allocation_bytes_peak() < 1 << 20);
    assert_non_null(strstr(error.message, "more than 200000 nodes"));
    allocation_stop();
    free(data);
}

static void functions_that_double_or_call_themselves_are_refused(void **state)
{
    (void)state;
    for (int doubles = 0; doubles < 2; doubles++) {
        message g = graph_with_ports("y"), call = make_node("F15", "x", "y");
        put_text(&call, 7, "local");
        put_message(&g, GRAPH_NODE, call);
        message model = make_model(g, 17);
        for (int n = 0; n < 16; n++) { /* F15 calls F14 many times, and so on; or F15 calls itself */
            message f = {0};
            char name[16], callee[16];
            snprintf(name, sizeof name, "F%d", n);
            snprintf(callee, sizeof callee, "F%d", doubles ? n - 1 : n);
            put_text(&f, 1, name);
            put_text(&f, 4, "a");
            put_text(&f, 5, "b");
            put_text(&f, 10, "local");
            for (int k = 0; k < (doubles ? 16 : 1); k++) {
                message node = make_node(n || !doubles ? callee : "Relu", "a", k ? "unused" : "b");
                if (k) {
                    message_free(&node);
                    char made[16];
                    snprintf(made, sizeof made, "u%d", k);
                    node = make_node(n || !doubles ? callee : "Relu", "a", made);
                }
                if (n || !doubles)
                    put_text(&node, 7, "local");
                put_message(&f, 7, node);
            }
            message import = {0};
            put_varint(&import, 2, 17);
            put_message(&f, 9, import);
            put_message(&model, 25, f);
        }
        const file_map file = file_map_of(model.data, model.size);
        onnx_graph *graph = NULL;
        segrt_error error = {0};
        const double start = now();
        assert_int_not_equal(onnx_graph_open(&graph, &file, NULL, NULL, &error), SEGRT_OK);
        assert_true(now() - start < 2);
        if (!strstr(error.message, doubles ? "more than" : "calls itself"))
            fail_msg("%s", error.message);
        message_free(&model);
    }
}

static void a_constant_that_grows_without_end_is_refused(void **state)
{
    (void)state;
    static const int64_t size[1] = {4}, huge[4] = {1000, 1000, 1000, 1000};
    message h = graph_with_ports("y");
    put_message(&h, GRAPH_INITIALIZER, make_tensor("s", ONNX_INT64, 1, size, huge, sizeof huge));
    put_message(&h, GRAPH_NODE, make_node("ConstantOfShape", "s", "c"));
    put_message(&h, GRAPH_NODE, make_node("Neg", "c", "y"));
    refuses(h, SEGRT_UNSUPPORTED, "computes more than");
}

static void an_attribute_of_the_wrong_kind_is_named(void **state)
{
    (void)state;
    message g = graph_with_ports("y"), node = make_node("Softmax", "x", "y");
    put_attribute_float(&node, "axis", 1);
    put_message(&g, GRAPH_NODE, node);
    refuses(g, SEGRT_MALFORMED, "attribute 'axis' is a float, not an integer");
}

static void a_node_without_an_output_is_named(void **state)
{
    (void)state;
    message g = graph_with_ports("y");
    put_message(&g, GRAPH_NODE, make_node("Relu", "x", "y"));
    put_message(&g, GRAPH_NODE, make_node("Neg", "x", ""));
    refuses(g, SEGRT_MALFORMED, "has no output");
}

static void names_with_control_characters_are_refused(void **state)
{
    (void)state;
    message g = graph_with_ports("y"), node = make_node("Relu", "x", "y");
    put_text(&node, 3, "evil\x1b[2J");
    put_message(&g, GRAPH_NODE, node);
    refuses(g, SEGRT_MALFORMED, "control character");
}

static void shapes_that_do_not_fit_name_their_node(void **state)
{
    (void)state;
    static const int64_t five[1] = {5}, dims[2] = {-1, 7};
    static const float w[5] = {0};
    message g = graph_with_ports("y"), node = make_node("Add", "x w", "y");
    put_text(&node, 3, "/block/Add");
    put_message(&g, GRAPH_INITIALIZER, make_tensor("w", ONNX_FLOAT, 1, five, w, sizeof w));
    put_message(&g, GRAPH_NODE, node);
    refuses(g, SEGRT_MALFORMED, "Add '/block/Add': [1, 3, 8, 8] and [5] do not broadcast");
    static const int64_t two[1] = {2};
    message h = graph_with_ports("y");
    put_message(&h, GRAPH_INITIALIZER, make_tensor("s", ONNX_INT64, 1, two, dims, sizeof dims));
    put_message(&h, GRAPH_NODE, make_node("Reshape", "x s", "y"));
    refuses(h, SEGRT_MALFORMED, "[1, 3, 8, 8] cannot become");
}

/* --- external data ------------------------------------------------------------------------------------ */

static message external_model(const char *location, const char *offset, const char *length, int64_t count)
{
    message g = graph_with_ports("y"), t = {0};
    put_varint(&t, 1, (uint64_t)count);
    put_varint(&t, 2, ONNX_FLOAT);
    put_text(&t, 8, "w");
    put_varint(&t, 14, 1);
    const char *const entries[3][2] = {{"location", location}, {"offset", offset}, {"length", length}};
    for (int i = 0; i < 3; i++)
        if (entries[i][1]) {
            message entry = {0};
            put_text(&entry, 1, entries[i][0]);
            put_text(&entry, 2, entries[i][1]);
            put_message(&t, 13, entry);
        }
    put_message(&g, GRAPH_INITIALIZER, t);
    put_message(&g, GRAPH_NODE, make_node("Add", "x w", "y"));
    return make_model(g, 17);
}

static void external_data_stays_in_the_models_folder(void **state)
{
    (void)state;
    char top[] = "/tmp/segrt_onnx_XXXXXX", folder[64], path[128];
    assert_non_null(mkdtemp(top));
    snprintf(folder, sizeof folder, "%s/model", top);
    assert_int_equal(mkdir(folder, 0700), 0);
    static const float data[4] = {1, 2, 3, 4};
    const char *const files[2] = {"secret", "model/weights.bin"};
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", top, files[i]);
        FILE *f = fopen(path, "wb");
        assert_int_equal(fwrite(data, sizeof data, 1, f), 1);
        fclose(f);
    }
    snprintf(path, sizeof path, "%s/link", folder);
    assert_int_equal(symlink("../secret", path), 0);
    snprintf(path, sizeof path, "%s/secret", top);
    const struct {
        const char *location, *offset, *length;
        int64_t count;
        segrt_status status;
        const char *words;
    } rows[] = {
        {"weights.bin", "4", "8", 2, SEGRT_OK, ""},
        {"./weights.bin", NULL, NULL, 4, SEGRT_OK, ""},
        {"../secret", NULL, NULL, 4, SEGRT_MALFORMED, "'..' would leave"},
        {"sub/../../secret", NULL, NULL, 4, SEGRT_MALFORMED, "'..' would leave"},
        {path, NULL, NULL, 4, SEGRT_MALFORMED, "only files in the model's own folder"},
        {"link", NULL, NULL, 4, SEGRT_MALFORMED, "a link leads out"},
        {"", NULL, NULL, 4, SEGRT_MALFORMED, "only files in the model's own folder"},
        {"missing.bin", NULL, NULL, 4, SEGRT_IO, "No such file"},
        {".", NULL, NULL, 4, SEGRT_MALFORMED, "leads out"},
        {"weights.bin", "8", NULL, 4, SEGRT_MALFORMED, "16 bytes at 8"},
        {"weights.bin", "18446744073709551600", NULL, 4, SEGRT_MALFORMED, "which has 16"},
        {"weights.bin", "-1", NULL, 4, SEGRT_MALFORMED, "no number"},
        {"weights.bin", "0", "12", 4, SEGRT_MALFORMED, "external data of 12 bytes for a tensor of 16"},
        {"weights.bin", NULL, NULL, 1000000000000, SEGRT_MALFORMED, "which has 16"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        message model = external_model(rows[i].location, rows[i].offset, rows[i].length, rows[i].count);
        const file_map file = file_map_of(model.data, model.size);
        onnx_graph *graph = NULL;
        segrt_error error = {0};
        const segrt_status status = onnx_graph_open(&graph, &file, folder, NULL, &error);
        if (status != rows[i].status || !strstr(error.message, rows[i].words))
            fail_msg("%s: status %d, \"%s\"", rows[i].location, (int)status, error.message);
        if (graph) {
            float w[4];
            onnx_tensor_floats(onnx_constant(graph, onnx_find_value(graph, "w")), w);
            assert_true(w[0] == (i == 0 ? 2.0f : 1.0f));
        }
        onnx_graph_close(graph);
        message_free(&model);
    }
    message model = external_model("weights.bin", NULL, NULL, 4);
    const file_map file = file_map_of(model.data, model.size);
    onnx_graph *graph = NULL;
    segrt_error error = {0};
    assert_int_equal(onnx_graph_open(&graph, &file, NULL, NULL, &error), SEGRT_UNSUPPORTED);
    assert_non_null(strstr(error.message, "without its folder"));
    message_free(&model);
    static const char *const made[] = {"model/link", "model/weights.bin", "model", "secret", ""};
    for (size_t i = 0; i < sizeof made / sizeof *made; i++) {
        snprintf(path, sizeof path, "%s/%s", top, made[i]);
        remove(path);
    }
}

/* --- allocation failures ------------------------------------------------------------------------------ */

static int open_fold_run(void *user)
{
    const file_map file = *(const file_map *)user;
    static const float picture[3 * 8 * 8 * 2];
    static const int64_t dims[4] = {1, 3, 8, 8};
    onnx_graph *graph = NULL;
    onnx_interpreter *interpreter = NULL;
    const onnx_output *outputs;
    segrt_error error = {0};
    segrt_status status = onnx_graph_open(&graph, &file, "/tmp", NULL, &error);
    status = status ? status : onnx_graph_fold(graph, dims, &error);
    status = status ? status : onnx_graph_simplify(graph, &error);
    status = status ? status : onnx_interpreter_open(&interpreter, graph, NULL, NULL, &error);
    status = status ? status : onnx_interpreter_run(interpreter, picture, 4, dims, &outputs, &error);
    onnx_interpreter_close(interpreter);
    onnx_graph_close(graph);
    if (status != SEGRT_OK && status != SEGRT_NO_MEMORY)
        fail_msg("%s", error.message);
    return status;
}

static void every_failed_allocation_is_survived(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        char path[512];
        size_t size;
        snprintf(path, sizeof path, TEST_DATA "/onnx/%s.onnx", samples[i]);
        uint8_t *data = load(path, &size);
        file_map file = file_map_of(data, size);
        assert_true(allocation_fail_each(open_fold_run, &file) > 5);
        assert_true(allocation_fail_each_once(open_fold_run, &file) > 5);
        free(data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_cut_off_anywhere_is_survived),
        cmocka_unit_test(a_file_with_any_byte_changed_is_survived),
        cmocka_unit_test(a_cycle_is_named),
        cmocka_unit_test(a_node_that_reads_itself_is_named),
        cmocka_unit_test(nodes_out_of_order_are_sorted),
        cmocka_unit_test(a_value_made_twice_is_named),
        cmocka_unit_test(a_value_that_nothing_makes_is_named),
        cmocka_unit_test(an_initializer_that_is_there_twice_is_named),
        cmocka_unit_test(bad_dimensions_of_a_tensor_are_named),
        cmocka_unit_test(a_hundred_million_nodes_are_refused_within_a_second),
        cmocka_unit_test(functions_that_double_or_call_themselves_are_refused),
        cmocka_unit_test(a_constant_that_grows_without_end_is_refused),
        cmocka_unit_test(an_attribute_of_the_wrong_kind_is_named),
        cmocka_unit_test(a_node_without_an_output_is_named),
        cmocka_unit_test(names_with_control_characters_are_refused),
        cmocka_unit_test(shapes_that_do_not_fit_name_their_node),
        cmocka_unit_test(external_data_stays_in_the_models_folder),
        cmocka_unit_test(every_failed_allocation_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
