/* device: errors of the CUDA runtime in segrt's words, and the device that a session runs on. */
#ifndef SEGRT_CUDA_DEVICE_H
#define SEGRT_CUDA_DEVICE_H

#include <cuda_runtime_api.h>

#include "base/error.h"

typedef struct device {
    int ordinal, processors, major, minor;
    size_t shared; /* bytes of shared memory that a block may have */
    char name[64];
} device;

/* Makes device `ordinal` current.  Errors: DEVICE: no driver, driver too old, no such device. */
segrt_status device_open(device *out, int ordinal, segrt_error *error);

/* SEGRT_OK for cudaSuccess; else DEVICE with what was being done. */
segrt_status device_check(cudaError_t code, const char *doing, segrt_error *error);

/* Device memory.  Errors: NO_MEMORY with the amount and what is free. */
segrt_status device_get(void **out, size_t bytes, const char *what, segrt_error *error);

#endif
