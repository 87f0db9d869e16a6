/* side: one of the two that are compared: a model or engine run by a session, or an ONNX file run as it is by the
 * interpreter.  The program. */
#ifndef SEGRT_PROGRAM_SIDE_H
#define SEGRT_PROGRAM_SIDE_H

#include "api/inside.h"
#include "target.h"

typedef struct side {
    const char *name;
    target t;               /* the session; for an ONNX file closed */
    file_map file;
    onnx_graph *graph;      /* of an ONNX file; else NULL */
    onnx_interpreter *interpreter;
    segrt_pool *pool;
    float *logits;          /* a session's */
    size_t room;
} side;

/* What one side says to an input: either of the first two may be missing. */
typedef struct answer {
    const float *logits; /* [classes][logits_h][logits_w], the side's own */
    int classes, logits_h, logits_w;
    uint16_t *labels;    /* [h][w] of the input; free() */
} answer;

/* interpret: an .onnx file is run as it is.  Result: 0, or an exit code (reported). */
int side_open(side *s, const char *name, const target_options *options, bool interpret);
void side_close(side *s);

/* tensor [3][h][w], normalised.  False: reported. */
bool side_run(side *s, const float *tensor, int h, int w, answer *out);

#endif
