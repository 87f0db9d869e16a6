/* target: what -m names (a checkpoint, an ONNX file, an engine file, or nothing: the built-in model) made ready to run.
 * The program. */
#ifndef SEGRT_PROGRAM_TARGET_H
#define SEGRT_PROGRAM_TARGET_H

#include "segrt/segrt.h"

typedef struct target_options {
    const char *model;  /* NULL: the built-in one */
    const char *device; /* NULL: auto */
    segrt_precision precision;
    int32_t threads;     /* 0: all */
    int32_t random_head; /* classes of a random head for a backbone without one; 0: refused */
} target_options;

/* Rows of an argument table that fill `o`, a target_options. */
#define TARGET_MODEL_ARGUMENT(o)                                                                                                           \
    {                                                                                                                                      \
        "--model", 'm', "MODEL", "checkpoint folder or file, .onnx, or engine (default: built in)", value_text, &(o).model                 \
    }
#define TARGET_SESSION_ARGUMENTS(o)                                                                                                        \
    {"--device", 0, "NAME", "auto (default), cpu, cuda, cuda:N, reference", value_text, &(o).device},                                      \
        {"--precision", 0, "TYPE", "f32 (default), tf32, bf16, f16, int8", value_precision, &(o).precision},                               \
    {                                                                                                                                      \
        "--threads", 0, "N", "threads at work (default: all)", value_count, &(o).threads                                        \
    }
#define TARGET_RANDOM_HEAD_ARGUMENT(o)                                                                                                     \
    {                                                                                                                                      \
        "--random-head", 0, "CLASSES", "give a backbone without a decode head a random one, to time or inspect it", value_count,           \
            &(o).random_head                                                                                                               \
    }

typedef struct target {
    const char *name;       /* for messages */
    segrt_model *model;     /* NULL for an engine file */
    segrt_engine *engine;   /* NULL until target_engine() */
    segrt_session *session; /* NULL until target_open() */
    segrt_model_info info;
    double open_ms, build_ms, session_ms;
} target;

/* Each takes one step further and returns 0, or an exit code after having said why.  target_close in any case. */
int target_model(target *t, const target_options *o);                                    /* opened, described */
int target_engine(target *t, const target_options *o, const segrt_build_options *build); /* and folded; build may be NULL */
int target_open(target *t, const target_options *o);                                     /* and ready to run */
int target_session(target *t, const target_options *o);                                  /* the last step of target_open alone */
void target_close(target *t);

/* Whether a file is an engine by its first bytes. */
bool target_is_engine(const char *path);

const char *target_class_name(const target *t, int32_t label);
void target_class_color(const target *t, int32_t label, uint8_t rgb[3]);

#endif
