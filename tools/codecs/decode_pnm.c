/* decode_pnm: binary PNM: P4 (bits), P5 (grey), P6 (RGB), 8 and 16 bits.  See decode.h.
 *
 * Samples up to another maximum than 255 are scaled to it and rounded, halves to even, as Pillow does. */
#include "codecs/decode.h"

#include <math.h>
#include <string.h>

typedef struct header {
    char kind; /* '4', '5', '6' */
    uint32_t width, height, most;
    size_t at; /* of the first sample */
} header;

static bool is_space(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The next decimal number, behind blanks and comments, and the one blank that ends it. */
static bool number(const decode_input *in, size_t *at, uint32_t *value)
{
    while (*at < in->size && (is_space(in->data[*at]) || in->data[*at] == '#')) {
        if (in->data[*at] == '#')
            while (*at < in->size && in->data[*at] != '\n' && in->data[*at] != '\r')
                ++*at;
        else
            ++*at;
    }
    const size_t begin = *at;
    uint64_t sum = 0;
    for (; *at < in->size && in->data[*at] >= '0' && in->data[*at] <= '9'; ++*at)
        if ((sum = 10 * sum + (uint64_t)(in->data[*at] - '0')) > UINT32_MAX)
            return false;
    *value = (uint32_t)sum;
    return *at > begin && *at < in->size && is_space(in->data[(*at)++]);
}

static segrt_status read_header(header *h, const decode_input *in, segrt_error *error)
{
    *h = (header){.kind = (char)in->data[1], .most = 1, .at = 2};
    if (!number(in, &h->at, &h->width) || !number(in, &h->at, &h->height) || (h->kind != '4' && !number(in, &h->at, &h->most)))
        return codec_fail(error, SEGRT_MALFORMED, h->at, "PNM: the header wants width, height%s",
                          h->kind == '4' ? "" : " and the largest sample");
    if (h->most < 1 || h->most > 65535)
        return codec_fail(error, SEGRT_MALFORMED, h->at, "PNM: the largest sample is %u, it must lie in 1..65535", (unsigned)h->most);
    return SEGRT_OK;
}

static size_t row_bytes(const header *h)
{
    if (h->kind == '4')
        return ((size_t)h->width + 7) / 8;
    return (size_t)h->width * (h->kind == '6' ? 3 : 1) * (h->most > 255 ? 2 : 1);
}

static segrt_status check_samples(const header *h, const decode_input *in, segrt_error *error)
{
    const size_t wanted = row_bytes(h) * h->height, there = in->size - h->at; /* the sides were checked: no overflow */
    if (there < wanted)
        return codec_fail(error, SEGRT_MALFORMED, in->size, "PNM: ends early: %zu bytes of pixels where %ux%u take %zu", there,
                          (unsigned)h->width, (unsigned)h->height, wanted);
    return SEGRT_OK;
}

/* Sample i of a row. */
static uint32_t sample(const header *h, const uint8_t *row, size_t i)
{
    if (h->kind == '4')
        return !(row[i / 8] >> (7 - i % 8) & 1); /* a set bit is black */
    const uint32_t value = h->most > 255 ? (uint32_t)row[2 * i] << 8 | row[2 * i + 1] : row[i];
    return value < h->most ? value : h->most;
}

segrt_status decode_pnm(codec_picture *out, const decode_input *in, segrt_error *error)
{
    header h;
    segrt_status status = read_header(&h, in, error);
    if (!status)
        status = decode_open(out, in, h.width, h.height, 0, 8, error);
    if (!status)
        status = check_samples(&h, in, error);
    if (status)
        return status;
    const size_t channels = h.kind == '6' ? 3 : 1;
    for (size_t y = 0; y < h.height; y++) {
        const uint8_t *row = in->data + h.at + y * row_bytes(&h);
        uint8_t *to = out->rgb + 3 * y * h.width;
        if (channels == 3 && h.most == 255) {
            memcpy(to, row, 3 * (size_t)h.width);
            continue;
        }
        for (size_t x = 0; x < h.width; x++)
            for (size_t c = 0; c < 3; c++) {
                const uint32_t v = sample(&h, row, channels * x + (channels == 3 ? c : 0));
                to[3 * x + c] = h.most == 255 ? (uint8_t)v : (uint8_t)lrint((double)v / h.most * 255);
            }
    }
    return SEGRT_OK;
}

segrt_status decode_pnm_labels(codec_labels *out, const decode_input *in, segrt_error *error)
{
    header h;
    segrt_status status = read_header(&h, in, error);
    if (!status)
        status = decode_open_labels(out, in, h.width, h.height, 8, error);
    if (!status)
        status = check_samples(&h, in, error);
    for (size_t y = 0; !status && y < h.height; y++)
        for (size_t x = 0; x < h.width; x++)
            out->labels[y * h.width + x] = (uint16_t)sample(&h, in->data + h.at + y * row_bytes(&h), x);
    return status;
}
