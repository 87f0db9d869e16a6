/* segrt: a SegFormer runtime.  Any SegFormer checkpoint or ONNX export in, an optimised engine out,
 * pictures to label maps on a CPU or an NVIDIA GPU.
 *
 * From simple to advanced: open a model, build an engine from it (or open an engine file), make a
 * session, run pictures through it.
 *
 *     segrt_error error = {0};
 *     segrt_model *model = NULL; segrt_engine *engine = NULL; segrt_session *session = NULL;
 *     segrt_model_open(&model, "segformer-b0", NULL, &error);
 *     segrt_engine_build(&engine, model, NULL, &error);
 *     segrt_session_open(&session, engine, NULL, &error);
 *     segrt_image picture = segrt_image_packed(SEGRT_RGB8, pixels, width, height);
 *     segrt_result result = {.size = sizeof result, .labels = labels};
 *     segrt_session_segment(session, &picture, NULL, &result, &error);
 *
 * Errors are values: a function that can fail returns a segrt_status and takes a segrt_error, which
 * may be NULL.  An `open` function sets *out to NULL on failure; every `close` accepts NULL.  The
 * library never prints, exits or aborts, and survives every failed allocation.
 *
 * Threads: segrt_model, segrt_engine and segrt_pool may be used from any number of threads at once;
 * a segrt_session from one at a time (segrt_session_cancel from any).
 *
 * ABI: structures that may grow begin with a `size` field, set by the caller to sizeof of what it was
 * compiled against; fields behind that size have their default.  Zero is every field's default.  The
 * SONAME changes when a function or a field changes its meaning, and only then. */
#ifndef SEGRT_H
#define SEGRT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(SEGRT_BUILDING) && defined(__GNUC__)
#define SEGRT_API __attribute__((visibility("default")))
#else
#define SEGRT_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define SEGRT_VERSION_MAJOR 0
#define SEGRT_VERSION_MINOR 1
#define SEGRT_VERSION_PATCH 0

/* "0.1.0" of the library that runs, which may be newer than the header. */
SEGRT_API const char *segrt_version(void);

/* ------------------------------------------------------------------------------------- errors */

typedef enum segrt_status {
    SEGRT_OK = 0,
    SEGRT_ARGUMENT,      /* the caller broke this header's contract */
    SEGRT_NO_MEMORY,
    SEGRT_IO,            /* the operating system refused; the message carries its words */
    SEGRT_MALFORMED,     /* the file breaks its own format */
    SEGRT_UNSUPPORTED,   /* well-formed, but outside what segrt does */
    SEGRT_NOT_SEGFORMER, /* a readable model, but not a SegFormer, or not a whole one */
    SEGRT_SHAPE,         /* outside the engine's profile, or too small for the network */
    SEGRT_DEVICE,        /* the device or its driver is missing, or failed */
    SEGRT_CANCELLED,     /* segrt_session_cancel was called */
} segrt_status;

#define SEGRT_NO_OFFSET UINT64_MAX

/* What went wrong first; functions never overwrite an error that is already set. */
typedef struct segrt_error {
    segrt_status status;
    uint64_t offset;   /* byte in `file`, or SEGRT_NO_OFFSET */
    char file[256];    /* the file that the error is about, shortened from the left; "" where there is none */
    char message[512]; /* one line: what is wrong, where, what to do */
} segrt_error;

/* "malformed file" and so on: a status in words, for log lines.  Never NULL. */
SEGRT_API const char *segrt_status_text(segrt_status status);

/* -------------------------------------------------------------------------- process-wide hooks */

/* Where the library's memory comes from.  `allocate` returns `bytes` bytes aligned to `alignment` (a
 * power of two, at least 16), or NULL; `release` takes what it returned, never NULL. */
typedef struct segrt_allocator {
    void *user;
    void *(*allocate)(void *user, size_t bytes, size_t alignment);
    void (*release)(void *user, void *memory);
} segrt_allocator;

/* Replaces the allocator (NULL: the C library's) for the whole process.  Call it before anything else
 * of this library; not thread-safe.  JSON parsing uses jansson's own allocations, bounded by the size
 * of the file read. */
SEGRT_API void segrt_set_allocator(const segrt_allocator *allocator);

typedef enum segrt_log_level { SEGRT_LOG_DEBUG, SEGRT_LOG_INFO, SEGRT_LOG_WARNING } segrt_log_level;
typedef void segrt_log_fn(void *user, segrt_log_level level, const char *line);

/* Where remarks that are not errors go (NULL, the default: nowhere).  Call it before anything else;
 * `log` may be called from any thread. */
SEGRT_API void segrt_set_log(segrt_log_fn *log, void *user);

/* ------------------------------------------------------------------------------------ pictures */

