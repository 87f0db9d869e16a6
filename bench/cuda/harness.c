/* harness: the CUDA backend against the reference, operation by operation, and its speed, without files: models are
 * random numbers of the published widths.  Built by build.sh on a machine that has a GPU but not this project's packages.
 *
 *     harness check                every precision, fused and not, odd sizes, batches, custom widths
 *     harness device               memory and streams of the caller, failures, several sessions: see device_check.c
 *     harness one B N H W PRECISION    each kernel a few times, for a profiler
 *     harness model B N H W PRECISION [CSV]  one model as `time` does
 *     harness time [CSV]           whole forward (graph replays between events, median of 200) and each kernel */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/reference/reference.h"
#include "base/processors.h"
#include "device_check.h"
#include "model_support.h"

typedef struct shape_row {
    int n, h, w;
} shape_row;

static const struct {
    const char *name;
    segrt_precision precision;
    double tolerance; /* of any operation, errors before it included */
} precisions[] = {{"fp32", SEGRT_FLOAT32, 1e-5}, {"tf32", SEGRT_TF32, 1e-2}, {"fp16", SEGRT_FLOAT16, 1e-2}, {"bf16", SEGRT_BFLOAT16, 8e-2}};

enum { PRECISIONS = sizeof precisions / sizeof *precisions, MOST = 1024 };

static random_model published(int b, int classes)
{
    static const int depths[6][STAGES] = {{2, 2, 2, 2}, {2, 2, 2, 2}, {3, 4, 6, 3}, {3, 4, 18, 3}, {3, 8, 27, 3}, {3, 6, 40, 3}};
    random_model m = {.width = {64, 128, 320, 512},
                      .heads = {1, 2, 5, 8},
                      .reduction = {8, 4, 2, 1},
                      .decoder_width = b < 2 ? 256 : 768,
                      .classes = classes,
                      .seed = (uint64_t)b + 1};
    if (b == 0)
        m.width[0] = 32, m.width[1] = 64, m.width[2] = 160, m.width[3] = 256;
    memcpy(m.depth, depths[b], sizeof m.depth);
    return m;
}

/* What a run showed. */
typedef struct shown {
    int count;
    struct {
        operation op;
        float *data;
        size_t size;
    } at[MOST];
} shown;

static void keep(void *user, operation op, const float *data, int n, int h, int w, int channels)
{
    shown *s = user;
    const size_t size = (size_t)n * (size_t)h * (size_t)w * (size_t)channels;
    if (s->count == MOST)
        return;
    s->at[s->count].op = op;
    s->at[s->count].size = size;
    s->at[s->count].data = malloc(size * sizeof(float));
    memcpy(s->at[s->count++].data, data, size * sizeof(float));
}

static void forget(shown *s)
{
    for (int i = 0; i < s->count; i++)
        free(s->at[i].data);
    s->count = 0;
}

static double distance(const float *got, const float *want, size_t count)
{
    double difference = 0, size = 0;
    for (size_t i = 0; i < count; i++) {
        difference += ((double)got[i] - (double)want[i]) * ((double)got[i] - (double)want[i]);
        size += (double)want[i] * (double)want[i];
    }
    const double d = sqrt(difference / (size > 0 ? size : 1));
    return d == d ? d : 1e30;
}

static void die(const char *what, const segrt_error *error)
{
    printf("FAILED %s: %s\n", what, error->message);
    exit(1);
}

static int failures;

static void compare(const char *name, const shape_row *shape, const char *precision, bool no_fuse, double tolerance, const shown *got,
                    const shown *want)
{
    double worst = 0, last = 0;
    int reported = 0, found = 0;
    for (int i = 0; i < got->count; i++)
        for (int j = 0; j < want->count; j++) {
            const operation a = got->at[i].op, b = want->at[j].op;
            if (a.kind != b.kind || a.stage != b.stage || a.block != b.block)
                continue;
            found++;
            const double d = got->at[i].size == want->at[j].size ? distance(got->at[i].data, want->at[j].data, got->at[i].size) : 1e31;
            worst = d > worst ? d : worst;
            last = d;
            if (!(d <= tolerance) && reported++ < 3)
                printf("    %s stage %d block %d: %.3g\n", operation_name(got->at[i].op.kind), got->at[i].op.stage, got->at[i].op.block, d);
        }
    const bool bad = !(worst <= tolerance) || found != got->count || (no_fuse && found + 0 < want->count);
    failures += bad;
    printf("%s %-8s %dx%dx%d %s %-8s operations %d/%d worst %.2e logits %.2e\n", bad ? "BAD " : "ok  ", name, shape->n, shape->h, shape->w,
           precision, no_fuse ? "unfused" : "fused", found, want->count, worst, last);
    fflush(stdout);
}

