/* device: see device.h. */
#include "backend/cuda/device.h"

#include <stdio.h>

segrt_status device_check(cudaError_t code, const char *doing, segrt_error *error)
{
    if (code == cudaSuccess)
        return SEGRT_OK;
    cudaGetLastError(); /* an error that is not sticky is forgotten */
    return fail_with(error, SEGRT_DEVICE, "CUDA: %s: %s (%s)", doing, cudaGetErrorString(code), cudaGetErrorName(code));
}

segrt_status device_open(device *out, int ordinal, segrt_error *error)
{
    int count = 0, driver = 0;
    const cudaError_t code = cudaGetDeviceCount(&count);
    if (code == cudaErrorInsufficientDriver) {
        cudaDriverGetVersion(&driver);
        cudaGetLastError();
        if (!driver)
            return fail_with(error, SEGRT_DEVICE, "no NVIDIA driver is installed (libcuda.so.1 was not found)");
        return fail_with(error, SEGRT_DEVICE,
                         "the NVIDIA driver is too old: it supports CUDA %d.%d, this program needs %d.%d; install a newer driver",
                         driver / 1000, driver % 1000 / 10, CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
    }
    if (code == cudaErrorNoDevice || (code == cudaSuccess && !count)) {
        cudaGetLastError();
        return fail_with(error, SEGRT_DEVICE, "there is no NVIDIA GPU (or CUDA_VISIBLE_DEVICES hides it)");
    }
    segrt_status status = device_check(code, "looking for devices", error);
    if (status)
        return status;
    if (ordinal < 0 || ordinal >= count)
        return fail_with(error, SEGRT_DEVICE, "there is no device cuda:%d: %d found, counted from 0", ordinal, count);
    struct cudaDeviceProp properties;
    status = device_check(cudaGetDeviceProperties(&properties, ordinal), "asking for the device's properties", error);
    if (!status)
        status = device_check(cudaSetDevice(ordinal), "choosing the device", error);
    if (status)
        return status;
    if (properties.major < 8)
        return fail_with(error, SEGRT_DEVICE, "cuda:%d (%s) has compute capability %d.%d; 8.0 is needed", ordinal, properties.name,
                         properties.major, properties.minor);
    *out = (device){.ordinal = ordinal,
                    .processors = properties.multiProcessorCount,
                    .major = properties.major,
                    .minor = properties.minor,
                    .shared = properties.sharedMemPerBlockOptin};
    snprintf(out->name, sizeof out->name, "%.63s", properties.name);
    return SEGRT_OK;
}

segrt_status device_get(void **out, size_t bytes, const char *what, segrt_error *error)
{
    *out = NULL;
    const cudaError_t code = cudaMalloc(out, bytes ? bytes : 1);
    if (code == cudaErrorMemoryAllocation) {
        size_t available = 0, total = 0;
        cudaGetLastError();
        if (cudaMemGetInfo(&available, &total) != cudaSuccess)
            available = 0;
        return fail_with(error, SEGRT_NO_MEMORY, "out of device memory: %zu MiB for %s, %zu of %zu MiB are free", (bytes + 1048575) >> 20,
                         what, available >> 20, total >> 20);
    }
    return device_check(code, "getting device memory", error);
}