typedef enum segrt_format {
    SEGRT_RGB8,  /* plane[0]: R G B */
    SEGRT_BGR8,
    SEGRT_RGBA8, /* alpha is ignored */
    SEGRT_BGRA8,
    SEGRT_GRAY8,
    SEGRT_NV12,  /* plane[0]: Y; plane[1]: U V interleaved at half size, rounded up; BT.601, limited range */
    SEGRT_I420,  /* plane[0]: Y; plane[1]: U; plane[2]: V */
} segrt_format;

/* A view of 8-bit pixels in memory: borrowed, never written by the library. */
typedef struct segrt_image {
    segrt_format format;
    int32_t width, height;   /* pixels, at least 1 */
    const uint8_t *plane[3]; /* first pixel of the top row */
    ptrdiff_t stride[3];     /* bytes from a row to the next; negative for pictures stored bottom-up */
} segrt_image;

/* A view of rows that follow each other without a gap (chroma planes behind the luma plane). */
SEGRT_API segrt_image segrt_image_packed(segrt_format format, const uint8_t *pixels, int32_t width, int32_t height);

typedef enum segrt_resize {
    SEGRT_RESIZE_MODEL = 0,  /* the model's own */
    SEGRT_RESIZE_NONE,       /* the network sees the picture as it is */
    SEGRT_RESIZE_EXACT,      /* to width x height, whatever the aspect */
    SEGRT_RESIZE_SHORT_SIDE, /* shorter side to `width`, aspect kept */
    SEGRT_RESIZE_FIT,        /* mmseg's: fitted into width x height (either way round), aspect kept, then each side up to a
                                multiple of `multiple` */
} segrt_resize;

typedef enum segrt_resample {
    SEGRT_RESAMPLE_MODEL = 0,
    SEGRT_RESAMPLE_PILLOW_BILINEAR, /* antialiased, rounded to 8 bits after each pass, bit-exact with Pillow */
    SEGRT_RESAMPLE_PILLOW_BICUBIC,
    SEGRT_RESAMPLE_OPENCV_LINEAR,   /* not antialiased, bit-exact with OpenCV's INTER_LINEAR */
    SEGRT_RESAMPLE_NEAREST,
} segrt_resample;

/* How a picture becomes the network's input, and its logits the picture's labels. */
typedef struct segrt_preprocessing {
    size_t size;
    segrt_resize resize;
    int32_t width, height, multiple; /* what `resize` needs */
    segrt_resample resample;
    bool via_input;                  /* logits go to the input's size first, then to the picture's (mmseg); else at once (Hugging Face) */
    int32_t window, stride;          /* sliding window: side and step in input pixels; 0: the whole picture at once */
    float mean[3], deviation[3];     /* of R, G, B on 0..255; read only: overriding them has no effect on a run */
} segrt_preprocessing;

/* --------------------------------------------------------------------------------------- model */

typedef struct segrt_model segrt_model;

/* A file that is already in memory, as part of a model: `name` as it would stand in its folder. */
typedef struct segrt_file {
    const char *name;
    const void *data; /* borrowed until the model is closed */
    size_t size;
} segrt_file;

typedef struct segrt_model_options {
    size_t size;
    int32_t heads[4];            /* attention heads per stage where the file does not tell; 0: config.json's, else 1, 2, 5, 8 */
    int32_t random_head_classes; /* for a backbone without a decode head: give it a random one with so many classes */
} segrt_model_options;

/* Opens a checkpoint: a folder (config.json, preprocessor_config.json, weights) or a weights file:
 * .safetensors (one or sharded by an index), .bin/.pth (zip or legacy pickle), .pdparams, .onnx.  The
 * file stays mapped while the model is open.  `options` may be NULL.
 * Errors: IO, MALFORMED (with the offset), UNSUPPORTED, NOT_SEGFORMER (the first tensor or node that
 * does not fit), NO_MEMORY. */
SEGRT_API segrt_status segrt_model_open(segrt_model **out, const char *path, const segrt_model_options *options, segrt_error *error);

/* The same from memory. */
SEGRT_API segrt_status segrt_model_open_files(segrt_model **out, const segrt_file *files, size_t count,
                                              const segrt_model_options *options, segrt_error *error);
SEGRT_API void segrt_model_close(segrt_model *model);

typedef struct segrt_model_info {
    size_t size;
    const char *family;  /* "hf", "nvlabs", "mmseg", "smp", "paddle", "onnx" */
    const char *variant; /* "b0".."b5" or "custom" */
    int32_t classes;     /* 0: a backbone without a head */
    bool random_head;
    int32_t width[4], depth[4], heads[4], reduction[4], decoder_width;
    uint64_t parameters;
} segrt_model_info;

/* Fills `info` up to info->size; the strings live as long as the model. */
SEGRT_API void segrt_model_describe(const segrt_model *model, segrt_model_info *info);

