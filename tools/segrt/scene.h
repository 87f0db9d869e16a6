/* scene: one picture on its way through `segrt segment`: decoded, run, written, told.  The program.  Everything up to telling may
 * happen on any thread; what failed is kept until it is told. */
#ifndef SEGRT_PROGRAM_SCENE_H
#define SEGRT_PROGRAM_SCENE_H

#include <jansson.h>

#include "api/inside.h"
#include "codecs/codecs.h"
#include "outputs.h"

/* What all pictures of a call share; nobody writes to it. */
typedef struct scene_plan {
    const target *t;
    segrt_preprocessing how;
    outputs out;
} scene_plan;

typedef struct scene {
    const char *name, *stem; /* for messages; of the outputs */
    codec_picture picture;   /* of a file */
    segrt_image view;        /* what is run: the picture, or a frame, whose RGB stands in labels.rgb */
    labelled labels;
    uint64_t *counts; /* [classes] */
    int32_t input_width, input_height;
    double decode_ms, prepare_ms, network_ms, write_ms;
    backend_times device;
    segrt_error error; /* of decoding or running */
    output_file files[OUTPUT_FILES];
} scene;

/* False: out of memory. */
bool scene_open(scene *s, const scene_plan *plan);
/* For the next picture: what the last one left is given back. */
void scene_clear(scene *s);
void scene_close(scene *s);

/* Each false where it failed, as the scene's error tells.  scene_read: from a file. */
bool scene_read(scene *s, const char *path);
bool scene_decode(scene *s, const void *data, size_t size);
bool scene_run(scene *s, const scene_plan *plan, segrt_session *session);
bool scene_write(scene *s, const scene_plan *plan);

/* Bytes that a decoded picture holds, its labels to come counted. */
size_t scene_bytes(const scene *s, const scene_plan *plan);

/* What failed, on stderr. */
void scene_report(const scene *s);
/* Name, sizes, the device that it ran on, classes and files, on stdout. */
void scene_print(const scene *s, const scene_plan *plan, const char *device);
json_t *scene_json(const scene *s, const scene_plan *plan);

/* Classes by their share of the pixels. */
void print_shares(const target *t, const uint64_t *counts);
json_t *shares_json(const target *t, const uint64_t *counts);

#endif
