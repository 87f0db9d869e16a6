/* Fuzzes the pickle machine and what looks for tensors in its values; storages are there under every key. */
#include <stdlib.h>

#include "entry.h"
#include "formats/torch/tensors.h"

enum { STORAGE_BYTES = 4096, ELEMENT_CAP = 1 << 16 };

static bool find_any(void *container, const char *key, storage_bytes *out)
{
    if (*key == '9') /* some are missing */
        return false;
    *out = (storage_bytes){.data = container, .size = STORAGE_BYTES};
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    arena memory = {0}, kept = {0};
    bytes from = bytes_of(data, size);
    segrt_error error = {0};
    pickle p;
    uint8_t *storage = calloc(1, STORAGE_BYTES);
    checkpoint found = {.memory = &kept};
    segrt_status status = pickle_read(&p, &memory, &kept, &from, 0, &error);
    if (!status)
        status = tensors_of_pickle(&found, p.root, find_any, storage, &error);
    if (!status)
        status = meta_of_pickle(&found, p.root, &error);
    if (status != error.status || from.at > size)
        abort();
    for (size_t i = 0; !status && i < found.count && i < 64; i++)
        if (tensor_elements(&found.tensors[i]) <= ELEMENT_CAP && found.tensors[i].type != TENSOR_OTHER) {
            const float *floats = tensor_floats(&found.tensors[i], &memory);
            volatile float last = 0;
            for (int64_t e = 0; floats && e < tensor_elements(&found.tensors[i]); e++)
                last = floats[e]; /* a read that a sanitizer sees */
            (void)last;
        }
    free(storage);
    arena_free(&kept);
    arena_free(&memory);
    return 0;
}
