/* Fuzzes a whole model load from a file of torch.save's or paddle.save's: zip archives, the legacy container, lone pickles. */
#include "model_harness.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const segrt_file file = {.name = "pytorch_model.bin", .data = data, .size = size};
    load_and_check(&file, 1);
    return 0;
}
