/* checkpoint: what every reader of weights gives: named tensors whose bytes stay in the file, and the few
 * remarks that containers carry.  Formats layer; the model layer finds the SegFormer in it. */
#ifndef SEGRT_FORMATS_CHECKPOINT_H
#define SEGRT_FORMATS_CHECKPOINT_H

#include "base/bytes.h"
#include "base/error.h"
#include "base/file_map.h"
#include "base/memory.h"

enum {
    TENSOR_RANK = 8,       /* most dimensions */
    TENSOR_NAME_CAP = 255, /* most bytes of a name */
    TENSOR_COUNT_CAP = 1 << 16,
    CLASS_COUNT_CAP = 1 << 16,
    CLASS_NAME_CAP = 255,
};

typedef enum tensor_type { TENSOR_F32, TENSOR_F16, TENSOR_BF16, TENSOR_F64, TENSOR_OTHER } tensor_type;

typedef struct tensor {
    const char *name;
    tensor_type type;
    const char *type_name; /* as safetensors calls it: "F32", "I64" */
    int rank;
    int64_t shape[TENSOR_RANK];
    int64_t stride[TENSOR_RANK]; /* in elements, at least 0 */
    const uint8_t *data;         /* its first element; all it reaches lies in the file or the arena */
} tensor;

typedef struct checkpoint {
    arena *memory; /* names and lists live there; the caller's */
    tensor *tensors;
    size_t count, room;
    bool numpy;               /* a pickle of NumPy arrays: PaddleSeg's, linear weights stand [in][out] */
    const char **class_names; /* or NULL */
    uint8_t (*palette)[3];    /* or NULL */
    size_t class_count, palette_count;
    const char *config_text; /* mmsegmentation's configuration, or NULL */
} checkpoint;

/* What a type is called and how many bytes an element has. */
typedef struct tensor_type_row {
    const char *name;
    int bytes;
    tensor_type type;
} tensor_type_row;

/* By safetensors' name, or NULL. */
const tensor_type_row *tensor_type_named(const char *name);

/* A name that can stand in an error line: at most TENSOR_NAME_CAP bytes, none a control character. */
bool tensor_name_fits(const char *name, size_t length);

/* Adds a tensor (copied; its name is not).  Errors: NO_MEMORY, UNSUPPORTED (too many). */
segrt_status checkpoint_add(checkpoint *c, const tensor *t, segrt_error *error);

/* A copy of a class name with control characters replaced, cut to CLASS_NAME_CAP; NULL without memory. */
const char *checkpoint_class_name(arena *memory, const char *text, size_t length);

/* Product of the shape, or -1 where it does not fit 62 bits. */
int64_t tensor_elements(const tensor *t);

/* Sets the strides of a dense tensor in row-major order from its shape. */
void tensor_set_dense(tensor *t);
bool tensor_is_dense(const tensor *t);

/* True where tensor_floats needs no memory: dense, aligned float32. */
bool tensor_is_mapped(const tensor *t);

/* The elements in row-major order as float32: from the file where tensor_is_mapped, else converted into the arena; NULL
 * without memory.  float64 is rounded to nearest.  Not for TENSOR_OTHER. */
const float *tensor_floats(const tensor *t, arena *memory);

/* "[8, 3, 7, 7]" into text. */
enum { TENSOR_SHAPE_TEXT = 192 };
const char *tensor_shape_text(const tensor *t, char text[TENSOR_SHAPE_TEXT]);

#endif
