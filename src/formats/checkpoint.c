/* checkpoint: see checkpoint.h. */
#include "formats/checkpoint.h"

#include <stdio.h>
#include <string.h>

const tensor_type_row *tensor_type_named(const char *name)
{
    static const tensor_type_row rows[] = {
        {"F32", 4, TENSOR_F32},    {"F16", 2, TENSOR_F16},       {"BF16", 2, TENSOR_BF16},     {"F64", 8, TENSOR_F64},
        {"I64", 8, TENSOR_OTHER},  {"I32", 4, TENSOR_OTHER},     {"I16", 2, TENSOR_OTHER},     {"I8", 1, TENSOR_OTHER},
        {"U64", 8, TENSOR_OTHER},  {"U32", 4, TENSOR_OTHER},     {"U16", 2, TENSOR_OTHER},     {"U8", 1, TENSOR_OTHER},
        {"BOOL", 1, TENSOR_OTHER}, {"F8_E4M3", 1, TENSOR_OTHER}, {"F8_E5M2", 1, TENSOR_OTHER},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!strcmp(rows[i].name, name))
            return &rows[i];
    return NULL;
}

static bool is_control(char c)
{
    return (unsigned char)c < 0x20 || c == 0x7f;
}

bool tensor_name_fits(const char *name, size_t length)
{
    if (!length || length > TENSOR_NAME_CAP)
        return false;
    for (size_t i = 0; i < length; i++)
        if (is_control(name[i]))
            return false;
    return true;
}

segrt_status checkpoint_add(checkpoint *c, const tensor *t, segrt_error *error)
{
    if (c->count == TENSOR_COUNT_CAP)
        return fail_with(error, SEGRT_UNSUPPORTED, "more than %d tensors", (int)TENSOR_COUNT_CAP);
    if (c->count == c->room) {
        const size_t room = c->room ? 2 * c->room : 256;
        tensor *grown = arena_get(c->memory, room, sizeof *grown);
        if (!grown)
            return fail_memory(error, room * sizeof *grown, "a list of tensors");
        if (c->count)
            memcpy(grown, c->tensors, c->count * sizeof *grown);
        c->tensors = grown;
        c->room = room;
    }
    c->tensors[c->count++] = *t;
    return SEGRT_OK;
}

const char *checkpoint_class_name(arena *memory, const char *text, size_t length)
{
    char *copy = arena_copy_text(memory, text, length < CLASS_NAME_CAP ? length : CLASS_NAME_CAP);
    for (size_t i = 0; copy && i < length && i < CLASS_NAME_CAP; i++)
        if (is_control(copy[i]))
            copy[i] = '?';
    return copy;
}

int64_t tensor_elements(const tensor *t)
{
    int64_t product = 1;
    for (int i = 0; i < t->rank; i++)
        if (t->shape[i] == 0)
            return 0;
    for (int i = 0; i < t->rank; i++) {
        if (t->shape[i] < 0 || product > ((int64_t)1 << 62) / t->shape[i])
            return -1;
        product *= t->shape[i];
    }
    return product;
}

void tensor_set_dense(tensor *t)
{
    int64_t stride = 1;
    for (int i = t->rank; i-- > 0;) {
        t->stride[i] = stride;
        stride *= t->shape[i] > 0 ? t->shape[i] : 1;
    }
}

bool tensor_is_dense(const tensor *t)
{
    int64_t stride = 1;
    for (int i = t->rank; i-- > 0;) {
        if (t->shape[i] != 1 && t->stride[i] != stride) /* the stride of a single element says nothing */
            return false;
        stride *= t->shape[i];
    }
    return true;
}

bool tensor_is_mapped(const tensor *t)
{
    return t->type == TENSOR_F32 && (uintptr_t)t->data % _Alignof(float) == 0 && tensor_is_dense(t);
}

static float from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* IEEE 754 binary16, exactly: every half is a float.  Its bits moved into a float's place are 2^-112 of its value, subnormal ones too;
 * only infinities and NaNs need another exponent.  Without a branch, so that compilers take several at once. */
static float half_to_float(uint16_t half)
{
    const uint32_t magnitude = (uint32_t)(half & 0x7fff) << 13, sign = (uint32_t)(half & 0x8000) << 16;
    uint32_t bits;
    const float scaled = from_bits(magnitude) * 0x1p112f;
    memcpy(&bits, &scaled, sizeof bits);
    bits = (half & 0x7c00) == 0x7c00 ? magnitude | 0x7f800000 : bits;
    return from_bits(sign | bits);
}

static uint16_t read_u16(const uint8_t *from)
{
    uint16_t bits;
    memcpy(&bits, from, sizeof bits);
    return bits;
}

/* `count` elements, `stride` elements apart. */
static void convert_row(tensor_type type, const uint8_t *from, int64_t stride, int64_t count, float *to)
{
    switch (type) {
    case TENSOR_F32:
        for (int64_t i = 0; i < count; i++)
            memcpy(to + i, from + i * stride * 4, 4);
        break;
    case TENSOR_F16:
        for (int64_t i = 0; i < count; i++)
            to[i] = half_to_float(read_u16(from + i * stride * 2));
        break;
    case TENSOR_BF16:
        for (int64_t i = 0; i < count; i++)
            to[i] = from_bits((uint32_t)read_u16(from + i * stride * 2) << 16);
        break;
    case TENSOR_F64:
        for (int64_t i = 0; i < count; i++) {
            double value;
            memcpy(&value, from + i * stride * 8, 8);
            to[i] = (float)value;
        }
        break;
    case TENSOR_OTHER:
        break;
    }
}

const float *tensor_floats(const tensor *t, arena *memory)
{
    if (tensor_is_mapped(t))
        return (const float *)(const void *)t->data;
    static const int bytes_of_type[] = {[TENSOR_F32] = 4, [TENSOR_F16] = 2, [TENSOR_BF16] = 2, [TENSOR_F64] = 8, [TENSOR_OTHER] = 0};
    const int64_t count = tensor_elements(t);
    float *out = count < 0 ? NULL : arena_get_uncleared(memory, (size_t)count, sizeof *out);
    if (!out || !count)
        return out;
    if (tensor_is_dense(t)) {
        convert_row(t->type, t->data, 1, count, out);
        return out;
    }
    const int last = t->rank - 1; /* a tensor of rank 0 is dense */
    int64_t index[TENSOR_RANK] = {0}, at = 0;
    for (int64_t done = 0; done < count; done += t->shape[last]) {
        convert_row(t->type, t->data + at * bytes_of_type[t->type], t->stride[last], t->shape[last], out + done);
        for (int i = last - 1; i >= 0; i--) { /* the next row, as an odometer turns */
            at += t->stride[i];
            if (++index[i] < t->shape[i])
                break;
            at -= t->stride[i] * t->shape[i];
            index[i] = 0;
        }
    }
    return out;
}

const char *tensor_shape_text(const tensor *t, char text[TENSOR_SHAPE_TEXT])
{
    int at = snprintf(text, TENSOR_SHAPE_TEXT, "[");
    for (int i = 0; i < t->rank; i++)
        at += snprintf(text + at, TENSOR_SHAPE_TEXT - (size_t)at, i ? ", %lld" : "%lld",
                       (long long)t->shape[i]); /* 8 * 22 + 3 bytes at most */
    snprintf(text + at, TENSOR_SHAPE_TEXT - (size_t)at, "]");
    return text;
}
