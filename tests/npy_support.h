/* npy_support: NumPy's .npy files as tests need them: the goldens. */
#ifndef SEGRT_TESTS_NPY_SUPPORT_H
#define SEGRT_TESTS_NPY_SUPPORT_H

#include <stddef.h>
#include <stdint.h>

enum { NPY_RANK = 6 };

typedef struct npy {
    int rank;
    size_t shape[NPY_RANK], count; /* count: product of the shape */
    char type[4];                  /* "<f4", "<f8", "|u1", "<i8" */
    union {
        void *data;
        float *f32;
        double *f64;
        uint8_t *u8;
        int64_t *i64;
    };
} npy;

/* Reads a file in C order, format 1.0; the test ends as failed where it cannot.  `name` is under tests/data ("hf/logits_64x96.npy"), or
 * an absolute path. */
npy npy_read(const char *name);

/* The same, the test failing where the type is another. */
npy npy_read_as(const char *name, const char *type);
void npy_free(npy *array);

#endif
