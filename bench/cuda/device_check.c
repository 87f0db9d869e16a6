/* device_check: see device_check.h. */
#include "device_check.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "model_support.h"

enum { N = 2, H = 97, W = 131, PITCH = 3 * W + 7, PICTURE = PITCH * H + 64, LABEL_PITCH = W + 5, THREADS = 4, GUARD = 0xEE };

static int broken;

static void say(bool kept, const char *what, const char *more)
{
    broken += !kept;
    printf("%s %s%s%s\n", kept ? "ok  " : "BAD ", what, *more ? ": " : "", more);
    fflush(stdout);
}

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

static void *open_session(const network *net, segrt_error *error)
{
    void *session = NULL;
    cuda_backend_table.open(&session, net, &(backend_options){.precision = SEGRT_FLOAT16}, error);
    return session;
}

/* By the host's way: labels [n][h][w]. */
static segrt_status run_host(void *session, const uint8_t *pixels, int n, int h, int w, uint8_t *labels, segrt_error *error)
{
    const backend_run run = {
        .n = n,
        .h = h,
        .w = w,
        .pixels = pixels,
        .output = {.labels = labels, .label_bytes = 1, .h = h, .w = w, .stride = w, .picture_stride = (ptrdiff_t)h * w}};
    return cuda_backend_table.run(session, &run, error);
}

static backend_device_run strided(const uint8_t *pixels, uint8_t *labels, cudaStream_t stream)
{
    return (backend_device_run){.n = N,
                                .h = H,
                                .w = W,
                                .pixels = pixels,
                                .stride = PITCH,
                                .picture_stride = PICTURE,
                                .labels = labels,
                                .label_bytes = 1,
                                .label_stride = LABEL_PITCH,
                                .label_picture_stride = LABEL_PITCH * H,
                                .stream = stream};
}

/* Two streams of one session, strided memory, nothing waited for in between; guards between rows stay. */
static void caller_streams(void *session)
{
    static uint8_t packed_pixels[2][N * H * W * 3], pixels[2][N * PICTURE], want[2][N * H * W], got[2][N * LABEL_PITCH * H];
    segrt_error error = {0};
    uint64_t seed = 5;
    uint8_t *in[2] = {0}, *out[2] = {0};
    cudaStream_t stream[2] = {0};
    bool fine = true;
    for (int s = 0; s < 2; s++) {
        for (size_t i = 0; i < sizeof packed_pixels[s]; i++)
            packed_pixels[s][i] = (uint8_t)(256 * random_uniform(&seed));
        for (int y = 0; y < N * H; y++)
            memcpy(pixels[s] + (size_t)(y / H) * PICTURE + (size_t)(y % H) * PITCH, packed_pixels[s] + (size_t)y * W * 3, W * 3);
        fine = fine && !run_host(session, packed_pixels[s], N, H, W, want[s], &error);
        fine = fine && !cudaMalloc((void **)&in[s], sizeof pixels[s]) && !cudaMalloc((void **)&out[s], sizeof got[s]) &&
               !cudaStreamCreateWithFlags(&stream[s], cudaStreamNonBlocking) &&
               !cudaMemcpy(in[s], pixels[s], sizeof pixels[s], cudaMemcpyHostToDevice) && !cudaMemset(out[s], GUARD, sizeof got[s]);
    }
    fine = fine && !cudaDeviceSynchronize();
    for (int turn = 0; fine && turn < 20; turn++)
        for (int s = 0; s < 2; s++) {
            const backend_device_run run = strided(in[s], out[s], stream[s]);
            fine = fine && !cuda_backend_table.run_device(session, &run, &error);
        }
    size_t wrong = 0;
    for (int s = 0; s < 2; s++) {
        fine = fine && !cudaStreamSynchronize(stream[s]) && !cudaMemcpy(got[s], out[s], sizeof got[s], cudaMemcpyDeviceToHost);
        for (int y = 0; y < N * H; y++)
            for (int x = 0; x < LABEL_PITCH; x++)
                wrong += got[s][y * LABEL_PITCH + x] != (x < W ? want[s][y * W + x] : GUARD);
    }
    say(fine && !wrong, "two streams of a session, strided: labels as by the host's way", error.message);
    static uint8_t after[N * H * W]; /* queued, then the host's way at once */
    const backend_device_run run = strided(in[0], out[0], stream[0]);
    fine = !cuda_backend_table.run_device(session, &run, &error) && !run_host(session, packed_pixels[1], N, H, W, after, &error);
    say(fine && !memcmp(after, want[1], sizeof after), "the host's way behind a queued run", error.message);
    error = (segrt_error){0};
    const backend_device_run host = strided(pixels[0], out[0], stream[0]);
    say(cuda_backend_table.run_device(session, &host, &error) == SEGRT_ARGUMENT, "host memory is refused", error.message);
    error = (segrt_error){0};
    cudaStreamBeginCapture(stream[1], cudaStreamCaptureModeThreadLocal);
    const backend_device_run captured = strided(in[0], out[0], stream[1]);
    say(cuda_backend_table.run_device(session, &captured, &error) == SEGRT_ARGUMENT, "a stream being captured is refused", error.message);
    cudaGraph_t graph = NULL;
    cudaStreamEndCapture(stream[1], &graph);
    if (graph)
        cudaGraphDestroy(graph);
    error = (segrt_error){0};
    say(!cuda_backend_table.run_device(session, &run, &error) && !cudaStreamSynchronize(stream[0]), "the session goes on after both",
        error.message);
    for (int s = 0; s < 2; s++)
        cudaFree(in[s]), cudaFree(out[s]), cudaStreamDestroy(stream[s]);
}

