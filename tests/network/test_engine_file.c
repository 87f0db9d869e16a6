/* What engine_file.h and docs/engine-file.md promise. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/engine.h"
#include "model_support.h"
#include "network/engine_file.h"
#include "network/engine_sections.h"
#include "network/weights_list.h"

/* A few tens of kilobytes, so that every bit can be flipped. */
static const random_model small = {.width = {4, 4, 4, 4},
                                   .depth = {1, 1, 1, 1},
                                   .heads = {1, 2, 2, 4},
                                   .reduction = {2, 2, 1, 1},
                                   .ratio = 2,
                                   .decoder_width = 4,
                                   .classes = 3,
                                   .seed = 1};

static char folder[] = "/tmp/segrt-engine-XXXXXX";
static char path[64];

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/x.segrt", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder); /* fails where a test left a file behind */
}

static segrt_engine *built(const random_model *as, const segrt_build_options *options)
{
    segrt_model *model = random_model_open(as);
    segrt_engine *engine;
    assert_non_null(model);
    assert_int_equal(segrt_engine_build(&engine, model, options, NULL), SEGRT_OK);
    random_model_close(model);
    return engine;
}

/* The bytes of a saved engine, aligned; freed with memory_free. */
static uint8_t *saved(const random_model *as, size_t *size)
{
    segrt_engine *engine = built(as, NULL);
    file_map map;
    assert_int_equal(segrt_engine_save(engine, path, NULL), SEGRT_OK);
    segrt_engine_close(engine);
    assert_int_equal(file_map_open(&map, path, NULL), SEGRT_OK);
    uint8_t *copy = memory_get(map.size);
    assert_non_null(copy);
    memcpy(copy, map.data, map.size);
    *size = map.size;
    file_map_close(&map);
    return copy;
}

static segrt_status read_from(const uint8_t *data, size_t size, segrt_error *error)
{
    segrt_engine *engine = memory_get_cleared(1, sizeof *engine);
    assert_non_null(engine);
    engine->file = file_map_of(data, size);
    const segrt_status status = engine_file_read(engine, error);
    segrt_engine_close(engine);
    return status;
}

typedef struct sequence {
    weights array[4096];
    size_t count;
} sequence;

static void collect(void *user, weights *w, uint64_t count)
{
    sequence *s = user;
    assert_int_equal(w->count, count); /* the list asks for what the fold made */
    assert_true(s->count < 4096);
    s->array[s->count++] = *w;
}

static void an_opened_engine_is_the_one_that_was_saved(void **state)
{
    (void)state;
    static const random_model models[] = {
        {.seed = 1}, {.head = HEAD_CONV, .level_width = 24, .seed = 2}, {.backbone = true, .no_reduce_norm = true, .seed = 3}};
    static sequence before, after;
    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        segrt_build_options options = {.size = sizeof options,
                                       .precision = SEGRT_FLOAT16,
                                       .min = {1, 64, 64},
                                       .opt = {1, 64, 96},
                                       .max = {4, 128, 128},
                                       .command = "segrt build x"};
        segrt_engine *a = built(&models[m], &options), *b;
        assert_int_equal(segrt_engine_save(a, path, NULL), SEGRT_OK);
        assert_int_equal(segrt_engine_open(&b, path, NULL), SEGRT_OK);
        before.count = after.count = 0;
        weights_visit(a->net, collect, &before);
        weights_visit(b->net, collect, &after);
        assert_int_equal(before.count, after.count);
        for (size_t i = 0; i < before.count; i++) {
            assert_memory_equal(before.array[i].f32, after.array[i].f32, before.array[i].count * sizeof(float));
            assert_int_equal((uintptr_t)after.array[i].f32 % 64, 0);
        }
        segrt_build_options profile = {.size = sizeof profile};
        segrt_model_info info = {.size = sizeof info};
        segrt_preprocessing preprocessing = {.size = sizeof preprocessing};
        segrt_engine_profile(b, &profile);
        segrt_engine_describe(b, &info);
        segrt_engine_preprocessing(b, &preprocessing);
        assert_int_equal(profile.precision, SEGRT_FLOAT16);
        assert_memory_equal(&profile.min, &options.min, 3 * sizeof options.min);
        assert_string_equal(profile.command, "segrt build x");
        assert_string_equal(info.family, "hf");
        assert_int_equal(info.classes, a->info.classes);
        assert_memory_equal(info.width, a->info.width, sizeof info.width);
        assert_memory_equal(&preprocessing, &a->preprocessing, sizeof preprocessing);
        if (info.classes)
            assert_string_equal(segrt_engine_class_name(b, 2), "class 2");
        segrt_engine_close(a);
        segrt_engine_close(b);
    }
}

