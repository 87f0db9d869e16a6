/* builder_write: the file of a builder's graph: ModelProto { ir_version, producer, opset, metadata, graph { nodes,
 * name, constants, inputs, outputs } }.  Weights are converted a piece at a time, so the file never stands
 * in memory as a whole. */
#include "export/builder.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MODEL_IR_VERSION = 1, MODEL_PRODUCER = 2, MODEL_PRODUCER_VERSION = 3, MODEL_GRAPH = 7, MODEL_OPSET = 8 };
enum { GRAPH_NAME = 2, GRAPH_CONSTANT = 5 };
enum { CONSTANT_DIMS = 1, CONSTANT_TYPE = 2, CONSTANT_NAME = 8, CONSTANT_RAW = 9 };
enum { OPSET_VERSION = 2 };
enum { PIECE = 8192 /* elements converted at once */, NAME_ROOM = 4096 };

/* Protobuf refuses messages of 2 GiB and more. */
static const uint64_t largest_file = (UINT64_C(1) << 31) - 1;

/* The oldest IR version that allows this opset, so that old readers take old opsets. */
static int ir_version_of(int opset)
{
    static const struct {
        int opset, ir;
    } rows[] = {{11, 6}, {12, 7}, {15, 8}, {19, 9}, {21, 10}};
    int ir = rows[0].ir;
    for (size_t i = 0; i < sizeof rows / sizeof *rows && rows[i].opset <= opset; i++)
        ir = rows[i].ir;
    return ir;
}

static size_t bytes_of_type(int type)
{
    return type == BUILDER_INT64 ? 8 : type == BUILDER_FLOAT ? 4 : 2;
}

/* IEEE half, ties to even; *finite is cleared where a finite value leaves its range. */
static uint16_t half_of(float value, bool *finite)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    const uint32_t magnitude = bits & 0x7fffffff;
    if (magnitude >= 0x47800000u) { /* 65536 and beyond, infinities, NaN */
        *finite = false;
        return (uint16_t)(sign | 0x7c00);
    }
    uint32_t mantissa, exponent = magnitude >> 23;
    if (exponent < 113) { /* subnormal: units of 2^-24 */
        if (exponent < 102)
            return sign;
        mantissa = (magnitude & 0x7fffff) | 0x800000;
        const uint32_t shift = 126 - exponent, half = 1u << (shift - 1), rest = mantissa & ((1u << shift) - 1);
        mantissa >>= shift;
        mantissa += rest > half || (rest == half && (mantissa & 1));
        return (uint16_t)(sign | mantissa);
    }
    const uint32_t rest = magnitude & 0x1fff;
    uint32_t result = (magnitude >> 13) - (112u << 10);
    result += rest > 0x1000 || (rest == 0x1000 && (result & 1));
    if (result >= 0x7c00)
        *finite = false;
    return (uint16_t)(sign | result);
}

static void header_of(const builder_constant *c, proto *header)
{
    header->size = 0;
    for (int i = 0; i < c->rank; i++)
        proto_int(header, CONSTANT_DIMS, c->dims[i]);
    proto_int(header, CONSTANT_TYPE, c->type);
    proto_text(header, CONSTANT_NAME, c->name);
    proto_open(header, CONSTANT_RAW, c->count * bytes_of_type(c->type));
}

typedef struct sink {
    FILE *file;
    const char *path;
    segrt_error *error;
    segrt_status status;
} sink;

static void sink_put(sink *s, const void *data, size_t size)
{
    if (s->status == SEGRT_OK && size && fwrite(data, 1, size, s->file) != size)
        s->status = fail_with(s->error, SEGRT_IO, "cannot write: %s", strerror(errno));
}

static float element(const builder_constant *c, size_t i)
{
    if (!c->transposed)
        return c->floats[i];
    const size_t rows = (size_t)c->dims[0], columns = (size_t)c->dims[1];
    return c->floats[i % columns * rows + i / columns];
}

static void put_constant(sink *s, const builder_constant *c)
{
    uint8_t piece[PIECE * 8];
    const size_t width = bytes_of_type(c->type);
    bool finite = true;
    for (size_t at = 0; at < c->count && s->status == SEGRT_OK; at += PIECE) {
        const size_t count = c->count - at < PIECE ? c->count - at : PIECE;
        for (size_t i = 0; i < count; i++) {
            uint64_t bits = 0;
            if (c->type == BUILDER_INT64) {
                bits = (uint64_t)c->ints[at + i];
            } else {
                const float value = element(c, at + i);
                uint32_t pattern;
                memcpy(&pattern, &value, sizeof pattern);
                bits = c->type == BUILDER_FLOAT ? pattern : half_of(value, &finite);
            }
            for (size_t k = 0; k < width; k++)
                piece[i * width + k] = (uint8_t)(bits >> (8 * k));
        }
        sink_put(s, piece, count * width);
    }
    if (!finite && s->status == SEGRT_OK)
        s->status = fail_with(s->error, SEGRT_UNSUPPORTED, "'%s' holds values beyond float16's range (65504): export in float32", c->name);
}

