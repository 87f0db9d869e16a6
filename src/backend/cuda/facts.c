/* facts: see facts.h.  The management library (NVML) is opened for each question: it belongs to the driver, containers often
 * lack it, and nothing of it is kept. */
#include "backend/cuda/facts.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "backend/cuda/device.h"

#define MANAGEMENT "libnvidia-ml.so.1"

typedef struct nvml_device nvml_device;

/* The calls that are used, as nvml.h has declared them since its second version. */
typedef struct nvml {
    int (*begin)(void);
    int (*end)(void);
    int (*find)(const char *bus, nvml_device **found);
    int (*power)(nvml_device *gpu, unsigned *milliwatts);
    int (*power_limit)(nvml_device *gpu, unsigned *milliwatts);
    int (*temperature)(nvml_device *gpu, int sensor, unsigned *degrees);
    int (*clock)(nvml_device *gpu, int which, unsigned *mhz);
} nvml;

enum { SENSOR_CHIP = 0, CLOCK_PROCESSORS = 1, CLOCK_MEMORY = 2 };

static bool find_calls(void *library, nvml *calls)
{
    const struct {
        const char *name;
        void *at;
    } rows[] = {
        {"nvmlInit_v2", &calls->begin},
        {"nvmlShutdown", &calls->end},
        {"nvmlDeviceGetHandleByPciBusId_v2", &calls->find},
        {"nvmlDeviceGetPowerUsage", &calls->power},
        {"nvmlDeviceGetEnforcedPowerLimit", &calls->power_limit},
        {"nvmlDeviceGetTemperature", &calls->temperature},
        {"nvmlDeviceGetClockInfo", &calls->clock},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        void *symbol = dlsym(library, rows[i].name);
        if (!symbol)
            return false;
        memcpy(rows[i].at, &symbol, sizeof symbol); /* C has no cast from an object's address to a function's */
    }
    return true;
}

/* Each fact by itself: a virtual machine may refuse one and tell another. */
static void ask(const nvml *calls, const char *bus, backend_facts *facts)
{
    nvml_device *gpu;
    unsigned value;
    if (calls->begin()) {
        snprintf(facts->note, sizeof facts->note, "power and clocks unknown: " MANAGEMENT " does not start");
        return;
    }
    if (calls->find(bus, &gpu))
        snprintf(facts->note, sizeof facts->note, "power and clocks unknown: " MANAGEMENT " does not know %s", bus);
    else {
        facts->watts = calls->power(gpu, &value) ? 0 : 1e-3 * value;
        facts->watts_most = calls->power_limit(gpu, &value) ? 0 : 1e-3 * value;
        facts->degrees = calls->temperature(gpu, SENSOR_CHIP, &value) ? 0 : value;
        facts->core_mhz = calls->clock(gpu, CLOCK_PROCESSORS, &value) ? 0 : (int)value;
        facts->memory_mhz = calls->clock(gpu, CLOCK_MEMORY, &value) ? 0 : (int)value;
    }
    calls->end();
}

segrt_status cuda_facts(int ordinal, backend_facts *facts, segrt_error *error)
{
    device on;
    char bus[32] = "";
    nvml calls;
    *facts = (backend_facts){0};
    segrt_status status = device_open(&on, ordinal, error);
    if (!status)
        status = device_check(cudaMemGetInfo(&facts->memory_free, &facts->memory_total), "asking for the device's memory", error);
    if (!status)
        status = device_check(cudaDeviceGetPCIBusId(bus, sizeof bus, ordinal), "asking for the device's place", error);
    if (status)
        return status;
    void *library = dlopen(MANAGEMENT, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        snprintf(facts->note, sizeof facts->note, "power and clocks unknown: no " MANAGEMENT);
    else if (!find_calls(library, &calls))
        snprintf(facts->note, sizeof facts->note, "power and clocks unknown: " MANAGEMENT " lacks a call");
    else
        ask(&calls, bus, facts);
    if (library)
        dlclose(library);
    return SEGRT_OK;
}
