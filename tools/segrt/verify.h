/* verify: proof that an import equals its file: the ONNX file as it is, run by the interpreter, against what segrt made of it, on
 * noise and on drawn shapes.  The program. */
#ifndef SEGRT_PROGRAM_VERIFY_H
#define SEGRT_PROGRAM_VERIFY_H

#include <jansson.h>

#include "target.h"

typedef struct verify_options {
    double tolerance; /* largest relative difference of the logits; negative: by the engine's precision */
    int32_t threads;
    json_t *json; /* an array that gets an entry for each input; NULL: they are printed */
} verify_options;

/* Whether a target's model came from an ONNX file, so that there is something to verify. */
bool verify_applies(const target *t);

/* The target's engine must be built.  Result: 0; EXIT_SOME_FAILED where they differ by more than the tolerance, or another exit code
 * (all reported). */
int verify_import(const target *t, const verify_options *o);

#endif
