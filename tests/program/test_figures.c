/* How figures are told, a GPU's too, without one: bench's text, JSON and CSV; what bounds a job. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "measured.h"
#include "spent.h"

static measured on_a_gpu(void)
{
    return (measured){.model = "b2.segrt",
                      .variant = "b2",
                      .device = "cuda:0, Some GPU, fp16",
                      .shape = {2, 64, 96},
                      .whole = {.runs = 200, .min = 1, .mean = 2, .median = 1.5, .p90 = 3, .p95 = 4, .p99 = 5},
                      .open_ms = 10,
                      .fold_ms = 20,
                      .session_ms = 30,
                      .first_ms = 40,
                      .other = {2, 32, 96},
                      .other_first_ms = 6.5,
                      .other_again_ms = 1.25,
                      .session_bytes = 50000000,
                      .peak_bytes = 70000000,
                      .has_device = true,
                      .context_ms = 300,
                      .compute = {.runs = 200, .min = 1.125, .mean = 1.5, .median = 1.25},
                      .device_tells = true,
                      .copy_in_ms = 0.125,
                      .copy_out_ms = 0.0625,
                      .no_graph_ms = 1.75,
                      .device_bytes = 120000000,
                      .facts = {.memory_free = 900000000,
                                .memory_total = 1000000000,
                                .watts = 400,
                                .watts_most = 700,
                                .degrees = 50,
                                .core_mhz = 1980,
                                .memory_mhz = 3201}};
}

typedef void tell_fn(const void *what, FILE *to);

static char *text_of_telling(tell_fn *tell, const void *what)
{
    static char *text; /* the stream knows them by address */
    static size_t size;
    FILE *to = open_memstream(&text, &size);
    assert_non_null(to);
    tell(what, to);
    fclose(to);
    return text;
}

static void tell_measured(const void *m, FILE *to)
{
    measured_print(m, to);
}
static void tell_csv(const void *m, FILE *to)
{
    measured_csv(m, true, to);
}
static void tell_profile(const void *p, FILE *to)
{
    profile_print(p, to);
}
static void tell_spent(const void *s, FILE *to)
{
    spent_print(s, to);
}

static void a_gpus_figures_stand_below_the_common_ones(void **state)
{
    (void)state;
    measured m = on_a_gpu();
    char *text = text_of_telling(tell_measured, &m);
    assert_string_equal(
        text, "b2.segrt on cuda:0, Some GPU, fp16, 2x64x96 (N x H x W), pixels in, labels out\n"
              "throughput    1000.00 pictures a second\n"
              "host to host  min 1.000  mean 2.000  median 1.500  p90 3.000  p95 4.000  p99 5.000 ms (200 runs)\n"
              "compute       min 1.125  mean 1.500  median 1.250 ms in the network's steps alone (200 runs, by the device's clock)\n"
              "start         open 10.0  fold 20.0  session 30.0  first run 40.0 ms: file to first labels 100.0 ms beyond the "
              "context's 300.0\n"
              "new shape     2x32x96: first 6.500  again 1.250 ms\n"
              "memory        session 50.0 MB, peak of the process 70.0 MB\n"
              "copies        in 0.125  out 0.062 ms (medians by the device's clock)\n"
              "without graph median 1.750 ms of compute\n"
              "device memory 120.0 MB beyond the context, 900 of 1000 MB free\n"
              "device state  1980 MHz, memory 3201 MHz, 400 of 700 W, 50 C, right after the runs\n");
    free(text);
    snprintf(m.facts.note, sizeof m.facts.note, "power and clocks unknown: no library");
    text = text_of_telling(tell_measured, &m);
    assert_non_null(strstr(text, "device state  power and clocks unknown: no library\n"));
    assert_null(strstr(text, "MHz"));
    free(text);
    m.has_device = false;
    text = text_of_telling(tell_measured, &m);
    assert_null(strstr(text, "device "));
    assert_null(strstr(text, "context"));
    free(text);
}

static size_t commas(const char *line)
{
    size_t count = 0;
    bool quoted = false;
    for (; *line && *line != '\n'; line++) {
        quoted ^= *line == '"';
        count += *line == ',' && !quoted;
    }
    return count;
}

static void csv_lines_have_the_headings_columns_on_any_device(void **state)
{
    (void)state;
    measured m = on_a_gpu();
    for (int device = 0; device < 2; device++) {
        m.has_device = device;
        char *text = text_of_telling(tell_csv, &m);
        const char *line = strchr(text, '\n') + 1;
        assert_true(commas(text) > 20);
        assert_int_equal(commas(text), commas(line));
        free(text);
    }
}

