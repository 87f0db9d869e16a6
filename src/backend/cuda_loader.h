/* cuda_loader: finds the CUDA backend at run time, so that one build runs with and without a GPU. */
#ifndef SEGRT_BACKEND_CUDA_LOADER_H
#define SEGRT_BACKEND_CUDA_LOADER_H

#include "backend/backend.h"

/* The backend in libsegrt-cuda.so: the file that SEGRT_CUDA_LIBRARY names, else beside the file that this code is in,
 * else in ../lib from there, else in the dynamic linker's path.  Valid as long as the process; whether there is a driver
 * and a GPU is asked by open().  Errors: DEVICE. */
segrt_status cuda_loader_find(const backend **out, segrt_error *error);

#endif
