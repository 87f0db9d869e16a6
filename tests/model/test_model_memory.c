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
    snprintf(path, sizeof path, "%s/%s", TEST_DATA, (const char *)user);
    segrt_error error = {0};
    segrt_model *model = NULL;
    const segrt_status status = segrt_model_open(&model, path, NULL, &error);
    if (!status != !!model || status != error.status)
        return -1;
    segrt_model_close(model);
    return (int)status;
}

static void each_allocation_of_a_load_may_fail(void **state)
{
    (void)state;
    assert_true(allocation_fail_each(open_once, "hf") > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_allocation_of_a_load_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
