/* npy_support: .npy goldens of this folder's tests. */
#ifndef TESTS_IMAGE_NPY_SUPPORT_H
#define TESTS_IMAGE_NPY_SUPPORT_H

#include <stddef.h>
#include <stdint.h>

/* The uint8 [h][w][3] array in TEST_DATA/preprocess/NAME.npy, which must have this shape; free() it.  Fails the test otherwise. */
uint8_t *npy_rgb(const char *name, int w, int h);

#endif
