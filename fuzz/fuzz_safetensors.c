/* Fuzzes a whole model load from a lone .safetensors file. */
#include "model_harness.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const segrt_file file = {.name = "model.safetensors", .data = data, .size = size};
    load_and_check(&file, 1);
    return 0;
}