static void an_opened_engine_runs_as_the_built_one(void **state)
{
    (void)state;
    enum { SIDE = 64, LOGITS = 7 * 16 * 16 };
    static float input[3 * SIDE * SIDE], expected[LOGITS], got[LOGITS];
    uint64_t seed = 8;
    random_fill(&seed, input, sizeof input / sizeof *input);
    segrt_engine *a = built(&(random_model){.seed = 4}, NULL), *b;
    assert_int_equal(segrt_engine_save(a, path, NULL), SEGRT_OK);
    assert_int_equal(segrt_engine_open(&b, path, NULL), SEGRT_OK);
    const struct {
        const segrt_engine *engine;
        float *logits;
    } rows[] = {{a, expected}, {b, got}};
    for (size_t i = 0; i < 2; i++) {
        segrt_session *session;
        assert_int_equal(segrt_session_open(&session, rows[i].engine, NULL, NULL), SEGRT_OK);
        assert_int_equal(segrt_session_forward(session, input, 1, SIDE, SIDE, rows[i].logits, NULL), SEGRT_OK);
        segrt_session_close(session);
    }
    assert_memory_equal(expected, got, sizeof got);
    segrt_engine_close(a);
    segrt_engine_close(b);
}

static void saving_an_opened_engine_gives_the_same_bytes(void **state)
{
    (void)state;
    size_t size;
    uint8_t *first = saved(&small, &size);
    segrt_engine *engine;
    file_map map;
    assert_int_equal(segrt_engine_open(&engine, path, NULL), SEGRT_OK);
    assert_int_equal(segrt_engine_save(engine, path, NULL), SEGRT_OK); /* over the file that it is mapped from */
    segrt_engine_close(engine);
    assert_int_equal(file_map_open(&map, path, NULL), SEGRT_OK);
    assert_int_equal(map.size, size);
    assert_memory_equal(map.data, first, size);
    file_map_close(&map);
    memory_free(first);
}

static void a_file_cut_at_any_byte_is_called_truncated(void **state)
{
    (void)state;
    size_t size;
    uint8_t *data = saved(&small, &size);
    for (size_t cut = 0; cut < size; cut++) {
        segrt_error error = {0};
        assert_int_equal(read_from(data, cut, &error), SEGRT_MALFORMED);
        assert_non_null(strstr(error.message, cut ? "truncated" : "not a segrt engine"));
    }
    memory_free(data);
}

static void any_flipped_bit_is_noticed(void **state)
{
    (void)state;
    size_t size;
    uint8_t *data = saved(&small, &size);
    assert_int_equal(read_from(data, size, NULL), SEGRT_OK);
    for (size_t bit = 0; bit < size * 8; bit++) {
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        const segrt_status status = read_from(data, size, NULL);
        if (status != SEGRT_MALFORMED && status != SEGRT_UNSUPPORTED) /* the version's bits make it a newer one */
            fail_msg("bit %zu: status %d", bit, (int)status);
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    memory_free(data);
}

static void a_newer_format_is_refused_with_what_to_do(void **state)
{
    (void)state;
    size_t size;
    segrt_error error = {0};
    uint8_t *data = saved(&small, &size);
    data[8] = ENGINE_VERSION + 1;
    assert_int_equal(read_from(data, size, &error), SEGRT_UNSUPPORTED);
    assert_non_null(strstr(error.message, "update segrt"));
    memory_free(data);
}

/* Where a section begins, from the table. */
static size_t section_at(const uint8_t *data, engine_section which)
{
    size_t at = 0;
    for (size_t i = 0; i < 8; i++)
        at |= (size_t)data[ENGINE_HEADER_BYTES + (size_t)which * ENGINE_ENTRY_BYTES + 8 + i] << (8 * i);
    return at;
}

static void crafted_numbers_are_named(void **state)
{
    (void)state;
    enum { STAGE = 0, EPS = 36, DEPTH = 32, MODEL_TEXTS = 40 };
    static const struct {
        engine_section section;
        size_t at;
        uint32_t value;
        const char *message;
    } rows[] = {
        {SECTION_NETWORK, 0, 4, "stage 0: patch input"},
        {SECTION_NETWORK, 8, 0, "stage 0: patch kernel"},
        {SECTION_NETWORK, 12, 0, "stage 0: patch stride"},
        {SECTION_NETWORK, 16, 7, "stage 0: patch padding"},
        {SECTION_NETWORK, 20, 0xffffffff, "stage 0: width"},
        {SECTION_NETWORK, 20, 5, "patch output"},
        {SECTION_NETWORK, 24, 3, "channels over for the last head"},
        {SECTION_NETWORK, 28, 3, "weights of"}, /* another reduction wants other arrays */
        {SECTION_NETWORK, DEPTH, 0x7fffffff, "section NETW ends too early"},
        {SECTION_NETWORK, DEPTH, 0xffffffff, "section NETW ends too early"},
        {SECTION_NETWORK, EPS + 4, 0xfff00000, "eps is negative or not finite"},
        {SECTION_MODEL, 0, 17, "precision 17"},
        {SECTION_MODEL, 4, 3, "profile"},
        {SECTION_MODEL, MODEL_TEXTS, 0xffffffff, "malformed text"},
        {SECTION_MODEL, MODEL_TEXTS + 4, 0, "malformed text"}, /* a text with a zero in it */
        {SECTION_OPERATIONS, 0, 0x10000000, "section OPER ends too early"},
        {SECTION_OPERATIONS, 4, 0, "operation 0"},
        {SECTION_OPERATIONS, 8, 0x7f800000, "operation 0"},
    };
    size_t size;
    uint8_t *data = saved(&small, &size), *copy = memory_get(size);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        segrt_error error = {0};
        memcpy(copy, data, size);
        for (size_t byte = 0; byte < 4; byte++)
            copy[section_at(data, rows[i].section) + rows[i].at + byte] = (uint8_t)(rows[i].value >> (8 * byte));
        engine_file_seal(copy, size);
        const segrt_status status = read_from(copy, size, &error);
        if (status != SEGRT_MALFORMED || !strstr(error.message, rows[i].message))
            fail_msg("row %zu: status %d, '%s'", i, (int)status, error.message);
    }
    memory_free(copy);
    memory_free(data);
}

