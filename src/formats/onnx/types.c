/* types: what the element types are and how to read constants of any of them.  Formats layer, part of the
 * ONNX graph (graph.h). */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "formats/onnx/graph.h"

static const struct type_row {
    uint8_t bytes;
    const char *text;
} types[] = {
    [ONNX_NO_TYPE] = {0, "untyped"}, [ONNX_FLOAT] = {4, "float32"},   [ONNX_UINT8] = {1, "uint8"},       [ONNX_INT8] = {1, "int8"},
    [ONNX_UINT16] = {2, "uint16"},   [ONNX_INT16] = {2, "int16"},     [ONNX_INT32] = {4, "int32"},       [ONNX_INT64] = {8, "int64"},
    [ONNX_BOOL] = {1, "bool"},       [ONNX_FLOAT16] = {2, "float16"}, [ONNX_DOUBLE] = {8, "float64"},    [ONNX_UINT32] = {4, "uint32"},
    [ONNX_UINT64] = {8, "uint64"},   [ONNX_BFLOAT16] = {2, "bfloat16"},
};

static const struct type_row *row_of(onnx_type type)
{
    return (size_t)type < sizeof types / sizeof *types && types[type].text ? &types[type] : NULL;
}

size_t onnx_type_bytes(onnx_type type)
{
    const struct type_row *row = row_of(type);
    return row ? row->bytes : 0;
}

const char *onnx_type_text(onnx_type type)
{
    const struct type_row *row = row_of(type);
    return row ? row->text : "unknown type";
}

bool onnx_type_is_float(onnx_type type)
{
    return type == ONNX_FLOAT || type == ONNX_FLOAT16 || type == ONNX_BFLOAT16 || type == ONNX_DOUBLE;
}

const char *onnx_shape_text(onnx_type type, const onnx_shape *shape, char text[ONNX_TEXT_ROOM])
{
    int at = snprintf(text, ONNX_TEXT_ROOM, "%s", onnx_type_text(type));
    if (shape->rank < 0) {
        snprintf(text + at, (size_t)(ONNX_TEXT_ROOM - at), " of unknown shape");
        return text;
    }
    at += snprintf(text + at, (size_t)(ONNX_TEXT_ROOM - at), " [");
    for (int32_t d = 0; d < shape->rank && at < ONNX_TEXT_ROOM - 24; d++)
        at += shape->dims[d] < 0 ? snprintf(text + at, (size_t)(ONNX_TEXT_ROOM - at), d ? ", ?" : "?")
                                 : snprintf(text + at, (size_t)(ONNX_TEXT_ROOM - at), d ? ", %lld" : "%lld", (long long)shape->dims[d]);
    snprintf(text + at, (size_t)(ONNX_TEXT_ROOM - at), "]");
    return text;
}

static float from_half(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31, fraction = half & 1023;
    if (exponent == 0) { /* zero or subnormal: exact, as a product */
        const float magnitude = (float)fraction * 0x1p-24f;
        return sign ? -magnitude : magnitude;
    }
    const uint32_t bits = sign | (exponent == 31 ? 255u : exponent + 112) << 23 | fraction << 13;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static float from_bfloat(uint16_t half)
{
    const uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static int64_t to_int(double value)
{
    if (!(value > -0x1p63)) /* NaN too */
        return INT64_MIN;
    return value >= 0x1p63 ? INT64_MAX : (int64_t)value;
}

/* LOOP(stored type, expression of `v`): every element of the tensor, wherever it is aligned. */
#define LOOP(stored, expression)                        \
    for (size_t i = 0; i < tensor->count; i++) {        \
        stored v;                                       \
        memcpy(&v, from + i * sizeof v, sizeof v);      \
        out[i] = (expression);                          \
    }                                                   \
    break

#define CONVERT(to, of_float, of_half, of_bfloat, of_double)                \
    const uint8_t *from = tensor->data;                                     \
    switch (tensor->type) {                                                 \
    case ONNX_FLOAT: LOOP(float, of_float);                                 \
    case ONNX_FLOAT16: LOOP(uint16_t, of_half);                             \
    case ONNX_BFLOAT16: LOOP(uint16_t, of_bfloat);                          \
    case ONNX_DOUBLE: LOOP(double, of_double);                              \
    case ONNX_UINT8: LOOP(uint8_t, (to)v);                                  \
    case ONNX_INT8: LOOP(int8_t, (to)v);                                    \
    case ONNX_UINT16: LOOP(uint16_t, (to)v);                                \
    case ONNX_INT16: LOOP(int16_t, (to)v);                                  \
    case ONNX_INT32: LOOP(int32_t, (to)v);                                  \
    case ONNX_INT64: LOOP(int64_t, (to)v);                                  \
    case ONNX_UINT32: LOOP(uint32_t, (to)v);                                \
    case ONNX_UINT64: LOOP(uint64_t, (to)v);                                \
    case ONNX_BOOL: LOOP(uint8_t, (to)(v != 0));                            \
    case ONNX_NO_TYPE: break;                                               \
    }

void onnx_tensor_floats(const onnx_tensor *tensor, float *out)
{
    if (tensor->type == ONNX_FLOAT) {
        memcpy(out, tensor->data, tensor->count * sizeof *out);
        return;
    }
    CONVERT(float, v, from_half(v), from_bfloat(v), (float)v)
}

void onnx_tensor_doubles(const onnx_tensor *tensor, double *out)
{
    CONVERT(double, (double)v, (double)from_half(v), (double)from_bfloat(v), v)
}

void onnx_tensor_ints(const onnx_tensor *tensor, int64_t *out)
{
    CONVERT(int64_t, to_int((double)v), to_int((double)from_half(v)), to_int((double)from_bfloat(v)), to_int(v))
}