/* Everything of the file, in order. */
static void put_model(sink *s, builder *b, const proto *model_head, const proto *graph_name, proto *header)
{
    sink_put(s, model_head->data, model_head->size);
    sink_put(s, b->nodes.data, b->nodes.size);
    sink_put(s, graph_name->data, graph_name->size);
    for (const builder_constant *c = b->constants; c; c = c->next) {
        header_of(c, header);
        proto frame = {0};
        proto_open(&frame, GRAPH_CONSTANT, header->size + c->count * bytes_of_type(c->type));
        if (header->broken || frame.broken)
            s->status = fail_memory(s->error, 0, "the ONNX graph");
        sink_put(s, frame.data, frame.size);
        proto_free(&frame);
        sink_put(s, header->data, header->size);
        put_constant(s, c);
    }
    sink_put(s, b->inputs.data, b->inputs.size);
    sink_put(s, b->outputs.data, b->outputs.size);
}

static segrt_status write_file(builder *b, const proto *model_head, const proto *graph_name, proto *header, const char *path,
                               segrt_error *error)
{
    char aside[NAME_ROOM];
    struct stat facts;
    if (!stat(path, &facts) && !S_ISREG(facts.st_mode)) /* a device must not be renamed over */
        return fail_with(error, SEGRT_IO, "cannot write: it is no regular file");
    const int length = snprintf(aside, sizeof aside, "%s.XXXXXX", path);
    if (length < 0 || (size_t)length >= sizeof aside)
        return fail_with(error, SEGRT_ARGUMENT, "the path is longer than %d characters", NAME_ROOM - 8);
    const int descriptor = mkstemp(aside);
    sink s = {.path = path, .error = error};
    if (descriptor < 0)
        return fail_with(error, SEGRT_IO, "cannot create a file beside it: %s", strerror(errno));
    s.file = fdopen(descriptor, "wb");
    if (!s.file) {
        s.status = fail_with(error, SEGRT_IO, "cannot write: %s", strerror(errno));
        close(descriptor);
    } else {
        put_model(&s, b, model_head, graph_name, header);
        if (s.status == SEGRT_OK &&
            (fflush(s.file) != 0 || fchmod(descriptor, S_IRUSR | S_IWUSR | S_IRGRP | S_IROTH) != 0 || fsync(descriptor) != 0))
            s.status = fail_with(error, SEGRT_IO, "cannot write: %s", strerror(errno));
        if (fclose(s.file) != 0 && s.status == SEGRT_OK)
            s.status = fail_with(error, SEGRT_IO, "cannot write: %s", strerror(errno));
    }
    if (s.status == SEGRT_OK && rename(aside, path) != 0)
        s.status = fail_with(error, SEGRT_IO, "cannot rename '%s': %s", aside, strerror(errno));
    if (s.status != SEGRT_OK)
        unlink(aside);
    return s.status;
}

segrt_status builder_write(builder *b, const char *graph_name, const char *path, segrt_error *error)
{
    proto model_head = {0}, opset = {0}, name = {0}, header = {0};
    segrt_status status = SEGRT_OK;
    proto_text(&name, GRAPH_NAME, graph_name);
    uint64_t graph = b->nodes.size + name.size + b->inputs.size + b->outputs.size;
    for (const builder_constant *c = b->constants; c; c = c->next) {
        const uint64_t raw = c->count * bytes_of_type(c->type);
        header_of(c, &header);
        proto frame = {0};
        proto_open(&frame, GRAPH_CONSTANT, header.size + raw);
        graph += frame.size + header.size + raw;
        header.broken |= frame.broken;
        proto_free(&frame);
    }
    proto_int(&opset, OPSET_VERSION, b->opset);
    proto_int(&model_head, MODEL_IR_VERSION, ir_version_of(b->opset));
    proto_text(&model_head, MODEL_PRODUCER, "segrt");
    proto_text(&model_head, MODEL_PRODUCER_VERSION, segrt_version());
    proto_message(&model_head, MODEL_OPSET, &opset);
    proto_append(&model_head, b->properties.data, b->properties.size);
    proto_open(&model_head, MODEL_GRAPH, graph);
    if (b->failure.status != SEGRT_OK)
        status = fail_with(error, b->failure.status, "%s", b->failure.message);
    else if (model_head.broken || name.broken || header.broken || b->nodes.broken || b->inputs.broken || b->outputs.broken ||
             b->properties.broken)
        status = fail_memory(error, 0, "the ONNX graph");
    else if (model_head.size + graph > largest_file)
        status = fail_with(error, SEGRT_UNSUPPORTED, "an ONNX file of %llu bytes: Protocol Buffers end at 2 GiB; export in float16",
                           (unsigned long long)(model_head.size + graph));
    else
        status = write_file(b, &model_head, &name, &header, path, error);
    if (status != SEGRT_OK)
        error_in_file(error, path);
    proto *const parts[] = {&model_head, &opset, &name, &header};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        proto_free(parts[i]);
    return status;
}
