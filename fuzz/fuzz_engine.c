/* Fuzzes the reader of engine files behind its checksum, and what it lets through: that must run on every backend that
 * is always there, and be saved and read again. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backend/reference/reference.h"
#include "entry.h"
#include "network/engine_file.h"

enum { SIDE_CAP = 64, MACS_CAP = 100000 }; /* of a run */

static void run_smallest(const network *net)
{
    static const uint8_t pixels[SIDE_CAP * SIDE_CAP * 3] = {1, 2, 3};
    static uint8_t labels[SIDE_CAP * SIDE_CAP * 2];
    int side = 1;
    network_shape shape;
    while (side <= SIDE_CAP && network_shape_of(&shape, net, 1, side, side, NULL))
        side++;
    arena memory = {0};
    operation *operations;
    size_t count;
    if (side > SIDE_CAP || network_operations(net, &memory, &operations, &count, NULL))
        return;
    uint64_t macs = 0;
    for (size_t i = 0; i < count; i++)
        macs += operation_macs(net, &shape, operations[i]) + 1;
    arena_free(&memory);
    if (macs > MACS_CAP)
        return;
    const backend *const devices[] = {&backend_reference, &backend_cpu};
    for (size_t i = 0; i < sizeof devices / sizeof *devices; i++) {
        void *state;
        if (devices[i]->open(&state, net, &(backend_options){.precision = SEGRT_FLOAT32}, NULL))
            continue;
        const label_output output = {.labels = net->classes ? labels : NULL,
                                     .label_bytes = 2,
                                     .stride = side,
                                     .picture_stride = (ptrdiff_t)side * side,
                                     .h = side,
                                     .w = side};
        if (devices[i]->run(state, &(backend_run){.n = 1, .h = side, .w = side, .pixels = pixels, .output = output}, NULL) == SEGRT_SHAPE)
            abort();
        devices[i]->close(state);
    }
}

static void save_and_read(const segrt_engine *engine)
{
    const int file = memfd_create("engine", MFD_CLOEXEC);
    segrt_engine *again = memory_get_cleared(1, sizeof *again);
    if (file < 0 || !again || engine_file_write_to(engine, file, NULL))
        abort();
    const off_t size = lseek(file, 0, SEEK_END);
    void *data = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, file, 0);
    if (data == MAP_FAILED)
        abort();
    again->file = file_map_of(data, (size_t)size);
    if (engine_file_read(again, NULL) || again->info.classes != engine->info.classes)
        abort();
    segrt_engine_close(again);
    munmap(data, (size_t)size);
    close(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = memory_get(size);
    segrt_engine *engine = memory_get_cleared(1, sizeof *engine);
    if (!copy || !engine)
        abort();
    memcpy(copy, data, size);
    engine_file_seal(copy, size);
    engine->file = file_map_of(copy, size);
    segrt_error error = {0};
    const segrt_status status = engine_file_read(engine, &error);
    if (status != error.status || (status && !error.message[0]))
        abort();
    if (!status) {
        run_smallest(engine->net);
        save_and_read(engine);
    }
    segrt_engine_close(engine);
    memory_free(copy);
    return 0;
}
