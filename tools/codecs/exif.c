/* exif: which way up a picture was taken.  See decode.h; the TIFF structure of EXIF 2.3, section 4.5.2. */
#include "codecs/decode.h"

#include <string.h>

static uint32_t integer(const uint8_t *p, size_t width, bool big)
{
    uint32_t value = 0;
    for (size_t i = 0; i < width; i++)
        value |= (uint32_t)p[i] << 8 * (big ? width - 1 - i : i);
    return value;
}

int exif_orientation(const uint8_t *tiff, size_t size)
{
    enum { HEADER = 8, ENTRY = 12, ORIENTATION = 0x0112, SHORT = 3 };
    if (size < HEADER || (memcmp(tiff, "II*\0", 4) && memcmp(tiff, "MM\0*", 4)))
        return 1;
    const bool big = tiff[0] == 'M';
    const size_t directory = integer(tiff + 4, 4, big);
    if (directory > size || size - directory < 2)
        return 1;
    const size_t entries = integer(tiff + directory, 2, big), room = (size - directory - 2) / ENTRY;
    for (size_t i = 0; i < entries && i < room; i++) {
        const uint8_t *entry = tiff + directory + 2 + i * ENTRY;
        if (integer(entry, 2, big) == ORIENTATION && integer(entry + 2, 2, big) == SHORT && integer(entry + 4, 4, big) == 1) {
            const uint32_t value = integer(entry + 8, 2, big);
            return value >= 1 && value <= 8 ? (int)value : 1;
        }
    }
    return 1;
}
