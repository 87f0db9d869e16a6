/* npy: NumPy's .npy files, read as float32.  The program.  Format: NumPy's numpy.lib.format, versions 1 to 3. */
#ifndef SEGRT_PROGRAM_NPY_H
#define SEGRT_PROGRAM_NPY_H

#include "segrt/segrt.h"

enum { NPY_RANK = 8 };

typedef struct npy {
    int rank;
    size_t shape[NPY_RANK], count;
    bool whole;    /* integers or booleans */
    float *values; /* [count] */
} npy;

/* Errors: IO, MALFORMED, UNSUPPORTED (Fortran order, other types), NO_MEMORY. */
segrt_status npy_read(npy *out, const char *path, segrt_error *error);
void npy_free(npy *n);

#endif