static void sections_must_lie_apart_and_inside(void **state)
{
    (void)state;
    size_t size;
    uint8_t *data = saved(&small, &size), *copy = memory_get(size);
    static const struct {
        size_t at; /* in the first entry of the table */
        uint8_t value;
        const char *message;
    } rows[] = {
        {8, 1, "unaligned"},
        {8, 0, "across another"},
        {15, 0x80, "outside the file"},
        {23, 0xff, "outside the file"},
        {0, 'X', "does not know"},
        {ENGINE_ENTRY_BYTES + 3, 'W', "does not know"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        segrt_error error = {0};
        memcpy(copy, data, size);
        copy[ENGINE_HEADER_BYTES + rows[i].at] = rows[i].value;
        engine_file_seal(copy, size);
        assert_int_not_equal(read_from(copy, size, &error), SEGRT_OK);
        if (!strstr(error.message, rows[i].message))
            fail_msg("row %zu: '%s'", i, error.message);
    }
    memory_free(copy);
    memory_free(data);
}

static void an_unknown_section_that_says_it_is_optional_is_passed_over(void **state)
{
    (void)state;
    segrt_error error = {0};
    size_t size;
    uint8_t *data = saved(&small, &size);
    data[ENGINE_HEADER_BYTES] = 'X';
    data[ENGINE_HEADER_BYTES + 4] = 1;
    engine_file_seal(data, size);
    assert_int_equal(read_from(data, size, &error), SEGRT_MALFORMED);
    assert_non_null(strstr(error.message, "section NETW is missing")); /* and not: unknown */
    memory_free(data);
}

static void a_full_disk_leaves_the_old_file_and_nothing_else(void **state)
{
    (void)state;
    struct rlimit before, few;
    size_t size;
    uint8_t *data = saved(&small, &size);
    segrt_engine *engine = built(&(random_model){.seed = 9}, NULL);
    segrt_error error = {0};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    few = before;
    few.rlim_cur = 8192;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &few), 0);
    const segrt_status status = segrt_engine_save(engine, path, &error);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(status, SEGRT_IO);
    assert_string_equal(error.file, path);
    segrt_engine_close(engine);

    file_map map;
    assert_int_equal(file_map_open(&map, path, NULL), SEGRT_OK);
    assert_int_equal(map.size, size);
    assert_memory_equal(map.data, data, size);
    file_map_close(&map);
    memory_free(data);
    DIR *listing = opendir(folder);
    int entries = 0;
    while (readdir(listing))
        entries++;
    closedir(listing);
    assert_int_equal(entries, 3); /* ".", "..", the file */
}

