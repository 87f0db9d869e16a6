/* The interpreter against ONNX Runtime: on one small graph for each family of operators (make_operators.py), and on
 * a folder of exports that make_zoo.py made (environment variable SEGRT_ONNX_ZOO; skipped without it), of which it
 * prints one line a file. */
#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "formats/onnx/interpret.h"
#include "onnx_support.h"

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Relative error (norm), or the share of labels that differ; -1 with `error` set where the file is refused. */
static double error_of(const char *folder, const char *path, bool folds, const numbers *input, const numbers *expected, segrt_pool *pool, double *seconds, segrt_error *error)
{
    file_map file = {0};
    onnx_graph *graph = NULL;
    onnx_interpreter *interpreter = NULL;
    const onnx_output *out = NULL;
    double result = -1;
    float *x = malloc(input->count * sizeof *x);
    for (size_t n = 0; n < input->count; n++)
        x[n] = (float)input->data[n];
    bool good = !file_map_open(&file, path, error) && !onnx_graph_open(&graph, &file, folder, NULL, error);
    if (good && folds)
        good = !onnx_graph_fold(graph, input->dims, error) && !onnx_graph_simplify(graph, error);
    const double start = now();
    if (good)
        good = !onnx_interpreter_open(&interpreter, graph, pool, NULL, error) && !onnx_interpreter_run(interpreter, x, input->rank, input->dims, &out, error);
    *seconds = now() - start;
    if (good && out->count == expected->count) {
        double difference = 0, norm = 0;
        for (size_t n = 0; n < out->count; n++) {
            const double y = out->floats ? (double)out->floats[n] : (double)out->ints[n];
            difference += out->floats ? pow(y - expected->data[n], 2) : y != expected->data[n];
            norm += out->floats ? pow(expected->data[n], 2) : 1;
        }
        result = out->floats ? sqrt(difference / norm) : difference / norm;
    } else if (good)
        snprintf(error->message, sizeof error->message, "%zu elements, not %zu", out->count, expected->count);
    onnx_interpreter_close(interpreter);
    onnx_graph_close(graph);
    file_map_close(&file);
    free(x);
    return result;
}

static int by_name(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }

static void check_folder(const char *folder, bool prints)
{
    struct dirent **entries = NULL;
    const int count = scandir(folder, &entries, NULL, by_name);
    segrt_pool *pool = NULL;
    assert_int_equal(pool_open(&pool, 2, NULL), SEGRT_OK);
    size_t files = 0, wrong = 0;
    for (int e = 0; e < count; e++) {
        const char *name = entries[e]->d_name;
        const size_t length = strlen(name);
        char path[1024];
        numbers input, expected;
        if (length < 6 || strcmp(name + length - 5, ".onnx") != 0)
            continue;
        snprintf(path, sizeof path, "%s/%.*s.input.npy", folder, (int)length - 5, name);
        if (!numbers_load(&input, path))
            continue;
        snprintf(path, sizeof path, "%s/%.*s.output.npy", folder, (int)length - 5, name);
        assert_true(numbers_load(&expected, path));
        snprintf(path, sizeof path, "%s/%s", folder, name);
        const bool is_half = strstr(name, "f16") != NULL, blocked = strstr(name, "ort_all") != NULL;
        for (int folds = 0; folds < 2; folds++) {
            segrt_error error = {0};
            double seconds;
            const double off = error_of(folder, path, folds, &input, &expected, pool, &seconds, &error);
            /* ONNX Runtime rounds float16 files to 16 bits after each node, we do not. */
            const bool is_branch = !folds && strstr(error.message, "its condition is not constant");
            const bool good = off >= 0 ? off <= (is_half ? 2e-2 : 1e-5) : is_branch || (blocked && strstr(error.message, "NCHWc"));
            wrong += !good;
            if (good && !prints)
                continue;
            printf("%-60s %-8s ", name, folds ? "folded" : "as it is");
            if (off >= 0)
                printf("%.1e %7.3f s%s\n", off, seconds, good ? "" : "  WRONG");
            else
                printf("refused: %s%s\n", error.message, good ? "" : "  WRONG");
        }
        files++;
        free(input.data);
        free(expected.data);
    }
    for (int e = 0; e < count; e++)
        free(entries[e]);
    free(entries);
    pool_close(pool);
    if (prints)
        printf("%zu files, %zu wrong\n", files, wrong);
    assert_true(files > 0);
    assert_int_equal(wrong, 0);
}

static void every_operator_agrees_with_onnx_runtime(void **state)
{
    (void)state;
    check_folder(TEST_DATA "/onnx", false);
}

static void the_zoo_agrees_with_onnx_runtime(void **state)
{
    (void)state;
    const char *folder = getenv("SEGRT_ONNX_ZOO");
    if (!folder) {
        print_message("skipped: SEGRT_ONNX_ZOO is not set\n");
        skip();
    }
    check_folder(folder, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operator_agrees_with_onnx_runtime),
        cmocka_unit_test(the_zoo_agrees_with_onnx_runtime),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
