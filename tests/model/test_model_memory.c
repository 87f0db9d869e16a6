/* Every allocation of a load may fail: a clean error, and nothing is left behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "allocation_support.h"
#include "segrt/segrt.h"

static int open_once(void *user)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/checkpoints/%s", TEST_DATA, (const char *)user);
    const segrt_model_options options = {.size = sizeof options, .random_head_classes = 4};
    segrt_error error = {0};
    segrt_model *model = NULL;
    const segrt_status status = segrt_model_open(&model, path, &options, &error);
    if (!status != !!model || status != error.status)
        fail_msg("%s: status %d, error %d '%s'", path, (int)status, (int)error.status, error.message);
    if (status && status != SEGRT_NO_MEMORY && !strstr(error.message, "not valid JSON")) /* jansson does not always tell the two apart */
        fail_msg("%s: '%s' is not for want of memory", path, error.message);
    segrt_model_close(model);
    return (int)status;
}

static void each_allocation_of_a_load_may_fail(void **state)
{
    (void)state;
    static const char *const names[] = {
        "hf", "sharded", "mit.pth", "mmseg.pth", "hf_strided.bin", "hf_bf16_legacy.bin", "paddle_protocol2.pdparams", "hf_zip64.bin"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_true(allocation_fail_each(open_once, (void *)names[i]) > 5);
        if (i > 1) /* the JSON of the others makes thousands of allocations */
            assert_true(allocation_fail_each_once(open_once, (void *)names[i]) > 5);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_allocation_of_a_load_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