/* The first `count` precisions. */
static void check_model(const char *name, const random_model *wanted, const shape_row *shape, bool float_input, int count, segrt_pool *pool)
{
    segrt_error error = {0};
    segrt_model *model = random_model_open(wanted);
    network *net = NULL;
    if (!model || network_fold(&net, model, NETWORK_F32, &error))
        die("fold", &error);
    const size_t pixels = (size_t)shape->n * (size_t)shape->h * (size_t)shape->w;
    uint8_t *picture = malloc(pixels * 3), *labels = malloc(pixels), *expected = malloc(pixels), *sure = malloc(pixels),
            *sure_expected = malloc(pixels);
    float *input = malloc(pixels * 3 * sizeof *input);
    uint64_t state = 77;
    for (size_t i = 0; i < pixels * 3; i++) {
        picture[i] = (uint8_t)(random_uniform(&state) * 256);
        input[i] = (float)random_normal(&state);
    }
    static shown want, got;
    backend_run run = {.n = shape->n,
                       .h = shape->h,
                       .w = shape->w,
                       .pixels = float_input ? NULL : picture,
                       .input = float_input ? input : NULL,
                       .observe = keep,
                       .observe_user = &want,
                       .output = {.labels = expected,
                                  .confidence = sure_expected,
                                  .label_bytes = 1,
                                  .h = shape->h,
                                  .w = shape->w,
                                  .stride = shape->w,
                                  .picture_stride = (ptrdiff_t)shape->h * shape->w}};
    void *oracle = NULL, *session = NULL;
    backend_options options = {.pool = pool};
    if (backend_reference.open(&oracle, net, &options, &error) || backend_reference.run(oracle, &run, &error))
        die("reference", &error);
    for (int p = 0; p < count; p++)
        for (int no_fuse = 1; no_fuse >= 0; no_fuse--) {
            options.precision = precisions[p].precision;
            options.no_fuse = no_fuse;
            run.observe_user = &got;
            run.observe = keep;
            run.output.labels = labels;
            run.output.confidence = sure;
            if (cuda_backend_table.open(&session, net, &options, &error) || cuda_backend_table.run(session, &run, &error))
                die(name, &error);
            compare(name, shape, precisions[p].name, no_fuse, precisions[p].tolerance, &got, &want);
            forget(&got);
            run.observe = NULL; /* the graph, twice, must give the same */
            size_t same = 0, close = 0, again = 0;
            uint8_t *second = malloc(pixels);
            memset(second, 255, pixels);
            run.output.labels = second;
            if (cuda_backend_table.run(session, &run, &error) || cuda_backend_table.run(session, &run, &error))
                die(name, &error);
            for (size_t i = 0; i < pixels; i++) {
                same += labels[i] == expected[i];
                again += second[i] == labels[i];
                close += abs((int)sure[i] - (int)sure_expected[i]) <= 2;
            }
            if (again != pixels || (precisions[p].precision == SEGRT_FLOAT32 && same < pixels * 0.999)) {
                failures++;
                printf("BAD  graph repeats %.4f\n", (double)again / (double)pixels);
            }
            printf("        labels %.4f %% as the reference, confidence within 2: %.2f %%\n", 100.0 * (double)same / (double)pixels,
                   100.0 * (double)close / (double)pixels);
            free(second);
            cuda_backend_table.close(session);
        }
    forget(&want);
    backend_reference.close(oracle);
    network_close(net);
    random_model_close(model);
    free(picture), free(labels), free(expected), free(input), free(sure), free(sure_expected);
}

static void check(segrt_pool *pool, bool brief)
{
    static const shape_row even = {1, 64, 96}, odd = {2, 97, 65}, larger = {1, 224, 160}, small = {3, 33, 45}, wide = {2, 129, 193},
                           many = {4, 320, 320}, crowd = {8, 256, 288};
    const random_model custom = {.seed = 5}, conv = {.head = HEAD_CONV, .level_width = 24, .classes = 150, .decoder_width = 40, .seed = 6};
    const random_model heads = {
        .width = {24, 96, 128, 192}, .heads = {2, 1, 1, 3}, .reduction = {4, 2, 1, 1}, .seed = 7, .no_reduce_norm = true};
    /* several tiles of keys, groups of warps that share rows and keys; numbers far from one */
    const random_model groups = {.width = {48, 64, 96, 128}, .heads = {1, 2, 3, 2}, .reduction = {8, 2, 1, 1}, .classes = 19, .seed = 8};
    const random_model groups_64 = {
        .width = {128, 96, 128, 192}, .heads = {2, 3, 2, 3}, .reduction = {4, 2, 1, 1}, .depth = {1, 1, 1, 1}, .classes = 19, .seed = 12};
    const random_model classes = {.classes = 150, .decoder_width = 80, .seed = 10};
    const random_model scaled = {.seed = 9, .badly_scaled = true};
    /* no reduction of keys: several tiles of them, with one head and with two, in heads of 64 and 32 */
    const random_model keys = {.width = {64, 128, 64, 96}, .heads = {1, 2, 2, 3}, .reduction = {1, 1, 1, 1}, .seed = 8};
    const random_model b0 = published(0, 19), b1 = published(1, 11), b2 = published(2, 19);
    check_model("custom", &custom, &even, false, PRECISIONS, pool);
    check_model("keys", &keys, &wide, false, PRECISIONS, pool);
    if (brief)
        return;
    check_model("custom", &custom, &odd, true, PRECISIONS, pool);
    check_model("conv", &conv, &small, false, PRECISIONS, pool);
    check_model("heads", &heads, &odd, false, PRECISIONS, pool);
    check_model("groups", &groups, &many, false, PRECISIONS, pool);
    check_model("groups", &groups_64, &crowd, false, PRECISIONS, pool);
    check_model("classes", &classes, &even, false, PRECISIONS, pool);
    check_model("scaled", &scaled, &odd, false, 2, pool);
    check_model("b0", &b0, &odd, false, PRECISIONS, pool);
    check_model("b1", &b1, &larger, false, PRECISIONS, pool);
    check_model("b2", &b2, &even, false, PRECISIONS, pool);
}

