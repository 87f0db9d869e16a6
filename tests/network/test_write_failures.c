/* Every call of the system that writes an engine or an ONNX file fails in its turn (the linker puts these in its place): the target
 * holds the whole new file or what it held before, and nothing lies beside it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "model_support.h"
#include "segrt/segrt.h"

static int calls_left; /* the call that ends the count fails; 0: none does */
static bool halved;    /* instead, every write takes half of what it is given */

static bool fails(void)
{
    if (!calls_left || --calls_left)
        return false;
    errno = EIO;
    return true;
}

int __real_open(const char *path, int flags, ...);
int __real_mkstemp(char *path);
ssize_t __real_pwrite(int file, const void *data, size_t size, off_t at);
size_t __real_fwrite(const void *data, size_t size, size_t count, FILE *file);
int __real_fflush(FILE *file);
int __real_fclose(FILE *file);
int __real_fsync(int file);
int __real_fchmod(int file, mode_t mode);
int __real_close(int file);
int __real_rename(const char *from, const char *to);
FILE *__real_fdopen(int file, const char *mode);

int __wrap_open(const char *path, int flags, ...);
int __wrap_mkstemp(char *path);
ssize_t __wrap_pwrite(int file, const void *data, size_t size, off_t at);
size_t __wrap_fwrite(const void *data, size_t size, size_t count, FILE *file);
int __wrap_fflush(FILE *file);
int __wrap_fclose(FILE *file);
int __wrap_fsync(int file);
int __wrap_fchmod(int file, mode_t mode);
int __wrap_close(int file);
int __wrap_rename(const char *from, const char *to);
FILE *__wrap_fdopen(int file, const char *mode);

int __wrap_open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    const mode_t mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return fails() ? -1 : __real_open(path, flags, mode);
}

int __wrap_mkstemp(char *path)
{
    return fails() ? -1 : __real_mkstemp(path);
}

ssize_t __wrap_pwrite(int file, const void *data, size_t size, off_t at)
{
    return fails() ? -1 : __real_pwrite(file, data, halved && size > 1 ? size / 2 : size, at);
}

size_t __wrap_fwrite(const void *data, size_t size, size_t count, FILE *file)
{
    return fails() ? count / 2 : __real_fwrite(data, size, count, file);
}
int __wrap_fflush(FILE *file)
{
    return fails() ? EOF : __real_fflush(file);
}
int __wrap_fsync(int file)
{
    return fails() ? -1 : __real_fsync(file);
}
int __wrap_fchmod(int file, mode_t mode)
{
    return fails() ? -1 : __real_fchmod(file, mode);
}
int __wrap_rename(const char *from, const char *to)
{
    return fails() ? -1 : __real_rename(from, to);
}
FILE *__wrap_fdopen(int file, const char *mode)
{
    return fails() ? NULL : __real_fdopen(file, mode);
}

/* What closes, closes, whatever it says. */
int __wrap_fclose(FILE *file)
{
    const bool failed = fails();
    return __real_fclose(file) || failed ? EOF : 0;
}

int __wrap_close(int file)
{
    const bool failed = fails();
    return __real_close(file) || failed ? -1 : 0;
}

/* ----------------------------------------------------------------------------------------- */

static char folder[] = "/tmp/segrt_write_XXXXXX", path[64];

static int files_in_folder(void)
{
    DIR *d = opendir(folder);
    int count = 0;
    assert_non_null(d);
    while (readdir(d))
        count++;
    closedir(d);
    return count - 2;
}

static void put_old(void)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs("old", file);
    fclose(file);
}

static long size_of_file(void)
{
    struct stat facts;
    assert_int_equal(stat(path, &facts), 0);
    return (long)facts.st_size;
}

typedef segrt_status write_fn(const void *what, segrt_error *error);

static segrt_status write_engine(const void *engine, segrt_error *error)
{
    return segrt_engine_save(engine, path, error);
}

static segrt_status write_onnx(const void *model, segrt_error *error)
{
    const segrt_export_options options = {.size = sizeof options, .shape = {1, 64, 64}};
    return segrt_model_export(model, &options, path, error);
}

/* How many calls could fail. */
static int fail_each(write_fn *write, const void *what, int enough)
{
    int n = 0, refused = 0;
    unlink(path);
    assert_int_equal(write(what, NULL), SEGRT_OK);
    const long whole = size_of_file();
    for (bool reached = true; reached;) {
        segrt_error error = {0};
        put_old();
        calls_left = ++n;
        const segrt_status status = write(what, &error);
        reached = calls_left == 0;
        calls_left = 0;
        assert_int_equal(files_in_folder(), 1);
        assert_int_equal(size_of_file(), status == SEGRT_OK ? whole : 3);
        if (status != SEGRT_OK) {
            assert_int_equal(status, SEGRT_IO);
            assert_non_null(strstr(error.message, strerror(EIO)));
            refused++;
        }
    }
    assert_true(refused >= enough);
    return n;
}

static void an_engine(void **state)
{
    (void)state;
    segrt_model *model = random_model_open(&(random_model){.width = {2, 4, 5, 8}, .depth = {1, 1, 1, 1}, .decoder_width = 4, .classes = 2});
    segrt_engine *engine = NULL;
    assert_int_equal(segrt_engine_build(&engine, model, NULL, NULL), SEGRT_OK);
    assert_true(fail_each(write_engine, engine, 50) > 50);
    unlink(path);
    halved = true;
    assert_int_equal(segrt_engine_save(engine, path, NULL), SEGRT_OK);
    halved = false;
    segrt_engine *again = NULL;
    assert_int_equal(segrt_engine_open(&again, path, NULL), SEGRT_OK); /* its checksum holds */
    segrt_engine_close(again);
    segrt_engine_close(engine);
    random_model_close(model);
}

static void an_onnx_file(void **state)
{
    (void)state;
    segrt_model *model = random_model_open(&(random_model){.width = {2, 4, 5, 8}, .depth = {1, 1, 1, 1}, .decoder_width = 4, .classes = 2});
    assert_true(fail_each(write_onnx, model, 50) > 50);
    random_model_close(model);
}

int main(void)
{
    if (!mkdtemp(folder))
        return 1;
    snprintf(path, sizeof path, "%s/a", folder);
    const struct CMUnitTest tests[] = {cmocka_unit_test(an_engine), cmocka_unit_test(an_onnx_file)};
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    rmdir(folder);
    return failed;
}
