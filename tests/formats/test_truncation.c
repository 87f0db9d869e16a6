/* A file cut short anywhere is an error: never a crash, a hang, or a model.  The cut file stands at the end of a page that is followed
 * by one that may not be read, so that a read beyond it ends the test.
 *
 * Every byte of the small fixtures is tried near their ends and throughout their headers, and every STRIDE-th byte between; with
 * SEGRT_EVERY_BYTE in the environment every byte of all files, the goldens in ../shared too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file_map.h"
#include "segrt/segrt.h"

enum { STRIDE = 97, EDGE = 600 };

static void every_cut_is_refused(const char *folder, const char *name)
{
    char path[1024];
    file_map file;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (file_map_open(&file, path, NULL))
        fail_msg("cannot open %s", path);
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), room = (file.size + page - 1) / page * page;
    char *guarded = mmap(NULL, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(guarded != MAP_FAILED);
    assert_int_equal(mprotect(guarded + room, page, PROT_NONE), 0);
    const bool all = getenv("SEGRT_EVERY_BYTE") != NULL;
    for (size_t size = file.size; size-- > 0;) {
        if (!all && size > EDGE && size < file.size - EDGE && size % STRIDE)
            continue;
        char *data = guarded + room - size;
        memcpy(data, file.data, size);
        const segrt_file given = {.name = name, .data = data, .size = size};
        segrt_model *model;
        segrt_error error = {0};
        const segrt_status status = segrt_model_open_files(&model, &given, 1, NULL, &error);
        if (status != SEGRT_MALFORMED && status != SEGRT_UNSUPPORTED)
            fail_msg("%s cut to %zu of %zu bytes: status %d, '%s'", path, size, file.size, (int)status, error.message);
        if (!error.message[0] || (error.offset != SEGRT_NO_OFFSET && error.offset > size + 8))
            fail_msg("%s cut to %zu bytes: '%s' at byte %llu", path, size, error.message, (unsigned long long)error.offset);
    }
    printf("%s: %zu bytes\n", name, file.size);
    munmap(guarded, room + page);
    file_map_close(&file);
}

static void a_cut_file_of_any_format_is_refused(void **state)
{
    (void)state;
    static const char *const names[] = {"hf.safetensors",    "nvlabs_zip.bin",     "mmseg_zip64_zip.bin",
                                        "nvlabs_legacy.bin", "protocol2.pdparams", "protocol4.pdparams"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        every_cut_is_refused(PROJECT_ROOT "/fuzz/seeds", names[i]);
}

static void a_cut_golden_is_refused(void **state)
{
    (void)state;
    static const char *const names[] = {"hf/model.safetensors",
                                        "hf/pytorch_model.bin",
                                        "hf5/model.safetensors",
                                        "hf_f16/model.safetensors",
                                        "hf_bf16/model.safetensors",
                                        "nvlabs/segformer_tiny.pth",
                                        "nvlabs/segformer_tiny_legacy.pth",
                                        "mmseg/segformer_tiny.pth"};
    if (!getenv("SEGRT_EVERY_BYTE") || access(TEST_SHARED "/goldens", R_OK)) {
        printf("skipped: set SEGRT_EVERY_BYTE and have the goldens for this one\n");
        skip();
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        every_cut_is_refused(TEST_SHARED "/goldens", names[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cut_file_of_any_format_is_refused),
        cmocka_unit_test(a_cut_golden_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