/* Name of a class ("class 17" where the model has no names; NULL outside the range), and its colour. */
SEGRT_API const char *segrt_model_class_name(const segrt_model *model, int32_t label);
SEGRT_API void segrt_model_class_color(const segrt_model *model, int32_t label, uint8_t rgb[3]);
SEGRT_API void segrt_model_preprocessing(const segrt_model *model, segrt_preprocessing *preprocessing);

/* -------------------------------------------------------------------------------------- engine */

typedef struct segrt_engine segrt_engine;

typedef enum segrt_precision {
    SEGRT_PRECISION_DEFAULT = 0, /* the engine's, else float32 */
    SEGRT_FLOAT32,
    SEGRT_TF32,
    SEGRT_BFLOAT16,
    SEGRT_FLOAT16,
    SEGRT_INT8,
} segrt_precision;

typedef struct segrt_shape { int32_t n, h, w; } segrt_shape; /* pictures, rows, columns of the network's input */

typedef struct segrt_build_options {
    size_t size;
    segrt_precision precision;
    segrt_shape min, opt, max; /* the shapes that sessions may run; all zero: any; one given: that one alone; no opt: max */
    const char *command;       /* provenance: written into the file as it is, may be NULL */
    const segrt_image *calibration; /* SEGRT_INT8: pictures like those to come; read during the build only */
    size_t calibration_count;
} segrt_build_options;

/* Folds the model's weights, and measures the means of stage outputs on a small drawn picture (docs/numerics.md: centring);
 * the model may be closed afterwards.  `options` may be NULL.
 * An engine for one height and width alone prepares pictures to that size, whatever the model says (sliding windows of it stay).
 * SEGRT_INT8 runs the calibration pictures in float32 to find the scales of 8-bit inputs, then measures what each block's integers
 * bring to the logits: blocks that bring too much stay wider.  Without pictures: ARGUMENT. */
SEGRT_API segrt_status segrt_engine_build(segrt_engine **out, const segrt_model *model, const segrt_build_options *options, segrt_error *error);
SEGRT_API segrt_status segrt_engine_open(segrt_engine **out, const char *path, segrt_error *error);
/* Written aside, synced and renamed: `path` holds the whole engine or what it held before. */
SEGRT_API segrt_status segrt_engine_save(const segrt_engine *engine, const char *path, segrt_error *error);
SEGRT_API void segrt_engine_close(segrt_engine *engine);
SEGRT_API void segrt_engine_describe(const segrt_engine *engine, segrt_model_info *info);
SEGRT_API void segrt_engine_profile(const segrt_engine *engine, segrt_build_options *profile);
SEGRT_API const char *segrt_engine_class_name(const segrt_engine *engine, int32_t label);
SEGRT_API void segrt_engine_class_color(const segrt_engine *engine, int32_t label, uint8_t rgb[3]);
SEGRT_API void segrt_engine_preprocessing(const segrt_engine *engine, segrt_preprocessing *preprocessing);

/* -------------------------------------------------------------------------------------- export */

/* How a model is written as an ONNX file for other runtimes. */
typedef struct segrt_export_options {
    size_t size;
    bool folded;               /* the exact algebra that other runtimes lack (docs/export.md); else the network as published */
    bool centred;              /* with `folded`: the head's levels centred, which 16-bit arithmetic needs and float32 gains from */
    bool labels;               /* out come labels [n][h][w] int64; else logits [n][classes][ceil(h/4)][ceil(w/4)] float32 */
    segrt_shape shape;         /* n 0: any; h and w 0: any */
    int32_t opset;             /* 11..22; 0: 17 */
    bool float16;              /* weights and arithmetic; the input stays float32 */
} segrt_export_options;

/* Writes the model to `path` (aside, synced, renamed).  The graph's input is `input` [n][3][h][w], normalised as in
 * training.  `options` may be NULL: as published, any shape.  Errors: ARGUMENT, SHAPE, NOT_SEGFORMER (a backbone),
 * UNSUPPORTED (beyond float16's range, or 2 GiB), IO, NO_MEMORY. */
SEGRT_API segrt_status segrt_model_export(const segrt_model *model, const segrt_export_options *options, const char *path, segrt_error *error);

/* -------------------------------------------------------------------------------- pool, session */

typedef struct segrt_pool segrt_pool;

/* Worker threads that sessions share.  threads 0: as many as this process may use (affinity and
 * cgroup quota); 1: no thread is started, work runs on the caller's. */
SEGRT_API segrt_status segrt_pool_open(segrt_pool **out, int32_t threads, segrt_error *error);
SEGRT_API void segrt_pool_close(segrt_pool *pool);

typedef struct segrt_session segrt_session;

