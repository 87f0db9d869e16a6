/* Every allocation of the recogniser may fail: nothing leaks, and the error says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "allocation_support.h"
#include "export/emit.h"
#include "model_support.h"

static char path[] = "/tmp/segrt_recognise_XXXXXX";

static int attempt(void *user)
{
    (void)user;
    segrt_model *model = NULL;
    segrt_error error = {0};
    const segrt_status status = segrt_model_open(&model, path, NULL, &error);
    /* jansson does not always tell the two apart: its scanner may even lose the end of a text */
    const bool as_json = strstr(error.message, "not valid JSON") || strstr(error.message, "segrt.model");
    assert_true(status == SEGRT_OK || ((status == SEGRT_NO_MEMORY || as_json) && error.message[0] && !model));
    segrt_model_close(model);
    return status != SEGRT_OK;
}

static void every_failed_allocation_is_survived(void **state)
{
    (void)state;
    const random_model wanted = {.width = {2, 4, 5, 8}, .depth = {1, 1, 1, 1}, .decoder_width = 4, .classes = 2};
    static const onnx_export_options options[] = {{.opset = 11, .shape = {1, 64, 32}}, {.opset = 17, .form = EXPORT_FOLDED}};
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        segrt_model *model = random_model_open(&wanted);
        assert_int_equal(onnx_export(model, NULL, &options[i], path, NULL), SEGRT_OK);
        random_model_close(model);
        assert_true(allocation_fail_each(attempt, NULL) > 20);
        assert_true(allocation_fail_each_once(attempt, NULL) > 20);
    }
}

int main(void)
{
    const int file = mkstemp(path);
    if (file < 0)
        return 1;
    close(file);
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_failed_allocation_is_survived)};
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return failed;
}