static int ascending(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void time_model(const char *name, network *net, shape_row shape, int p, FILE *csv, bool steps)
{
    enum { REPEATS = 200, STEP_REPEATS = 20 };
    segrt_error error = {0};
    void *state = NULL;
    const backend_options options = {.precision = precisions[p].precision};
    float times[MOST];
    if (cuda_backend_table.open(&state, net, &options, &error) || cuda_backend_table.prepare(state, shape.n, shape.h, shape.w, &error)) {
        printf("%s %dx%dx%d %s: %s\n", name, shape.n, shape.h, shape.w, precisions[p].name, error.message);
        return;
    }
    cuda_session *s = state;
    if (cuda_session_time(s, 20, times, &error) || cuda_session_time(s, REPEATS, times, &error))
        die("timing", &error);
    qsort(times, REPEATS, sizeof *times, ascending);
    printf("%s %dx%dx%d %s: median %.4f ms (min %.4f, p90 %.4f), %.4f a picture, %d kernels, %.0f MiB\n", name, shape.n, shape.h, shape.w,
           precisions[p].name, (double)times[REPEATS / 2], (double)times[0], (double)times[REPEATS * 9 / 10],
           (double)times[REPEATS / 2] / shape.n, s->latest->count, (double)cuda_backend_table.memory(s) / 1048576);
    if (csv)
        fprintf(csv, "%s,%d,%d,%d,%s,all,,,%d,%.5f,,\n", name, shape.n, shape.h, shape.w, precisions[p].name, s->latest->count,
                (double)times[REPEATS / 2]);
    if (steps) {
        if (cuda_session_time_steps(s, STEP_REPEATS, times, &error))
            die("timing steps", &error);
        double sum = 0;
        for (int i = 0; i < s->latest->count; i++) {
            const step *at = &s->latest->steps[i];
            sum += (double)times[i];
            if (csv)
                fprintf(csv, "%s,%d,%d,%d,%s,%s,%d,%d,%s,%.5f,%.3f,%.1f\n", name, shape.n, shape.h, shape.w, precisions[p].name,
                        operation_name(at->first.kind), at->first.stage, at->first.block, at->name, (double)times[i],
                        (double)at->macs * 1e-9, 2e-9 * (double)at->macs / (double)times[i]);
            if (at->first.block <= 0)
                printf("    %-10s %2d.%2d %-20s %8.2f us %7.1f TFLOP/s\n", operation_name(at->first.kind), at->first.stage, at->first.block,
                       at->name, 1e3 * (double)times[i], 2e-9 * (double)at->macs / (double)times[i]);
        }
        printf("    sum of kernels %.4f ms\n", sum);
    }
    fflush(stdout);
    cuda_backend_table.close(state);
}

/* PRECISIONS: there is none of that name. */
static int precision_row(const char *name)
{
    int p = 0;
    while (p < PRECISIONS && strcmp(name, precisions[p].name))
        p++;
    return p;
}

static void time_one(int size, shape_row shape, const char *precision, FILE *csv)
{
    segrt_error error = {0};
    const random_model wanted = published(size, 19);
    char name[8];
    network *net = NULL;
    const int p = precision_row(precision);
    snprintf(name, sizeof name, "b%d", size);
    segrt_model *model = p < PRECISIONS ? random_model_open(&wanted) : NULL;
    if (!model || network_fold(&net, model, NETWORK_F32, &error))
        die("model: a precision is fp32, tf32, fp16 or bf16", &error);
    random_model_close(model);
    time_model(name, net, shape, p, csv, csv != NULL);
    network_close(net);
}

static void time_all(FILE *csv, bool brief)
{
    static const struct {
        int b;
        shape_row shape;
        int precision; /* row of precisions */
        bool steps;
    } rows[] = {
        {2, {1, 1024, 1024}, 2, true},  {2, {8, 1024, 1024}, 2, false}, {2, {1, 512, 512}, 2, true},    {0, {1, 1024, 1024}, 2, true},
        {0, {1, 512, 512}, 2, true},    {2, {1, 1024, 1024}, 3, false}, {2, {1, 1024, 1024}, 1, true},  {2, {1, 1024, 1024}, 0, true},
        {2, {8, 1024, 1024}, 1, false}, {2, {8, 1024, 1024}, 0, false}, {1, {1, 1024, 1024}, 2, false}, {1, {1, 512, 512}, 2, false},
        {0, {8, 512, 512}, 2, false},   {5, {1, 1024, 1024}, 2, false},
    };
    network *nets[6] = {0};
    segrt_error error = {0};
    if (csv)
        fprintf(csv, "model,n,h,w,precision,operation,stage,block,kernel,ms,gmac,tflops\n");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (brief && i >= 8)
            break;
        char name[8];
        snprintf(name, sizeof name, "b%d", rows[i].b);
        if (!nets[rows[i].b]) {
            const random_model wanted = published(rows[i].b, 19);
            segrt_model *model = random_model_open(&wanted);
            if (!model || network_fold(&nets[rows[i].b], model, NETWORK_F32, &error))
                die("fold", &error);
            random_model_close(model);
        }
        time_model(name, nets[rows[i].b], rows[i].shape, rows[i].precision, csv, rows[i].steps);
    }
    for (int b = 0; b < 6; b++)
        network_close(nets[b]);
}

