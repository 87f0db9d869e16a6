/* fuzz_pnm: PNM files. */
#include "picture_harness.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return picture_harness("PNM", data, size);
}