static void a_device_that_is_full_says_so(void **state)
{
    (void)state;
    segrt_engine *engine = built(&small, NULL);
    const int full = open("/dev/full", O_WRONLY);
    if (full >= 0) {
        segrt_error error = {0};
        assert_int_equal(engine_file_write_to(engine, full, &error), SEGRT_IO);
        assert_non_null(strstr(error.message, strerror(ENOSPC)));
        close(full);
    }
    assert_int_equal(segrt_engine_save(engine, "/dev/full", NULL), SEGRT_IO); /* and it is still a device */
    assert_int_equal(segrt_engine_save(engine, folder, NULL), SEGRT_IO);
    assert_int_equal(segrt_engine_save(engine, "/nonexistent/x.segrt", NULL), SEGRT_IO);
    segrt_engine_close(engine);
}

static void float64_engines_are_not_saved(void **state)
{
    (void)state;
    segrt_engine *engine;
    segrt_model *model = random_model_open(&small);
    assert_int_equal(engine_build_width(&engine, model, NULL, NETWORK_F64, NULL), SEGRT_OK);
    assert_int_equal(segrt_engine_save(engine, path, NULL), SEGRT_ARGUMENT);
    segrt_engine_close(engine);
    random_model_close(model);
}

static void what_is_not_an_engine_is_called_so(void **state)
{
    (void)state;
    segrt_engine *engine;
    segrt_error error = {0};
    FILE *file = fopen(path, "wb");
    fputs("PK\3\4 and so on, long enough to be looked at as a header of sixty-four bytes", file);
    fclose(file);
    assert_int_equal(segrt_engine_open(&engine, path, &error), SEGRT_MALFORMED);
    assert_non_null(strstr(error.message, "not a segrt engine"));
    assert_string_equal(error.file, path);
    error = (segrt_error){0};
    assert_int_equal(segrt_engine_open(&engine, "/nonexistent.segrt", &error), SEGRT_IO);
    assert_null(engine);
}

/* ---- every allocation fails once ---- */

static size_t allocations, failing, held;

static void *allocate(void *user, size_t count, size_t alignment)
{
    (void)user;
    if (++allocations == failing)
        return NULL;
    held++;
    return aligned_alloc(alignment, (count + alignment - 1) / alignment * alignment);
}

static void release(void *user, void *memory)
{
    (void)user;
    held--;
    free(memory);
}

static void every_failed_allocation_is_survived_without_a_leak(void **state)
{
    (void)state;
    size_t size;
    memory_free(saved(&small, &size));
    segrt_model *model = random_model_open(&small);
    const segrt_allocator counting = {.allocate = allocate, .release = release};
    segrt_set_allocator(&counting);
    segrt_status status = SEGRT_NO_MEMORY;
    for (failing = 1; status == SEGRT_NO_MEMORY; failing++) {
        segrt_engine *engine, *opened = NULL;
        allocations = held = 0;
        status = segrt_engine_build(
            &engine, model, &(segrt_build_options){.size = sizeof(segrt_build_options), .precision = SEGRT_BFLOAT16, .command = "x"}, NULL);
        if (!status)
            status = segrt_engine_save(engine, path, NULL);
        if (!status)
            status = segrt_engine_open(&opened, path, NULL);
        segrt_engine_close(engine);
        segrt_engine_close(opened);
        assert_int_equal(held, 0);
    }
    segrt_set_allocator(NULL);
    assert_int_equal(status, SEGRT_OK);
    assert_true(failing > 10); /* of build, save and open: arenas keep them few */
    random_model_close(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_opened_engine_is_the_one_that_was_saved),
        cmocka_unit_test(an_opened_engine_runs_as_the_built_one),
        cmocka_unit_test(saving_an_opened_engine_gives_the_same_bytes),
        cmocka_unit_test(a_file_cut_at_any_byte_is_called_truncated),
        cmocka_unit_test(any_flipped_bit_is_noticed),
        cmocka_unit_test(a_newer_format_is_refused_with_what_to_do),
        cmocka_unit_test(crafted_numbers_are_named),
        cmocka_unit_test(sections_must_lie_apart_and_inside),
        cmocka_unit_test(an_unknown_section_that_says_it_is_optional_is_passed_over),
        cmocka_unit_test(a_full_disk_leaves_the_old_file_and_nothing_else),
        cmocka_unit_test(a_device_that_is_full_says_so),
        cmocka_unit_test(float64_engines_are_not_saved),
        cmocka_unit_test(what_is_not_an_engine_is_called_so),
        cmocka_unit_test(every_failed_allocation_is_survived_without_a_leak),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