typedef struct one_thread {
    const network *net;
    bool kept;
    size_t differ; /* labels of the run that was not as the first */
    segrt_error error;
} one_thread;

static void *run_thread(void *data)
{
    one_thread *t = data;
    void *session = open_session(t->net, &t->error);
    uint8_t *pixels = malloc(H * W * 3), *want = malloc(H * W), *got = malloc(H * W);
    uint64_t seed = (uint64_t)(uintptr_t)t;
    for (int i = 0; i < H * W * 3; i++)
        pixels[i] = (uint8_t)(256 * random_uniform(&seed));
    t->kept = session && !run_host(session, pixels, 1, H, W, want, &t->error);
    for (int turn = 0; t->kept && turn < 50; turn++) /* ten shapes in turn: more than are kept */
        t->kept = !run_host(session, pixels, 1, 64 + 2 * (turn % 10), W - 1, got, &t->error) &&
                  !run_host(session, pixels, 1, H, W, got, &t->error) && !memcmp(got, want, H * W);
    for (int i = 0; !t->kept && i < H * W; i++)
        t->differ += got[i] != want[i];
    cuda_backend_table.close(session);
    free(pixels), free(want), free(got);
    return NULL;
}

static void several_sessions(const network *net)
{
    pthread_t thread[THREADS];
    one_thread job[THREADS];
    bool kept = true;
    char line[640] = "";
    for (int i = 0; i < THREADS; i++) {
        job[i] = (one_thread){.net = net};
        pthread_create(&thread[i], NULL, run_thread, &job[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
        if (!job[i].kept)
            snprintf(line, sizeof line, "thread %d: %zu labels differ; %s", i, job[i].differ, job[i].error.message);
        kept = kept && job[i].kept;
    }
    say(kept, "four sessions on four threads, eleven shapes each: labels repeat", line);
}

static void exhausted(void *session)
{
    segrt_error error = {0};
    size_t available = 0, total = 0;
    void *hog = NULL;
    static uint8_t pixels[H * W * 3], labels[H * W];
    cudaMemGetInfo(&available, &total);
    const size_t spare = (size_t)96 << 20;
    bool fine = available > spare && !cudaMalloc(&hog, available - spare);
    const segrt_status status = cuda_backend_table.prepare(session, 8, 2048, 2048, &error);
    say(fine && status == SEGRT_NO_MEMORY, "an exhausted memory", error.message);
    error = (segrt_error){0};
    say(!run_host(session, pixels, 1, H, W, labels, &error), "a smaller shape runs in the same session", error.message);
    cudaFree(hog);
    error = (segrt_error){0};
    say(!cuda_backend_table.prepare(session, 8, 2048, 2048, &error), "and the large one once there is memory", error.message);
}

static void new_shapes(void *session)
{
    char line[160];
    segrt_error error = {0};
    double first = 0, again = 0;
    bool fine = !cuda_backend_table.prepare(session, 1, 640, 640, &error);
    for (int i = 0; fine && i < 4; i++) {
        double at = now_ms();
        fine = !cuda_backend_table.prepare(session, 1, 512 + 32 * i, 544, &error);
        first = now_ms() - at > first ? now_ms() - at : first;
        at = now_ms();
        fine = fine && !cuda_backend_table.prepare(session, 1, 512 + 32 * i, 544, &error);
        again = now_ms() - at > again ? now_ms() - at : again;
    }
    snprintf(line, sizeof line, "slowest of four %.2f ms the first time (goal 20), %.4f ms after; %s", first, again, error.message);
    say(fine && first < 20, "a new shape", line);
}

/* Last: what a fault on the device leaves, and whether the process can go on. */
static void faulted(const network *net)
{
    segrt_error error = {0};
    static uint8_t pixels[H * W * 3], labels[H * W];
    cuda_session *s = open_session(net, &error);
    if (!s || run_host(s, pixels, 1, H, W, labels, &error)) {
        say(false, "a session to be broken", error.message);
        cuda_backend_table.close(s);
        return;
    }
    step bad = s->latest->steps[s->latest->count - 1]; /* labels */
    bad.args.label.labels = (void *)(uintptr_t)4096; /* nobody's memory */
    step_launch(&bad, s->type, &(launch){.stream = s->stream});
    const segrt_status status = run_host(s, pixels, 1, H, W, labels, &error);
    say(status == SEGRT_DEVICE, "a fault on the device", error.message);
    error = (segrt_error){0};
    say(run_host(s, pixels, 1, H, W, labels, &error) == SEGRT_DEVICE, "the session stays closed to runs", error.message);
    cuda_backend_table.close(s);
    error = (segrt_error){0};
    void *next = open_session(net, &error);
    const segrt_status again = next ? run_host(next, pixels, 1, H, W, labels, &error) : error.status;
    say(!again || again == SEGRT_DEVICE, "a new session after it runs, or says why the driver refuses", again ? error.message : "it runs");
    cuda_backend_table.close(next);
}

int device_check_all(void)
{
    char line[160];
    segrt_error error = {0};
    network *net = NULL;
    segrt_model *model = random_model_open(&(random_model){.seed = 5, .classes = 19});
    if (!model || network_fold(&net, model, NETWORK_F32, &error)) {
        printf("FAILED: %s\n", error.message);
        return 1;
    }
    int count = 0;
    if (cudaGetDeviceCount(&count) || !count) {
        void *none = open_session(net, &error);
        cuda_backend_table.close(none);
        printf("skipped: %s\n", error.message);
    } else {
        double at = now_ms();
        cudaFree(NULL);
        snprintf(line, sizeof line, "%.0f ms", now_ms() - at);
        say(true, "the CUDA context", line);
        at = now_ms();
        void *session = open_session(net, &error);
        say(session, "a session", error.message);
        if (session) {
            caller_streams(session);
            new_shapes(session);
            exhausted(session);
        }
        cuda_backend_table.close(session);
        several_sessions(net);
        faulted(net);
        printf(broken ? "%d BROKEN\n" : "all kept\n", broken);
    }
    network_close(net);
    random_model_close(model);
    return broken;
}