/* A drawn picture through the whole forward, then each kernel by itself: for a profiler or compute-sanitizer. */
static int one(int size, shape_row shape, const char *precision)
{
    segrt_error error = {0};
    const random_model wanted = published(size, 19);
    const size_t pixels = (size_t)shape.n * shape.h * shape.w;
    uint8_t *picture = malloc(pixels * 3), *labels = malloc(pixels);
    float times[MOST];
    network *net = NULL;
    void *state = NULL;
    const int p = precision_row(precision);
    segrt_model *model = p < PRECISIONS ? random_model_open(&wanted) : NULL;
    if (!model || !picture || !labels)
        die("one: a precision is fp32, tf32, fp16 or bf16", &error);
    for (size_t i = 0; i < pixels * 3; i++)
        picture[i] = (uint8_t)(i * 2654435761u >> 24);
    const backend_options options = {.precision = precisions[p].precision};
    const backend_run run = {.n = shape.n,
                             .h = shape.h,
                             .w = shape.w,
                             .pixels = picture,
                             .output = {.labels = labels,
                                        .label_bytes = 1,
                                        .h = shape.h,
                                        .w = shape.w,
                                        .stride = shape.w,
                                        .picture_stride = (ptrdiff_t)shape.h * shape.w}};
    if (network_fold(&net, model, NETWORK_F32, &error) || cuda_backend_table.open(&state, net, &options, &error) ||
        cuda_backend_table.run(state, &run, &error) || cuda_session_time_steps(state, 1, times, &error))
        die("one", &error);
    cuda_backend_table.close(state);
    free(picture);
    free(labels);
    return 0;
}

int main(int count, char **words)
{
    const bool brief = count > 2 && !strcmp(words[2], "brief");
    if (count > 1 && !strcmp(words[1], "check")) {
        segrt_error error = {0};
        segrt_pool *pool = NULL;
        if (pool_open(&pool, pool_processors(), &error))
            die("threads", &error);
        check(pool, brief);
        pool_close(pool);
        printf(failures ? "%d FAILED\n" : "all passed\n", failures);
        return failures != 0;
    }
    if (count > 6 && !strcmp(words[1], "one"))
        return one(atoi(words[2]), (shape_row){atoi(words[3]), atoi(words[4]), atoi(words[5])}, words[6]);
    if (count > 6 && !strcmp(words[1], "model")) {
        FILE *csv = count > 7 ? fopen(words[7], "a") : NULL;
        time_one(atoi(words[2]), (shape_row){atoi(words[3]), atoi(words[4]), atoi(words[5])}, words[6], csv);
        if (csv)
            fclose(csv);
        return 0;
    }
    if (count > 1 && !strcmp(words[1], "device"))
        return device_check_all() != 0;
    if (count > 1 && !strcmp(words[1], "time")) {
        FILE *csv = count > 2 && !brief ? fopen(words[2], "w") : NULL;
        time_all(csv, brief);
        if (csv)
            fclose(csv);
        return 0;
    }
    printf("harness check [brief] | device | time [brief | CSV] | one B N H W PRECISION\n");
    return 2;
}
