/* entry: what every harness defines and libFuzzer, or replay.c, calls. */
#ifndef SEGRT_FUZZ_ENTRY_H
#define SEGRT_FUZZ_ENTRY_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
