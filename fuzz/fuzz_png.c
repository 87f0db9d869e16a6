/* fuzz_png: PNG files.  Nearly every change breaks a checksum, and the decoder would never see it: mutations are
 * followed by a repair of all of them. */
#include "picture_harness.h"

#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION /* under libFuzzer, not in the replay */

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed);

static uint32_t checksum(const uint8_t *data, size_t size)
{
    uint32_t crc = ~0u;
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int k = 0; k < 8; k++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed)
{
    enum { SIGNATURE = 8, FRAME = 12 };
    size = LLVMFuzzerMutate(data, size, most);
    if (seed % 8 == 0) /* some stay broken */
        return size;
    for (size_t at = SIGNATURE; size > at && size - at >= FRAME;) {
        uint8_t *chunk = data + at;
        const size_t length = (size_t)chunk[0] << 24 | (size_t)chunk[1] << 16 | (size_t)chunk[2] << 8 | chunk[3];
        if (length > size - at - FRAME)
            break;
        const uint32_t crc = checksum(chunk + 4, length + 4);
        for (size_t i = 0; i < 4; i++)
            chunk[8 + length + i] = (uint8_t)(crc >> (24 - 8 * i));
        at += FRAME + length;
    }
    return size;
}

#endif

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return picture_harness("PNG", data, size);
}
