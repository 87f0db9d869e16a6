/* cuda_loader: see cuda_loader.h. */
#include "backend/cuda_loader.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cuda_abi.h"

#define LIBRARY "libsegrt-cuda.so"

static void *allocate(void *user, size_t bytes, size_t alignment)
{
    (void)user;
    return alignment <= MEMORY_ALIGNMENT ? memory_get(bytes) : NULL;
}

static void release(void *user, void *memory)
{
    (void)user;
    memory_free(memory);
}

/* The first of the usual places where the library is, or NULL.  It is never closed: drivers don't like it. */
static void *open_library(void)
{
    static const char *const folders[] = {"%.*s" LIBRARY, "%.*s../lib/" LIBRARY};
    const char *named = getenv("SEGRT_CUDA_LIBRARY");
    if (named && *named)
        return dlopen(named, RTLD_NOW | RTLD_LOCAL);
    Dl_info here = {0};
    char path[4096];
    if (dladdr((const void *)folders, &here) && here.dli_fname)
        for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
            const char *slash = strrchr(here.dli_fname, '/');
            const int length = slash ? (int)(slash - here.dli_fname) + 1 : 0;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
            const int written = snprintf(path, sizeof path, folders[i], length, here.dli_fname);
#pragma GCC diagnostic pop
            void *library = length && written > 0 && (size_t)written < sizeof path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
            if (library)
                return library;
        }
    return dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
}

segrt_status cuda_loader_find(const backend **out, segrt_error *error)
{
    *out = NULL;
    void *library = open_library();
    if (!library) {
        const char *why = dlerror();
        return fail_with(error, SEGRT_DEVICE,
                         "the CUDA backend (" LIBRARY
                         ") cannot be opened: %.300s; build segrt with the CUDA toolkit, or let SEGRT_CUDA_LIBRARY name it",
                         why ? why : "no reason given");
    }
    void *symbol = dlsym(library, CUDA_BACKEND_SYMBOL);
    if (!symbol)
        return fail_with(error, SEGRT_DEVICE, LIBRARY " is not segrt's: it has no " CUDA_BACKEND_SYMBOL);
    cuda_backend_fn *find;
    memcpy(&find, &symbol, sizeof find); /* C has no cast from an object's address to a function's */
    const cuda_abi abi = CUDA_ABI;
    const segrt_allocator allocator = {.allocate = allocate, .release = release};
    *out = find(&abi, &allocator);
    if (!*out)
        return fail_with(error, SEGRT_DEVICE, LIBRARY " is of another version of segrt: install both from one build");
    return SEGRT_OK;
}