typedef struct segrt_session_options {
    size_t size;
    const char *device;        /* "auto" (NULL), "cpu", "cuda", "cuda:1", "reference" */
    segrt_precision precision; /* overrides the engine's */
    segrt_pool *pool;          /* shared, outlives the session; NULL: one of its own with `threads` */
    int32_t threads;
} segrt_session_options;

/* `engine` must outlive the session.  Errors: DEVICE, UNSUPPORTED (the precision on this device), NO_MEMORY. */
SEGRT_API segrt_status segrt_session_open(segrt_session **out, const segrt_engine *engine, const segrt_session_options *options, segrt_error *error);
SEGRT_API void segrt_session_close(segrt_session *session);
/* "cpu, avx2, float32, 2 threads": what the session runs on.  Lives as long as the session. */
SEGRT_API const char *segrt_session_device(const segrt_session *session);

/* What a run writes: pointers that are NULL are not computed.  Buffers are the caller's. */
typedef struct segrt_result {
    size_t size;
    void *labels;            /* [height][label_stride], one element a pixel of the picture */
    int32_t label_bytes;     /* 1 (default; at most 256 classes) or 2 (native uint16_t) */
    ptrdiff_t label_stride;  /* elements from a row to the next; 0: the picture's width */
    uint8_t *confidence;     /* [height][width]: softmax probability of the winning class, 0..255 */
    float *logits;           /* [classes][input height / 4][input width / 4], rounded up; not with a sliding window */
    /* written by the run: */
    int32_t input_width, input_height; /* what the network saw (with a sliding window: the whole) */
    double prepare_ms, network_ms;     /* picture to input; input to labels */
} segrt_result;

/* A picture to its labels, through the model's own preprocessing (NULL) or another. */
SEGRT_API segrt_status segrt_session_segment(segrt_session *session, const segrt_image *picture, const segrt_preprocessing *preprocessing,
                                             segrt_result *result, segrt_error *error);

/* Pictures that are in device memory already, to labels there. */
typedef struct segrt_device_run {
    size_t size;
    int32_t n, width, height;       /* pictures (0: 1), and their size, which is the network's input: nothing is resized */
    const uint8_t *pixels;          /* device: R G B of 8 bits */
    ptrdiff_t stride;               /* bytes from a row to the next; 0: 3 * width */
    ptrdiff_t picture_stride;       /* bytes from a picture to the next; 0: height * stride */
    void *labels;                   /* device: [n][height][width] of label_bytes each */
    int32_t label_bytes;            /* 1 (default; at most 256 classes) or 2 */
    ptrdiff_t label_stride;         /* elements from a row to the next; 0: width */
    ptrdiff_t label_picture_stride; /* elements from a picture to the next; 0: height * label_stride */
    void *stream;                   /* a cudaStream_t (CUstream) of the session's device; NULL: the default stream */
} segrt_device_run;

/* Queues copies and the network on the caller's stream and returns without waiting: `pixels` are read and `labels` written in
 * that stream's order, so both must stay until its work is done; `run` itself may go at once.  Only a shape that the session does
 * not know yet (it keeps the latest eight) is planned first, and may wait for runs before.  Runs of one session follow each other
 * on whatever streams they are, since they share a workspace: sessions of their own run side by side.  Pictures of another size
 * than the engine's profile allows are refused; to resize, or for windows, use segrt_session_segment.  The thread's current CUDA
 * device stays as it was.  Pinned and managed host memory that the device reaches will do too.  segrt_session_close waits for what is
 * queued; segrt_session_cancel does not reach it.
 * Errors: ARGUMENT (memory that the device cannot reach, strides, a stream that is being captured), SHAPE, UNSUPPORTED (the
 * session runs on a processor), NO_MEMORY, DEVICE.  What fails on the device later is told by the stream, and by the session's next
 * run: such a session is to be closed. */
SEGRT_API segrt_status segrt_session_run_device(segrt_session *session, const segrt_device_run *run, segrt_error *error);

/* The network alone.  input [n][3][h][w], normalised as in training; logits [n][classes][ceil(h/4)][ceil(w/4)]. */
SEGRT_API segrt_status segrt_session_forward(segrt_session *session, const float *input, int32_t n, int32_t h, int32_t w, float *logits, segrt_error *error);

/* The input size that `preprocessing` (NULL: the model's) makes of a picture of width x height. */
SEGRT_API void segrt_session_input_size(const segrt_session *session, const segrt_preprocessing *preprocessing, int32_t width, int32_t height,
                                        int32_t *input_width, int32_t *input_height);

/* Ends the run that is under way (SEGRT_CANCELLED there) as soon as a step ends; from any thread. */
SEGRT_API void segrt_session_cancel(segrt_session *session);

/* Bytes of workspace and packed weights that the session holds now. */
SEGRT_API size_t segrt_session_memory(const segrt_session *session);

#ifdef __cplusplus
}
#endif
#endif
