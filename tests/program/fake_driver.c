/* fake_driver: as much of libcuda.so.1 as the CUDA runtime asks before it gives up: a driver for the CUDA version that FAKE_DRIVER
 * names (13000: 13.0), and no device. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define EXPORTED __attribute__((visibility("default")))

enum { NO_DEVICE = 100 };

EXPORTED int cuInit(unsigned flags);
EXPORTED int cuDriverGetVersion(int *version);
EXPORTED int cuDeviceGetCount(int *count);
EXPORTED int cuGetProcAddress_v2(const char *name, void **at, int version, uint64_t flags, int *found);
EXPORTED int cuGetProcAddress(const char *name, void **at, int version, uint64_t flags);

int cuInit(unsigned flags)
{
    (void)flags;
    return 0;
}

int cuDriverGetVersion(int *version)
{
    const char *text = getenv("FAKE_DRIVER");
    *version = text ? atoi(text) : 0;
    return 0;
}

int cuDeviceGetCount(int *count)
{
    *count = 0;
    return 0;
}

static int refuse(void)
{
    return NO_DEVICE;
}

typedef void call(void);

static void take(void **at, call *what)
{
    memcpy(at, &what, sizeof what);
} /* C has no cast from a function's address to an object's */

int cuGetProcAddress_v2(const char *name, void **at, int version, uint64_t flags, int *found)
{
    (void)version, (void)flags;
    const struct {
        const char *name;
        call *at;
    } rows[] = {
        {"cuInit", (call *)cuInit},
        {"cuDriverGetVersion", (call *)cuDriverGetVersion},
        {"cuDeviceGetCount", (call *)cuDeviceGetCount},
        {"cuGetProcAddress", (call *)cuGetProcAddress_v2},
    };
    take(at, (call *)refuse);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!strcmp(name, rows[i].name))
            take(at, rows[i].at);
    if (found)
        *found = 0;
    return 0;
}

int cuGetProcAddress(const char *name, void **at, int version, uint64_t flags)
{
    return cuGetProcAddress_v2(name, at, version, flags, NULL);
}