static void json_holds_a_devices_figures_where_there_is_one(void **state)
{
    (void)state;
    measured m = on_a_gpu();
    json_t *value = measured_json(&m, NULL), *device = json_object_get(value, "device_figures");
    assert_non_null(device);
    assert_true(fabs(json_real_value(json_object_get(device, "copy_in_ms")) - 0.125) < 1e-9);
    assert_true(fabs(json_real_value(json_object_get(json_object_get(value, "compute_ms"), "median")) - 1.25) < 1e-9);
    assert_int_equal(json_integer_value(json_object_get(device, "bytes_beyond_context")), 120000000);
    assert_true(fabs(json_real_value(json_object_get(value, "first_labels_ms")) - 100) < 1e-9);
    json_decref(value);
    m.has_device = false;
    value = measured_json(&m, NULL);
    assert_non_null(value);
    assert_null(json_object_get(value, "device_figures"));
    json_decref(value);
}

/* 1e9 products in 2 ms at a ceiling of 1e12 a second: half of it; of bytes, a tenth. */
static void a_step_is_held_to_the_nearer_ceiling(void **state)
{
    (void)state;
    const backend_profile_row rows[] = {
        {.first = {OP_FC1, 0, 1}, .count = 2, .kernel = "gemm", .seconds = 0.02, .macs = 1000000000, .bytes = 200000000}};
    profile p = {.rows = rows, .count = 1, .runs = 10, .ceiling = {.macs = 1e12, .bytes = 1e12}};
    char *text = text_of_telling(tell_profile, &p);
    assert_non_null(strstr(text, "ceiling       products 1000.0 GMAC/s, copy 1000.0 GB/s"));
    assert_non_null(strstr(text, "stage 1 block 2 fc1 +1"));
    free(text);
    json_t *value = profile_json(&p), *step = json_array_get(json_object_get(value, "steps"), 0);
    assert_true(fabs(json_real_value(json_object_get(step, "ceiling_percent")) - 50) < 1e-6);
    json_decref(value);
    p.ceiling = (backend_ceiling){0}; /* unknown */
    value = profile_json(&p);
    step = json_array_get(json_object_get(value, "steps"), 0);
    assert_true(json_real_value(json_object_get(step, "ceiling_percent")) == 0);
    json_decref(value);
}

static void medians_and_percentiles_are_of_the_samples(void **state)
{
    (void)state;
    double ms[100];
    for (int i = 0; i < 100; i++)
        ms[i] = 100 - i;
    const latency l = latency_of(ms, 100);
    assert_true(l.min == 1 && l.mean == 50.5 && l.median == 50.5 && l.p90 == 90 && l.p95 == 95 && l.p99 == 99);
    assert_true(median_of(ms, 0) == 0);
}

static void the_busier_side_bounds_a_job_by_its_larger_part(void **state)
{
    (void)state;
    static const struct {
        spent s;
        const char *bound;
    } rows[] = {
        {{.wall = 10, .threads = 4, .sessions = 2, .decode = 30, .write = 9, .network = 12, .copy_in = 1, .compute = 9, .copy_out = 1},
         "decode"},
        {{.wall = 10, .threads = 4, .sessions = 2, .decode = 9, .write = 30, .network = 12, .copy_in = 1, .compute = 9, .copy_out = 1},
         "write"},
        {{.wall = 10, .threads = 4, .sessions = 2, .decode = 9, .write = 9, .network = 19, .copy_in = 1, .compute = 15, .copy_out = 1},
         "compute"},
        {{.wall = 10, .threads = 4, .sessions = 2, .decode = 9, .write = 9, .network = 19, .copy_in = 9, .compute = 7, .copy_out = 1},
         "copy"},
        {{.wall = 10, .threads = 4, .sessions = 2, .decode = 9, .write = 9, .network = 19, .copy_in = 1, .compute = 4, .copy_out = 1},
         "launch"},
        {{.wall = 10, .threads = 4, .sessions = 2, .decode = 9, .write = 9, .prepare = 15, .network = 4, .compute = 1}, "prepare"},
        {{.wall = 10, .threads = 2, .sessions = 1, .decode = 1, .write = 1, .network = 9}, "network"}, /* a processor */
        {{.wall = 10, .decode = 5, .write = 1, .network = 4}, "decode"},                               /* one thread in turn */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_string_equal(spent_bound(&rows[i].s), rows[i].bound);
    char *text = text_of_telling(tell_spent, &rows[2].s);
    assert_string_equal(text,
                        "bound by compute: 2 sessions 95 % busy (prepare 0, copy 10, compute 75, launch 10), 4 threads 45 % busy (decode "
                        "22, write 22)\n");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_gpus_figures_stand_below_the_common_ones),
        cmocka_unit_test(csv_lines_have_the_headings_columns_on_any_device),
        cmocka_unit_test(json_holds_a_devices_figures_where_there_is_one),
        cmocka_unit_test(a_step_is_held_to_the_nearer_ceiling),
        cmocka_unit_test(medians_and_percentiles_are_of_the_samples),
        cmocka_unit_test(the_busier_side_bounds_a_job_by_its_larger_part),
    };
    return cmocka_run_group_tests_name("figures", tests, NULL, NULL);
}
