/* side: one of the two that are compared: a model or engine run by a session, or an ONNX file run as it is by the
 * interpreter.  The program. */
#ifndef SEGRT_PROGRAM_SIDE_H
#define SEGRT_PROGRAM_SIDE_H

#include "api/inside.h"
#include "drawn.h"
#include "target.h"

typedef struct side {
    const char *name;
    target t;      /* the session; of an ONNX file the model that is recognised in it, or nothing */
    bool borrowed; /* t is the caller's */
    file_map file;
    onnx_graph *graph; /* of an ONNX file; else NULL */
    onnx_interpreter *interpreter;
    segrt_pool *pool;
    float *logits, *pixels; /* a session's; what a graph that normalises by itself is given */
    size_t logits_room, pixels_room;
} side;

/* What one side says to an input: either of the first two may be missing. */
typedef struct answer {
    const float *logits; /* [n][classes][logits_h][logits_w], the side's own */
    int classes, logits_h, logits_w;
    uint16_t *labels; /* [n][h][w] of the input; free() */
} answer;

/* interpret: an .onnx file is run as it is.  Result: 0, or an exit code (reported). */
int side_open(side *s, const char *name, const target_options *options, bool interpret);
/* What prepares pictures as an ONNX file's network wants them: a session beside the interpreter.  Result as above. */
int side_prepare(side *s, const target_options *options);
/* The file that an imported model came from, as it is. */
int side_open_original(side *s, const target *imported, const char *path, int32_t threads);
/* A target that is open already and stays the caller's. */
side side_of(const target *t);
void side_close(side *s);

/* What an ONNX file's graph does around the network; NULL where that is not known, or for a session. */
const model_graph *side_graph(const side *s);

/* in: normalised.  like: the other side's graph, or NULL: a session does what it does with sliding windows and corners.  False: reported.
 */
bool side_run(side *s, const drawn *in, const model_graph *like, answer *out);

/* The differences of two answers to one input, `a` against `b`: of logits where both have them, the smaller brought to the size of
 * the larger, and of labels.  align: corners, in that.  False: reported. */
struct difference;
bool side_compare(const side *a, const side *b, const drawn *in, answer *x, answer *y, struct difference *d);

#endif
